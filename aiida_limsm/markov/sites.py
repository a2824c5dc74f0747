"""The lattice of sites an ion can take, and how it tiles the simulation cell."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray, IntArray
from .neighbours import nearest_distances
from .supercells import cells_inside
from .symmetry import primitive_cell, wyckoff_orbits

__all__ = ["SiteLattice", "site_kind"]


MAX_STRAIN = 0.04
"""Largest strain (any component) by which a sites structure is stretched onto the MD cell."""

MIN_SITE_DISTANCE = 0.5
"""Two sites closer than this (Å) are taken for one site given twice."""


@dataclass(frozen=True)
class SiteLattice:
    """Sites of one cell, repeated over the infinite lattice.

    Site ``s`` in cell ``R`` (three integers) lies at ``positions[s] + R @ cell``. A supercell of
    the simulation needs no more sites than the primitive cell.

    Attributes
    ----------
    cell
        Cell vectors as rows, shape (3, 3), Å.
    positions
        Cartesian positions of the sites, shape (n_sites, 3), Å, inside the cell.
    labels
        One name for each site: Li1, Li2, ….
    orbits
        Wyckoff label of each site, such as ``8c``.
    multiplicities
        Wyckoff multiplicity (conventional cell) of each site.
    framework_positions, framework_numbers
        The other atoms of the sites structure, Å and atomic numbers; may be empty.
    """

    cell: FloatArray
    positions: FloatArray
    labels: tuple[str, ...]
    orbits: tuple[str, ...]
    multiplicities: tuple[int, ...]
    framework_positions: FloatArray
    framework_numbers: IntArray

    @classmethod
    def from_structure(
        cls,
        cell: npt.ArrayLike,
        scaled_positions: npt.ArrayLike,
        numbers: npt.ArrayLike,
        mobile_number: int,
        symbol: str = "S",
    ) -> SiteLattice:
        """Make the lattice from a structure whose mobile-species atoms mark the sites.

        Parameters
        ----------
        cell
            Rows are the cell vectors, Å; any orientation, right- or left-handed.
        scaled_positions
            Shape (n_atoms, 3).
        numbers
            Atomic numbers, shape (n_atoms,).
        mobile_number
            Atomic number of the mobile species.
        symbol
            Prefix of the site labels.

        Raises
        ------
        ValueError
            No site, a flat cell, or two sites on one place.
        """
        rows = np.array(cell, dtype=np.float64).reshape(3, 3)
        scaled = np.array(scaled_positions, dtype=np.float64).reshape(-1, 3) % 1.0
        scaled[scaled >= 1.0] = 0.0  # -1e-17 % 1 is 1.0
        species = np.array(numbers, dtype=np.int64)
        if abs(np.linalg.det(rows)) < 1e-6:
            raise ValueError("the sites structure has no three-dimensional cell")
        mobile = species == mobile_number
        if not mobile.any():
            raise ValueError("the sites structure has no atom of the mobile species")
        orbits, multiplicities = wyckoff_orbits(rows, scaled, species)
        chosen = np.flatnonzero(mobile)
        lattice = cls(
            cell=rows,
            positions=scaled[mobile] @ rows,
            labels=tuple(f"{symbol}{index + 1}" for index in range(len(chosen))),
            orbits=tuple(orbits[index] for index in chosen),
            multiplicities=tuple(int(multiplicities[index]) for index in chosen),
            framework_positions=scaled[~mobile] @ rows,
            framework_numbers=species[~mobile],
        )
        lattice._refuse_doubled_sites()
        return lattice

    @property
    def n_sites(self) -> int:
        """Number of sites in the cell."""
        return len(self.positions)

    @property
    def scaled_positions(self) -> FloatArray:
        """Fractional positions of the sites, shape (n_sites, 3)."""
        return self.positions @ np.linalg.inv(self.cell)

    def jump_vectors(self, start: IntArray, end: IntArray, image: IntArray) -> FloatArray:
        """Return ``r_end + image·cell − r_start`` in Å, shape (n, 3); never minimum-imaged."""
        return self.positions[end] - self.positions[start] + image @ self.cell

    def _refuse_doubled_sites(self) -> None:
        nearest = nearest_distances(self.cell, self.positions)
        worst = int(np.argmin(nearest))
        if nearest[worst] < MIN_SITE_DISTANCE:
            raise ValueError(
                f"site {self.labels[worst]} has another site {nearest[worst]:.2f} Å away: "
                "give every site once"
            )

    def crystal(self) -> tuple[FloatArray, IntArray]:
        """Return positions (Å) and species of the sites and then the framework atoms.

        Species of sites only tell kinds apart (see :func:`site_kind`): 201, 202, …, above every
        atomic number.
        """
        kinds = [site_kind(label) for label in self.labels]
        order = {kind: 201 + index for index, kind in enumerate(dict.fromkeys(kinds))}
        species = np.array([order[kind] for kind in kinds], dtype=np.int64)
        return (
            np.concatenate([self.positions, self.framework_positions]),
            np.append(species, self.framework_numbers),
        )

    def primitive(self, tolerance: float = 0.02) -> SiteLattice:
        """Return the lattice in a primitive cell of the crystal, in the same orientation.

        Sites that differ by a translation of the crystal (mobile sites and framework taken
        together) become one state. Unchanged where the cell is primitive already.
        """
        points, species = self.crystal()
        found = primitive_cell(self.cell, points @ np.linalg.inv(self.cell), species, tolerance)
        if found is None:
            return self
        cell, mapping = found
        kept, mean = [], []
        for label in np.unique(mapping):
            members = np.flatnonzero(mapping == label)
            away = (points[members] - points[members[0]]) @ np.linalg.inv(cell)
            shift = ((away - np.rint(away)) @ cell).mean(axis=0)
            kept.append(members[0])
            mean.append(points[members[0]] + shift)
        folded = (np.round(np.array(mean) @ np.linalg.inv(cell), 12) % 1.0) @ cell
        order = np.argsort(kept)
        first, folded = np.array(kept)[order], folded[order]
        sites = first < self.n_sites
        return SiteLattice(
            cell=cell,
            positions=folded[sites],
            labels=_renumbered([self.labels[index] for index in first[sites]]),
            orbits=tuple(self.orbits[index] for index in first[sites]),
            multiplicities=tuple(self.multiplicities[index] for index in first[sites]),
            framework_positions=folded[~sites],
            framework_numbers=species[first[~sites]],
        )

    def supercell_matrix(self, md_cell: npt.ArrayLike, tolerance: float = MAX_STRAIN) -> IntArray:
        """Return the integer matrix M with ``md_cell ≈ M @ cell`` (rows are vectors).

        Raises
        ------
        ValueError
            The cell does not tile the MD cell within ``tolerance`` (largest strain component) in
            this orientation; :func:`.orientation.orientations` finds others.
        """
        target = np.asarray(md_cell, dtype=np.float64).reshape(3, 3)
        matrix = np.rint(target @ np.linalg.inv(self.cell)).astype(np.int64)
        if round(abs(np.linalg.det(matrix))) >= 1:
            deformation = np.linalg.solve(matrix @ self.cell, target)
            if np.abs(deformation - np.eye(3)).max() <= tolerance:
                return matrix
        raise ValueError(
            "the cell of the sites structure does not tile the MD cell (strain above "
            f"{tolerance:.0%}): give the sites in a cell of which the MD cell is a supercell, "
            "for instance the unit cell the MD cell was built from, or the MD cell itself"
        )

    def matched_to(self, md_cell: npt.ArrayLike, tolerance: float = MAX_STRAIN) -> SiteLattice:
        """Return the lattice strained so that ``M @ cell`` is the MD cell exactly.

        See :meth:`supercell_matrix` for M and the errors raised.
        """
        target = np.asarray(md_cell, dtype=np.float64).reshape(3, 3)
        matrix = self.supercell_matrix(target, tolerance)
        cell = np.asarray(np.linalg.solve(matrix.astype(np.float64), target), dtype=np.float64)
        strain = np.linalg.solve(self.cell, cell)
        return replace(
            self,
            cell=cell,
            positions=self.positions @ strain,
            framework_positions=self.framework_positions @ strain,
        )

    def expand(self, matrix: npt.ArrayLike) -> SiteLattice:
        """Return the lattice whose cell is ``matrix @ cell``: every site its own state."""
        supercell = np.asarray(matrix, dtype=np.int64).reshape(3, 3)
        shifts = cells_inside(supercell) @ self.cell
        cell = supercell @ self.cell
        inverse = np.linalg.inv(cell)

        def spread(points: FloatArray) -> FloatArray:
            copies = (points[None, :, :] + shifts[:, None, :]).reshape(-1, 3) @ inverse
            # a whole-number coordinate that came out as 1 − 1e-16 belongs to the other face
            return (np.round(copies, 12) % 1.0) @ cell

        repeats = len(shifts)
        return SiteLattice(
            cell=cell,
            positions=spread(self.positions),
            labels=tuple(f"{name}_{k + 1}" for k in range(repeats) for name in self.labels),
            orbits=self.orbits * repeats,
            multiplicities=self.multiplicities * repeats,
            framework_positions=spread(self.framework_positions),
            framework_numbers=np.tile(self.framework_numbers, repeats),
        )


def site_kind(label: str) -> str:
    """Return the leading letters of a label: the species, or ``i`` for interstitial sites."""
    match = re.match(r"[^\W\d_]+", label)
    return match.group() if match else "S"


def _renumbered(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels with the numbers of each kind running from 1."""
    seen: Counter[str] = Counter()
    named = []
    for label in labels:
        kind = site_kind(label)
        seen[kind] += 1
        named.append(f"{kind}{seen[kind]}")
    return tuple(named)
