"""``limsm analyse``: from MD trajectories and a sites structure to a Markov model and D."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..markov.analysis import Analysis, Settings, analyse
from ..markov.errors import Diffusion
from ..markov.io import save_model
from ..markov.sites import SiteLattice
from ..trajectory.framework import AlignedIons, framework_motion, framework_offset
from ..trajectory.h5md import Trajectory
from .base import JobError, Status
from .inputs import AnalyseInput
from .results import (
    AnalyseResults,
    DiffusionEstimate,
    JumpSummary,
    Matrix3,
    SiteSummary,
    TimescaleSummary,
)

__all__ = ["MODEL_FILENAME", "run_analyse"]

MODEL_FILENAME = "markov_model.h5"
MAX_JUMP_ROWS = 500
NOTABLE_OFFSET = 0.2
BAD_MISFIT = 1.5
UNASSIGNED_LIMIT = 0.01
DOUBLE_LIMIT = 0.05
CELL_TOLERANCE = 1e-4
H5MD_SUFFIXES = (".h5", ".h5md", ".hdf5")

FloatArray = npt.NDArray[np.float64]


def run_analyse(
    job: AnalyseInput, folder: Path, progress: Callable[[str], None] = print
) -> AnalyseResults:
    """Run the analysis of a job; files are read from and written to ``folder``.

    Raises
    ------
    JobError
        ``TRAJECTORY_UNUSABLE`` with one line that says what to change; ``INVALID_INPUT`` where a
        choice does not fit (core radius, lag).
    """
    began = time.monotonic()
    folder = Path(folder)
    try:
        with ExitStack() as stack:
            trajectories = [
                stack.enter_context(_open(folder / name)) for name in job.trajectory_files
            ]
            return _run(job, folder, trajectories, progress, began)
    except ValueError as error:
        raise JobError(Status.TRAJECTORY_UNUSABLE, str(error)) from error


def _open(path: Path) -> Trajectory:
    if path.is_file() and path.suffix not in H5MD_SUFFIXES:
        raise ValueError(
            f"{path.name} does not hold its frame interval: convert it first with "
            f"`limsm convert {path.name} md.h5 --frame-interval-ps …`"
        )
    return Trajectory(path)


def _run(
    job: AnalyseInput,
    folder: Path,
    trajectories: list[Trajectory],
    progress: Callable[[str], None],
    began: float,
) -> AnalyseResults:
    head = trajectories[0]
    warnings: list[str] = []
    pooled, supercell = _sites(job, folder, head.cell)
    lattice = pooled
    if job.pool == "none":
        lattice = pooled.expand(supercell)
        supercell = np.eye(3, dtype=np.int64)
    _check_alike(trajectories)
    from ase.data import atomic_masses, atomic_numbers

    mobile_number = atomic_numbers[job.mobile_species]
    sources: list[AlignedIons] = []
    motions: list[float] = []
    temperatures: list[FloatArray] = []
    for trajectory in trajectories:
        name = trajectory.path.name
        start = _first_frame(trajectory, job.skip_ps)
        ions = np.flatnonzero(trajectory.numbers == mobile_number)
        if len(ions) == 0:
            raise ValueError(f"{name} has no {job.mobile_species}: check mobile_species")
        known = pooled.framework_numbers
        other = trajectory.numbers != mobile_number
        reference = other & np.isin(trajectory.numbers, known) if len(known) else other
        framework = np.flatnonzero(reference)
        motion = framework_motion(
            trajectory, framework, atomic_masses[trajectory.numbers], start, job.memory_mb
        )
        offset = np.zeros(3)
        if len(framework) and len(known):
            offset, misfit = framework_offset(
                motion.mean_positions, trajectory.numbers[framework], pooled
            )
            warnings += _framework_warnings(trajectory, pooled, framework, offset, misfit)
        else:
            warnings.append(
                f"{name}: no framework species shared with the sites structure; positions are "
                "taken as they are, relative to the centre of mass"
            )
        if motion.msd is not None:
            motions.append(motion.msd)
        if trajectory.temperature_k is not None:
            temperatures.append(trajectory.temperature_k[start:])
        sources.append(AlignedIons(trajectory, ions, motion, offset, start, job.memory_mb))
    frames = sum(source.n_frames for source in sources)
    progress(f"{frames} frames of {sources[0].n_ions} ions on {lattice.n_sites} sites")

    settings = Settings(
        assignment=job.assignment,
        core_radius_angstrom=job.core_radius_angstrom,
        lag_ps=job.lag_ps,
        number_of_lags=job.number_of_lags,
        bootstrap_samples=job.bootstrap_samples,
        time_blocks=job.time_blocks,
        minimum_jumps=job.minimum_jumps,
        seed=job.seed,
        memory_mb=job.memory_mb,
    )
    found = analyse(sources, lattice, supercell, settings, progress)
    save_model(found.model, folder / MODEL_FILENAME, found.curves)
    warnings += found.warnings + tuple(_quality_warnings(found, lattice))
    interval = head.frame_interval_ps
    temperature = np.concatenate(temperatures) if temperatures else np.array([])
    return AnalyseResults(
        status=Status.FINISHED,
        warnings=tuple(dict.fromkeys(warnings)),
        model_file=MODEL_FILENAME,
        ions=sum(source.n_ions for source in sources),
        frames=frames,
        frame_interval_ps=interval,
        duration_ps=sum((source.n_frames - 1) * interval for source in sources),
        temperature_k=_finite(temperature.mean()) if len(temperature) else None,
        cell_angstrom=_matrix(head.cell),
        assignment=job.assignment
        if found.core_radius is None
        else f"core, radius {found.core_radius:.3g} Å",
        pool=job.pool,
        lag_ps=found.lag_ps,
        lag_reason=found.lag_reason,
        jumps=found.jumps,
        independent_jumps=found.independent_jumps,
        markov=_estimate(found.markov),
        msd=_estimate(found.msd),
        agreement_sigma=_agreement(found.markov, found.msd),
        sites=_site_rows(found, lattice),
        jump_table=_jump_rows(found, lattice),
        timescales=tuple(
            TimescaleSummary(timescale_ps=float(value), error_ps=_finite(error))
            for value, error in zip(found.timescales_ps, found.timescale_errors_ps, strict=True)
        ),
        framework_msd_angstrom2=max(motions) if motions else None,
        double_occupancy_fraction=found.double_occupancy_fraction,
        unassigned_fraction=found.unassigned_fraction,
        wall_seconds=time.monotonic() - began,
    )


def _sites(
    job: AnalyseInput, folder: Path, md_cell: FloatArray
) -> tuple[SiteLattice, npt.NDArray[np.int64]]:
    """Read the sites structure and fit it to the MD cell."""
    from ase import Atoms
    from ase.data import atomic_numbers
    from ase.io import read

    path = folder / job.sites_file
    try:
        atoms = read(str(path))
    except Exception as error:  # ASE's readers raise anything
        raise JobError(
            Status.INVALID_INPUT, f"sites_file: {job.sites_file} cannot be read: {error}"
        ) from error
    assert isinstance(atoms, Atoms)  # one frame asked
    if job.mobile_species not in atomic_numbers:
        raise JobError(Status.INVALID_INPUT, f"mobile_species: {job.mobile_species} is no element")
    lattice = SiteLattice.from_structure(
        atoms.cell.array,
        atoms.positions @ np.linalg.inv(atoms.cell.array),
        atoms.numbers,
        atomic_numbers[job.mobile_species],
        symbol=job.mobile_species,
    )
    if job.pool == "translations":
        lattice = lattice.primitive()
    return lattice.matched_to(md_cell), lattice.supercell_matrix(md_cell)


def _check_alike(trajectories: list[Trajectory]) -> None:
    head = trajectories[0]
    for other in trajectories[1:]:
        if abs(other.frame_interval_ps - head.frame_interval_ps) > 1e-9:
            raise ValueError(
                f"{other.path.name} has another frame interval than {head.path.name}: "
                "analyse them apart, or thin one of them"
            )
        if np.abs(other.cell - head.cell).max() > CELL_TOLERANCE:
            raise ValueError(
                f"{other.path.name} has another cell than {head.path.name}: analyse them apart"
            )


def _first_frame(trajectory: Trajectory, skip_ps: float) -> int:
    start = int(np.ceil(skip_ps / trajectory.frame_interval_ps - 1e-9))
    left = trajectory.n_frames - start
    if left < 2:
        length = (trajectory.n_frames - 1) * trajectory.frame_interval_ps
        raise ValueError(
            f"{trajectory.path.name} has {max(left, 0)} frame(s) after skip_ps = {skip_ps:g} of "
            f"its {length:.4g} ps: run longer or skip less (two are needed at least)"
        )
    return start


def _framework_warnings(
    trajectory: Trajectory,
    lattice: SiteLattice,
    framework: npt.NDArray[np.int64],
    offset: FloatArray,
    misfit: float,
) -> list[str]:
    name = trajectory.path.name
    warnings = []
    if misfit > BAD_MISFIT:
        raise ValueError(
            f"{name}: framework atoms lie {misfit:.1f} Å (rms) from the framework of the sites "
            "structure: it is of another crystal or orientation, or the framework has melted"
        )
    if np.linalg.norm(offset) > NOTABLE_OFFSET:
        shift = ", ".join(f"{x:.2f}" for x in offset)
        warnings.append(f"{name}: framework shifted by ({shift}) Å against the sites; taken off")
    repeats = abs(np.linalg.det(trajectory.cell) / np.linalg.det(lattice.cell))
    expected = round(repeats * len(lattice.framework_numbers))
    if expected != len(framework):
        warnings.append(
            f"{name}: {len(framework)} framework atoms where the sites structure has {expected} in "
            "this cell: check that it is of the same crystal"
        )
    return warnings


def _quality_warnings(found: Analysis, lattice: SiteLattice) -> list[str]:
    warnings = []
    if found.unassigned_fraction > UNASSIGNED_LIMIT:
        warnings.append(
            f"{found.unassigned_fraction:.1%} of the ion-frames come before the ion's first visit "
            "to a site: the sites structure may lack sites"
        )
    if found.double_occupancy_fraction > DOUBLE_LIMIT:
        warnings.append(
            f"{found.double_occupancy_fraction:.1%} of the ion-frames share a site with another "
            "ion: the sites structure may lack sites"
        )
    occupancy = found.sites.occupancy
    if (occupancy > 1.05).any():
        worst = int(np.argmax(occupancy))
        warnings.append(
            f"site {lattice.labels[worst]} holds {occupancy[worst]:.2f} ions on average"
        )
    return warnings


def _estimate(found: Diffusion) -> DiffusionEstimate:
    return DiffusionEstimate(
        method=found.method,
        tensor_cm2_s=_matrix(found.tensor),
        covariance_cm4_s2=tuple(tuple(float(x) for x in row) for row in found.covariance),
        d_cm2_s=found.value,
        d_error_cm2_s=found.error,
        resolved=found.resolved,
        upper_bound_cm2_s=found.upper_bound,
        reason=found.reason,
    )


def _agreement(first: Diffusion, second: Diffusion) -> float | None:
    joint = float(np.hypot(first.error, second.error))
    return abs(first.value - second.value) / joint if joint > 0 else None


def _site_rows(found: Analysis, lattice: SiteLattice) -> tuple[SiteSummary, ...]:
    stationary = found.model.stationary_distribution
    scaled = lattice.scaled_positions
    return tuple(
        SiteSummary(
            label=lattice.labels[s],
            orbit=lattice.orbits[s],
            multiplicity=lattice.multiplicities[s],
            scaled_position=(float(scaled[s, 0]), float(scaled[s, 1]), float(scaled[s, 2])),
            occupancy=float(found.sites.occupancy[s]),
            vibration_amplitude_angstrom=_finite(found.sites.vibration_amplitude[s]),
            stationary_probability=float(stationary[s]),
        )
        for s in range(lattice.n_sites)
    )


def _jump_rows(found: Analysis, lattice: SiteLattice) -> tuple[JumpSummary, ...]:
    """Return the most frequent kinds of jump; all of them are in the model's paths."""
    table = found.table
    return tuple(
        JumpSummary(
            from_site=lattice.labels[table.from_site[k]],
            to_site=lattice.labels[table.to_site[k]],
            distance_angstrom=float(np.linalg.norm(table.vector[k])),
            vector_angstrom=(
                float(table.vector[k, 0]), float(table.vector[k, 1]), float(table.vector[k, 2]),
            ),
            jumps=int(table.jumps[k]),
            rate_per_ps=float(table.rate_per_ps[k]),
            rate_error_per_ps=float(table.rate_error_per_ps[k]),
        )
        for k in range(min(len(table.jumps), MAX_JUMP_ROWS))
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _matrix(matrix: FloatArray) -> Matrix3:
    rows = [(float(row[0]), float(row[1]), float(row[2])) for row in matrix]
    return rows[0], rows[1], rows[2]
