"""Checksums of files, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["disk_errors", "sha256_of", "sha256_of_stream", "whole_file"]

BLOCK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in blocks: a trajectory may not fit in memory."""
    with Path(path).open("rb") as stream:
        return sha256_of_stream(stream)


def sha256_of_stream(stream: BinaryIO) -> str:
    """Return the SHA-256 of what is left of a byte stream, read in blocks."""
    digest = hashlib.sha256()
    while block := stream.read(BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write to; what is there becomes ``path`` when the block ends well.

    A reader sees the old file or the new one, whole. Where the block fails nothing is left behind.

    Raises
    ------
    OSError
        The disk is full or gone, see :func:`disk_errors`.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with disk_errors(path):
            yield temporary
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn h5py's words for a failed write into an ``OSError`` with number, reason and path."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        number = error.errno if isinstance(error, OSError) else None
        if number is None:
            found = re.search(r"errno = (\d+)", str(error))
            if found is None:
                raise
            number = int(found.group(1))
        raise OSError(number, os.strerror(number), str(path)) from error
