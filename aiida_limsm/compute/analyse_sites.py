"""Sites of an analysis: read from a structure, found in the density, matched to the MD cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..markov.density import DensityGrid, frames_to_average
from ..markov.homogeneity import pooling_allowed
from ..markov.interstitials import add_sites, missing_sites, sites_from_density
from ..markov.observe import Step
from ..markov.operations import SiteOperations, identity_operations, site_operations
from ..markov.orientation import orientations
from ..markov.sites import SiteLattice
from ..trajectory.h5md import Trajectory
from ..trajectory.ions import Alignment, IonStream
from .base import JobError, Status
from .inputs import AnalyseInput

__all__ = ["Crystal", "Sites", "choose_sites", "read_crystal"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Crystal:
    """The sites structure: as given (``ideal``) and strained onto the MD cell (``lattice``).

    ``supercell`` is the MD cell in its lattice vectors. The space group is looked for on the
    ideal one: heat and a supercell that is not quite cubic break it. ``turned`` tells whether it
    had to be turned onto the MD cell.
    """

    ideal: SiteLattice
    lattice: SiteLattice
    supercell: IntArray
    turned: bool


@dataclass(frozen=True)
class Sites:
    """Sites for the analysis, with how they are pooled and where they come from.

    ``symmetry`` is the space group of the sites, the identity where it is broken. ``extra`` is the
    number of sites at the end of the list that come from the density.
    """

    lattice: SiteLattice
    supercell: IntArray
    symmetry: SiteOperations
    pool: str
    source: str
    extra: int
    warnings: tuple[str, ...]


def read_crystal(job: AnalyseInput, folder: Path, md_cell: FloatArray) -> list[Crystal]:
    """Read the sites structure and fit it to the MD cell.

    Returns
    -------
    list
        The crystal as given, where it tiles the MD cell, then turned into every orientation in
        which it does.

    Raises
    ------
    JobError
        The structure cannot be read, or has none of the species.
    ValueError
        It does not tile the MD cell.
    """
    from ase.data import atomic_numbers
    from ase.io import read

    path = folder / str(job.structure_file)
    if job.species not in atomic_numbers:
        raise JobError(Status.INVALID_INPUT, f"species: {job.species} is no element")
    if not path.is_file():
        raise JobError(Status.INVALID_INPUT, f"structure: {path} does not exist")
    try:
        atoms: Any = read(str(path))
    except Exception as error:  # ASE's readers raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise JobError(
            Status.INVALID_INPUT, f"structure: {path.name} cannot be read: {reason}"
        ) from error
    if abs(atoms.cell.volume) < 1e-6:
        raise JobError(
            Status.INVALID_INPUT, f"structure: {path.name} has no three-dimensional cell"
        )
    if job.species not in atoms.get_chemical_symbols():
        raise JobError(
            Status.INVALID_INPUT, f"structure: {path.name} has no {job.species} to mark the sites"
        )
    ideal = SiteLattice.from_structure(
        atoms.cell.array,
        atoms.get_scaled_positions(wrap=False),
        atoms.numbers,
        atomic_numbers[job.species],
        symbol=job.species,
    )
    if job.pool != "none":
        ideal = ideal.primitive()
    found = [(one, True) for one in orientations(ideal, md_cell)]
    try:
        ideal.supercell_matrix(md_cell)
    except ValueError:
        if not found:
            raise
    else:
        found.insert(0, (ideal, False))
    return [
        Crystal(one, one.matched_to(md_cell), one.supercell_matrix(md_cell), turned)
        for one, turned in found
    ]


def choose_sites(
    job: AnalyseInput,
    crystal: Crystal | None,
    trajectories: Sequence[Trajectory],
    alignments: Sequence[Alignment],
    ions: IntArray,
    progress: Callable[[str], None],
    step: Step,
) -> Sites:
    """Decide the sites of the analysis and how their counts are pooled.

    Parameters
    ----------
    job
        The choices.
    crystal
        None for sites from the density alone.
    trajectories, alignments
        The trajectories, and where their frameworks stand.
    ions
        Indices of the mobile ions.
    progress, step
        Get lines for people, and how far a pass is.
    """
    warnings: list[str] = []
    if crystal is None:
        cell = trajectories[0].cell
        grid = _density(job, cell, 1, trajectories, alignments, ions, step)
        lattice, _ = sites_from_density(cell, grid, job.species)
        progress(f"{lattice.n_sites} sites found in the density of {job.species}")
        if job.pool == "spacegroup":
            warnings.append("sites from the density alone have no symmetry: not pooled")
        return Sites(
            lattice, np.eye(3, dtype=np.int64), identity_operations(lattice), "none", "density",
            lattice.n_sites, tuple(warnings),
        )  # fmt: skip
    lattice, supercell, pool = crystal.lattice, crystal.supercell, str(job.pool)
    defect = _why_not_pooled(crystal, trajectories, alignments, ions)
    if defect and pool != "none":
        pool = "none"
        warnings.append(
            f"{defect}: the defect breaks the symmetry of the crystal, every site of the MD cell "
            "is counted on its own"
        )
    if pool == "none" and abs(round(float(np.linalg.det(supercell)))) > 1:
        lattice = lattice.expand(supercell)
        supercell = np.eye(3, dtype=np.int64)

    def group(sites: SiteLattice) -> SiteOperations:
        """Return what may be relied on; a supercell's whole group is not worth its cost."""
        if defect or sites.cell is not crystal.lattice.cell:
            return identity_operations(sites)
        return site_operations(sites, crystal.ideal.cell)

    extra, source = 0, "structure"
    if job.sites == "interstitials":
        repeats = abs(round(float(np.linalg.det(supercell))))
        grid = _density(job, lattice.cell, repeats, trajectories, alignments, ions, step)
        found = missing_sites(lattice, grid, operations=group(lattice))
        progress(found.describe(lattice.cell))
        lattice = add_sites(lattice, found, crystal.ideal.cell if pool != "none" else None)
        extra = len(found)
        source = f"structure and {extra} interstitials from the density"
    return Sites(lattice, supercell, group(lattice), pool, source, extra, tuple(warnings))


