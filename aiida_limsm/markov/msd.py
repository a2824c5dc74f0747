"""Diffusion from the mean-square displacement: the check that knows nothing of sites."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray
from .errors import bootstrap_weights, six_to_tensor
from .kernels import displacement_moments

__all__ = [
    "MsdCurves",
    "MsdPlan",
    "add_group",
    "curve_with_error",
    "fit_tensors",
    "msd_tensor",
    "plan_msd",
]


FIT_WINDOW = (0.1, 0.4)
"""Fit window as fractions of the length of a unit (whole run, or time block for few ions)."""

SHORTEST_FIT_PS = 0.5
"""The window starts no earlier than this where possible: vibrations have saturated by then."""

ENOUGH_IONS = 10
"""With so many ions each whole run is one unit of the bootstrap; below, each time block."""


@dataclass(frozen=True)
class MsdPlan:
    """Lags in frames for the fit and for the curve, and the time blocks of a unit."""

    blocks: int
    fit_lags: IntArray
    curve_lags: IntArray

    def describe(self, interval_ps: float) -> str:
        """Return the method in words, for the result."""
        begin, end = self.fit_lags[0] * interval_ps, self.fit_lags[-1] * interval_ps
        return f"mean-square displacement, linear fit from {begin:.4g} to {end:.4g} ps"


@dataclass
class MsdCurves:
    """Collected second moments, Å²: per unit at the fit lags, per ion at the curve lags."""

    units: list[FloatArray]
    md: list[FloatArray]
    projected: list[FloatArray]


def plan_msd(frames: int, ions: int, blocks: int, interval_ps: float) -> MsdPlan:
    """Choose lags: linear in the fit window, and a curve up to half the run.

    Parameters
    ----------
    frames
        Frames of the shortest trajectory.
    ions
        Ions of all trajectories.
    blocks
        Time blocks to use where ions are few.
    interval_ps
        Frame interval.
    """
    parts = 1 if ions >= ENOUGH_IONS else max(1, min(blocks, frames // 20))
    length = frames // parts
    high = max(int(FIT_WINDOW[1] * length), 1)
    low = max(int(FIT_WINDOW[0] * length), 1)
    low = max(low, min(int(np.ceil(SHORTEST_FIT_PS / interval_ps)), high // 2))
    fit = np.unique(np.rint(np.linspace(max(low, 1), high, 24)).astype(np.int64))
    half = max(frames // 2, 1)
    curve = np.unique(
        np.rint(np.concatenate([np.geomspace(1, half, 30), np.linspace(1, half, 30)]))
    ).astype(np.int64)
    return MsdPlan(parts, fit[fit < max(length, 2)], curve[curve < frames])


def add_group(curves: MsdCurves, plan: MsdPlan, x: FloatArray, sites: FloatArray) -> None:
    """Add a group of ions: unwrapped positions and site positions, (frames, ions, 3), Å."""
    x = np.ascontiguousarray(x)
    for part in _parts(len(x), plan.blocks):
        out = np.zeros((x.shape[1], len(plan.fit_lags), 6))
        displacement_moments(x[part], plan.fit_lags, out)
        curves.units.append(out)
    for positions, target in ((x, curves.md), (np.ascontiguousarray(sites), curves.projected)):
        out = np.zeros((x.shape[1], len(plan.curve_lags), 6))
        displacement_moments(positions, plan.curve_lags, out)
        target.append(out)


def _parts(frames: int, blocks: int) -> Iterator[slice]:
    edges = [k * frames // blocks for k in range(blocks + 1)]
    for begin, end in pairwise(edges):
        yield slice(begin, end)


def fit_tensors(moments: FloatArray, lags: IntArray, interval_ps: float) -> FloatArray:
    """Return the six components of D (cm²/s) by a straight line through the moments.

    ``moments`` (..., n_lags, 6), Å²; D = slope / 2 with a free intercept, which takes up the
    vibrations. With one lag the line passes through the origin.
    """
    time = lags * interval_ps
    if len(lags) > 1:
        centred = time - time.mean()
        weights = centred / (centred @ centred)
    else:
        weights = 1.0 / time
    slope = np.einsum("l,...lc->...c", weights, moments)
    return np.asarray(slope / 2.0 * ANGSTROM2_PER_PS_TO_CM2_PER_S)


def curve_with_error(
    per_ion: FloatArray, lags: IntArray, frames: int
) -> tuple[FloatArray, FloatArray]:
    """Return the MSD (Å²) over the lags and its standard error.

    From the scatter of the ions where there are at least five, else from the variance of a
    time-averaged MSD of Brownian motion, (4/9) t/T relative to its square in three dimensions
    for short t (Qian, Sheetz & Elson, Biophys. J. 60, 910 (1991)).
    """
    msd = per_ion[..., :3].sum(axis=-1)
    ions = len(msd)
    mean = msd.mean(axis=0)
    if ions >= 5:
        return mean, msd.std(axis=0, ddof=1) / np.sqrt(ions)
    relative = np.sqrt(4.0 / 9.0 * lags / np.maximum(frames - lags, 1) / ions)
    return mean, mean * np.minimum(relative, 1.0)


def msd_tensor(
    curves: MsdCurves, plan: MsdPlan, interval_ps: float, samples: int, seed: int
) -> tuple[FloatArray, FloatArray, int]:
    """Return D (3, 3), bootstrap samples of its six components, cm²/s, and the number of units.

    The line is fitted in every unit by itself (a whole run of one ion, or one of its time
    blocks, with no window across blocks) and the units are averaged. Windows inside a unit
    overlap and are strongly correlated, units are not: their scatter is the error.
    """
    slopes = fit_tensors(np.concatenate(curves.units), plan.fit_lags, interval_ps)
    units = len(slopes)
    drawn = np.array([w @ slopes / units for w in bootstrap_weights(units, samples, seed)])
    return six_to_tensor(slopes.mean(axis=0)), drawn, units
