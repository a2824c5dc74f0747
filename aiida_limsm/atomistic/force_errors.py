"""Errors of forces: of all atoms, of an element, of those pushed about as hard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..markov.arrays import FloatArray
from .evaluation import rms

__all__ = ["LEAST_FORCE", "ForceErrors", "errors_by_magnitude", "force_errors"]

LEAST_FORCE = 0.05
"""eV/Å; a label below this has no direction worth comparing."""


@dataclass(frozen=True)
class ForceErrors:
    """Errors of a group of atoms.

    Attributes
    ----------
    atoms
        How many, over all frames.
    rmse, mae
        Over the components, eV/Å.
    label_rms
        Of the components of the labels themselves, eV/Å.
    cosine
        Mean cosine of the angle between label and prediction, over atoms whose label is at least
        :data:`LEAST_FORCE`; None without one.
    """

    atoms: int
    rmse: float
    mae: float
    label_rms: float
    cosine: float | None

    @property
    def relative(self) -> float | None:
        """RMSE over the size of the labels; None where they vanish."""
        return self.rmse / self.label_rms if self.label_rms > 0 else None


def force_errors(reference: FloatArray, predicted: FloatArray) -> ForceErrors:
    """Compare forces (n, 3), eV/Å, of one atom at least."""
    difference = predicted - reference
    length = np.linalg.norm(reference, axis=1)
    other = np.linalg.norm(predicted, axis=1)
    pushed = length >= LEAST_FORCE
    cosine = None
    if pushed.any():
        # a predicted force of zero points nowhere: as good as a right angle
        size = np.where(other > 0, length * other, np.inf)[pushed]
        cosine = float(((reference * predicted).sum(axis=1)[pushed] / size).mean())
    return ForceErrors(
        atoms=len(reference),
        rmse=rms(difference),
        mae=float(np.abs(difference).mean()),
        label_rms=rms(reference),
        cosine=cosine,
    )


def errors_by_magnitude(
    reference: FloatArray, predicted: FloatArray, edges: Sequence[float]
) -> list[tuple[float, float | None, ForceErrors]]:
    """Group atoms by the size of the labelled force and compare each group.

    Parameters
    ----------
    reference, predicted
        Forces (n, 3), eV/Å.
    edges
        Between the groups, eV/Å, ascending; the first group begins at zero, the last has no end.

    Returns
    -------
    list of (from, to, errors)
        ``to`` is None for the last; groups without atoms are left out.
    """
    bounds = [0.0, *edges]
    group = np.searchsorted(edges, np.linalg.norm(reference, axis=1), side="right")
    return [
        (
            bounds[number],
            bounds[number + 1] if number + 1 < len(bounds) else None,
            force_errors(reference[group == number], predicted[group == number]),
        )
        for number in np.unique(group)
    ]
