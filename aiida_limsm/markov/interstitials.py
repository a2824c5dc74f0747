"""Sites that the reference structure lacks, from the density of the mobile ions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .arrays import FloatArray, IntArray
from .density import DensityGrid
from .operations import SiteOperations, site_operations
from .peaks import Peaks, find_peaks
from .sites import SiteLattice
from .symmetry import wyckoff_orbits

__all__ = ["Found", "add_interstitials", "add_sites", "missing_sites", "sites_from_density"]

RADIUS = 1.2
"""Peaks nearer than this (Å) to a site belong to it: split positions, anharmonic vibration."""

MERGE_RADIUS = 0.7
"""Peaks nearer than this (Å) to each other, or to their own symmetry images, are one site."""

MINIMUM_OCCUPANCY = 0.003
"""Ions per site below which a peak is a passage, not a site."""

EASY_BARRIER = 3.0
"""Sites of a disordered structure joined by barriers below this (kT) make one cluster."""

INTERSTITIAL = "i"


@dataclass(frozen=True)
class Found:
    """Sites found in a density that the lattice lacks, whole orbits, most occupied orbit first.

    Attributes
    ----------
    positions
        Shape (n, 3), Å, inside the cell of the lattice.
    orbit
        Number of the orbit of each, shape (n,).
    occupancy
        Ions on each site on average, equal in an orbit.
    distance
        To the nearest site of the lattice, Å.
    significance
        See :attr:`.peaks.Peaks.significance`; of the orbit's clearest peak.
    share
        Share of the ions' time in the basins of all of them.
    """

    positions: FloatArray
    orbit: IntArray
    occupancy: FloatArray
    distance: FloatArray
    significance: FloatArray
    share: float

    def __len__(self) -> int:
        return len(self.positions)

    def describe(self, cell: FloatArray) -> str:
        """Return one line on what was found: the warning of a run that did not add the sites."""
        if len(self) == 0:
            return "no density peak away from the sites"
        first = np.unique(self.orbit, return_index=True)[1]
        scaled = self.positions[first] @ np.linalg.inv(cell)
        places = "; ".join(
            f"({x[0]:.3f}, {x[1]:.3f}, {x[2]:.3f}) occupancy {self.occupancy[row]:.2g}"
            for row, x in zip(first[:3], scaled, strict=False)
        )
        more = f"; and {len(first) - 3} more" if len(first) > 3 else ""
        return (
            f"{len(self)} place(s) per cell ({len(first)} by symmetry) hold {self.share:.1%} of "
            f"the ions' time and are no site of the structure: {places}{more}"
        )


def missing_sites(
    lattice: SiteLattice,
    grid: DensityGrid,
    *,
    operations: SiteOperations | None = None,
    width_angstrom: float = 0.25,
    radius: float = RADIUS,
    minimum_occupancy: float = MINIMUM_OCCUPANCY,
    minimum_contrast: float = 1.3,
    minimum_significance: float = 4.0,
) -> Found:
    """Return the places where ions stay and the lattice has no site.

    The density is averaged over the space group; a peak counts when it is farther than ``radius``
    from every site, stands out of its surroundings and the noise (:func:`.peaks.find_peaks`) and
    is occupied. Its position is averaged over the operations that leave it in place, which puts
    it on its special position exactly, and its whole orbit is taken.

    Parameters
    ----------
    lattice
        Sites in the frame of the grid, best in the primitive cell (the cost goes with operations
        times voxels); its cell and the grid's must be of one lattice.
    grid
        Time-averaged density. Averaging frames (:func:`.density.frames_to_average`) is what makes
        a rarely visited site next to strongly vibrating ones visible.
    operations
        Space group, if it was found on the unstrained lattice, or
        :func:`.operations.identity_operations` where defects break it; None finds it here.
    width_angstrom
        Gaussian the density is smoothed with.
    radius, minimum_occupancy, minimum_contrast, minimum_significance
        Å; ions per site; see :func:`.peaks.find_peaks`.
    """
    group = site_operations(lattice) if operations is None else operations
    density = grid.smooth(width_angstrom)
    if len(group) > 1:
        density = density.symmetrise(lattice.cell, group.rotations, group.translations)
    peaks = find_peaks(density, minimum_contrast, minimum_significance)
    taken = lattice.positions
    total = float(density.values.sum()) * density.voxel
    rows: list[tuple[FloatArray, float, float]] = []
    for peak in np.argsort(-peaks.occupancy, kind="stable"):
        if peaks.occupancy[peak] < minimum_occupancy:
            break
        place = _special_position(peaks.positions[peak], lattice.cell, grid.cell, group)
        if _distances(grid.cell, lattice.positions, place[None])[0] < radius:
            continue
        if _distances(grid.cell, taken, place[None])[0] < MERGE_RADIUS:
            continue  # the orbit of a higher peak
        orbit = _orbit(place, lattice.cell, grid.cell, group)
        taken = np.concatenate([taken, orbit])
        rows.append((orbit, float(peaks.occupancy[peak]), float(peaks.significance[peak])))
    sizes = [len(orbit) for orbit, _, _ in rows]
    positions = np.concatenate([np.zeros((0, 3)), *(orbit for orbit, _, _ in rows)])
    occupancy = np.repeat([value for _, value, _ in rows], sizes).astype(np.float64)
    return Found(
        positions=positions,
        orbit=np.repeat(np.arange(len(rows)), sizes),
        occupancy=occupancy,
        distance=_distances(grid.cell, lattice.positions, positions),
        significance=np.repeat([value for _, _, value in rows], sizes).astype(np.float64),
        share=float(occupancy.sum() / total),
    )


def add_sites(
    lattice: SiteLattice, found: Found, reference_cell: FloatArray | None = None
) -> SiteLattice:
    """Return the lattice with the found sites, labelled ``i1, i2, …``, after its own.

    Orbit labels and multiplicities of the new sites are those of their Wyckoff positions in the
    crystal (with ``reference_cell``, the cell before it was strained onto an MD cell).
    """
    if len(found) == 0:
        return lattice
    points, species = lattice.crystal()
    marked = np.append(species, int(species.max()) + 1 + found.orbit)
    everything = np.concatenate([points, found.positions])
    scaled = everything @ np.linalg.inv(lattice.cell)
    cell = lattice.cell if reference_cell is None else reference_cell
    orbits, multiplicities = wyckoff_orbits(cell, scaled, marked)
    new = slice(len(points), None)
    return replace(
        lattice,
        positions=np.concatenate([lattice.positions, found.positions]),
        labels=(*lattice.labels, *(f"{INTERSTITIAL}{k + 1}" for k in range(len(found)))),
        orbits=(*lattice.orbits, *orbits[new]),
        multiplicities=(*lattice.multiplicities, *(int(m) for m in multiplicities[new])),
    )


def add_interstitials(
    lattice: SiteLattice,
    grid: DensityGrid,
    *,
    reference_cell: FloatArray | None = None,
    radius: float = RADIUS,
    minimum_occupancy: float = MINIMUM_OCCUPANCY,
) -> tuple[SiteLattice, Found]:
    """Find the sites that the lattice lacks and add them.

    See :func:`missing_sites` for the choices and :func:`add_sites` for the names.
    """
    found = missing_sites(
        lattice,
        grid,
        operations=site_operations(lattice, reference_cell),
        radius=radius,
        minimum_occupancy=minimum_occupancy,
    )
    return add_sites(lattice, found, reference_cell), found


def sites_from_density(
    cell: npt.ArrayLike,
    grid: DensityGrid,
    symbol: str = "S",
    *,
    width_angstrom: float = 0.25,
    minimum_occupancy: float = MINIMUM_OCCUPANCY,
    minimum_contrast: float = 1.3,
    minimum_significance: float = 4.0,
) -> tuple[SiteLattice, FloatArray]:
    """Make the lattice of a disordered structure: every peak of the density is a site.

    No symmetry is looked for. The orbit label is ``cluster k``: sites joined by free-energy
    barriers below 3 kT (from the density on the pass between them) share a cluster, numbered by
    occupancy; the multiplicity is the number of its sites.

    Returns
    -------
    lattice, occupancy
        Sites by falling density, without framework, and the ions on each.

    Raises
    ------
    ValueError
        The density has no peak that stands out.
    """
    rows = np.asarray(cell, dtype=np.float64).reshape(3, 3)
    peaks = find_peaks(grid.smooth(width_angstrom), minimum_contrast, minimum_significance)
    kept = _merged(peaks, grid.cell, minimum_occupancy)
    if len(kept) == 0:
        raise ValueError(
            "the density of the ions has no peak that stands out: the run is too short for sites "
            "from density, or the ions do not stay anywhere (a liquid)"
        )
    cluster = _clusters(peaks)[kept]
    weight = np.bincount(cluster, weights=peaks.occupancy[kept])
    rank = np.empty(len(weight), dtype=np.int64)
    rank[np.argsort(-weight, kind="stable")] = np.arange(len(weight))
    numbers = rank[cluster]
    sizes = np.bincount(numbers)
    scaled = _folded(peaks.positions[kept] @ np.linalg.inv(rows))
    lattice = SiteLattice(
        cell=rows,
        positions=scaled @ rows,
        labels=tuple(f"{symbol}{k + 1}" for k in range(len(kept))),
        orbits=tuple(f"cluster {k + 1}" for k in numbers),
        multiplicities=tuple(int(sizes[k]) for k in numbers),
        framework_positions=np.zeros((0, 3)),
        framework_numbers=np.zeros(0, dtype=np.int64),
    )
    return lattice, peaks.occupancy[kept]


def _merged(peaks: Peaks, cell: FloatArray, minimum_occupancy: float) -> IntArray:
    """Return the peaks to keep, highest first: occupied, and no two within the merge radius."""
    kept: list[int] = []
    for peak in np.flatnonzero(peaks.occupancy >= minimum_occupancy):
        place = peaks.positions[peak][None]
        if not kept or _distances(cell, peaks.positions[kept], place)[0] >= MERGE_RADIUS:
            kept.append(int(peak))
    return np.array(kept, dtype=np.int64)


def _clusters(peaks: Peaks) -> IntArray:
    """Return the cluster of every peak: joined where ln(height / saddle) of the lower is small."""
    easy = (peaks.neighbour >= 0) & (peaks.saddle * np.exp(EASY_BARRIER) > peaks.height)
    rows = np.flatnonzero(easy)
    graph = sparse.coo_matrix(
        (np.ones(len(rows)), (rows, peaks.neighbour[rows])), shape=(len(peaks),) * 2
    )
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _special_position(
    place: FloatArray, cell: FloatArray, reduced: FloatArray, group: SiteOperations
) -> FloatArray:
    """Return the mean of a place and its symmetry images nearer than the merge radius.

    Repeated until the same operations leave it in place: they are then its site symmetry, and the
    place is exactly invariant under them.
    """
    inverse, inverse_reduced = np.linalg.inv(cell), np.linalg.inv(reduced)
    held = np.zeros(len(group), dtype=bool)
    for _ in range(10):
        scaled = place @ inverse
        away = (group.rotations @ scaled + group.translations - scaled) @ cell
        away -= np.rint(away @ inverse_reduced) @ reduced
        near = (away**2).sum(axis=1) < MERGE_RADIUS**2
        place = place + away[near].mean(axis=0)
        if (near == held).all():
            break
        held = near
    return np.asarray(place)


def _orbit(
    place: FloatArray, cell: FloatArray, reduced: FloatArray, group: SiteOperations
) -> FloatArray:
    """Return all distinct images of a place, Å, inside the cell."""
    images = _folded(group.rotations @ (place @ np.linalg.inv(cell)) + group.translations)
    points = images @ cell
    kept: list[int] = []
    for row in range(len(points)):
        if not kept or _distances(reduced, points[kept], points[row][None])[0] >= MERGE_RADIUS / 2:
            kept.append(row)
    return points[kept]


def _folded(scaled: FloatArray) -> FloatArray:
    folded = np.round(scaled, 9) % 1.0  # −1e-12 is 0, not the far face
    return np.asarray(folded)


def _distances(cell: FloatArray, points: FloatArray, places: FloatArray) -> FloatArray:
    """Return the distance from every place to the nearest of the points, images included, Å.

    Exact in a reduced cell, in which the nearest image is never more than one cell away.
    """
    if len(places) == 0:
        return np.zeros(0)
    inverse = np.linalg.inv(cell)
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    away = places[:, None] - points
    away -= np.rint(away @ inverse) @ cell
    nearest = np.full(len(places), np.inf)
    for step in steps @ cell:
        nearest = np.minimum(nearest, ((away + step) ** 2).sum(axis=2).min(axis=1))
    return np.asarray(np.sqrt(nearest))