def _why_not_pooled(
    crystal: Crystal,
    trajectories: Sequence[Trajectory],
    alignments: Sequence[Alignment],
    ions: IntArray,
) -> str:
    """Return what breaks the translations in one of the trajectories; empty if nothing does."""
    from ase.data import chemical_symbols

    mobile = trajectories[0].numbers[ions[0]]
    for trajectory, alignment in zip(trajectories, alignments, strict=True):
        if not alignment.is_framework:
            continue
        others = trajectory.numbers != mobile
        allowed, reason = pooling_allowed(
            crystal.lattice,
            crystal.supercell,
            trajectory.numbers,
            int(mobile),
            alignment.mean[others] - alignment.offset,
            lambda number: chemical_symbols[number],
        )
        if not allowed:
            return reason
    return ""


def _density(
    job: AnalyseInput,
    cell: FloatArray,
    repeats: int,
    trajectories: Sequence[Trajectory],
    alignments: Sequence[Alignment],
    ions: IntArray,
    step: Step,
) -> DensityGrid:
    """Collect the density of the ions in a pass of its own."""
    from .trajectories import first_frame

    interval = trajectories[0].frame_interval_ps
    grid = DensityGrid(cell, repeats=repeats, average_frames=frames_to_average(interval))
    for trajectory, alignment in zip(trajectories, alignments, strict=True):
        stream = IonStream(trajectory, ions, alignment, first_frame(trajectory, job.skip_ps))
        done = 0
        for block in stream.blocks():
            grid.add(block)
            done += len(block)
            step("density", done, stream.n_frames)
    return grid
