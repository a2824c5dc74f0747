"""The space group of a lattice of sites, acting on sites, jumps and tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .arrays import FloatArray, IntArray
from .errors import COMPONENTS, tensor_to_six
from .sites import SiteLattice
from .symmetry import space_group

__all__ = ["SiteOperations", "identity_operations", "site_operations", "symmetrise_tensor"]

MAX_ENTRIES = 30_000_000
"""Operations × sites beyond which a primitive cell should be used instead."""


@dataclass(frozen=True)
class SiteOperations:
    """Space-group operations of a lattice, exact integers once they are found.

    Operation g takes the fractional position x to W x + w, and site s (cell 0) to site
    ``permutation[g, s]`` in cell ``shift[g, s]``.

    Attributes
    ----------
    rotations, translations
        W, shape (n, 3, 3), and w, shape (n, 3), in fractions of the cell, acting on columns.
    permutation, shift
        Shapes (n, n_sites) and (n, n_sites, 3).
    """

    rotations: IntArray
    translations: FloatArray
    permutation: IntArray
    shift: IntArray

    def __len__(self) -> int:
        return len(self.rotations)

    def map_transitions(
        self, operation: int, start: IntArray, end: IntArray, image: IntArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Return the images (g(i), g(j), W n + s_j − s_i) of transitions (i, j, n)."""
        moved, shift = self.permutation[operation], self.shift[operation]
        turned = image @ self.rotations[operation].T + shift[end] - shift[start]
        return moved[start], moved[end], turned

    def cartesian(self, cell: FloatArray) -> FloatArray:
        """Return the rotations in Cartesian axes, shape (n, 3, 3): r → R r.

        ``cell`` (rows, Å) may be strained a little against the crystal's; the nearest orthogonal
        matrices are returned (polar decomposition).
        """
        columns = np.asarray(cell, dtype=np.float64).T
        turned = columns @ self.rotations @ np.linalg.inv(columns)
        left, _, right = np.linalg.svd(turned)
        return np.asarray(left @ right)


def site_operations(
    lattice: SiteLattice, reference_cell: FloatArray | None = None, tolerance: float = 0.02
) -> SiteOperations:
    """Find the space group of a crystal (sites and framework) and its action on the sites.

    Parameters
    ----------
    lattice
        Sites of different kinds of label (``Li1``, ``i1``) are not exchanged.
    reference_cell
        Rows, Å: the cell before it was strained onto an MD cell, which may have lost symmetry.
        Fractional positions are looked at in it; the operations hold for the strained lattice.
    tolerance
        spglib's distance tolerance, Å.

    Raises
    ------
    ValueError
        Too many sites and operations (a supercell), or an operation that does not permute the
        sites.
    """
    points, species = lattice.crystal()
    cell = lattice.cell if reference_cell is None else reference_cell
    scaled_points = points @ np.linalg.inv(lattice.cell)
    rotations, translations = space_group(cell, scaled_points, species, tolerance)
    n, sites = len(rotations), lattice.n_sites
    if n * sites > MAX_ENTRIES:
        raise ValueError(
            f"{n} operations on {sites} sites are too many: use the primitive cell of the sites"
        )
    scaled = lattice.scaled_positions
    permutation = np.empty((n, sites), dtype=np.int64)
    shift = np.empty((n, sites, 3), dtype=np.int64)
    tree = cKDTree(_folded(scaled), boxsize=1.0)
    for g in range(n):
        moved = scaled @ rotations[g].T + translations[g]
        permutation[g] = tree.query(_folded(moved))[1]
        away = moved - scaled[permutation[g]]
        shift[g] = np.rint(away)
        miss = float(np.abs((away - shift[g]) @ cell).max())
        if miss > 10 * tolerance or len(np.unique(permutation[g])) < sites:
            raise ValueError(
                "a symmetry operation does not map the sites onto each other: give a structure "
                "that is closer to its symmetry, or do not pool over the space group"
            )
    return SiteOperations(rotations, translations, permutation, shift)


def identity_operations(lattice: SiteLattice) -> SiteOperations:
    """Return the group of the identity alone, for a lattice whose symmetry defects break."""
    n = lattice.n_sites
    return SiteOperations(
        rotations=np.eye(3, dtype=np.int64)[None],
        translations=np.zeros((1, 3)),
        permutation=np.arange(n)[None],
        shift=np.zeros((1, n, 3), dtype=np.int64),
    )


def _folded(scaled: FloatArray) -> FloatArray:
    """Fold into [0, 1): the KD-tree of a periodic box takes nothing else."""
    folded = scaled % 1.0
    folded[folded >= 1.0] = 0.0
    return np.asarray(folded)


def symmetrise_tensor(tensor: FloatArray, rotations: FloatArray) -> FloatArray:
    """Return the mean of R D Rᵀ over the point group.

    Parameters
    ----------
    tensor
        Shape (…, 3, 3), or (…, 6) in the order xx, yy, zz, yz, xz, xy.
    rotations
        Cartesian, shape (n, 3, 3), see :meth:`SiteOperations.cartesian`.
    """
    given = np.asarray(tensor, dtype=np.float64)
    if given.shape[-2:] == (3, 3):
        turned = np.einsum("gab,...bc,gdc->...ad", rotations, given, rotations, optimize=True)
        return np.asarray(turned / len(rotations))
    if given.shape[-1:] != (6,):
        raise ValueError(f"expected a tensor (…, 3, 3) or (…, 6), got shape {given.shape}")
    full = np.empty((*given.shape[:-1], 3, 3))
    for column, (a, b) in enumerate(COMPONENTS):
        full[..., a, b] = full[..., b, a] = given[..., column]
    return tensor_to_six(symmetrise_tensor(full, rotations))
