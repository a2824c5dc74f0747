"""Charge diffusion from the collective displacement of all ions, and the Haven ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray
from .errors import (
    COMPONENTS,
    Diffusion,
    bootstrap_weights,
    sample_covariance,
    six_to_tensor,
    tensor_to_six,
)
from .lags import memory_bias
from .paths import SitePaths
from .sites import SiteLattice

__all__ = ["ChargeDiffusion", "HavenRatio", "charge_diffusion", "haven_ratio"]

GRID_POINTS = 20_000
"""Points in time at which the collective displacement is kept, per trajectory."""

FEWEST_BLOCKS = 10
WINDOWS = 16

JUMPS_PER_WINDOW = 4.0
"""No window is shorter than in which an ion makes so many independent jumps on average: ions that
rattle between two sites would else pass for mobile, and the plateau test is blind to it where
long windows are few."""

PAIRED_ERRORS = 2.5
"""Windows agree when their D_σ differ by less than so many errors of the difference."""

LARGEST_RELATIVE_ERROR = 0.5
"""A ratio is resolved below this: 2σ then still tells it from zero."""


@dataclass(frozen=True)
class ChargeDiffusion:
    """Charge diffusion coefficient: that of the ions' common displacement, cm²/s.

    Attributes
    ----------
    tensor, covariance
        (3, 3), and (6, 6) over :data:`~aiida_limsm.markov.errors.COMPONENTS`.
    value, error
        A third of the trace, and its standard error.
    window_ps
        Time over which displacements were taken.
    independent_windows
        Number of windows that do not overlap and would tell as much as those used.
    reason
        Why the value cannot be relied on; empty where it can.
    """

    tensor: FloatArray
    covariance: FloatArray
    value: float
    error: float
    window_ps: float
    independent_windows: int
    reason: str

    @property
    def error_tensor(self) -> FloatArray:
        """Standard errors of the tensor's elements, (3, 3)."""
        return six_to_tensor(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True)
class HavenRatio:
    """H = D* / D_σ: tracer over charge diffusion; 1 where ions move independently.

    ``along`` and ``along_error`` (3,) are the ratio along x, y, z, NaN where its relative error
    is 0.5 or more. Where ``resolved`` is False the value must not be quoted, for ``reason``.
    """

    value: float
    error: float
    resolved: bool
    reason: str
    along: FloatArray
    along_error: FloatArray
    charge: ChargeDiffusion


def haven_ratio(
    paths: Sequence[SitePaths],
    lattice: SiteLattice,
    interval_ps: float,
    tracer: Diffusion,
    blocks: int = FEWEST_BLOCKS,
    samples: int = 200,
    seed: int = 0,
) -> HavenRatio:
    """Divide a tracer diffusion coefficient by the charge diffusion coefficient.

    The relative errors of the two are added in squares. N ions give one collective
    displacement, so that the error of D_σ does not shrink with N and nearly always decides.

    Parameters
    ----------
    paths
        Site sequences of all mobile ions, one entry for each trajectory.
    lattice
        Their sites.
    interval_ps
        Frame interval.
    tracer
        D* from the model or from the mean-square displacement.
    blocks, samples, seed
        See :func:`charge_diffusion`.
    """
    charge = charge_diffusion(paths, lattice, interval_ps, blocks, samples, seed)
    value, error = _ratio(tracer.value, tracer.error, charge.value, charge.error)
    reason = charge.reason
    if not tracer.resolved:
        reason = f"the tracer diffusion coefficient is not resolved: {tracer.reason}"
    elif not reason and not error < LARGEST_RELATIVE_ERROR * value:
        reason = (
            f"the statistical error is {error / value:.0%} of the value "
            f"({charge.independent_windows} independent windows)"
            if value > 0
            else "no charge was displaced"
        )
    along = np.full((2, 3), np.nan)
    errors, charge_errors = tracer.error_tensor, charge.error_tensor
    for a in range(3):
        one = _ratio(tracer.tensor[a, a], errors[a, a], charge.tensor[a, a], charge_errors[a, a])
        if one[1] < LARGEST_RELATIVE_ERROR * one[0]:
            along[:, a] = one
    return HavenRatio(value, error, not reason, reason, along[0], along[1], charge)


def _ratio(top: float, top_error: float, bottom: float, bottom_error: float) -> tuple[float, float]:
    if top <= 0 or bottom <= 0:
        return float("nan"), float("nan")
    value = float(top / bottom)
    return value, value * float(np.hypot(top_error / top, bottom_error / bottom))


