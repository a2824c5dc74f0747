"""Turn a crystal onto an MD cell that describes it in another Cartesian orientation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arrays import FloatArray, IntArray
from .neighbours import cell_heights
from .sites import MAX_STRAIN, SiteLattice

__all__ = ["orientations"]

MAX_VECTORS = 2_000_000
MAX_TRIPLES = 4_000_000
SAME_ROTATION = 0.05


def orientations(
    lattice: SiteLattice, md_cell: FloatArray, tolerance: float = MAX_STRAIN
) -> list[SiteLattice]:
    """Return the lattice in every orientation in which it tiles the MD cell.

    MD programs put cells in orientations of their own (LAMMPS wants **a** along x). Lattice
    vectors with the lengths and angles of the MD cell give a rotation each; crystals less
    symmetric than their lattice look different after some of them, and only the framework can
    tell which is right. Mirror images are not tried: a chiral crystal would become another.

    Parameters
    ----------
    lattice
        The crystal in its own orientation.
    md_cell
        Rows are the vectors of the MD cell, Å.
    tolerance
        Largest strain (any component) left after the rotation.

    Returns
    -------
    list
        Rotated lattices, the smallest rotation first; empty where none tiles the cell.
    """
    rotations: list[FloatArray] = []
    for matrix in _matching_cells(lattice.cell, md_cell, tolerance):
        deformation = np.linalg.solve(matrix @ lattice.cell, md_cell)
        left, stretch, right = np.linalg.svd(deformation)
        rotation = left @ right
        if np.linalg.det(rotation) < 0 or np.abs(stretch - 1).max() > tolerance:
            continue
        if not any(np.abs(rotation - other).max() < SAME_ROTATION for other in rotations):
            rotations.append(rotation)
    rotations.sort(key=lambda rotation: -float(np.trace(rotation)))
    return [_rotated(lattice, rotation) for rotation in rotations]


def _rotated(lattice: SiteLattice, rotation: FloatArray) -> SiteLattice:
    return replace(
        lattice,
        cell=lattice.cell @ rotation,
        positions=lattice.positions @ rotation,
        framework_positions=lattice.framework_positions @ rotation,
    )


def _matching_cells(cell: FloatArray, target: FloatArray, tolerance: float) -> IntArray:
    """Return integer matrices M (n, 3, 3) for which M·cell has the target's lengths and angles."""
    lengths = np.linalg.norm(target, axis=1)
    reach = np.ceil(lengths.max() * (1 + tolerance) / cell_heights(cell)).astype(int)
    if np.prod(2.0 * reach + 1) > MAX_VECTORS:
        return np.zeros((0, 3, 3), dtype=np.int64)
    grid = np.stack(
        np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    norms = np.linalg.norm(grid @ cell, axis=1)
    a, b, c = (grid[np.abs(norms - length) <= tolerance * length] for length in lengths)
    if len(b) * len(c) > MAX_TRIPLES:
        return np.zeros((0, 3, 3), dtype=np.int64)
    metric = target @ target.T
    allowed = 2 * tolerance * np.outer(lengths, lengths)

    def close(first: IntArray, second: IntArray, i: int, j: int) -> FloatArray:
        dots = (first @ cell) @ (second @ cell).T
        return np.asarray(np.abs(dots - metric[i, j]) <= allowed[i, j])

    bc = close(b, c, 1, 2)
    found = []
    for vector in a:
        ab, ac = close(vector[None], b, 0, 1)[0], close(vector[None], c, 0, 2)[0]
        for j, k in np.argwhere(bc & ab[:, None] & ac[None]):
            found.append(np.stack([vector, b[j], c[k]]))
    return np.array(found, dtype=np.int64).reshape(-1, 3, 3)
