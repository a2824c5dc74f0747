"""Neighbours of every site on the infinite lattice, sorted by distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .arrays import FloatArray, IntArray

__all__ = [
    "NeighbourList",
    "cell_heights",
    "nearest_distances",
    "neighbour_list",
    "undisturbed_reach",
]


def cell_heights(cell: FloatArray) -> FloatArray:
    """Return the three distances (Å) between opposite faces of a cell (rows are vectors)."""
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0))


@dataclass(frozen=True)
class NeighbourList:
    """All sites within ``cutoff`` of each site, in compressed rows sorted by distance.

    The neighbours of site ``s`` are the rows ``first[s]:first[s + 1]``: site ``site``, cell
    ``image`` (relative to that of ``s``), displacement ``vector`` (Å) and its length
    ``distance`` (Å). ``nearest[s]`` is the distance to the closest one.
    """

    cutoff: float
    first: IntArray
    site: IntArray
    image: IntArray
    vector: FloatArray
    distance: FloatArray
    nearest: FloatArray


def _points_around(
    cell: FloatArray, positions: FloatArray, cutoff: float
) -> tuple[FloatArray, IntArray, IntArray]:
    """Return all lattice points that may lie within ``cutoff`` of a site of the cell.

    A sphere reaches cutoff / height cells beyond the faces: points farther out are left away, so
    that a large cell is hardly larger for it.

    Returns
    -------
    points, site, image
        (n, 3) Å, (n,) and (n, 3).
    """
    scaled = positions @ np.linalg.inv(cell)
    margin = cutoff / cell_heights(cell) + 1e-6  # sites may lie on a face, but for rounding
    reach = np.ceil(margin).astype(int)
    near = [np.zeros((0, 2), dtype=np.int64)] * 3
    for a in range(3):  # site and cell along one axis; combined below
        cells = np.arange(-reach[a], reach[a] + 1)
        place = scaled[:, a, None] + cells
        inside = (place >= -margin[a]) & (place <= 1.0 + margin[a])
        near[a] = np.argwhere(inside) - np.array([0, reach[a]])
    site, image = near[0][:, 0], near[0][:, 1:]
    for a in (1, 2):
        count = np.bincount(near[a][:, 0], minlength=len(positions))
        first = np.cumsum(count) - count
        each = count[site]
        row = np.repeat(np.arange(len(site)), each)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(each) - each, each)
        other = near[a][first[site[row]] + offset, 1]
        site, image = site[row], np.column_stack([image[row], other])
    return positions[site] + image @ cell, site, image


def _pairs_within(
    cell: FloatArray, positions: FloatArray, cutoff: float
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Return all ordered pairs (s, j, image, vector) within ``cutoff``, s itself left out."""
    points, site_of, image_of = _points_around(cell, positions, cutoff)
    found = cKDTree(positions).sparse_distance_matrix(
        cKDTree(points), cutoff, output_type="ndarray"
    )
    start, flat = found["i"].astype(np.int64), found["j"]
    site, image = site_of[flat], image_of[flat]
    other = (site != start) | (image != 0).any(axis=1)
    start, site, image = start[other], site[other], image[other]
    return start, site, image, positions[site] - positions[start] + image @ cell


def nearest_distances(cell: FloatArray, positions: FloatArray) -> FloatArray:
    """Return the distance from each site to its nearest other site (or own image), Å.

    ``positions`` (n_sites, 3), Å, must lie inside the cell.
    """
    bound = np.full(len(positions), np.linalg.norm(cell, axis=1).min())  # to the own image
    if len(positions) > 1:
        bound = np.minimum(bound, cKDTree(positions).query(positions, k=2)[0][:, 1])
    points, _, _ = _points_around(cell, positions, float(bound.max()) * (1 + 1e-9))
    return np.asarray(cKDTree(points).query(positions, k=2)[0][:, 1])


def neighbour_list(cell: FloatArray, positions: FloatArray, reach: float = 2.5) -> NeighbourList:
    """List the neighbours within ``reach`` × the largest nearest-site distance."""
    nearest = nearest_distances(cell, positions)
    cutoff = reach * float(nearest.max())
    start, site, image, vector = _pairs_within(cell, positions, cutoff)
    distance = np.linalg.norm(vector, axis=1)
    order = np.lexsort((image[:, 2], image[:, 1], image[:, 0], site, distance, start))
    first = np.zeros(len(positions) + 1, dtype=np.int64)
    np.cumsum(np.bincount(start, minlength=len(positions)), out=first[1:])
    return NeighbourList(
        cutoff=cutoff,
        first=first,
        site=np.ascontiguousarray(site[order], dtype=np.int64),
        image=np.ascontiguousarray(image[order], dtype=np.int64),
        vector=np.ascontiguousarray(vector[order]),
        distance=np.ascontiguousarray(distance[order]),
        nearest=nearest,
    )


def undisturbed_reach(neighbours: NeighbourList, cores: FloatArray | None = None) -> FloatArray:
    """Return how far from each site an ion may be without another site taking it, Å.

    By nearest site that is half the distance to the nearest other one. With ``cores``, radii
    (n_sites,) Å, an ion is in the core of site j only at |r_j − r_s| − core_j or more from site s.
    """
    if cores is None:
        return 0.5 * neighbours.nearest
    gap = neighbours.distance - cores[neighbours.site]
    beyond = neighbours.cutoff - float(cores.max())
    # every site has a neighbour in the list: the cutoff exceeds all nearest distances
    return np.minimum(np.minimum.reduceat(gap, neighbours.first[:-1]), beyond)
