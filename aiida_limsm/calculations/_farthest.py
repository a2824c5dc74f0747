"""Frames as different from each other as can be: a descriptor, and farthest-point selection."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def neighbour_descriptor(
    numbers: IntArray,
    positions: FloatArray,
    cell: FloatArray,
    neighbours: int = 8,
    cutoff_angstrom: float = 6.0,
) -> FloatArray:
    """Return a vector that tells structures of one composition apart.

    For every ordered pair of elements (a, b) each atom of a has the values 1/d − 1/cutoff of its
    nearest b, the nearest first, and 0 where there are fewer. Each of these columns is sorted over
    the atoms, so that neither the order of atoms nor rotations and translations matter; all pairs
    have the same weight.

    Parameters
    ----------
    numbers
        Atomic numbers, (N,).
    positions
        Å, (N, 3); may lie outside the cell.
    cell
        Å, (3, 3).

    Returns
    -------
    ndarray
        1/Å; the Euclidean distance of two is the distance between structures.
    """
    first, second, distances = _pairs(positions, cell, cutoff_angstrom)
    parts = []
    elements = np.unique(numbers)
    for a in elements:
        rows = np.flatnonzero(numbers == a)
        for b in elements:
            chosen = (numbers[first] == a) & (numbers[second] == b)
            order = np.lexsort((distances[chosen], first[chosen]))
            atom, distance = first[chosen][order], distances[chosen][order]
            rank = np.arange(len(atom)) - np.searchsorted(atom, atom)
            near = rank < neighbours
            values = np.zeros((len(rows), neighbours))
            values[np.searchsorted(rows, atom[near]), rank[near]] = (
                1.0 / distance[near] - 1.0 / cutoff_angstrom
            )
            parts.append(np.sort(values, axis=0).ravel() / np.sqrt(values.size))
    return np.concatenate(parts)


def closest_share(numbers: IntArray, positions: FloatArray, cell: FloatArray) -> float:
    """Return the least distance over the sum of covalent radii; 1 where none is below."""
    radii = covalent_radii[numbers]
    first, second, distances = _pairs(positions, cell, 2.0 * float(radii.max()))
    shares = distances / (radii[first] + radii[second])
    return min(1.0, float(shares.min())) if len(shares) else 1.0


def farthest_points(points: FloatArray, first: int, number: int) -> list[int]:
    """Choose points one by one, each the farthest from those chosen; of equal ones the first.

    T. F. Gonzalez, Theor. Comput. Sci. 38, 293 (1985). Fewer are returned where all others equal
    a chosen one.

    Parameters
    ----------
    points
        (P, D).
    first
        Index of the point to begin with.
    number
        How many.
    """
    chosen = [first]
    nearest = np.linalg.norm(points - points[first], axis=1)
    while len(chosen) < number and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _pairs(
    positions: FloatArray, cell: FloatArray, cutoff: float
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return all pairs within a distance, periodic images included."""
    inside = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    first, second, distances = neighbour_list(
        "ijd", positions=inside, cell=cell, pbc=np.ones(3, dtype=bool), cutoff=cutoff
    )
    return first, second, distances