def charge_diffusion(
    paths: Sequence[SitePaths],
    lattice: SiteLattice,
    interval_ps: float,
    blocks: int = FEWEST_BLOCKS,
    samples: int = 200,
    seed: int = 0,
) -> ChargeDiffusion:
    """Estimate D_σ = ⟨ΔQ ⊗ ΔQ⟩ / (2 N w), where ΔQ sums the displacements of all N ions.

    Displacements are those of the sites (vibrations carry no charge far), in the frame of the
    positions. Of windows from four independent jumps per ion (or a quarter of the longest) to half
    a time block the shortest is chosen whose D_σ agrees with all longer ones within 2.5 errors of
    the difference. Rattling that leads nowhere still adds its amplitude² / 2w.

    The error is the larger of two: a bootstrap over time blocks, which knows bursts, and the
    scatter of squares of Gaussian displacements, cov(D_ab, D_cd) = (D_ac D_bd + D_ad D_bc) / n
    with n independent windows, which a few blocks cannot know well. Overlapping windows count as
    many as have the same variance. What memory adds beyond the window is put on top
    (:func:`~aiida_limsm.markov.lags.memory_bias`).

    Parameters
    ----------
    paths, lattice, interval_ps
        See :func:`haven_ratio`.
    blocks
        Time blocks of all trajectories together; ten are taken at least.
    samples, seed
        Number of bootstrap samples, and the seed.
    """
    step = max(1, -(-max(int(p.frames.max(initial=0)) for p in paths) // GRID_POINTS))
    moved = [(_collective_displacement(p, lattice, step), p.n_ions) for p in paths]
    parts = _time_blocks(moved, max(blocks, FEWEST_BLOCKS))
    longest = min((len(q) - 1 for q, _ in parts), default=0) // 2
    if longest < 1 or not any(p.n_jumps for p in paths):
        what = "no ion jumped" if longest >= 1 else "too few frames"
        return ChargeDiffusion(
            np.zeros((3, 3)), np.zeros((6, 6)), 0.0, 0.0, 0.0, 0, f"no charge diffusion: {what}"
        )
    shortest = min(_time_of_jumps(paths) / step, longest / 4.0)
    lags = np.unique(np.rint(np.geomspace(max(shortest, 1.0), longest, WINDOWS)).astype(np.int64))
    sums, windows = _block_sums(parts, lags)
    unit = ANGSTROM2_PER_PS_TO_CM2_PER_S / (2.0 * lags * step * interval_ps)

    def diffusion(weights: FloatArray) -> FloatArray:
        mean = np.tensordot(weights, sums, 1) / (weights @ windows)[:, None]
        return np.asarray(mean * unit[:, None])

    values = diffusion(np.ones(len(parts)))
    drawn = np.array([diffusion(w) for w in bootstrap_weights(len(parts), samples, seed)])
    times = np.asarray(lags * (step * interval_ps), dtype=np.float64)
    isotropic, scatter = values[:, :3].mean(axis=1), drawn[:, :, :3].mean(axis=2)
    independent = np.array(
        [_independent_windows(n, int(lag)) for n, lag in zip(windows.T, lags, strict=True)]
    )
    gaussian = [
        _gaussian_covariance(six_to_tensor(six)) / n
        for six, n in zip(values, independent, strict=True)
    ]
    k = _shortest_window(isotropic, scatter, np.array([_isotropic_variance(c) for c in gaussian]))
    plateau = k < len(lags) - (2 if len(lags) > 3 else 1)
    bootstrapped = sample_covariance(drawn[:, k], len(parts))
    covariance = max(bootstrapped, gaussian[k], key=_isotropic_variance)
    covariance = covariance + _memory_covariance(times, values, drawn, k)
    return ChargeDiffusion(
        tensor=six_to_tensor(values[k]),
        covariance=covariance,
        value=float(isotropic[k]),
        error=float(np.sqrt(_isotropic_variance(covariance))),
        window_ps=float(times[k]),
        independent_windows=int(independent[k]),
        reason="" if plateau else f"D_σ reaches no plateau up to windows of {times[-1]:.4g} ps",
    )


def _time_of_jumps(paths: Sequence[SitePaths]) -> float:
    """Frames in which an ion makes :data:`JUMPS_PER_WINDOW` independent jumps on average."""
    jumps = sum(p.independent_jumps()[0] for p in paths)
    frames = sum(int(p.frames.sum()) for p in paths)
    return JUMPS_PER_WINDOW * frames / max(jumps, 1)


def _shortest_window(values: FloatArray, samples: FloatArray, variance: FloatArray) -> int:
    """Return the first window whose value agrees with those of all longer ones, else the last.

    The variance of a difference is the larger of what the bootstrap says and, as the shorter
    window makes the better estimate of Gaussian increments, the difference of their
    ``variance`` (Hausman, Econometrica 46, 1251 (1978)).
    """
    for k in range(len(values) - 1):
        paired = (samples[:, k + 1 :] - samples[:, k, None]).var(axis=0, ddof=1)
        allowed = np.maximum(paired, variance[k + 1 :] - variance[k])
        if ((values[k + 1 :] - values[k]) ** 2 <= PAIRED_ERRORS**2 * allowed).all():
            return k
    return len(values) - 1


def _memory_covariance(
    times: FloatArray, values: FloatArray, samples: FloatArray, k: int
) -> FloatArray:
    """Square (6, 6) of what memory adds beyond window ``k``, less the share that is noise.

    The bootstrap tells how large the extrapolation to long windows would be by noise alone.
    """
    spread = samples[:, :, :3].mean(axis=2).std(axis=0, ddof=1)

    def memory(six: FloatArray) -> FloatArray:
        return np.array([memory_bias(times, column, spread, times[k]) for column in six.T])

    found = memory(values)
    noise = np.array([memory(six) for six in samples]).var(axis=0, ddof=1)
    twice = np.array([1.0 if a == b else 2.0 for a, b in COMPONENTS])
    square = float(twice @ found**2)
    share = max(1.0 - float(twice @ noise) / square, 0.0) if square > 0 else 0.0
    return share * np.outer(found, found)


def _collective_displacement(paths: SitePaths, lattice: SiteLattice, step: int) -> FloatArray:
    """Return ΣΔr of all ions at frames 0, step, 2·step, …, shape (n_points, 3), Å."""
    rows = paths.jump_rows
    image = paths.image[rows] - paths.image[rows - 1]
    vectors = lattice.jump_vectors(paths.site[rows - 1], paths.site[rows], image)
    points = (int(paths.frames.max(initial=1)) - 1) // step + 1
    when = -(-paths.start[rows] // step)
    kept = when < points
    steps = [np.bincount(when[kept], vectors[kept, a], points) for a in range(3)]
    return np.asarray(np.cumsum(steps, axis=1).T)


def _time_blocks(moved: list[tuple[FloatArray, int]], blocks: int) -> list[tuple[FloatArray, int]]:
    """Cut trajectories into about equal parts; neighbours share the point between them."""
    intervals = [len(q) - 1 for q, _ in moved]
    length = max(min(sum(intervals) // blocks, max(intervals)), 1)
    parts = []
    for q, ions in moved:
        number = round((len(q) - 1) / length)
        edges = np.linspace(0, len(q) - 1, number + 1).astype(np.int64)
        for begin, end in pairwise(edges):
            parts.append((q[begin : end + 1], ions))
    return parts


def _block_sums(
    parts: list[tuple[FloatArray, int]], lags: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Sum ΔQ ⊗ ΔQ / N over the windows of each block: (blocks, lags, 6), and their numbers."""
    sums = np.zeros((len(parts), len(lags), 6))
    windows = np.zeros((len(parts), len(lags)))
    for b, (q, ions) in enumerate(parts):
        for m, lag in enumerate(lags):
            d = q[lag:] - q[:-lag]
            sums[b, m] = tensor_to_six(d.T @ d) / ions
            windows[b, m] = len(d)
    return sums, windows


def _independent_windows(windows: FloatArray, lag: int) -> float:
    """Return how many windows without overlap have the variance of the mean square of these.

    For increments of a Gaussian walk windows shifted by j have squares correlated by
    (1 − j/lag)², which makes it 3/2 of the windows that fit side by side in a long run.
    """
    shift = np.arange(1, lag)
    overlap = (1.0 - shift / lag) ** 2
    correlated = [n + 2.0 * float((overlap * np.maximum(n - shift, 0.0)).sum()) for n in windows]
    return float(windows.sum() ** 2 / np.sum(correlated))


def _gaussian_covariance(tensor: FloatArray) -> FloatArray:
    """Covariance (6, 6) of the square of one Gaussian vector (Wishart, one degree of freedom)."""
    first, second = np.array(COMPONENTS).T
    straight = tensor[np.ix_(first, first)] * tensor[np.ix_(second, second)]
    crossed = tensor[np.ix_(first, second)] * tensor[np.ix_(second, first)]
    return np.asarray(straight + crossed)


def _isotropic_variance(covariance: FloatArray) -> float:
    return max(float(covariance[:3, :3].sum()), 0.0) / 9.0
