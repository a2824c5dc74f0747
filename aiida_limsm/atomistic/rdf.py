"""Radial distribution functions of all element pairs, frame by frame.

Atoms of kinds a and b, N_a and N_b of them in a cell of volume V::

    g_ab(r) = n_ab(r) V / (N_a (N_b − δ_ab) v(r))

with n_ab(r) the mean number of pairs (an atom of a in the cell, another one of b in the crystal)
in the shell of volume v(r) = 4π/3 (r₂³ − r₁³); M. P. Allen and D. J. Tildesley, Computer Simulation
of Liquids (2017), eq. 8.17, for a finite number of atoms: g = 1 for independent atoms, in a cell of
any size. Periodic images of other atoms count, so that distances beyond half the cell are counted
in full. Those of the atom itself do not: they lie at the lattice vectors whatever the atoms do.
With ``own_images`` they count too, and N_b − δ_ab becomes N_b: the g(r) of the crystal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..markov.arrays import FloatArray, IntArray
from ..markov.neighbours import cell_heights
from .rdf_kernels import count_pairs
from .sampled import BlockSums, SampledCurves, sample

__all__ = ["RdfCounter", "RdfCurves"]

MANY_ATOMS = 2000
"""From so many on a neighbour list is faster than all pairs, where the cell holds many spheres."""

MOST_BINS = 100_000


@dataclass(frozen=True)
class RdfCurves(SampledCurves):
    """g(r) of all element pairs; ``x`` are the middles of the bins, Å.

    Attributes
    ----------
    coordination
        Atoms of the second element of a pair within the far edge of a bin around one of the first,
        (n_curves, n).
    edges
        Of the bins, (n + 1,), Å.
    """

    coordination: FloatArray
    edges: FloatArray


class RdfCounter:
    """Counts distances frame by frame.

    Parameters
    ----------
    numbers
        Atomic numbers, (n_atoms,).
    cell
        Rows are vectors, Å; constant.
    r_max
        Å; may exceed half the cell.
    bin_width
        Å; r_max is taken as a whole number of bins.
    own_images
        Count the periodic images of an atom around itself as well. Without them a kind of which
        there is one atom has no pairs with itself, and no curve.

    Raises
    ------
    ValueError
        The bins make no sense.
    """

    def __init__(
        self,
        numbers: IntArray,
        cell: FloatArray,
        r_max: float,
        bin_width: float,
        own_images: bool = False,
    ) -> None:
        from ase.data import chemical_symbols

        bins = round(r_max / bin_width)
        if not 2 <= bins <= MOST_BINS:
            raise ValueError(
                f"bins of {bin_width:g} Å up to {r_max:g} Å are {bins}: choose between 2 and "
                f"{MOST_BINS}"
            )
        elements, self._kinds = np.unique(numbers, return_inverse=True)
        amounts = np.bincount(self._kinds)
        symbols = [chemical_symbols[z] for z in elements]
        first, second = np.triu_indices(len(symbols))
        self._own_images = own_images
        partners = amounts[second] - (0 if own_images else (first == second))
        self._curve_of = np.zeros((len(symbols), len(symbols)), dtype=np.int64)
        # pairs without a partner never occur: their row does not matter
        rows = np.cumsum(partners > 0) - 1
        self._curve_of[first, second] = self._curve_of[second, first] = rows
        first, second, partners = (array[partners > 0] for array in (first, second, partners))
        self.names = tuple(f"{symbols[a]}-{symbols[b]}" for a, b in zip(first, second, strict=True))
        self._first_amounts = amounts[first]
        self._pairs = self._first_amounts * partners
        self._cell = np.ascontiguousarray(cell, dtype=np.float64)
        self._inverse = np.linalg.inv(self._cell)
        self._volume = abs(float(np.linalg.det(self._cell)))
        self._width = bin_width
        self.r_max = bins * bin_width
        self.edges: FloatArray = np.arange(bins + 1, dtype=np.float64) * bin_width
        self._reach = self.r_max / cell_heights(self._cell)
        self._listed = len(numbers) > MANY_ATOMS and bool((self._reach < 1 / 3).all())
        self._sums = BlockSums((len(first), bins))

    def add(self, frames: npt.NDArray[np.float32]) -> None:
        """Count consecutive frames, (n, n_atoms, 3), Å, wrapped or not."""
        done = 0
        while done < len(frames):
            part = frames[done : done + self._sums.room]
            if self._listed:
                for frame in part:
                    self._count_listed(frame)
            else:
                count_pairs(
                    part, self._kinds, self._curve_of, self._cell, self._inverse, self._reach,
                    self.r_max, self._width, self._own_images, self._sums.row,
                )  # fmt: skip
            self._sums.filled(len(part))
            done += len(part)

    def _count_listed(self, frame: npt.NDArray[np.float32]) -> None:
        from matscipy.neighbours import neighbour_list

        first, second, distance = neighbour_list(
            "ijd", positions=frame.astype(np.float64), cell=self._cell, pbc=np.ones(3, dtype=bool),
            cutoff=self.r_max,
        )  # fmt: skip
        row, bins = self._sums.row, len(self.edges) - 1
        kinds = self._kinds[first], self._kinds[second]
        # the list has every pair twice: of unlike atoms one direction is enough
        kept = (kinds[0] <= kinds[1]) & (distance < self.r_max)
        place = np.minimum((distance[kept] / self._width).astype(np.int64), bins - 1)
        place += bins * self._curve_of[kinds[0][kept], kinds[1][kept]]
        row += np.bincount(place, minlength=row.size).reshape(row.shape)

    def curves(self, blocks: int = 8) -> RdfCurves:
        """Return g(r) of what was counted, with errors from ``blocks`` blocks of time.

        Raises
        ------
        ValueError
            No frame was counted.
        """
        rows, weights = self._sums.sums()
        if not weights.sum() > 0:
            raise ValueError("g(r) needs a frame at least")
        shells = 4 / 3 * np.pi * np.diff(self.edges**3)
        ideal = np.outer(self._pairs / self._volume, shells)

        def to_curves(counts: FloatArray, frames: float) -> FloatArray:
            return np.asarray(counts / (frames * ideal))

        found = sample(
            self.names, (self.edges[1:] + self.edges[:-1]) / 2, self._sums, to_curves, blocks
        )
        pairs = rows.sum(axis=0).cumsum(axis=1) / weights.sum()
        return RdfCurves(
            names=found.names,
            x=found.x,
            mean=found.mean,
            without=found.without,
            halves=found.halves,
            coordination=pairs / self._first_amounts[:, None],
            edges=self.edges,
        )
