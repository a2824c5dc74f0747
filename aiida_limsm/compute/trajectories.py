"""Open the trajectories of an analysis, whatever their format, and check that they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from ..trajectory.formats import convert_to_h5md, is_h5md, refuse_changing_cell
from ..trajectory.h5md import Trajectory
from ..trajectory.layout import CELL_TOLERANCE
from .base import JobError, Status
from .inputs import AnalyseInput

__all__ = ["first_frame", "open_trajectories", "read_numbers", "unusable_is_said"]


@contextmanager
def unusable_is_said() -> Iterator[None]:
    """Turn a ValueError about what was read into a JobError, ``TRAJECTORY_UNUSABLE``."""
    try:
        yield
    except ValidationError:  # of our own results: no fault of the input
        raise
    except ValueError as error:
        raise JobError(Status.TRAJECTORY_UNUSABLE, str(error)) from error


def open_trajectories(
    job: AnalyseInput,
    folder: Path,
    stack: ExitStack,
    progress: Callable[[str], None],
) -> tuple[list[Trajectory], list[str]]:
    """Open all trajectory files; those that are not H5MD are converted into ``folder`` first.

    Returns
    -------
    trajectories, warnings
        Open files, closed with ``stack``; what was odd about them.

    Raises
    ------
    ValueError
        A file cannot be used, or does not belong with the others.
    """
    numbers = read_numbers(folder / job.topology_file) if job.topology_file else None
    interval = None if job.frame_interval_fs is None else job.frame_interval_fs / 1000.0
    opened: list[Trajectory] = []
    seen: set[Path] = set()
    warnings: list[str] = []
    for index, name in enumerate(job.trajectory_files):
        path = folder / name
        if not path.is_file():
            raise ValueError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")
        if path.resolve() in seen:
            raise ValueError(f"{path.name} is given twice: its jumps would count twice")
        seen.add(path.resolve())
        if not is_h5md(path):
            target = folder / f"{path.name}.{index + 1}.h5"
            converted = convert_to_h5md(
                path, target, interval, topology=numbers, species_order=job.species_order
            )
            progress(f"{path.name}: {converted.frames} frames converted to {target.name}")
            warnings += converted.warnings
            path = target
        opened.append(stack.enter_context(Trajectory(path, interval, numbers)))
        warnings += opened[-1].warnings
        refuse_changing_cell(opened[-1])
    for other in opened[1:]:
        _check_alike(opened[0], other)
    return opened, warnings


def read_numbers(path: Path) -> npt.NDArray[np.int64]:
    """Read the atomic numbers (n_atoms,) of a structure file that ASE knows."""
    from ase.io import read

    try:
        atoms: Any = read(str(path))
    except Exception as error:  # ASE's readers raise anything
        raise ValueError(f"--topology: {path.name} cannot be read: {error}") from error
    return np.asarray(atoms.numbers, dtype=np.int64)


def _check_alike(head: Trajectory, other: Trajectory) -> None:
    name, first = other.path.name, head.path.name
    if len(other.numbers) != len(head.numbers):
        raise ValueError(
            f"{name} has {len(other.numbers)} atoms, {first} has {len(head.numbers)}: analyse "
            "them apart"
        )
    if not np.array_equal(other.numbers, head.numbers):
        same = np.array_equal(np.sort(other.numbers), np.sort(head.numbers))
        raise ValueError(
            f"{name} has its atoms in another order than {first}: write both in one order"
            if same
            else f"{name} has other atoms than {first}: analyse them apart"
        )
    if abs(other.frame_interval_ps - head.frame_interval_ps) > 1e-9:
        raise ValueError(
            f"{name} has another frame interval ({other.frame_interval_ps * 1000:g} fs) than "
            f"{first} ({head.frame_interval_ps * 1000:g} fs): analyse them apart, or thin one"
        )
    if np.abs(other.cell - head.cell).max() > CELL_TOLERANCE:
        raise ValueError(f"{name} has another cell than {first}: analyse them apart")


def first_frame(trajectory: Trajectory, skip_ps: float) -> int:
    """Return the first frame after ``skip_ps``.

    Raises
    ------
    ValueError
        Fewer than two frames are left.
    """
    start = int(np.ceil(skip_ps / trajectory.frame_interval_ps - 1e-9))
    left = trajectory.n_frames - start
    if left < 2:
        length = (trajectory.n_frames - 1) * trajectory.frame_interval_ps
        raise ValueError(
            f"{trajectory.path.name} has {max(left, 0)} frame(s) after skip_ps = {skip_ps:g} of "
            f"its {length:.4g} ps: run longer or skip less (two are needed at least)"
        )
    return start
