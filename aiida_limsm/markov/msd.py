"""Diffusion from the mean-square displacement: the check that knows nothing of sites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray
from .errors import bootstrap_weights, six_to_tensor
from .groups import group_number
from .msd_kernels import add_windows, fill_frames
from .paths import SitePaths
from .sites import SiteLattice

__all__ = [
    "MsdAccumulator",
    "MsdMoments",
    "MsdPlan",
    "curve_with_error",
    "fit_tensors",
    "msd_tensor",
    "plan_msd",
    "site_blocks",
    "slope_freedom",
]

Positions = npt.NDArray[np.floating[Any]]

FIT_WINDOW = (0.1, 0.4)
"""Fit window as fractions of the length of a unit (whole run, or time block for few ions).

Generalised least squares with the covariance of Brownian motion, or earlier lags, scatter a
fifth to a third less, but rest on lags at which jumps still remember one another: on a triclinic
network and runs of 8 ps they were 5 to 8 % too high, where this line was 1.7 ± 1 %.
"""

FIT_LAGS = 24

SHORTEST_FIT_PS = 0.5
"""The window starts no earlier than this where possible: vibrations have saturated by then."""

ENOUGH_IONS = 10
"""With so many ions each whole run is one unit of the bootstrap; below, each time block."""

SLOPE_TAILS = 2.5
"""Slopes of units scatter like squares of few numbers (excess kurtosis 3-6 on a cubic network),
which leaves their variance so many times fewer degrees of freedom."""

FRAMES_USED = 0.8
"""Runs of unequal length are cut into units of the greatest length that uses so many frames."""

ORIGINS_PER_LAG = (20, 10, 5, 2)
"""Windows of a lag start at least so often within it; closer ones share most of their way."""

WINDOWS_PER_FRAME = 0.5
FREE_WINDOWS = 5_000_000
"""Curve windows: so many for each frame of an ion, and so many more altogether."""

SPARSEST = 64
"""Time origins of short lags are thinned to one in so many frames at most."""

BLOCK_BYTES = 1_000_000


@dataclass(frozen=True)
class MsdPlan:
    """What to collect; known before the first frame is read.

    Attributes
    ----------
    unit_frames
        Frames of a unit: what the bootstrap draws. No window of the fit leaves its unit.
    fit_lags, fit_strides
        Lags of the linear fit in frames, and the distance of their time origins.
    curve_lags, curve_strides
        The same for the curve; its windows run over all of a trajectory.
    interval_ps
        Frame interval.
    """

    unit_frames: int
    fit_lags: IntArray
    fit_strides: IntArray
    curve_lags: IntArray
    curve_strides: IntArray
    interval_ps: float

    def describe(self) -> str:
        """Return the method in words, for the result."""
        begin, end = self.fit_lags[0] * self.interval_ps, self.fit_lags[-1] * self.interval_ps
        return f"mean-square displacement, linear fit from {begin:.4g} to {end:.4g} ps"

    def bytes_for(self, n_ions: int) -> int:
        """Return the memory that an accumulator takes: positions remembered, and sums."""
        groups = group_number(n_ions)
        return sum(
            12 * len(np.unique(strides)) * _slots(lags, strides) * n_ions + 48 * len(lags) * groups
            for lags, strides in (
                (self.fit_lags, self.fit_strides),
                (self.curve_lags, self.curve_strides),
            )
        )


@dataclass(frozen=True)
class MsdMoments:
    """Mean products of displacement components of one trajectory, Å²; xx, yy, zz, yz, xz, xy.

    ``units`` (n_units, n_fit_lags, 6), one unit for each ion and time block; ``curve``
    (n_ions, n_curve_lags, 6), NaN at lags the trajectory is too short for. Of very many ions,
    groups stand in for single ones (:func:`.groups.group_number`).
    """

    units: FloatArray
    curve: FloatArray


def plan_msd(
    frames: Sequence[int],
    ions: Sequence[int],
    blocks: int,
    interval_ps: float,
    memory_mb: float = 512,
) -> MsdPlan:
    """Choose units, lags and time origins.

    Fit lags are linear in the fit window, curve lags reach half a run. A unit is a whole run
    where all trajectories together have ten ions, else one of ``blocks`` parts of it, or of as
    many more as make ten units. Time origins lie within a twentieth of the lag, farther apart
    for the shortest lags of long trajectories (about half a window per frame altogether) and
    where the positions to be remembered would take more than a quarter of the memory.

    Parameters
    ----------
    frames, ions
        Number of frames and of ions of each trajectory.
    blocks
        Time blocks to use where ions are few.
    interval_ps
        Frame interval.
    memory_mb
        Memory of the whole analysis.
    """
    run = _common_length(frames)
    wanted = 1 if sum(ions) >= ENOUGH_IONS else max(blocks, -(-ENOUGH_IONS // sum(ions)))
    parts = max(1, min(wanted, run // 20))
    length = run // parts
    high = max(int(FIT_WINDOW[1] * length), 1)
    low = max(int(FIT_WINDOW[0] * length), 1)
    low = max(low, min(int(np.ceil(SHORTEST_FIT_PS / interval_ps)), high // 2))
    fit = np.unique(np.rint(np.linspace(low, high, FIT_LAGS)).astype(np.int64))
    half = max(run // 2, 1)
    curve = np.unique(
        np.rint(np.concatenate([np.geomspace(1, half, 30), np.linspace(1, half, 30)]))
    ).astype(np.int64)
    for origins in ORIGINS_PER_LAG:
        plan = MsdPlan(
            unit_frames=length,
            fit_lags=fit,
            fit_strides=_strides(fit, origins, 1),
            curve_lags=curve,
            curve_strides=_curve_strides(curve, origins, max(frames), max(ions)),
            interval_ps=interval_ps,
        )
        if plan.bytes_for(max(ions)) <= memory_mb * 1e6 / 4:
            break
    return plan


def _common_length(frames: Sequence[int]) -> int:
    """Greatest length into which the runs can be cut so that most frames are used."""
    total = sum(frames)
    parts = range(1, min(max(frames) // max(min(frames), 1), 100) + 2)
    for length in sorted({n // k for n in frames for k in parts if n >= k}, reverse=True):
        if sum(n // length * length for n in frames) >= FRAMES_USED * total:
            return length
    return max(min(frames), 1)


def _strides(lags: IntArray, origins: int, least: int) -> IntArray:
    """Powers of two, at most ``lag / origins`` but not below ``least`` (a power of two)."""
    exponents = np.floor(np.log2(np.maximum(lags / origins, least)))
    return np.asarray(2 ** exponents.astype(np.int64))


def _curve_strides(lags: IntArray, origins: int, frames: int, ions: int) -> IntArray:
    """Strides of which the shortest are such that the windows stay affordable."""
    least = 1
    while True:
        strides = _strides(lags, origins, least)
        windows = (np.maximum(frames - lags, 0) / strides).sum()
        if windows <= WINDOWS_PER_FRAME * frames + FREE_WINDOWS / ions or least == SPARSEST:
            return strides
        least *= 2


def _slots(lags: IntArray, strides: IntArray) -> int:
    """Origins to remember so that none in use is overwritten."""
    return int((-(-lags // strides)).max()) + 1


class _Windows:
    """Sums over the windows of a stream of frames; memory does not grow with the stream."""

    def __init__(self, lags: IntArray, strides: IntArray, n_ions: int) -> None:
        self._lags = lags
        self._stride, self._level = np.unique(strides, return_inverse=True)
        shape = (len(self._stride), _slots(lags, strides), n_ions, 3)
        self._rings = np.zeros(shape, dtype=np.float32)
        groups = group_number(n_ions)
        self._ions = np.bincount(np.arange(n_ions) % max(groups, 1), minlength=groups)
        self.reset()

    def reset(self) -> None:
        """Begin new sums; the origins remembered stay."""
        self._sums = np.zeros((len(self._lags), 6, len(self._ions)))
        self._windows = np.zeros(len(self._lags), dtype=np.int64)

    def add(self, x: Positions, first: int, start: int) -> None:
        """Add frames ``first``, …; windows begin at frame ``start`` or later."""
        add_windows(
            x, first, start, self._lags, self._level, self._stride,
            self._rings, self._sums, self._windows,
        )  # fmt: skip

    def mean(self) -> FloatArray:
        """Return the mean products, (n_groups, n_lags, 6); NaN without a window."""
        number = np.where(self._windows > 0, self._windows, np.nan)[:, None, None] * self._ions
        return np.ascontiguousarray((self._sums / number).transpose(2, 0, 1))


class MsdAccumulator:
    """Takes the frames of one trajectory once, in order, and keeps second moments.

    As in a multiple-tau correlator (Ramírez et al., J. Chem. Phys. 133, 154103 (2010)) recent
    positions are remembered the more sparsely the longer the lag, but none are averaged: the
    moments are those of the frames themselves, over windows spread evenly over the trajectory.

    Parameters
    ----------
    plan
        What to collect.
    n_ions
        Number of ions.
    """

    def __init__(self, plan: MsdPlan, n_ions: int) -> None:
        self._plan = plan
        self._fit = _Windows(plan.fit_lags, plan.fit_strides, n_ions)
        self._curve = _Windows(plan.curve_lags, plan.curve_strides, n_ions)
        self._units: list[FloatArray] = []
        self._n_ions = n_ions
        self._n_frames = 0

    def add(self, positions: Positions) -> None:
        """Take the next frames, (n, n_ions, 3), Å, unwrapped; single precision is enough."""
        x = np.ascontiguousarray(positions)
        if x.ndim != 3 or x.shape[1:] != (self._n_ions, 3):
            raise ValueError(f"expected positions of {self._n_ions} ions, got shape {x.shape}")
        self._curve.add(x, self._n_frames, 0)
        length = self._plan.unit_frames
        while len(x):
            unit, inside = divmod(self._n_frames, length)
            part = x[: length - inside]
            self._fit.add(part, self._n_frames, unit * length)
            self._n_frames += len(part)
            x = x[len(part) :]
            if self._n_frames % length == 0:
                self._units.append(self._fit.mean())
                self._fit.reset()

    def finish(self) -> MsdMoments:
        """Return the moments; an unfinished unit counts only where there is no other."""
        if not self._units:
            self._units.append(self._fit.mean())
        units = np.concatenate(self._units)
        return MsdMoments(units[np.isfinite(units).all(axis=(1, 2))], self._curve.mean())


def site_blocks(paths: SitePaths, lattice: SiteLattice) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the positions of the sites the ions are on, frame by frame, in blocks.

    The blocks are (n, n_ions, 3), Å, about a megabyte each. All ions must have equally many
    frames, as those of one trajectory do.
    """
    frames = int(paths.frames.max(initial=0))
    places = (lattice.positions[paths.site] + paths.image @ lattice.cell).astype(np.float32)
    run = paths.first_run[:-1].copy()
    change = np.zeros(paths.n_ions, dtype=np.int64)
    current = np.zeros((paths.n_ions, 3), dtype=np.float32)
    size = max(16, BLOCK_BYTES // (12 * max(paths.n_ions, 1)))
    for begin in range(0, frames, size):
        out = np.empty((min(size, frames - begin), paths.n_ions, 3), dtype=np.float32)
        fill_frames(places, paths.first_run, paths.start, begin, run, change, current, out)
        yield out


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
    moments: Sequence[MsdMoments], plan: MsdPlan, frames: int
) -> tuple[FloatArray, FloatArray]:
    """Return the MSD (Å²) over the curve lags and its standard error.

    From the scatter of the ions where there are at least five, else from the variance of a
    time-averaged MSD of Brownian motion, (4/9) t/T relative to its square in three dimensions
    for short t (Qian, Sheetz & Elson, Biophys. J. 60, 910 (1991)). ``frames`` is the length of
    a trajectory.
    """
    msd = np.concatenate([part.curve for part in moments])[..., :3].sum(axis=-1)
    seen = np.isfinite(msd)
    ions = seen.sum(axis=0)
    mean = np.where(seen, msd, 0.0).sum(axis=0) / ions
    lags = plan.curve_lags
    relative = np.sqrt(4.0 / 9.0 * lags / np.maximum(frames - lags, 1) / ions)
    scatter = np.where(seen, (msd - mean) ** 2, 0.0).sum(axis=0) / np.maximum(ions - 1, 1)
    error = np.where(ions >= 5, np.sqrt(scatter / ions), mean * np.minimum(relative, 1.0))
    return mean, error


def msd_tensor(
    moments: Sequence[MsdMoments], plan: MsdPlan, samples: int, seed: int
) -> tuple[FloatArray, FloatArray, int]:
    """Return D (3, 3), bootstrap samples of its six components, cm²/s, and the number of units.

    The line is fitted in every unit by itself (a whole run of one ion, or one of its time
    blocks, with no window across blocks) and the units are averaged. Windows inside a unit
    overlap and are strongly correlated, units are not: their scatter is the error.
    """
    every = np.concatenate([part.units for part in moments])
    slopes = fit_tensors(every, plan.fit_lags, plan.interval_ps)
    units = len(slopes)
    drawn = np.array([w @ slopes / units for w in bootstrap_weights(units, samples, seed)])
    return six_to_tensor(slopes.mean(axis=0)), drawn, units


def slope_freedom(units: int) -> float:
    """Return the degrees of freedom of the error of :func:`msd_tensor`, for ``summarise``."""
    return (units - 1) / SLOPE_TAILS
