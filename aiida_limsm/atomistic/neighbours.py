"""Neighbour lists with a skin: built rarely, cut to the true range at every step.

L. Verlet, Phys. Rev. 159, 98 (1967): pairs within cut-off + skin are listed once and stay complete
until two atoms can together have crossed the skin. They lie where the model runs, so that on a GPU
nothing but positions is sent there at each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """Directed pairs within the cut-off: ``vector = positions[second] - positions[first] + shift``.

    Attributes
    ----------
    pairs
        Indices of first and second atom, shape (2, E).
    images, shifts
        Lattice cells between them, and the same in Å, shape (E, 3).
    positions
        Of the atoms, near the cell whatever way they have come, shape (N, 3), Å: single precision
        loses nothing on them.
    """

    pairs: torch.Tensor
    images: torch.Tensor
    shifts: torch.Tensor
    positions: torch.Tensor


class SkinList:
    """Pairs of one periodic system.

    The order of pairs depends on where the list was built, and sums in single precision depend on
    the order. :attr:`anchor` is therefore part of an MD run's state: a list rebuilt from it equals
    the old one.

    Parameters
    ----------
    cutoff, skin
        Å. A skin of zero builds anew at every step.
    device, dtype
        Of the tensors.
    """

    def __init__(self, cutoff: float, skin: float, device: Any, dtype: torch.dtype) -> None:
        self._cutoff = cutoff
        self._skin = skin
        self._device = device
        self._dtype = dtype
        #: positions (N, 3) and cell (3, 3) that the list was built with, Å
        self.anchor: tuple[Array, Array] | None = None
        self.builds = 0

    def build(self, positions: Array, cell: Array) -> None:
        """List all pairs within cut-off + skin."""
        import torch

        self.anchor = positions.copy(), cell.copy()
        self._turns = np.floor(positions @ np.linalg.inv(cell))
        first, second, images = neighbour_list(
            "ijS",
            positions=positions - self._turns @ cell,
            cell=cell,
            pbc=np.ones(3, dtype=bool),
            cutoff=self._cutoff + self._skin,
        )
        pairs = np.stack([first, second]).astype(np.int64)
        self._pairs = torch.from_numpy(pairs).to(self._device)
        self._images = torch.from_numpy(images).to(self._device, self._dtype)
        self.builds += 1

    def edges(self, positions: Array, cell: Array) -> Edges:
        """Return the pairs within the cut-off; builds the list where it may miss one."""
        import torch

        if not self._covers(positions, cell):
            self.build(positions, cell)
        near = torch.from_numpy(positions - self._turns @ cell).to(self._device, self._dtype)
        shifts = self._images @ torch.from_numpy(cell).to(self._device, self._dtype)
        first, second = self._pairs
        vectors = near.index_select(0, second) - near.index_select(0, first) + shifts
        # At the cut-off a pair adds nothing, so that rounding may put it on either side.
        within = torch.nonzero(vectors.square().sum(dim=1) < self._cutoff**2).squeeze(1)
        return Edges(
            self._pairs.index_select(1, within),
            self._images.index_select(0, within),
            shifts.index_select(0, within),
            near,
        )

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
