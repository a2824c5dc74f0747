"""Spread of a committee of potentials, and what it says about their error.

M members predict forces F_m. The spread of an atom is their standard deviation, the error that of
their mean, both as root mean square of the three components::

    s² = Σ_m |F_m − ⟨F⟩|² / 3(M − 1),    e² = |⟨F⟩ − F_label|² / 3

Spread is an uncertainty only where it grows with the error (rank correlation) and has its size
(calibration): α = rms(e)/rms(s) is the factor that gives it the right size on average, as in the
scaling of committees of F. Musil et al., J. Chem. Theory Comput. 15, 906 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..markov.arrays import FloatArray, IntArray
from .evaluation import rms

__all__ = ["Calibration", "Committee", "calibrate", "rank_correlation"]

FEWEST_RANKED = 3


@dataclass(frozen=True)
class Committee:
    """What M members make of the atoms of some frames.

    Attributes
    ----------
    mean
        Forces, (A, 3), eV/Å.
    spread, error
        Per atom, (A,), eV/Å.
    members
        M.
    """

    mean: FloatArray
    spread: FloatArray
    error: FloatArray
    members: int

    @classmethod
    def of(cls, forces: FloatArray, reference: FloatArray) -> Committee:
        """Take predictions (M, A, 3) of two members or more, and labels (A, 3), eV/Å."""
        mean = forces.mean(axis=0)
        squares = ((forces - mean) ** 2).sum(axis=(0, 2)) / (len(forces) - 1)
        error = np.sqrt(((mean - reference) ** 2).mean(axis=1))
        return cls(mean, np.sqrt(squares / 3), error, len(forces))

    def largest_per_frame(self, n_atoms: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the largest spread and the largest error in each of the frames."""
        begin = np.concatenate([[0], np.cumsum(n_atoms)[:-1]])
        return np.maximum.reduceat(self.spread, begin), np.maximum.reduceat(self.error, begin)


@dataclass(frozen=True)
class Calibration:
    """Spread against error in groups of equally many atoms, by ascending spread.

    ``spread`` and ``error`` are root mean squares within each group, eV/Å; ``factor`` is α;
    ``deviation`` the mean of |α spread − error| / error over the groups, after D. Levi et al.,
    Sensors 22, 5540 (2022). Factor and deviation are None where all spreads, or an error, vanish.
    """

    atoms: IntArray
    spread: FloatArray
    error: FloatArray
    factor: float | None
    deviation: float | None


def calibrate(spread: FloatArray, error: FloatArray, groups: int = 10) -> Calibration:
    """Group atoms by spread and compare it with their error, both (A,), eV/Å."""
    order = np.argsort(spread, kind="stable")
    parts = [part for part in np.array_split(order, groups) if len(part)]
    grouped = np.array([rms(spread[part]) for part in parts])
    found = np.array([rms(error[part]) for part in parts])
    factor = rms(error) / rms(spread) if rms(spread) > 0 else None
    deviation = None
    if factor is not None and (found > 0).all():
        deviation = float((np.abs(factor * grouped - found) / found).mean())
    atoms = np.array([len(part) for part in parts], dtype=np.int64)
    return Calibration(atoms, grouped, found, factor, deviation)


def rank_correlation(first: FloatArray, second: FloatArray) -> float | None:
    """Return Spearman's rank correlation; None where one does not vary or there are too few."""
    from scipy.stats import spearmanr

    if len(first) < FEWEST_RANKED or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
