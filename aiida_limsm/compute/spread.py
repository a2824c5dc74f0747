"""``limsm spread``: where on a trajectory the members of a committee disagree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_limsm.files import whole_file

from .base import JobError, Status
from .spread_models import SPREAD_FILENAME, SpreadInput, SpreadResults

if TYPE_CHECKING:
    from ase import Atoms
    from mace.calculators import MACECalculator

    from ..markov.arrays import FloatArray

__all__ = ["run_spread"]

LINE_INTERVAL_S = 30.0


def run_spread(
    job: SpreadInput, folder: Path, progress: Callable[[str], None] = print
) -> SpreadResults:
    """Compute the forces of all members on the frames; write spread and frames to ``spread.h5``.

    The spread is that of :class:`aiida_limsm.atomistic.committee.Committee`.

    Raises
    ------
    JobError
        For a missing or damaged file, frames of unequal atoms, an element that a member lacks, or
        members that are the same model; before anything is computed.
    """
    from aiida_limsm.atomistic.committee import Committee
    from aiida_limsm.atomistic.evaluation import rms

    started = said = time.monotonic()
    frames, indices = _read(job, folder)
    members = _load(job, folder, set(frames[0].symbols))
    spread = np.empty((len(frames), len(frames[0])))
    force = np.empty_like(spread)
    for number, atoms in enumerate(frames):
        forces = np.stack([_forces(atoms, member) for member in members])
        mean = forces.mean(axis=0)
        spread[number] = Committee.of(forces, mean).spread
        force[number] = np.linalg.norm(mean, axis=1)
        if time.monotonic() - said > LINE_INTERVAL_S:
            said = time.monotonic()
            progress(f"{number + 1}/{len(frames)} frames")
    _write(folder / SPREAD_FILENAME, frames, indices, spread, force)
    largest = 1e3 * spread.max(axis=1)
    line = f"{len(frames)} frames, {len(members)} potentials"
    progress(f"{line}: spread {1e3 * rms(spread):.1f} meV/Å, at most {largest.max():.1f} meV/Å")
    return SpreadResults(
        status=Status.FINISHED,
        message=line,
        spread_file=SPREAD_FILENAME,
        members=len(members),
        frames=len(frames),
        atoms=len(frames[0]),
        rms_spread_mev_per_angstrom=1e3 * rms(spread),
        median_largest_spread_mev_per_angstrom=float(np.median(largest)),
        max_largest_spread_mev_per_angstrom=float(largest.max()),
        wall_seconds=time.monotonic() - started,
    )


def _read(job: SpreadInput, folder: Path) -> tuple[list[Atoms], list[int]]:
    """Return the frames to use and their indices in the file."""
    path = folder / job.trajectory_file
    if not path.is_file():
        raise JobError(Status.INVALID_INPUT, f"{path} does not exist")
    frames, indices = [], []
    try:
        for index, atoms in enumerate(_all_frames(path)):
            if index >= job.skip_frames and (index - job.skip_frames) % job.frame_stride == 0:
                frames.append(atoms)
                indices.append(index)
    except Exception as error:  # ASE's readers raise anything
        raise JobError(
            Status.TRAJECTORY_UNUSABLE, f"{path.name} cannot be read: {error}"
        ) from error
    if not frames:
        raise JobError(
            Status.TRAJECTORY_UNUSABLE,
            f"{path.name} has no frame from number {job.skip_frames} on: lower skip_frames",
        )
    if any(not np.array_equal(atoms.numbers, frames[0].numbers) for atoms in frames):
        raise JobError(
            Status.TRAJECTORY_UNUSABLE, f"{path.name}: its frames are not of the same atoms"
        )
    return frames, indices


def _all_frames(path: Path) -> Iterator[Atoms]:
    from aiida_limsm.trajectory.formats import is_h5md
    from aiida_limsm.trajectory.frames import iter_frames
    from aiida_limsm.trajectory.h5md import Trajectory

    if not is_h5md(path):
        yield from iter_frames(path)
        return
    with Trajectory(path) as trajectory:
        for index in range(trajectory.n_frames):
            yield trajectory.to_ase(index)


def _load(job: SpreadInput, folder: Path, symbols: set[str]) -> list[MACECalculator]:
    from aiida_limsm.atomistic.potential import describe_model, load_calculator, require_elements

    seen: dict[str, str] = {}
    members = []
    for name in job.potential_files:
        path = folder / name
        if not path.is_file():
            raise JobError(Status.INVALID_INPUT, f"{path} does not exist")
        try:
            info = describe_model(path)
            require_elements(info.elements, symbols)
            if info.sha256 in seen:
                raise ValueError(
                    f"is the same model as {seen[info.sha256]}: a committee needs potentials of "
                    "different seeds"
                )
            seen[info.sha256] = name
            members.append(load_calculator(path, head=job.head, device=job.device, dtype=job.dtype))
        except ValueError as error:
            text = str(error)
            message = text if name in text else f"{name}: {text}"
            raise JobError(Status.INVALID_INPUT, message) from error
    return members


def _forces(atoms: Atoms, member: MACECalculator) -> FloatArray:
    calculator: Any = member
    calculator.calculate(atoms, ["forces"], [])
    return np.asarray(calculator.results["forces"], dtype=np.float64)


def _write(
    path: Path, frames: list[Atoms], indices: list[int], spread: FloatArray, force: FloatArray
) -> None:
    import h5py

    columns = {
        "frame": np.array(indices, dtype=np.int64),
        "positions": np.array([atoms.positions for atoms in frames]),
        "cell": np.array([np.asarray(atoms.cell) for atoms in frames]),
        "numbers": frames[0].numbers.astype(np.int64),
        "spread": spread,
        "force": force,
    }
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, compression="gzip")
