"""Open the trajectories of a comparison, whatever their format."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..trajectory.formats import convert_to_h5md, is_h5md, refuse_changing_cell
from ..trajectory.h5md import Trajectory
from .compare_models import CompareInput
from .trajectories import first_frame, read_numbers

__all__ = ["Source", "open_sources"]

NO_TIME_PS = 1.0


@dataclass(frozen=True)
class Source:
    """One trajectory of the comparison.

    ``interval_ps`` is None where nobody knows the time between frames; ``start`` is the first
    frame used.
    """

    label: str
    file: str
    trajectory: Trajectory
    interval_ps: float | None
    start: int

    @property
    def n_frames(self) -> int:
        """Frames used."""
        return self.trajectory.n_frames - self.start

    @property
    def duration_ps(self) -> float | None:
        """From the first frame used to the last."""
        return None if self.interval_ps is None else self.interval_ps * (self.n_frames - 1)

    @property
    def atoms_per_angstrom3(self) -> float:
        """Number density."""
        return self.trajectory.n_atoms / abs(float(np.linalg.det(self.trajectory.cell)))

    @property
    def symbol_counts(self) -> dict[str, int]:
        """Atoms per element."""
        return dict(sorted(Counter(self.trajectory.symbols).items()))


def open_sources(
    job: CompareInput, folder: Path, stack: ExitStack, progress: Callable[[str], None]
) -> tuple[list[Source], list[str]]:
    """Open all files; those that are not H5MD are read once into a temporary one in ``folder``.

    Returns
    -------
    sources, warnings
        Open until ``stack`` is left; what was odd about them.

    Raises
    ------
    ValueError
        A file cannot be used, or two have no element pair in common.
    """
    numbers = read_numbers(folder / job.topology_file) if job.topology_file else None
    paths = [folder / name for name in job.trajectory_files]
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError("a trajectory is given twice: it would be compared with itself")
    labels = job.labels or _names(paths)
    sources: list[Source] = []
    warnings: list[str] = []
    for index, path in enumerate(paths):
        given = job.interval_fs(index)
        interval: float | None = None if given is None else given / 1000.0
        if is_h5md(path):
            trajectory = stack.enter_context(Trajectory(path, interval, numbers))
            refuse_changing_cell(trajectory)
            interval = trajectory.frame_interval_ps
        else:
            spool = stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="frames-"))
            done = convert_to_h5md(
                path, Path(spool) / "frames.h5", interval or NO_TIME_PS, topology=numbers,
                species_order=job.species_order, unwrap=False,
            )  # fmt: skip
            warnings += done.warnings
            trajectory = stack.enter_context(Trajectory(Path(spool) / "frames.h5"))
        warnings += trajectory.warnings
        if job.skip_ps and interval is None:
            raise ValueError(f"{path.name} holds no times: skip_ps needs the frame interval")
        start = first_frame(trajectory, job.skip_ps) if job.skip_ps else 0
        sources.append(Source(labels[index], path.name, trajectory, interval, start))
        progress(f"{labels[index]}: {_described(sources[-1])}")
    for other in sources[1:]:
        warnings += _check_alike(sources[0], other)
    return sources, warnings


def _names(paths: list[Path]) -> tuple[str, ...]:
    """Return the file names without ending, numbered where they are the same."""
    stems = [path.stem for path in paths]
    if len(set(stems)) == len(stems):
        return tuple(stems)
    return tuple(f"{stem} {number}" for number, stem in enumerate(stems, start=1))


def _described(source: Source) -> str:
    formula = "".join(f"{symbol}{count}" for symbol, count in source.symbol_counts.items())
    text = f"{formula}, {source.n_frames} frame{'' if source.n_frames == 1 else 's'}"
    if source.interval_ps is not None:
        text += f" of {1000 * source.interval_ps:g} fs"
    return text


def _check_alike(head: Source, other: Source) -> list[str]:
    """Refuse trajectories of other elements; return what makes a comparison less than fair."""
    first, second = head.symbol_counts, other.symbol_counts
    if set(first) != set(second):
        raise ValueError(
            f"{other.label} holds {', '.join(second)}, {head.label} {', '.join(first)}: compare "
            "trajectories of the same elements"
        )
    warnings = []
    ratio = {symbol: second[symbol] / first[symbol] for symbol in first}
    if max(ratio.values()) - min(ratio.values()) > 1e-9 * max(ratio.values()):
        warnings.append(f"{other.label} has another composition than {head.label}")
    density = other.atoms_per_angstrom3 / head.atoms_per_angstrom3
    if abs(density - 1) > 0.01:
        warnings.append(
            f"{other.label} is {abs(density - 1):.1%} {'denser' if density > 1 else 'less dense'} "
            f"than {head.label}: peaks of g(r) are shifted"
        )
    return warnings
