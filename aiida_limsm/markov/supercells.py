"""Cells of the lattice inside a supercell: all of them, and which one a far cell repeats."""

from __future__ import annotations

from itertools import product

import numpy as np

from .arrays import IntArray

__all__ = ["cells_inside", "fold_cells"]


def fold_cells(cells: IntArray, supercell: IntArray) -> IntArray:
    """Return the cells (..., 3) brought into the supercell at the origin.

    ``supercell`` (3, 3): integer rows, its vectors in lattice vectors. Exact: integers only.
    """
    return np.asarray(cells - _whole_supercells(cells, supercell) @ supercell, dtype=np.int64)


def cells_inside(supercell: IntArray) -> IntArray:
    """Return the |det| cells of the supercell at the origin, shape (|det|, 3), sorted."""
    corners = np.array(list(product((0, 1), repeat=3))) @ supercell
    low, high = corners.min(axis=0), corners.max(axis=0)
    ranges = [np.arange(low[axis], high[axis] + 1) for axis in range(3)]
    grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = (_whole_supercells(grid, supercell) == 0).all(axis=1)
    return np.asarray(grid[inside], dtype=np.int64)


def _whole_supercells(cells: IntArray, supercell: IntArray) -> IntArray:
    """Return how many supercell vectors lie between the origin and each cell."""
    determinant = round(float(np.linalg.det(supercell)))
    adjugate = np.rint(np.linalg.inv(supercell) * determinant).astype(np.int64)
    return np.asarray(np.floor_divide(cells @ adjugate, determinant))
