"""Neighbour lists with a skin: built rarely, cut to the true range at every step.

L. Verlet, Phys. Rev. 159, 98 (1967): pairs within cut-off + skin are listed once and stay complete
until two atoms can together have crossed the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Edges:
    """Directed pairs within the cut-off: ``vector = positions[second] - positions[first] + shift``.

    Attributes
    ----------
    first, second
        Indices of atoms, shape (E,).
    images
        Lattice cells between them, shape (E, 3).
    positions
        Of the atoms, near the cell whatever way they have come, shape (N, 3), Å: single precision
        loses nothing on them.
    """

    first: Integers
    second: Integers
    images: Array
    positions: Array


class SkinList:
    """Pairs of one periodic system.

    The order of pairs depends on where the list was built, and sums in single precision depend on
    the order. :attr:`anchor` is therefore part of an MD run's state: a list rebuilt from it equals
    the old one.

    Parameters
    ----------
    cutoff, skin
        Å. A skin of zero builds anew at every step.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        self._cutoff = cutoff
        self._skin = skin
        #: positions (N, 3) and cell (3, 3) that the list was built with, Å
        self.anchor: tuple[Array, Array] | None = None
        self.builds = 0

    def build(self, positions: Array, cell: Array) -> None:
        """List all pairs within cut-off + skin."""
        self.anchor = positions.copy(), cell.copy()
        self._turns = np.floor(positions @ np.linalg.inv(cell))
        self._first, self._second, images = neighbour_list(
            "ijS",
            positions=positions - self._turns @ cell,
            cell=cell,
            pbc=np.ones(3, dtype=bool),
            cutoff=self._cutoff + self._skin,
        )
        self._images = images.astype(np.float64)
        self.builds += 1

    def edges(self, positions: Array, cell: Array) -> Edges:
        """Return the pairs within the cut-off; builds the list where it may miss one."""
        if not self._covers(positions, cell):
            self.build(positions, cell)
        near = positions - self._turns @ cell
        vectors = near[self._second] - near[self._first] + self._images @ cell
        within = np.flatnonzero(np.einsum("ij,ij->i", vectors, vectors) < self._cutoff**2)
        return Edges(self._first[within], self._second[within], self._images[within], near)

    def _covers(self, positions: Array, cell: Array) -> bool:
        if self.anchor is None:
            return False
        old_positions, old_cell = self.anchor
        if old_positions.shape != positions.shape:
            return False
        if np.array_equal(cell, old_cell):
            moved, shrink = positions - old_positions, 1.0
        else:
            # A strained cell takes atoms with it: what counts is how they move within it, and by
            # how much any distance can have shrunk.
            strain = np.linalg.solve(old_cell, cell)
            moved = positions - old_positions @ strain
            shrink = float(np.linalg.svd(strain, compute_uv=False).min())
        farthest = float(np.sqrt(np.einsum("ij,ij->i", moved, moved).max()))
        return (self._cutoff + self._skin) * shrink - 2.0 * farthest >= self._cutoff
