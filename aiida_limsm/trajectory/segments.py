"""Write a trajectory as closed segments, so that a killed run loses its last buffer only.

A plain HDF5 file that is open when its process is killed can be lost as a whole. So frames are
gathered in memory and written as one closed file each time, under a temporary name that is then
renamed: what carries the name ``segment-…h5`` is complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from ..files import sha256_of, whole_file
from .h5md import Trajectory
from .writer import H5mdFile

__all__ = ["SegmentWriter", "join_segments", "truncate_segments"]

FRAMES_PER_SEGMENT = 500


@dataclass(frozen=True)
class _Segment:
    path: Path
    first_frame: int


def _segments(folder: Path) -> list[_Segment]:
    names = sorted(folder.glob("segment-*.h5"))
    return [_Segment(path, int(path.stem.removeprefix("segment-"))) for path in names]


class SegmentWriter:
    """Appends frames to a folder of segments; continues one that already holds some.

    Parameters
    ----------
    folder
        Made if missing.
    numbers, cell
        Atomic numbers (n_atoms,) and cell (rows, Å); None where every frame has its own cell.
    frame_interval_ps
        Time between frames.
    initial_step
        The step the run goes on from; frames of the folder must not be later (see
        :func:`truncate_segments`).
    frames_per_segment
        Buffer size. At most this many frames are lost by a kill.
    framework_at_rest
        See :class:`H5mdFile`.
    """

    def __init__(
        self,
        folder: Path,
        numbers: npt.ArrayLike,
        cell: npt.ArrayLike | None,
        frame_interval_ps: float,
        initial_step: int = 0,
        frames_per_segment: int = FRAMES_PER_SEGMENT,
        framework_at_rest: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for left_over in self.folder.glob("segment-*.h5.tmp"):
            left_over.unlink()
        self._numbers = np.asarray(numbers)
        self._cell = None if cell is None else np.asarray(cell, dtype=np.float64)
        self._at_rest = framework_at_rest
        self._interval = frame_interval_ps
        self._size = frames_per_segment
        self._positions: list[npt.NDArray[np.float32]] = []
        self._rows: list[tuple[int, float, float]] = []
        self._cells: list[npt.NDArray[np.float64]] = []
        self.n_frames = 0
        self._last_step: int | None = None
        existing = _segments(self.folder)
        if existing:
            with Trajectory(existing[-1].path) as last:
                if not np.array_equal(last.numbers, self._numbers):
                    raise ValueError(f"{self.folder} holds a trajectory of other atoms")
                self.n_frames = existing[-1].first_frame + last.n_frames
                self._last_step = int(last.steps[-1])
            if self._last_step > initial_step:
                raise ValueError(
                    f"{self.folder} holds frames up to step {self._last_step}, after the step "
                    f"{initial_step} the run goes on from: call truncate_segments first"
                )

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()

    def append(
        self,
        positions: npt.ArrayLike,
        step: int,
        temperature_k: float,
        potential_energy_ev: float,
        cell: npt.ArrayLike | None = None,
    ) -> None:
        """Take one frame: unwrapped positions (n_atoms, 3), Å, at an MD step.

        ``cell`` is wanted where every frame has its own.
        """
        frame = np.array(positions, dtype=np.float32)
        if frame.shape != (len(self._numbers), 3):
            raise ValueError(f"positions of {len(self._numbers)} atoms wanted, got {frame.shape}")
        if self._last_step is not None and step <= self._last_step:
            raise ValueError(f"step {step} does not come after step {self._last_step}")
        if self._cell is None:
            self._cells.append(np.array(cell, dtype=np.float64).reshape(3, 3))
        self._positions.append(frame)
        self._rows.append((step, temperature_k, potential_energy_ev))
        self._last_step = step
        self.n_frames += 1
        if len(self._rows) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Write the buffer as a closed segment.

        Raises
        ------
        OSError
            The disk is full or gone; earlier segments stay whole, and the buffer is kept.
        """
        if not self._rows:
            return
        first = self.n_frames - len(self._rows)
        target = self.folder / f"segment-{first:09d}.h5"
        steps, temperatures, energies = zip(*self._rows, strict=True)
        with (
            whole_file(target) as temporary,
            H5mdFile(
                temporary, self._numbers, self._cell, self._interval, first,
                framework_at_rest=self._at_rest,
            ) as file,
        ):  # fmt: skip
            cells = np.stack(self._cells) if self._cells else None
            file.append(np.stack(self._positions), steps, temperatures, energies, cells=cells)
        self._positions.clear()
        self._cells.clear()
        self._rows.clear()


def truncate_segments(folder: Path, last_step: int) -> int:
    """Drop all frames after an MD step; return the number of frames left."""
    left = 0
    for segment in _segments(Path(folder)):
        with Trajectory(segment.path) as old:
            keep = int((old.steps <= last_step).sum())
            if keep == old.n_frames:
                left += keep
                continue
        if keep:
            with whole_file(segment.path) as temporary:
                _copy([segment], temporary, keep)
        else:
            segment.path.unlink()
        left += keep
    return left


def join_segments(folder: Path, target: Path) -> str:
    """Join all segments into one file, atomically; return its sha256.

    Raises
    ------
    ValueError
        No segments, or frames overlap, are missing or belong to different systems.
    """
    segments = _segments(Path(folder))
    if not segments:
        raise ValueError(f"{folder} holds no segments")
    target = Path(target)
    with whole_file(target) as temporary:
        _copy(segments, temporary)
    return sha256_of(target)


def _copy(segments: list[_Segment], target: Path, frames: int | None = None) -> None:
    """Copy segments (only the first ``frames`` of them, if given) into one file, with checks."""
    with Trajectory(segments[0].path) as head:
        numbers, cell, interval = head.numbers, head.cell, head.frame_interval_ps
        observed = head.temperature_k is not None
        constant, at_rest = head.cell_is_constant, head.framework_at_rest
    file = H5mdFile(
        target, numbers, cell if constant else None, interval, segments[0].first_frame, observed,
        framework_at_rest=at_rest,
    )  # fmt: skip
    try:
        expected = segments[0].first_frame
        last: int | None = None
        stride: int | None = None
        for segment in segments:
            with Trajectory(segment.path) as part:
                if segment.first_frame != expected:
                    problem = "overlaps" if segment.first_frame < expected else "leaves a gap after"
                    raise ValueError(f"{segment.path.name} {problem} the frames before it")
                if not (
                    np.array_equal(part.numbers, numbers)
                    and part.cell_is_constant == constant
                    and (not constant or np.array_equal(part.cell, cell))
                    and part.frame_interval_ps == interval
                ):
                    raise ValueError(f"{segment.path.name} belongs to another system")
                steps = part.steps if last is None else np.append(last, part.steps)
                jumps = np.diff(steps)
                if stride is None and len(jumps):
                    stride = int(jumps[0])
                if (jumps != stride).any():
                    raise ValueError(f"{segment.path.name}: frames are not evenly spaced in steps")
                expected += part.n_frames
                last = int(part.steps[-1])
                stop = part.n_frames if frames is None else frames
                temperature, energy = part.temperature_k, part.potential_energy
                done = 0
                for block in part.iter_blocks(memory_mb=16, stop=stop):
                    rows = slice(done, done + len(block))
                    file.append(
                        block,
                        part.steps[rows],
                        None if temperature is None else temperature[rows],
                        None if energy is None else energy[rows],
                        cells=None if constant else part.cells(done, rows.stop),
                    )
                    done += len(block)
    finally:
        file.close()
