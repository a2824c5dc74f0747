"""Guards: reasons to stop a run that has left physical ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols, covalent_radii
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

Array = NDArray[np.float64]


class GuardTripped(Exception):
    """The run left physical ground; ``kind`` names the guard."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Limits:
    """What a run must keep to; None switches a guard off.

    ``temperature_band_k`` holds the lowest and the highest temperature, judged in production.
    Two atoms must stay apart by ``min_distance_fraction`` of the sum of their covalent radii
    (Cordero et al., Dalton Trans. 2008, 2832) and by ``min_distance_angstrom``.
    """

    max_force_ev_per_angstrom: float
    temperature_band_k: tuple[float, float]
    min_distance_angstrom: float
    min_distance_fraction: float
    max_framework_msd_angstrom2: float | None
    max_committee_spread_ev_per_angstrom: float | None = None


def check_forces(step: int, forces: Array, limits: Limits) -> None:
    """Stop where a force is no number or too large."""
    largest = float(np.abs(forces).max())
    if not np.isfinite(largest) or largest > limits.max_force_ev_per_angstrom:
        raise GuardTripped(
            "forces",
            f"step {step}: a force of {largest:.3g} eV/Å exceeds "
            f"{limits.max_force_ev_per_angstrom:g}: the potential is outside its training "
            "data, or the time step is too long",
        )


def check_temperature(step: int, temperature_k: float, limits: Limits) -> None:
    """Stop where the temperature leaves its band; a cold start may warm up first."""
    lowest, highest = limits.temperature_band_k
    if temperature_k > highest:
        raise GuardTripped(
            "temperature",
            f"step {step}: temperature {temperature_k:.0f} K exceeds {highest:.0f} K: "
            "shorten the time step or improve the potential",
        )
    if step > 0 and temperature_k < lowest:
        raise GuardTripped(
            "temperature",
            f"step {step}: temperature {temperature_k:.0f} K is below {lowest:.0f} K: equilibrate "
            "longer, or couple the thermostat more strongly",
        )


class DistanceGuard:
    """Stops where two atoms come too close for their elements."""

    def __init__(self, atoms: Atoms, limits: Limits) -> None:
        radii = limits.min_distance_fraction * covalent_radii
        self._closest = np.maximum(radii[:, None] + radii, limits.min_distance_angstrom)
        present = np.unique(atoms.numbers)
        self._range = float(self._closest[np.ix_(present, present)].max())

    def check(self, step: int, atoms: Any) -> None:
        """Raise :class:`GuardTripped` for the pair that is farthest below its limit."""
        first, second, distances = neighbour_list("ijd", atoms, self._range)
        limits = self._closest[atoms.numbers[first], atoms.numbers[second]]
        if (distances >= limits).all():
            return
        pair = int(np.argmin(distances - limits))
        one, two = (chemical_symbols[atoms.numbers[index[pair]]] for index in (first, second))
        raise GuardTripped(
            "distance",
            f"step {step}: {one} and {two} are {distances[pair]:.2f} Å apart, less than "
            f"{limits[pair]:.3g}: the potential has collapsed",
        )


class FrameworkGuard:
    """Mean-square displacement of the immobile species since production began.

    Relative to their centre of mass, so that a drift of the whole does not count, and in the
    present cell, so that its breathing does not.
    """

    def __init__(self, atoms: Any, mobile_species: str, limits: Limits) -> None:
        self.indices = np.flatnonzero(np.array(atoms.get_chemical_symbols()) != mobile_species)
        self._masses = atoms.get_masses()[self.indices]
        self._limit = limits.max_framework_msd_angstrom2

    def centre(self, positions: Array) -> Array:
        """Return the centre of mass (3,) of the framework, the origin where there is none."""
        if self.indices.size == 0:
            return np.zeros(3)
        return np.asarray(np.average(positions[self.indices], axis=0, weights=self._masses))

    def msd(self, atoms: Any, reference: Array, reference_cell: Array) -> float:
        """Return the MSD, Å²; ``reference`` are positions (N, 3) in ``reference_cell``."""
        if self.indices.size == 0:
            return 0.0
        cell = atoms.cell.array
        if not np.array_equal(cell, reference_cell):
            reference = reference @ np.linalg.solve(reference_cell, cell)
        moved = (atoms.positions - reference)[self.indices]
        moved = moved - np.average(moved, axis=0, weights=self._masses)
        return float(np.mean(np.sum(moved**2, axis=1)))

    def check(self, step: int, msd_angstrom2: float) -> None:
        """Raise :class:`GuardTripped` where the framework has moved too far."""
        if self._limit is not None and msd_angstrom2 > self._limit:
            raise GuardTripped(
                "framework",
                f"step {step}: the framework moved {msd_angstrom2:.2f} Å² (limit "
                f"{self._limit:g}): it melts or amorphises, and lattice sites lose their "
                "meaning; lower the temperature",
            )


class Committee:
    """Other potentials beside the one that drives the run."""

    def __init__(self, calculators: Sequence[Calculator], limits: Limits) -> None:
        self._calculators = calculators
        self._limit = limits.max_committee_spread_ev_per_angstrom

    def spread(self, atoms: Any) -> float:
        """Return the largest spread of the force on an atom, eV/Å.

        The spread is the root-mean-square deviation of the members' forces, the driving one's
        among them, from their mean.
        """
        forces = [np.asarray(atoms.get_forces())]
        for calculator in self._calculators:
            member: Any = calculator
            member.calculate(atoms, ["forces"], [])
            forces.append(np.asarray(member.results["forces"], dtype=np.float64))
        deviations = np.stack(forces) - np.mean(forces, axis=0)
        return float(np.sqrt((deviations**2).sum(axis=2).mean(axis=0)).max())

    def check(self, step: int, spread: float) -> None:
        """Raise :class:`GuardTripped` where the members disagree too much."""
        if self._limit is not None and not spread <= self._limit:
            raise GuardTripped(
                "committee",
                f"step {step}: the committee's forces spread by {spread:.3g} eV/Å (limit "
                f"{self._limit:g}): label this structure and train on it",
            )
