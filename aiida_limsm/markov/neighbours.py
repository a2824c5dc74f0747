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


def _pairs_within(
    cell: FloatArray, positions: FloatArray, cutoff: float
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Return all ordered pairs (s, j, image, vector) within ``cutoff``, s itself left out.

    Two points of one cell differ by less than 1 in each fractional coordinate, and a sphere of
    radius ``cutoff`` reaches ``cutoff / height`` cells: images up to ceil(that) + 1 suffice.
    """
    reach = np.ceil(cutoff / cell_heights(cell)).astype(int) + 1
    images = np.stack(
        np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    cloud = (positions[None] + (images @ cell)[:, None]).reshape(-1, 3)
    hits = cKDTree(cloud).query_ball_point(positions, cutoff)
    n = len(positions)
    start = np.repeat(np.arange(n), [len(row) for row in hits])
    flat = np.concatenate([np.asarray(row, dtype=np.int64) for row in hits])
    site, image = flat % n, images[flat // n]
    other = (site != start) | (image != 0).any(axis=1)
    start, site, image = start[other], site[other], image[other]
    return start, site, image, positions[site] - positions[start] + image @ cell


def nearest_distances(cell: FloatArray, positions: FloatArray) -> FloatArray:
    """Return the distance from each site to its nearest other site (or own image), Å.

    ``positions`` (n_sites, 3), Å, must lie inside the cell.
    """
    bound = float(np.linalg.norm(cell, axis=1).min()) * (1 + 1e-9)
    start, _, _, vector = _pairs_within(cell, positions, bound)
    nearest = np.full(len(positions), np.inf)
    np.minimum.at(nearest, start, np.linalg.norm(vector, axis=1))
    return nearest


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
