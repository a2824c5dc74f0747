"""Open an HDF5 file that was cut short, and tell which of its rows are whole."""

from __future__ import annotations

import io
import struct
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["left_open", "open_cut_short", "stored_size", "whole_rows"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def stored_size(path: Path) -> int | None:
    """Return the size an HDF5 file should have by its superblock; None if it has none.

    Layout: HDF5 File Format Specification 3.0, section II.A.
    """
    with path.open("rb") as file:
        head = file.read(96)
    if len(head) < 48 or not head.startswith(SIGNATURE):
        return None
    version = head[8]
    if version in (0, 1):
        place, width = 24 + (4 if version == 1 else 0) + 16, head[13]
    elif version in (2, 3):
        place, width = 12 + 2 * head[9], head[9]
    else:
        return None
    if width != 8 or place + 8 > len(head):
        return None
    return int(struct.unpack_from("<Q", head, place)[0])


def left_open(path: Path) -> bool:
    """Tell whether an HDF5 file is flagged as being written, by a program at work or killed."""
    with path.open("rb") as file:
        head = file.read(12)
    # the consistency flags exist from version 3 of the superblock on
    return len(head) == 12 and head.startswith(SIGNATURE) and head[8] >= 3 and bool(head[11] & 1)


class _Padded(io.RawIOBase):
    """A file that seems to have its full size; what is missing reads as zeros."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = path.open("rb")
        self._size = size
        self._place = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._place, self._size)[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._place))
        self._file.seek(self._place)
        data = self._file.read(wanted)
        view[: len(data)] = data
        view[len(data) : wanted] = bytes(wanted - len(data))
        self._place += wanted
        return wanted

    def close(self) -> None:
        self._file.close()
        super().close()


def open_cut_short(path: Path) -> h5py.File:
    """Open a file that is shorter than its superblock says, for reading.

    Raises
    ------
    OSError
        It is not cut short, or what describes its content is lost.
    """
    size = stored_size(path)
    if size is None or size <= path.stat().st_size:
        raise OSError(f"{path} is not an HDF5 file that was cut short")
    return h5py.File(_Padded(path, size), "r")


def whole_rows(dataset: h5py.Dataset, size: int) -> int:
    """Return how many rows from the start lie wholly within the first ``size`` bytes of the file.

    Parameters
    ----------
    dataset
        Its first axis is time.
    size
        Real size of the file.
    """
    rows = len(dataset)
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        if offset is None:
            return rows  # in the header, which was read
        one = int(np.prod(dataset.shape[1:])) * dataset.dtype.itemsize
        return max(0, min(rows, (size - offset) // max(one, 1)))
    step = dataset.chunks[0]
    corners = [range(0, n, c) for n, c in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)]
    grid: list[tuple[int, ...]] = list(product(*corners))
    for begin in range(0, rows, step):
        for corner in grid:
            try:
                info = dataset.id.get_chunk_info_by_coord((begin, *corner))
            except (RuntimeError, ValueError, OSError):
                return begin
            if info.byte_offset is None or info.byte_offset + info.size > size:
                return begin
    return rows
