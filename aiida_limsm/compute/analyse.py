"""``limsm analyse``: from MD trajectories and a sites structure to a Markov model and D."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..markov.analysis import analyse
from ..markov.findings import Settings
from ..markov.io import save_model
from ..markov.observe import Step
from ..markov.paths_io import save_paths
from ..markov.sites import SiteLattice
from ..trajectory.h5md import Trajectory
from ..trajectory.ions import Alignment, IonStream, align
from .analyse_results import collect_results
from .analyse_sites import Crystal, Sites, choose_sites, read_crystal
from .base import MODEL_FILENAME, PATHS_FILENAME, JobError, Status
from .inputs import AnalyseInput
from .projected import write_projected
from .results import AnalyseResults
from .trajectories import first_frame, open_trajectories, unusable_is_said

__all__ = ["MODEL_FILENAME", "PATHS_FILENAME", "run_analyse"]

NOTABLE_OFFSET = 0.2
NOTABLE_DRIFT = 0.5
GOOD_MISFIT = 0.7
BAD_MISFIT = 1.5
MOLTEN_MSD = 4.0
OTHER_TEMPERATURE = 0.1
MOST_DEFECTS = 0.25
"""Part of a framework species that may be missing or too many."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def run_analyse(
    job: AnalyseInput,
    folder: Path,
    progress: Callable[[str], None] = print,
    step: Step = lambda *_: None,
) -> AnalyseResults:
    """Run the analysis of a job; files are read from and written to ``folder``.

    Parameters
    ----------
    job
        What to do; file names relative to ``folder``, or absolute.
    folder
        Gets ``model.h5`` (model and curves) and ``paths.h5`` (site sequences).
    progress, step
        Get lines for people, and how far long work is.

    Raises
    ------
    JobError
        ``TRAJECTORY_UNUSABLE`` with one line that says what to change; ``INVALID_INPUT`` where a
        choice does not fit (core radius, lag).
    """
    began = time.monotonic()
    with unusable_is_said(), ExitStack() as stack:
        return _run(job, Path(folder), stack, progress, step, began)


def _run(
    job: AnalyseInput,
    folder: Path,
    stack: ExitStack,
    progress: Callable[[str], None],
    step: Step,
    began: float,
) -> AnalyseResults:
    trajectories, warnings = open_trajectories(job, folder, stack, progress)
    head = trajectories[0]
    ions = _ions(job, head)
    starts = [first_frame(trajectory, job.skip_ps) for trajectory in trajectories]
    crystal = None
    if job.structure_file is not None and job.sites != "density":
        crystals = read_crystal(job, folder, head.cell)
        crystal = _best_orientation(crystals, head, ions, starts[0])
        if crystal.turned:
            warnings.append(
                "the structure was turned onto the MD cell, whose orientation is another"
            )
    lattice = None if crystal is None else crystal.lattice
    alignments = []
    for trajectory, start in zip(trajectories, starts, strict=True):
        alignment = _align(trajectory, ions, lattice, start)
        alignments.append(alignment)
        warnings += _framework_warnings(trajectory, alignment, lattice)
        if crystal is not None and not trajectory.framework_at_rest:
            _refuse_other_composition(trajectory, crystal)
    sites = choose_sites(job, crystal, trajectories, alignments, ions, progress, step)
    warnings += sites.warnings
    streams = [
        IonStream(trajectory, ions, alignment, start, job.memory_mb / 16)
        for trajectory, alignment, start in zip(trajectories, alignments, starts, strict=True)
    ]
    frames = sum(stream.n_frames for stream in streams)
    progress(f"{frames} frames of {len(ions)} {job.species} on {sites.lattice.n_sites} sites")
    settings = _settings(job, sites)
    found = analyse(
        streams, sites.lattice, sites.supercell, settings, sites.symmetry, progress, step
    )
    for stream in streams:
        warnings += _motion_warnings(stream)
    temperature, remark = _temperature(job, trajectories, starts)
    warnings += remark
    save_model(found.model, folder / MODEL_FILENAME, found.curves)
    save_paths(found.paths, head.frame_interval_ps, folder / PATHS_FILENAME)
    projected: tuple[str, ...] = ()
    if job.projected:
        projected = write_projected(found.paths, sites.lattice, streams, folder)
    results = collect_results(job, found, sites, streams, temperature, warnings, began)
    return results.model_copy(update={"projected_files": projected})


def _settings(job: AnalyseInput, sites: Sites) -> Settings:
    return Settings(
        assignment=job.assignment,
        core_radius_angstrom=job.core_radius_angstrom,
        lag_ps=job.lag_ps,
        number_of_lags=job.number_of_lags,
        bootstrap_samples=job.bootstrap_samples,
        time_blocks=job.time_blocks,
        minimum_jumps=job.minimum_jumps,
        seed=job.seed,
        memory_mb=job.memory_mb,
        look_for_sites=job.sites == "structure",
        pool_symmetry=sites.pool == "spacegroup",
    )


def _ions(job: AnalyseInput, trajectory: Trajectory) -> IntArray:
    """Return the indices of the mobile ions."""
    from ase.data import atomic_numbers, chemical_symbols

    if job.species not in atomic_numbers:
        raise JobError(Status.INVALID_INPUT, f"species: {job.species} is no element")
    ions = np.flatnonzero(trajectory.numbers == atomic_numbers[job.species])
    if len(ions) == 0:
        there = ", ".join(chemical_symbols[n] for n in np.unique(trajectory.numbers))
        raise ValueError(
            f"{trajectory.path.name} has no {job.species}; it holds {there} (choose with --species)"
        )
    return ions


