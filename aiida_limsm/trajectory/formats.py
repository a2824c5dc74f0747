"""Turn any trajectory ASE can read into H5MD, unwrapping it on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..markov.arrays import FloatArray
from .h5md import H5mdFile

__all__ = ["convert_to_h5md", "unwrap_step"]


BUFFER = 200
CELL_TOLERANCE = 1e-4


def unwrap_step(
    move: FloatArray, cell: FloatArray, inverse: FloatArray, limit: float
) -> tuple[FloatArray, float]:
    """Return the minimum-image moves (n_atoms, 3) between two frames, and the longest, Å.

    A move shorter than half the smallest cell height has fractional coordinates below ½, so that
    rounding finds it exactly in any cell; a longer result may be the wrong image.
    """
    nearest = move - np.rint(move @ inverse) @ cell
    longest = float(np.sqrt((nearest**2).sum(axis=1).max()))
    if longest > limit:
        raise ValueError(
            f"an atom moves {longest:.2f} Å between frames, more than half the smallest height of "
            f"the cell ({limit:.2f} Å): its path cannot be told from a wrapped one; write frames "
            "more often, or unwrapped positions"
        )
    return nearest, longest


def convert_to_h5md(source: Path | str, target: Path | str, frame_interval_ps: float) -> int:
    """Convert a trajectory to H5MD; return the number of frames.

    Parameters
    ----------
    source
        Any file ASE reads with several frames (extended XYZ, .traj, XDATCAR …).
    target
        The H5MD file, written atomically.
    frame_interval_ps
        Time between frames, which most formats do not hold.

    Raises
    ------
    ValueError
        The file cannot be read, its cell or atoms change, or an atom moves too far between
        frames to be unwrapped.
    """
    source, target = Path(source), Path(target)
    if frame_interval_ps <= 0:
        raise ValueError("the frame interval must be positive")
    temporary = target.with_name(target.name + ".tmp")
    frames = _read(source)
    file: H5mdFile | None = None
    count = 0
    buffer: list[FloatArray] = []
    try:
        for atoms in frames:
            positions = np.asarray(atoms.positions, dtype=np.float64)
            if file is None:
                cell = np.asarray(atoms.cell.array, dtype=np.float64)
                numbers = np.asarray(atoms.numbers)
                if abs(np.linalg.det(cell)) < 1e-6:
                    raise ValueError(f"{source.name} has no three-dimensional cell")
                inverse = np.asarray(np.linalg.inv(cell), dtype=np.float64)
                limit = 0.5 / float(np.linalg.norm(inverse, axis=0).max())
                file = H5mdFile(temporary, numbers, cell, frame_interval_ps, observables=False)
                unwrapped = previous = positions
            else:
                if not np.array_equal(atoms.numbers, numbers):
                    raise ValueError(f"{source.name}: frame {count} has other atoms")
                if np.abs(atoms.cell.array - cell).max() > CELL_TOLERANCE:
                    raise ValueError(
                        f"{source.name}: the cell changes at frame {count}; only a constant cell "
                        "can be analysed (run the production at constant volume)"
                    )
                try:
                    move, _ = unwrap_step(positions - previous, cell, inverse, limit)
                except ValueError as error:
                    raise ValueError(f"{source.name}, frame {count}: {error}") from None
                unwrapped, previous = unwrapped + move, positions
            buffer.append(unwrapped)
            count += 1
            if len(buffer) == BUFFER:
                file.append(np.stack(buffer), np.arange(count - len(buffer), count))
                buffer.clear()
        if file is None:
            raise ValueError(f"{source.name} holds no frames")
        if buffer:
            file.append(np.stack(buffer), np.arange(count - len(buffer), count))
        file.close()
        file = None
        temporary.replace(target)
    finally:
        if file is not None:
            file.close(sync=False)
        temporary.unlink(missing_ok=True)
    return count


def _read(source: Path) -> Iterator[Any]:
    """Yield ASE structures, with errors in one line."""
    from ase.io import iread

    if not source.is_file():
        raise ValueError(f"{source} does not exist")
    try:
        yield from iread(str(source), index=":")
    except Exception as error:  # ASE's readers raise anything
        raise ValueError(f"{source.name} cannot be read as a trajectory: {error}") from error


def is_h5md(path: Path | str) -> bool:
    """Tell whether a file is HDF5, by its first bytes."""
    with Path(path).open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"
