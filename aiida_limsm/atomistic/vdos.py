"""Vibrational density of states: the mass-weighted power spectrum of the velocities.

By the Wiener–Khinchin theorem the power spectrum is the Fourier transform of the velocity
autocorrelation::

    S_a(ν) = Σ_{i in a} m_i ∫ ⟨v_i(0) · v_i(t)⟩ exp(−2πiνt) dt

J. M. Dickey and A. Paskin, Phys. Rev. 188, 1407 (1969). In the harmonic crystal at temperature T
every mode adds k_B T at its frequency, so that S over all atoms, scaled to unit area, is the
density of states. The estimate is Welch's (IEEE Trans. Audio Electroacoust. 15, 70 (1967)): half
overlapping segments of the run under a Hann window, Fourier transformed, squared and averaged. It
takes as much memory as one segment and is never negative. A line comes out as wide as
:func:`resolution_thz` says. The velocity of the centre of mass is taken off.

From positions the velocity between two frames is their difference over the interval Δt. That lowers
the spectrum by sinc²(νΔt), exactly, and is divided out; above half the frame rate nothing can be
known, with velocities or without.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ..markov.arrays import FloatArray, IntArray
from .sampled import BlockSums, SampledCurves, sample

__all__ = [
    "VdosSampler", "finite_differences", "highest_frequency_thz", "longest_interval_fs",
    "resolution_thz",
]  # fmt: skip

HANN_WIDTH = 1.44
"""Full width at half maximum of a line under a Hann window of unit length, in power."""

FEWEST_SAMPLES = 8
"""Frames in a segment."""

FEWEST_POINTS = 256

FFT_BYTES = 1 << 26

HYDROGEN, FIRST_ROW, OTHERS = 130.0, 70.0, 25.0
"""THz no vibration exceeds: bonds to hydrogen, among B, C, N, O and F, and all others."""


def highest_frequency_thz(symbols: Collection[str]) -> float:
    """Return a bound of the vibrational frequencies among some elements, THz."""
    if "H" in symbols:
        return HYDROGEN
    return FIRST_ROW if {"B", "C", "N", "O", "F"} & set(symbols) else OTHERS


def longest_interval_fs(frequency_thz: float) -> float:
    """Return the longest time between frames that shows a frequency (Nyquist), fs."""
    return 500.0 / frequency_thz


def resolution_thz(segment_ps: float) -> float:
    """Return the width of a sharp line in the spectrum of segments of a length."""
    return HANN_WIDTH / segment_ps


def finite_differences(
    blocks: Iterable[npt.NDArray[np.float32]], cell: FloatArray, interval_ps: float
) -> Iterator[FloatArray]:
    """Yield mean velocities between successive frames, Å/ps, one fewer than frames.

    Parameters
    ----------
    blocks
        Positions (n, n_atoms, 3), Å, wrapped or not; the shortest image of every move is taken.
    """
    inverse = np.linalg.inv(cell)
    last: FloatArray | None = None
    for block in blocks:
        positions = block.astype(np.float64)
        if last is not None:
            positions = np.concatenate([last, positions])
        move = np.diff(positions, axis=0)
        move -= np.rint(move @ inverse) @ cell
        last = positions[-1:]
        if len(move):
            yield move / interval_ps


class VdosSampler:
    """Adds up spectra of segments of a stream of velocities.

    Parameters
    ----------
    numbers
        Atomic numbers, (n_atoms,).
    interval_ps
        Between frames.
    segment_ps
        Length of a segment.
    from_positions
        The velocities are differences of positions.

    Raises
    ------
    ValueError
        A segment has too few frames.
    """

    def __init__(
        self,
        numbers: IntArray,
        interval_ps: float,
        segment_ps: float,
        from_positions: bool = False,
    ) -> None:
        from ase.data import atomic_masses, chemical_symbols

        self._length = round(segment_ps / interval_ps)
        if self._length < FEWEST_SAMPLES:
            raise ValueError(
                f"a spectrum needs segments of {FEWEST_SAMPLES} frames, {segment_ps:.3g} ps hold "
                f"{self._length}: write frames more often or run longer"
            )
        self._interval = interval_ps
        self._masses = atomic_masses[numbers]
        elements, self._kinds = np.unique(numbers, return_inverse=True)
        self._symbols = tuple(chemical_symbols[z] for z in elements)
        self._window = np.hanning(self._length + 2)[1:-1, None]
        # more points than data: lines are smooth, and can be interpolated
        self._points = max(4 * self._length, FEWEST_POINTS)
        frequency = np.fft.rfftfreq(self._points, interval_ps)
        self._frequency = frequency
        self._factor = np.sinc(frequency * interval_ps) ** -2 if from_positions else 1.0
        self._sums = BlockSums((len(elements), len(frequency)), most=64)
        self._held: FloatArray | None = None
        self.segments = 0

    @property
    def nyquist_thz(self) -> float:
        """Highest frequency that frames so far apart show."""
        return 0.5 / self._interval

    def add(self, velocities: npt.ArrayLike) -> None:
        """Take the next frames, (n, n_atoms, 3), Å/ps.

        Raises
        ------
        ValueError
            A velocity is not finite.
        """
        values = np.asarray(velocities, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("velocities of some frames are not finite")
        drift = np.einsum("fix,i->fx", values, self._masses / self._masses.sum())
        values = values - drift[:, None]
        if self._held is not None:
            values = np.concatenate([self._held, values])
        step = max(1, self._length // 2)
        begin = 0
        while begin + self._length <= len(values):
            self._sums.row[...] += self._spectrum(values[begin : begin + self._length])
            self._sums.filled(1)
            self.segments += 1
            begin += step
        self._held = values[begin:]

    def _spectrum(self, segment: FloatArray) -> FloatArray:
        """Return the mass-weighted power of a segment, (n_elements, n_frequencies)."""
        total = np.zeros((len(self._symbols), len(self._frequency)))
        some = max(1, FFT_BYTES // (48 * self._points))
        for begin in range(0, len(self._masses), some):
            atoms = slice(begin, begin + some)
            part = segment[:, atoms] * self._window[:, None]
            wave = np.fft.rfft(part, self._points, axis=0)
            power = self._masses[atoms] * (wave.real**2 + wave.imag**2).sum(axis=2)
            for kind in range(len(self._symbols)):
                total[kind] += power[:, self._kinds[atoms] == kind].sum(axis=1)
        return total * self._factor

    def curves(self, frequency_thz: FloatArray, blocks: int = 8) -> SampledCurves:
        """Return the density of states, per element and ``all``, each with unit area, 1/THz.

        Parameters
        ----------
        frequency_thz
            Axis, evenly spaced, up to :attr:`nyquist_thz` at most.
        blocks
            Blocks of time for the errors.

        Raises
        ------
        ValueError
            There was not one whole segment, or nothing moves.
        """
        if not self.segments:
            raise ValueError(f"a spectrum needs {self._length} frames at least: run longer")
        spacing = float(frequency_thz[1] - frequency_thz[0])
        if not self._power().sum() > 0:
            raise ValueError("the atoms do not move: there is no spectrum")

        def to_curves(sums: FloatArray, segments: float) -> FloatArray:
            rows = np.concatenate([sums, sums.sum(axis=0)[None]])
            curves = np.stack([np.interp(frequency_thz, self._frequency, row) for row in rows])
            area = curves.sum(axis=1, keepdims=True) * spacing
            return np.asarray(curves / np.where(area > 0, area, np.inf))

        names = (*self._symbols, "all")
        return sample(names, frequency_thz, self._sums, to_curves, blocks)

    def share_near_nyquist(self) -> float:
        """Return which part of the power lies in the last tenth of the frequencies."""
        power = self._power()
        last = np.searchsorted(self._frequency, 0.9 * self.nyquist_thz)
        return float(power[last:].sum() / power.sum())

    def _power(self) -> FloatArray:
        return np.asarray(self._sums.sums()[0].sum(axis=(0, 1)))
