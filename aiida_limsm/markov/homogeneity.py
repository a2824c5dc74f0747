"""Whether sites that the structure calls equal may be counted together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import fdtrc

from .arrays import FloatArray, IntArray
from .neighbours import cell_heights
from .paths import SitePaths
from .sites import SiteLattice
from .supercells import fold_cells

__all__ = ["Homogeneity", "occupancy_homogeneity", "pooling_allowed"]

DISPLACED = 1.0
"""A framework atom whose mean position is farther (Å) from every framework site is a defect."""

MEMORY_LIMIT = 0.5
"""Correlation of successive blocks above which they say nothing about errors."""

SUSPICIOUS = 1e-3


def pooling_allowed(
    lattice: SiteLattice,
    supercell: npt.ArrayLike,
    md_numbers: npt.ArrayLike,
    mobile_number: int,
    framework_positions: npt.ArrayLike,
    name: Callable[[int], str] = lambda number: f"element {number}",
) -> tuple[bool, str]:
    """Tell whether the MD framework is the perfect supercell of the sites structure.

    Where it is not, sites that differ by a translation or an operation of the perfect crystal
    are not equal, and their counts must not be pooled. Vacancies and interstitials of the mobile
    species do not count: they move.

    Parameters
    ----------
    lattice
        Matched to the MD cell.
    supercell
        (3, 3) integers: the MD cell in lattice vectors.
    md_numbers
        Atomic numbers of all atoms of the MD cell.
    mobile_number
        Atomic number of the mobile species.
    framework_positions
        Mean positions (Å, in the frame of the sites: offset taken off) of the atoms of
        ``md_numbers`` that are not mobile, in their order.
    name
        Turns an atomic number into the name used in the reason.

    Returns
    -------
    allowed, reason
        The reason is one line, empty where pooling is allowed.
    """
    numbers = np.asarray(md_numbers, dtype=np.int64)
    numbers = numbers[numbers != mobile_number]
    positions = np.asarray(framework_positions, dtype=np.float64).reshape(-1, 3)
    if len(positions) != len(numbers):
        raise ValueError(
            f"{len(positions)} framework positions given for {len(numbers)} framework atoms"
        )
    matrix = np.asarray(supercell, dtype=np.int64).reshape(3, 3)
    cells = abs(round(float(np.linalg.det(matrix))))
    for number in np.union1d(numbers, lattice.framework_numbers):
        there = int((numbers == number).sum())
        expected = cells * int((lattice.framework_numbers == number).sum())
        if expected == 0:
            return False, (
                f"the MD cell holds {there} {name(int(number))} that the sites structure lacks"
            )
        if there != expected:
            return False, (
                f"the MD cell holds {there} {name(int(number))} where the perfect crystal has "
                f"{expected}"
            )
    for number in np.unique(numbers):
        sites = lattice.framework_positions[lattice.framework_numbers == number]
        misplaced, shared = _placement(lattice.cell, sites, positions[numbers == number], matrix)
        if misplaced:
            return False, (
                f"{misplaced} {name(int(number))} lie more than {DISPLACED:g} Å from every "
                "framework site of their kind"
            )
        if shared:
            return False, f"{shared} {name(int(number))} share a framework site with another"
    return True, ""


def _placement(
    cell: FloatArray, sites: FloatArray, positions: FloatArray, matrix: IntArray
) -> tuple[int, int]:
    """Return how many atoms have no site within ``DISPLACED``, and how many share their site."""
    reach = np.ceil(DISPLACED / cell_heights(cell)).astype(int) + 1
    images = np.stack(
        np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    cloud = (sites[None] + (images @ cell)[:, None]).reshape(-1, 3)
    home = np.floor(positions @ np.linalg.inv(cell)).astype(np.int64)
    distance, row = cKDTree(cloud).query(positions - home @ cell)
    misplaced = int((distance > DISPLACED).sum())
    place = fold_cells(home + images[row // len(sites)], matrix)
    distinct = np.unique(np.column_stack([row % len(sites), place]), axis=0)
    return misplaced, len(positions) - len(distinct)


@dataclass(frozen=True)
class Homogeneity:
    """Comparison of the occupancy of sites that translations make equal.

    ``ratio`` is the variance between them over that expected from fluctuation in time (an F
    ratio), ``probability`` that of a larger ratio by chance; NaN both where it cannot be told.
    ``reason`` is one line where the occupancies differ (or why nothing can be said).
    """

    ratio: float
    probability: float
    reason: str

    @property
    def suspicious(self) -> bool:
        """Whether the occupancies differ more than chance allows."""
        return bool(self.probability < SUSPICIOUS)


def occupancy_homogeneity(
    paths: SitePaths, supercell: npt.ArrayLike, n_sites: int, blocks: int = 10
) -> Homogeneity:
    """Compare the occupancy of the copies of each site in the MD cell (one-way ANOVA over blocks).

    Parameters
    ----------
    paths
        Ions of one trajectory, on the lattice of ``n_sites`` sites.
    supercell
        (3, 3) integers: the MD cell in lattice vectors.
    blocks
        Equal stretches of time whose scatter gives the errors. Where occupancies live longer than
        a block (their correlation from block to block exceeds 0.5), nothing can be said.
    """
    unknown = float("nan")
    matrix = np.asarray(supercell, dtype=np.int64).reshape(3, 3)
    cells = abs(round(float(np.linalg.det(matrix))))
    if cells < 2:
        return Homogeneity(unknown, unknown, "the MD cell holds one cell of the lattice")
    _, cell = np.unique(fold_cells(paths.image, matrix), axis=0, return_inverse=True)
    place = paths.site * cells + cell.reshape(-1)
    frames = int(paths.frames.min())
    edges = np.arange(blocks + 1) * frames // blocks
    begin, end = paths.start, paths.start + paths.duration
    occupied = np.empty((blocks, n_sites, cells))
    for block in range(blocks):
        low, high = edges[block], edges[block + 1]
        held = np.clip(np.minimum(end, high) - np.maximum(begin, low), 0, None)
        weight = np.bincount(place, weights=held, minlength=n_sites * cells)
        occupied[block] = weight.reshape(n_sites, cells) / max(high - low, 1)
    mean = occupied.mean(axis=0)
    away = occupied - mean
    square = (away**2).sum(axis=0)
    if square.sum() <= 0:
        return Homogeneity(unknown, unknown, "no jumps: occupancies cannot be compared")
    memory = float((away[1:] * away[:-1]).sum() / square.sum()) + 1.0 / blocks
    if memory > MEMORY_LIMIT:
        return Homogeneity(unknown, unknown, "occupancies live too long to be compared")
    stretch = (1 + max(memory, 0.0)) / (1 - max(memory, 0.0))
    within = square.mean(axis=1) / (blocks - 1) / blocks * stretch  # per site, shape (n_sites,)
    between = mean.var(axis=1, ddof=1)
    ratio = float(between.sum() / within.sum())
    alike = float(within.sum() ** 2 / (within**2).sum())  # sites that carry the sum, effectively
    probability = float(fdtrc(alike * (cells - 1), alike * cells * (blocks - 1) / stretch, ratio))
    reason = ""
    if probability < SUSPICIOUS:
        reason = (
            "occupancies of sites that translations make equal differ "
            f"{np.sqrt(ratio):.1f}x more than chance allows: defects, or a run that is too short"
        )
    return Homogeneity(ratio, probability, reason)
