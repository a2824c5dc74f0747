"""Growing HDF5 datasets that are written in whole chunks only."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "ConstantColumn"]

#: Large enough that the cost of a chunk does not show, small enough to stay in the cache.
CHUNK_BYTES = 1 << 18
MAX_ROWS = 1024


def rows_per_chunk(shape: tuple[int, ...], kind: npt.DTypeLike) -> int:
    """Return how many rows make a chunk of about :data:`CHUNK_BYTES`."""
    width = max(int(np.prod(shape, dtype=np.int64)), 1) * np.dtype(kind).itemsize
    return max(1, min(MAX_ROWS, CHUNK_BYTES // width))


class Column:
    """One dataset with a row per frame, held back until a chunk is full.

    Whole chunks are handed to HDF5 as they are, past its cache: where a chunk lies in the file
    depends on the number of rows before it, never on how they were appended.

    There is no compression. On positions of real MD (Li11Si4, 60 atoms, 20 fs between frames)
    shuffle and gzip make the file 0.69 of its size, and reading it costs forty times the CPU.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._rows = int(dataset.shape[0])
        self.chunk = np.zeros(dataset.chunks, dtype=dataset.dtype)
        begin = self._rows - self._rows % len(self.chunk)
        self.chunk[: self._rows - begin] = dataset[begin:]

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return self.chunk.nbytes // len(self.chunk)

    @classmethod
    def create(
        cls, group: Any, name: str, shape: tuple[int, ...], kind: npt.DTypeLike, unit: str = ""
    ) -> Column:
        """Make an empty dataset ``(0, *shape)``."""
        rows = rows_per_chunk(shape, kind)
        dataset = group.create_dataset(
            name, shape=(0, *shape), maxshape=(None, *shape), dtype=kind, chunks=(rows, *shape)
        )
        if unit:
            dataset.attrs["unit"] = unit
        return cls(dataset)

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add rows ``(n, *shape)``."""
        size, done = len(self.chunk), 0
        while done < len(values):
            at = self._rows % size
            part = values[done : done + size - at]
            self.chunk[at : at + len(part)] = part
            self._rows += len(part)
            done += len(part)
            if self._rows % size == 0:
                self._write()

    def flush(self) -> None:
        """Write a chunk that is not full yet, the rest of it zero."""
        if self._rows % len(self.chunk):
            self.chunk[self._rows % len(self.chunk) :] = 0
            self._write()

    def _write(self) -> None:
        begin = (self._rows - 1) // len(self.chunk) * len(self.chunk)
        self.dataset.resize(self._rows, axis=0)
        place = (begin,) + (0,) * (self.dataset.ndim - 1)
        self.dataset.id.write_direct_chunk(place, self.chunk)


class ConstantColumn:
    """A dataset whose rows are all the same, packed once.

    Readers such as MDAnalysis and znh5md want one row per frame of what never changes.
    """

    def __init__(self, dataset: Any, row: npt.ArrayLike) -> None:
        self.dataset = dataset
        chunk = np.broadcast_to(np.asarray(row, dtype=dataset.dtype), dataset.chunks)
        self._packed = zlib.compress(chunk.tobytes(), 1)

    @classmethod
    def create(
        cls, group: Any, name: str, row: npt.ArrayLike, kind: npt.DTypeLike, unit: str = ""
    ) -> ConstantColumn:
        """Make an empty dataset whose rows will be ``row``."""
        shape = np.shape(row)
        rows = rows_per_chunk(shape, kind)
        dataset = group.create_dataset(
            name,
            shape=(0, *shape),
            maxshape=(None, *shape),
            dtype=kind,
            chunks=(rows, *shape),
            compression="gzip",
            compression_opts=1,
        )
        if unit:
            dataset.attrs["unit"] = unit
        dataset.attrs["constant"] = True
        column = cls(dataset, row)
        column.grow(1)  # now, at the start of the file, so that a copy that was cut short has it
        return column

    def grow(self, rows: int) -> None:
        """Make the dataset ``rows`` long."""
        size = self.dataset.chunks[0]
        first = -(-self.dataset.shape[0] // size)
        if rows > self.dataset.shape[0]:
            self.dataset.resize(rows, axis=0)
        for begin in range(first * size, rows, size):
            place = (begin,) + (0,) * (self.dataset.ndim - 1)
            self.dataset.id.write_direct_chunk(place, self._packed)
