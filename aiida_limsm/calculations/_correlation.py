"""How long frames of one MD run resemble each other: autocorrelation of forces and energy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

FloatArray = NDArray[np.float64]

#: Columns transformed at once: bounds the memory, 300 force components of 10⁴ frames are many.
_COLUMNS = 64
#: What counts as decayed.
_THRESHOLD = math.exp(-1)


@dataclass(frozen=True)
class Correlation:
    """Correlation of one trajectory, in frames; see the functions of this module.

    Attributes
    ----------
    force_inefficiency, energy_inefficiency
        Frames per independent frame, g = 1 + 2τ.
    force_decay, energy_decay
        Frames after which the correlation has decayed.
    """

    force_inefficiency: float
    energy_inefficiency: float
    force_decay: int
    energy_decay: int

    @property
    def stride(self) -> int:
        """Frames from one to the next whose forces are new: the inefficiency, rounded up."""
        # g = 3.0000000001 from rounding is 3
        return max(1, math.ceil(self.force_inefficiency - 1e-9))

    @property
    def decay(self) -> int:
        """Frames after which neither forces nor energy remember."""
        return max(self.force_decay, self.energy_decay)


def measure_correlation(forces: FloatArray, energies: FloatArray) -> Correlation | None:
    """Measure the correlation of a trajectory.

    Parameters
    ----------
    forces
        Shape (frames, atoms, 3).
    energies
        Shape (frames,).

    Returns
    -------
    Correlation or None
        None where forces or energy do not vary, so that there is nothing to measure.
    """
    components = forces.reshape(len(forces), 3 * forces.shape[1])
    force = autocorrelation(components)
    energy = autocorrelation(energies[:, None])
    if force is None or energy is None:
        return None
    return Correlation(
        force_inefficiency=statistical_inefficiency(force),
        energy_inefficiency=statistical_inefficiency(energy),
        force_decay=decay_lag(force, components.shape[1]),
        energy_decay=decay_lag(energy),
    )


def autocorrelation(series: FloatArray) -> FloatArray | None:
    """Return ρ(k) = Σ_c Σ_t δx_c(t) δx_c(t + k) / Σ_c Σ_t δx_c(t)², δx = x − its mean over time.

    The sum at lag k has ``frames - k`` terms and is not divided by their number: long lags, of
    which a run says little, are damped rather than noisy. Through the FFT of the series padded with
    zeros (Wiener–Khinchin), exact to rounding.

    Parameters
    ----------
    series
        Shape (frames, columns).

    Returns
    -------
    array or None
        Shape (frames,), from ρ(0) = 1. None where no column varies.
    """
    frames = len(series)
    if frames < 2:
        return None
    size = fft.next_fast_len(2 * frames, real=True)
    power = np.zeros(size // 2 + 1)
    scale = 0.0
    for first in range(0, series.shape[1], _COLUMNS):
        block = series[:, first : first + _COLUMNS]
        scale += float(np.sum(block**2))
        spectrum = fft.rfft(block - block.mean(axis=0), size, axis=0)
        power += np.sum(spectrum.real**2 + spectrum.imag**2, axis=1)
    covariance = fft.irfft(power, size)[:frames]
    # what rounding leaves of a constant is no variance
    if covariance[0] <= 1e-24 * scale:
        return None
    return np.asarray(covariance / covariance[0])


def statistical_inefficiency(rho: FloatArray) -> float:
    """Return g = 1 + 2 Σ_k ρ(k), k from 1 up to the first ρ(k) ≤ 0: frames per independent frame.

    With the ρ of :func:`autocorrelation` the weights (1 − k/N) of the definition are in ρ. The sum
    ends at the first zero because noise would dominate it later; where forces oscillate (phonons)
    that is a quarter of a period.

    Source: Chodera, Swope, Pitera, Seok and Dill, J. Chem. Theory Comput. 3, 26 (2007): g = 1 + 2τ.
    """
    later = rho[1:]
    negative = np.flatnonzero(later <= 0)
    return float(1 + 2 * np.sum(later[: negative[0]] if len(negative) else later))


def decay_lag(rho: FloatArray, columns: int = 1) -> int:
    """Return the first lag from which on |ρ| stays below 1/e, or within its noise.

    Later lags count too: forces oscillate, and are alike again after a period. The noise of ρ(k) is
    twice Bartlett's error: [1 + 2 Σ_{i<k} ρ(i)²] / N is the variance of one series that has decayed
    before k, and columns are taken as independent. Source: M. S. Bartlett, Suppl. J. R. Stat. Soc.
    8, 27 (1946).

    Parameters
    ----------
    rho
        From :func:`autocorrelation`.
    columns
        Of the series it came from.
    """
    frames = len(rho)
    known = 1 + 2 * np.concatenate([[0.0, 0.0], np.cumsum(rho[1:-1] ** 2)])[:frames]
    bound = np.maximum(_THRESHOLD, 2 * np.sqrt(known / (frames * columns)))
    above = np.flatnonzero(np.abs(rho) > bound)
    return int(above[-1]) + 1 if len(above) else 0
