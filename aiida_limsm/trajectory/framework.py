"""Where the framework of a trajectory stands relative to the sites structure."""

from __future__ import annotations

import numpy as np

from ..markov.arrays import FloatArray, IntArray
from ..markov.sites import SiteLattice

__all__ = ["framework_offset"]


def framework_offset(
    positions: FloatArray, numbers: IntArray, lattice: SiteLattice
) -> tuple[FloatArray, float]:
    """Return the rigid shift of a framework against the sites structure, and the misfit left, Å.

    Every site of the rarest species is tried as the place of one atom; the shift that brings all
    atoms closest to sites of their species (modulo the lattice) wins, the shortest of equals.
    ``positions`` (n, 3) are mean positions, ``numbers`` their species.
    """
    known = np.isin(numbers, lattice.framework_numbers)
    if not known.any():
        return np.zeros(3), 0.0
    positions, numbers = positions[known], numbers[known]
    species, amount = np.unique(numbers, return_counts=True)
    rare = species[np.argmin(amount)]
    anchor = positions[np.flatnonzero(numbers == rare)[0]]
    best: tuple[float, float, FloatArray] | None = None
    for site in lattice.framework_positions[lattice.framework_numbers == rare]:
        shift = _shortest(anchor - site, lattice.cell)
        for _ in range(3):
            residual = _residuals(positions - shift, numbers, lattice)
            shift = _shortest(shift + residual.mean(axis=0), lattice.cell)
        residual = _residuals(positions - shift, numbers, lattice)
        misfit = float(np.sqrt((residual**2).sum(axis=1).mean()))
        score = (round(misfit, 2), float(np.linalg.norm(shift)), shift)
        if best is None or score[:2] < best[:2]:
            best = score
    assert best is not None
    return best[2], best[0]


def _shortest(vector: FloatArray, cell: FloatArray) -> FloatArray:
    """Return the shortest of a vector's equivalents modulo the lattice."""
    base = vector - np.rint(vector @ np.linalg.inv(cell)) @ cell
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    options = base + steps @ cell
    return np.asarray(options[np.argmin((options**2).sum(axis=1))])


def _residuals(positions: FloatArray, numbers: IntArray, lattice: SiteLattice) -> FloatArray:
    """Displacement of every atom from the nearest framework site of its species, (n, 3), Å."""
    inverse = np.linalg.inv(lattice.cell)
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    residual = np.zeros_like(positions)
    for species in np.unique(numbers):
        sites = lattice.framework_positions[lattice.framework_numbers == species]
        rows = np.flatnonzero(numbers == species)
        size = max(1, 20_000 // max(len(sites), 1))
        for begin in range(0, len(rows), size):
            some = rows[begin : begin + size]
            delta = positions[some, None] - sites
            delta -= np.rint(delta @ inverse) @ lattice.cell
            options = delta[:, :, None] + steps @ lattice.cell
            options = options.reshape(len(some), -1, 3)
            best = (options**2).sum(axis=2).argmin(axis=1)
            residual[some] = options[np.arange(len(some)), best]
    return residual
