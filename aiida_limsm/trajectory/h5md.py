"""Read H5MD trajectories in chunks, our own and those of other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

from ..markov.arrays import FloatArray, IntArray
from .layout import SCAN_ROWS, has_one_cell, read_cells, read_layout
from .salvage import left_open, open_cut_short
from .writer import H5mdFile

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["H5mdFile", "Trajectory"]


class Trajectory:
    """An H5MD trajectory, open for reading; use as a context manager.

    Positions are given as the file has them, unwrapped where it counts images. A file that was cut
    short, or whose program was killed, is read as far as it is whole; ``warnings`` says so.

    Parameters
    ----------
    path
        The file.
    frame_interval_ps
        Time between frames where the file has none, or to overrule it.
    numbers
        Atomic numbers (n_atoms,) where the file has none, or to overrule them.

    Attributes
    ----------
    numbers
        Atomic numbers, (n_atoms,).
    cell
        Of the first frame, rows are vectors, Å; ``cell_changes_at`` is the first frame that has
        another one, or None.
    frame_interval_ps
        Time between frames.
    framework_at_rest
        Whether the drift of a framework, which the file need not hold, was taken off.
    warnings
        What was odd, one line each.

    Raises
    ------
    ValueError
        One line: the file is missing, is no H5MD, or lacks something.
    """

    def __init__(
        self,
        path: Path | str,
        frame_interval_ps: float | None = None,
        numbers: IntArray | None = None,
    ) -> None:
        self.path = Path(path)
        self._file, size, remark = _open(self.path)
        name = self.path.name
        try:
            layout = read_layout(self._file, name, frame_interval_ps, numbers, size)
        except (KeyError, OSError, AttributeError, TypeError, RuntimeError) as error:
            self._file.close()
            raise ValueError(
                f"{name} is no H5MD trajectory, or too much of it is lost: {error}"
            ) from error
        except ValueError:
            self._file.close()
            raise
        self._layout = layout
        self.n_frames: int = layout.n_frames
        self.numbers: IntArray = layout.numbers
        self.cell: FloatArray = layout.cell
        self.cell_changes_at: int | None = layout.cell_changes_at
        self.frame_interval_ps: float = layout.interval_ps
        attributes = layout.position.parent.attrs
        self.framework_at_rest: bool = bool(attributes.get("framework_at_rest", False))
        if size is not None:
            remark += f" {self.n_frames} of its {len(layout.position)} frames are whole and used"
        elif remark:
            remark += f" the {self.n_frames} frames written so far are used"
        self.warnings: tuple[str, ...] = (*([remark] if remark else []), *layout.remarks)

    def __enter__(self) -> Trajectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols of the atoms."""
        from ase.data import chemical_symbols

        return [chemical_symbols[number] for number in self.numbers]

    @property
    def steps(self) -> IntArray:
        """MD step of every frame, (n_frames,); their numbers where the file has no steps."""
        if self._layout.steps is None:
            return np.arange(self.n_frames)
        return np.asarray(self._layout.steps[: self.n_frames], dtype=np.int64)

    @property
    def times_ps(self) -> FloatArray:
        """Time of every frame, (n_frames,), ps; from zero where the file has no times."""
        if self._layout.times is None:
            return np.arange(self.n_frames, dtype=np.float64) * self.frame_interval_ps
        return np.asarray(self._layout.times[: self.n_frames] * self._layout.time_scale)

    @property
    def temperature_k(self) -> FloatArray | None:
        """Temperature of every frame, K; None where it was not written."""
        return self._observable("temperature")

    @property
    def potential_energy(self) -> FloatArray | None:
        """Potential energy of every frame, eV; None where it was not written."""
        return self._observable("potential_energy")

    def mean_temperature_k(self, start: int = 0) -> float | None:
        """Return the mean temperature from frame ``start`` on; None where it was not written."""
        series = self._file.get("observables/temperature/value")
        if series is None or series.ndim != 1 or len(series) < self.n_frames:
            return None
        total, number = 0.0, 0
        for begin in range(start, self.n_frames, SCAN_ROWS):
            part = series[begin : min(begin + SCAN_ROWS, self.n_frames)]
            part = part[np.isfinite(part)]
            total, number = total + float(part.sum()), number + len(part)
        return total / number if number else None

    def cells(self, start: int = 0, stop: int | None = None) -> FloatArray:
        """Return the cell of every frame, (n, 3, 3), Å."""
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        if self.cell_is_constant:
            return np.broadcast_to(self.cell, (end - start, 3, 3))
        return read_cells(self._layout, start, end)

    @property
    def cell_is_constant(self) -> bool:
        """Whether the file holds one cell for all frames, not one for each."""
        return has_one_cell(self._layout)

    def _observable(self, name: str) -> FloatArray | None:
        series = self._file.get(f"observables/{name}/value")
        if series is None:
            return None
        return np.asarray(series[: self.n_frames], dtype=np.float64)

    def iter_blocks(
        self, memory_mb: float = 4.0, start: int = 0, stop: int | None = None
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Yield consecutive blocks of positions of all atoms, (n, n_atoms, 3), Å, float32.

        Parameters
        ----------
        memory_mb
            Size of a block; a frame is the least.
        start, stop
            First frame, and the one after the last.

        Raises
        ------
        ValueError
            The file cannot be read any further.
        """
        for begin, after in self._block_limits(memory_mb, start, stop):
            yield self._read(begin, after)

    @property
    def has_velocities(self) -> bool:
        """Whether the file holds velocities of all frames, in a unit that is known."""
        return self._layout.velocity is not None

    def iter_velocities(
        self, memory_mb: float = 4.0, start: int = 0, stop: int | None = None
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Yield consecutive blocks of velocities, (n, n_atoms, 3), Å/ps, as :meth:`iter_blocks`.

        Raises
        ------
        ValueError
            The file holds none, or cannot be read any further.
        """
        velocity, name = self._layout.velocity, self.path.name
        if velocity is None:
            raise ValueError(f"{name} holds no velocities")
        for begin, after in self._block_limits(memory_mb, start, stop):
            try:
                block = velocity[begin:after] * self._layout.velocity_scale
            except (OSError, RuntimeError) as error:
                raise ValueError(f"{name}: frame {begin} and on cannot be read: {error}") from error
            yield np.asarray(block, dtype=np.float32)

    def _block_limits(
        self, memory_mb: float, start: int, stop: int | None
    ) -> Iterator[tuple[int, int]]:
        """Yield first frame and the one after the last of every block."""
        step = max(1, int(memory_mb * 1e6 / (12 * self.n_atoms)))
        chunks = self._layout.position.chunks
        rows = chunks[0] if chunks else 1
        if rows > step:
            rows = 1
        step -= step % rows  # blocks end where a chunk of the file ends, so that none is read twice
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        begin = start
        while begin < end:
            after = min(end, begin + step - begin % rows)
            yield begin, after
            begin = after

    def _read(self, begin: int, after: int) -> npt.NDArray[np.float32]:
        layout = self._layout
        try:
            block = layout.position[begin:after]
            if layout.image is not None:
                turns = layout.image[begin:after].astype(np.float64)
                block = block * layout.scale + turns @ self.cell
            elif layout.scale != 1.0:
                block = block * layout.scale
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{self.path.name}: frame {begin} and on cannot be read: {error}"
            ) from error
        return np.asarray(block, dtype=np.float32)

    def iter_positions(
        self,
        indices: Sequence[int] | IntArray | None = None,
        memory_mb: float = 256,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[FloatArray]:
        """Yield consecutive blocks of positions, (n, n_chosen, 3), Å, float64.

        Parameters
        ----------
        indices
            Atoms wanted; all of them where None.
        memory_mb
            Bound of the memory a block takes, reading included.
        start, stop
            First frame, and the one after the last.
        """
        chosen = None if indices is None else np.asarray(indices, dtype=np.int64)
        width = self.n_atoms if chosen is None else len(chosen)
        share = 12 * self.n_atoms / (12 * self.n_atoms + 24 * width)
        for block in self.iter_blocks(memory_mb * share, start, stop):
            yield (block if chosen is None else block[:, chosen]).astype(np.float64)

    def frame(self, index: int) -> FloatArray:
        """Return the positions of one frame, (n_atoms, 3), Å; negative counts from the end."""
        number = range(self.n_frames)[index]
        return np.asarray(self._read(number, number + 1)[0], dtype=np.float64)

    def to_ase(self, index: int) -> Atoms:
        """Return one frame as an ASE structure (in the cell of the first)."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.frame(index), cell=self.cell, pbc=True)


def _open(path: Path) -> tuple[Any, int | None, str]:
    """Return the open file, its real size if it was cut short, and a remark on its state."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    try:
        if left_open(path):
            remark = f"{path.name} was not closed (its program runs, or was killed):"
            return h5py.File(path, "r", swmr=True), None, remark
        return h5py.File(path, "r"), None, ""
    except OSError as error:
        first = error
    try:
        file = open_cut_short(path)
    except (OSError, RuntimeError, ValueError):
        raise ValueError(f"{path.name} is no HDF5 file, or damaged: {first}") from first
    return file, path.stat().st_size, f"{path.name} was cut short:"
