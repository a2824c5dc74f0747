"""Size and spread of the labels of a dataset, gathered frame by frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from aiida_limsm.units import GPA_TO_EV_PER_ANGSTROM3

from ._extxyz import energy_of, forces_of, stress_of

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ForceStatistics:
    """Forces on the atoms of one element; rms over components, max of vectors."""

    atoms: int
    rms_ev_per_angstrom: float
    max_ev_per_angstrom: float


@dataclass(frozen=True)
class EnergyStatistics:
    """Energies per atom over the energy zeros, of frames of one composition."""

    frames: int
    mean_ev_per_atom: float
    std_ev_per_atom: float


@dataclass(frozen=True)
class SplitStatistics:
    """Size and spread of the labels of one split; None where the split has no such labels.

    Energies are per atom after the energy zeros are taken off: what a model has to learn.
    ``max_force`` is the longest force vector, ``rms_force`` is over components. The pressure is
    minus a third of the trace of the stress.
    """

    frames: int
    atoms: int
    rms_force_ev_per_angstrom: float | None = None
    max_force_ev_per_angstrom: float | None = None
    mean_energy_ev_per_atom: float | None = None
    std_energy_ev_per_atom: float | None = None
    frames_with_stress: int = 0
    min_pressure_gpa: float | None = None
    max_pressure_gpa: float | None = None
    elements: Mapping[str, ForceStatistics] = field(default_factory=dict)
    compositions: Mapping[str, EnergyStatistics] = field(default_factory=dict)


@dataclass
class _Forces:
    atoms: int = 0
    squares: float = 0.0
    longest_square: float = 0.0

    def add(self, forces: NDArray[np.float64]) -> None:
        squares = (forces**2).sum(axis=1)
        self.atoms += len(squares)
        self.squares += float(squares.sum())
        self.longest_square = max(self.longest_square, float(squares.max()))

    def result(self) -> ForceStatistics:
        rms = float(np.sqrt(self.squares / (3 * self.atoms)))
        return ForceStatistics(self.atoms, rms, float(np.sqrt(self.longest_square)))


def energy_per_atom(atoms: Atoms, e0s_ev: Mapping[str, float]) -> float:
    """Return the energy of a frame over the energy zeros of its atoms, eV per atom."""
    return float(energy_of(atoms) - sum(e0s_ev[symbol] for symbol in atoms.symbols)) / len(atoms)


def max_force(atoms: Atoms) -> float:
    """Return the longest force vector of a frame, eV/Å."""
    return float(np.linalg.norm(forces_of(atoms), axis=1).max())


def composition(atoms: Atoms) -> str:
    """Return the formula of a frame, in Hill order."""
    return str(atoms.symbols.formula.convert("hill"))


def split_statistics(frames: Iterable[Atoms], e0s_ev: Mapping[str, float]) -> SplitStatistics:
    """Gather the statistics of one split.

    Parameters
    ----------
    frames
        Labelled frames; read once.
    e0s_ev
        Energy zero of each element.
    """
    total, by_element = _Forces(), defaultdict[str, _Forces](_Forces)
    energies: defaultdict[str, list[float]] = defaultdict(list)
    pressures: list[float] = []
    for atoms in frames:
        forces = forces_of(atoms)
        symbols = np.array(list(atoms.symbols))
        total.add(forces)
        for symbol in sorted(set(symbols.tolist())):
            by_element[symbol].add(forces[symbols == symbol])
        energies[composition(atoms)].append(energy_per_atom(atoms, e0s_ev))
        if (stress := stress_of(atoms)) is not None:
            trace = float(stress.reshape(3, 3).trace())
            pressures.append(-trace / 3 / GPA_TO_EV_PER_ANGSTROM3)
    if not total.atoms:
        return SplitStatistics(frames=0, atoms=0)
    forces_of_all = total.result()
    everything = _energies([value for found in energies.values() for value in found])
    return SplitStatistics(
        frames=everything.frames,
        atoms=total.atoms,
        rms_force_ev_per_angstrom=forces_of_all.rms_ev_per_angstrom,
        max_force_ev_per_angstrom=forces_of_all.max_ev_per_angstrom,
        mean_energy_ev_per_atom=everything.mean_ev_per_atom,
        std_energy_ev_per_atom=everything.std_ev_per_atom,
        frames_with_stress=len(pressures),
        min_pressure_gpa=min(pressures, default=None),
        max_pressure_gpa=max(pressures, default=None),
        elements={name: found.result() for name, found in sorted(by_element.items())},
        compositions={name: _energies(found) for name, found in sorted(energies.items())},
    )


def _energies(values: list[float]) -> EnergyStatistics:
    return EnergyStatistics(len(values), float(np.mean(values)), float(np.std(values)))