def _best_orientation(
    crystals: Sequence[Crystal], trajectory: Trajectory, ions: IntArray, start: int
) -> Crystal:
    """Return the first orientation whose framework fits, else the one that fits best."""
    misfits = []
    for crystal in crystals:
        misfits.append(_align(trajectory, ions, crystal.lattice, start).misfit)
        if misfits[-1] < GOOD_MISFIT:
            return crystal
    return crystals[int(np.argmin(misfits))]


def _align(
    trajectory: Trajectory, ions: IntArray, lattice: SiteLattice | None, start: int
) -> Alignment:
    """Find the framework: atoms of the species that the sites structure knows besides the ions."""
    from ase.data import atomic_masses, chemical_symbols

    others = np.setdiff1d(np.arange(trajectory.n_atoms), ions)
    framework = others
    if lattice is not None and len(lattice.framework_numbers):
        framework = others[np.isin(trajectory.numbers[others], lattice.framework_numbers)]
        if len(others) and len(framework) == 0:
            has = ", ".join(chemical_symbols[n] for n in np.unique(trajectory.numbers[others]))
            wants = ", ".join(chemical_symbols[n] for n in np.unique(lattice.framework_numbers))
            raise ValueError(
                f"{trajectory.path.name} has a framework of {has}, the structure one of {wants}: "
                "they are of different crystals"
            )
    return align(trajectory, framework, atomic_masses[trajectory.numbers], lattice, start)


def _refuse_other_composition(trajectory: Trajectory, crystal: Crystal) -> None:
    """Raise ``ValueError`` where the framework is not the crystal's with some defects."""
    from ase.data import chemical_symbols

    cells = abs(round(float(np.linalg.det(crystal.supercell))))
    for number in np.unique(crystal.lattice.framework_numbers):
        perfect = cells * int((crystal.lattice.framework_numbers == number).sum())
        there = int((trajectory.numbers == number).sum())
        if abs(there - perfect) > MOST_DEFECTS * perfect:
            raise ValueError(
                f"{trajectory.path.name} has {there} {chemical_symbols[number]}, the structure "
                f"{perfect} in the same cell: they are of different crystals"
            )


def _framework_warnings(
    trajectory: Trajectory, alignment: Alignment, lattice: SiteLattice | None
) -> list[str]:
    name = trajectory.path.name
    if alignment.misfit > BAD_MISFIT:
        raise ValueError(
            f"{name}: framework atoms lie {alignment.misfit:.1f} Å (rms) from the framework of the "
            "structure: it is of another crystal or orientation, or the framework has melted"
        )
    warnings = []
    if trajectory.framework_at_rest and not alignment.is_framework:
        return [
            f"{name} holds the mobile ions alone: whether their framework is that of the structure "
            "cannot be checked"
        ]
    if lattice is not None and (not alignment.is_framework or len(lattice.framework_numbers) == 0):
        warnings.append(
            f"{name}: no framework species shared with the structure; positions are taken as they "
            "are, relative to the centre of mass"
        )
    if np.linalg.norm(alignment.offset) > NOTABLE_OFFSET:
        shift = ", ".join(f"{x:.2f}" for x in alignment.offset)
        warnings.append(f"{name}: framework shifted by ({shift}) Å against the sites; taken off")
    return warnings


def _motion_warnings(stream: IonStream) -> list[str]:
    """Tell what a whole pass over a trajectory showed of its framework."""
    name, motion = stream.trajectory.path.name, stream.motion
    assert motion is not None  # a pass has been made
    warnings = []
    if motion.wrapped:
        warnings.append(f"{name}: positions were wrapped into the cell; unwrapped")
    if motion.drift_angstrom > NOTABLE_DRIFT:
        warnings.append(f"{name}: the framework drifts by {motion.drift_angstrom:.2f} Å; taken off")
    if motion.msd_angstrom2 is not None and motion.msd_angstrom2 > MOLTEN_MSD:
        warnings.append(
            f"{name}: framework atoms end {np.sqrt(motion.msd_angstrom2):.1f} Å (rms) from where "
            "they began: the framework diffuses or melts, and sites lose their meaning"
        )
    return warnings


def _temperature(
    job: AnalyseInput, trajectories: Sequence[Trajectory], starts: Sequence[int]
) -> tuple[float | None, list[str]]:
    """Return the temperature asked, or else the mean of the trajectories."""
    means = [
        (mean, trajectory.n_frames - start)
        for trajectory, start in zip(trajectories, starts, strict=True)
        if (mean := trajectory.mean_temperature_k(start)) is not None
    ]
    frames = sum(number for _, number in means)
    measured = sum(mean * number for mean, number in means) / frames if means else None
    if job.temperature_k is None or measured is None:
        return job.temperature_k or measured, []
    if abs(measured - job.temperature_k) > OTHER_TEMPERATURE * job.temperature_k:
        return job.temperature_k, [
            f"the trajectory's mean temperature is {measured:.0f} K, not {job.temperature_k:.0f} K"
        ]
    return job.temperature_k, []
