"""The energy zero of labels and of a foundation model: whether they are the same, and which fits.

DFT codes and pseudopotentials shift total energies by tens to thousands of eV per atom. What a
model learns is the energy relative to isolated atoms (E0s), so both sides need their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from aiida_limsm.labels import ENERGY_KEY

__all__ = ["EstimatedE0s", "energy_zero_error", "estimate_e0s", "few_of", "predicted_energies"]

Array = NDArray[np.float64]
#: Frames that a mean needs at most: energies per atom within one set differ by some 10 meV.
_ENOUGH = 32


@dataclass(frozen=True)
class EstimatedE0s:
    """Isolated-atom energies (eV) fitted to labels; where not ``unique``, the smallest change."""

    e0s_ev: dict[str, float]
    unique: bool


def few_of(frames: Sequence[Atoms]) -> list[Atoms]:
    """Return frames spread evenly over a set, enough for a mean."""
    picked = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _ENOUGH)).round())
    return [frames[int(index)] for index in picked]


def predicted_energies(frames: Sequence[Atoms], calculator: Calculator) -> Array:
    """Return total energies by a potential, shape (F,), eV."""
    energies = []
    for frame in frames:
        atoms: Any = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
    return np.array(energies)


def energy_zero_error(
    frames: Sequence[Atoms],
    predicted: Array,
    foundation_e0s_ev: Mapping[str, float],
    e0s_ev: Mapping[str, float],
) -> float:
    """Return the mean of labels minus predictions in eV per atom, each relative to its own atoms.

    Both are then cohesive energies, which DFT functionals and models give within some 0.1 eV; more
    than 1 eV says that the isolated atoms do not belong to the labels.

    Parameters
    ----------
    frames
        With ``REF_energy`` in eV.
    predicted
        Total energies by the model, eV.
    foundation_e0s_ev, e0s_ev
        Isolated atoms inside the model, and of the labels.
    """
    differences = [
        (
            frame.info[ENERGY_KEY]
            - energy
            - sum(e0s_ev[symbol] - foundation_e0s_ev[symbol] for symbol in frame.symbols)
        )
        / len(frame)
        for frame, energy in zip(frames, predicted, strict=True)
    ]
    return float(np.mean(differences))


def estimate_e0s(
    frames: Sequence[Atoms], predicted: Array, foundation_e0s_ev: Mapping[str, float]
) -> EstimatedE0s:
    """Fit isolated-atom energies so that labels and predictions agree on average.

    Least squares over the compositions of the frames for the change of the model's own E0s, of the
    smallest norm where compositions are too few to tell the elements apart.

    Parameters
    ----------
    frames, predicted
        As for :func:`energy_zero_error`; zeros for a model from scratch.
    foundation_e0s_ev
        Isolated atoms inside the model; zeros for a model from scratch.
    """
    elements = sorted({symbol for frame in frames for symbol in frame.symbols})
    counts = np.array(
        [[np.count_nonzero(frame.symbols == symbol) for symbol in elements] for frame in frames],
        dtype=float,
    )
    labels = np.array([frame.info[ENERGY_KEY] for frame in frames])
    change, _, rank, _ = np.linalg.lstsq(counts, labels - predicted, rcond=None)
    return EstimatedE0s(
        {
            symbol: float(foundation_e0s_ev[symbol] + shift)
            for symbol, shift in zip(elements, change, strict=True)
        },
        unique=int(rank) == len(elements),
    )
