"""Fit the model at one lag or over many, with bootstrap samples.

All draws of a bootstrap are fitted together: their weights times a table of moments per unit are a
stack of counts, which estimator and solvers take as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray, sum_by
from .counts import TransitionCounts, count_transitions
from .errors import COMPONENTS, bootstrap_weights, tensor_to_six
from .estimation import Estimate, ReversibleEstimator
from .model import MarkovModel, model_from
from .packed import unique_keys
from .paths import SitePaths
from .sites import SiteLattice
from .spectrum import Spectrum, timescales_of

__all__ = ["Fit", "LagScan", "fit_with_errors", "scan_lags"]


SCAN_SAMPLES = 60
LARGE_MODEL = 300
LARGE_MODEL_SAMPLES = 20
MAX_TIMESCALES = 10
SCAN_TIMESCALES = 5
RITZ_VECTORS = 30
STACK_SIZE = 2_000_000
"""Draws × moments fitted at once: bounds the memory."""

Pooling = Callable[[TransitionCounts], TransitionCounts]


@dataclass(frozen=True)
class Fit:
    """A model at one lag with bootstrap samples of what follows from it.

    Attributes
    ----------
    model
        Fitted to all counts.
    tensor, samples
        D, (3, 3), and samples of its six components, (n_samples, 6), cm²/s.
    uncorrelated, uncorrelated_samples
        The same with successive jumps taken as independent, from the same draws.
    correlation_factor, correlation_factor_error
        f = tr D / tr D_uncorrelated; its error covers what both share. NaN without jumps.
    spectrum
        The slowest processes of the model.
    timescales_ps, timescale_errors_ps
        Implied timescales, slowest first, shape (k,); an error is NaN where half of the draws
        or more have no such timescale.
    units
        Number of (ion, time block) units drawn from.
    one_way
        Number of connected sets without a way back.
    """

    model: MarkovModel
    tensor: FloatArray
    samples: FloatArray
    uncorrelated: FloatArray
    uncorrelated_samples: FloatArray
    correlation_factor: float
    correlation_factor_error: float
    spectrum: Spectrum
    timescales_ps: FloatArray
    timescale_errors_ps: FloatArray
    units: int
    one_way: int


@dataclass(frozen=True)
class LagScan:
    """The model over the lag time.

    Attributes
    ----------
    lags, lags_ps
        In frames and in ps, shape (n_lags,).
    values, samples
        tr D / 3, shape (n_lags,), and bootstrap samples of it, (n_samples, n_lags), cm²/s; the
        same draws at every lag, so that noise common to two lags cancels in their difference.
    timescales_ps, timescale_errors_ps
        Slowest implied timescales, shape (n_lags, k), NaN where there are fewer.
    """

    lags: IntArray
    lags_ps: FloatArray
    values: FloatArray
    samples: FloatArray
    timescales_ps: FloatArray
    timescale_errors_ps: FloatArray


@dataclass(frozen=True)
class _Samples:
    """A fit at one lag and what its draws gave; tensors in cm²/s."""

    model: MarkovModel
    estimate: Estimate
    tensor: FloatArray
    uncorrelated: FloatArray
    tensors: FloatArray
    uncorrelated_tensors: FloatArray
    spectrum: Spectrum
    timescales: FloatArray
    timescale_errors: FloatArray


def scan_lags(
    paths: SitePaths,
    lattice: SiteLattice,
    lags: IntArray,
    blocks: int,
    interval: float,
    bootstrap_samples: int,
    seed: int,
    pooling: Pooling | None = None,
) -> LagScan:
    """Fit the model at every lag.

    Parameters
    ----------
    paths, lattice
        Site sequences and the sites.
    lags
        In frames, shape (n_lags,).
    blocks
        Time blocks of the bootstrap.
    interval
        Time between frames, ps.
    bootstrap_samples
        At most; 60 are enough to compare lags, 20 for large models.
    seed
        Of the draws.
    pooling
        Applied to the counts, such as :func:`.pooling.pool_counts` with its operations.
    """
    most = SCAN_SAMPLES if lattice.n_sites < LARGE_MODEL else LARGE_MODEL_SAMPLES
    number = min(bootstrap_samples, most)
    values, drawn, scales, errors = [], [], [], []
    for lag in lags:
        counts = count_transitions(paths, lattice.n_sites, int(lag), blocks)
        counts = counts if pooling is None else pooling(counts)
        fit = _sampled(counts, lattice, float(lag) * interval, number, seed, SCAN_TIMESCALES)
        # the models themselves are let go: those of long lags have very many channels
        values.append(np.trace(fit.tensor) / 3)
        drawn.append(_third(fit.tensors))
        scales.append(fit.timescales)
        errors.append(fit.timescale_errors)
        del counts, fit
    return LagScan(
        lags=lags,
        lags_ps=np.asarray(lags * interval, dtype=np.float64),
        values=np.array(values),
        samples=np.stack(drawn, axis=1),
        timescales_ps=_padded(scales),
        timescale_errors_ps=_padded(errors),
    )


def fit_with_errors(
    paths: SitePaths,
    lattice: SiteLattice,
    lag: int,
    blocks: int,
    interval: float,
    bootstrap_samples: int,
    seed: int,
    pooling: Pooling | None = None,
) -> Fit:
    """Fit the model at one ``lag`` (frames) with errors; the rest as in :func:`scan_lags`."""
    counts = count_transitions(paths, lattice.n_sites, lag, blocks)
    counts = counts if pooling is None else pooling(counts)
    fit = _sampled(counts, lattice, lag * interval, bootstrap_samples, seed, MAX_TIMESCALES)
    whole, factors = np.trace(fit.uncorrelated), _third(fit.uncorrelated_tensors)
    factors = _third(fit.tensors)[factors > 0] / factors[factors > 0]
    return Fit(
        model=fit.model,
        tensor=fit.tensor,
        samples=tensor_to_six(fit.tensors),
        uncorrelated=fit.uncorrelated,
        uncorrelated_samples=tensor_to_six(fit.uncorrelated_tensors),
        correlation_factor=float(np.trace(fit.tensor) / whole) if whole > 0 else np.nan,
        correlation_factor_error=float(factors.std(ddof=1)) if len(factors) > 1 else np.nan,
        spectrum=fit.spectrum,
        timescales_ps=fit.timescales,
        timescale_errors_ps=fit.timescale_errors,
        units=counts.n_units,
        one_way=int(fit.estimate.one_way),
    )


def _sampled(
    counts: TransitionCounts,
    lattice: SiteLattice,
    lag_ps: float,
    samples: int,
    seed: int,
    timescales: int,
) -> _Samples:
    estimator = ReversibleEstimator(counts, lattice, lag_ps)
    full = estimator.fit(counts.total())
    model = model_from(counts, full, lattice, lag_ps)
    spectrum = model.spectrum(max(RITZ_VECTORS, timescales))
    scales = spectrum.timescales_ps[:timescales]
    scales = scales[np.isfinite(scales)]
    folded, moments = fold_counts(counts, estimator.vectors)
    draws = ReversibleEstimator(folded, lattice, lag_ps)
    weights = np.stack(list(bootstrap_weights(counts.n_units, samples, seed)))
    size = max(1, STACK_SIZE // moments.shape[1])
    tensors, uncorrelated, drawn = [], [], []
    for begin in range(0, samples, size):
        stack = np.asarray(weights[begin : begin + size] @ moments)
        stack = stack.reshape(len(stack), 10, folded.n_channels)
        estimate = draws.fit(stack[:, 0], full)
        drift, second = _jump_moments(stack, estimate, draws, folded.reverse)
        tensors.append(draws.graph.tensors(estimate.flux, drift, second))
        uncorrelated.append(second)
        drawn.append(_ritz_timescales(folded, estimate, model, spectrum)[:, : len(scales)])
    unit = ANGSTROM2_PER_PS_TO_CM2_PER_S / lag_ps
    return _Samples(
        model=model,
        estimate=full,
        tensor=estimator.diffusion_tensor(full),
        uncorrelated=estimator.diffusion_tensor(full, correlated=False),
        tensors=np.concatenate(tensors) * unit,
        uncorrelated_tensors=np.concatenate(uncorrelated) * unit,
        spectrum=spectrum,
        timescales=scales,
        timescale_errors=_spread(np.concatenate(drawn)),
    )


def fold_counts(
    counts: TransitionCounts, vectors: FloatArray
) -> tuple[TransitionCounts, sparse.csr_matrix]:
    """Sum the counts over cells; keep of the jump vectors what D needs, their moments.

    The fluxes of all channels (i, j, n) of one (i, j) are in proportion to their symmetrised
    counts, so that Σ C, Σ C d and Σ C d⊗d are enough, however many cells a long lag reaches.

    Returns
    -------
    folded
        Channels (i, j), closed under reversal, without records.
    moments
        Per unit, (n_units, 10 · n_folded): Σ C; its products with d_x, d_y, d_z; and with the six
        components of d ⊗ d.
    """
    keys, kind = unique_keys(counts.from_site * counts.n_sites + counts.to_site)
    start, end = keys // counts.n_sites, keys % counts.n_sites
    number, none = len(keys), np.zeros(0, dtype=np.int64)
    folded = TransitionCounts(
        lag=counts.lag,
        n_sites=counts.n_sites,
        n_units=counts.n_units,
        from_site=start,
        to_site=end,
        image=np.zeros((number, 3), dtype=np.int64),
        reverse=np.searchsorted(keys, end * counts.n_sites + start),
        unit=none,
        channel=none,
        count=none.astype(np.float64),
    )
    return folded, _moments(counts, vectors, kind, number)


def _moments(
    counts: TransitionCounts, vectors: FloatArray, kind: IntArray, number: int
) -> sparse.csr_matrix:
    """Return the moments of :func:`fold_counts`; ``kind`` (n_channels,) is the folded channel."""
    first = [(), (0,), (1,), (2,), *COMPONENTS]
    values = (vectors[:, list(axes)].prod(axis=1) for axes in first)
    if counts.orbit is not None:
        # counts pooled over the space group stand on one channel of an orbit and belong to all
        share = np.stack(list(values), axis=1) / counts.orbit_sizes[counts.orbit][:, None]
        columns = np.arange(10) * number + kind[:, None]
        per_orbit = sparse.csr_matrix(
            (share.reshape(-1), (np.repeat(counts.orbit, 10), columns.reshape(-1))),
            shape=(len(counts.orbit_sizes), 10 * number),
        )
        table = sparse.csr_matrix(
            (counts.count, (counts.unit, counts.orbit[counts.channel])),
            shape=(counts.n_units, per_orbit.shape[0]),
        )
        return (table @ per_orbit).tocsr()
    # one moment after the other: at long lags there are far more channels than folded ones
    cells, place = unique_keys(counts.unit * number + kind[counts.channel])
    data = [sum_by(place, counts.count * value[counts.channel], len(cells)) for value in values]
    columns = np.arange(10)[:, None] * number + cells % number
    rows = np.broadcast_to(cells // number, columns.shape)
    return sparse.csr_matrix(
        (np.concatenate(data), (rows.reshape(-1), columns.reshape(-1))),
        shape=(counts.n_units, 10 * number),
    )


def _jump_moments(
    stack: FloatArray, estimate: Estimate, estimator: ReversibleEstimator, reverse: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return Σ x d per site, (n_draws, n_sites, 3), and ½ Σ x d ⊗ d, (n_draws, 3, 3)."""
    symmetric = stack[:, 0] + stack[:, 0][:, reverse]
    ratio = np.divide(estimate.flux, symmetric, out=np.zeros_like(symmetric), where=symmetric > 0)[
        :, None
    ]
    moved = (stack[:, 1:4] - stack[:, 1:4][..., reverse]) * ratio
    square = (stack[:, 4:] + stack[:, 4:][..., reverse]) * ratio
    drift = np.swapaxes(
        estimator.graph.by_site(moved.reshape(-1, len(reverse))).reshape(len(stack), 3, -1), 1, 2
    )
    six = square.sum(axis=2) / 2
    second = np.empty((len(stack), 3, 3))
    for column, (a, b) in enumerate(COMPONENTS):
        second[:, a, b] = second[:, b, a] = six[:, column]
    return drift, second


def _ritz_timescales(
    counts: TransitionCounts, draws: Estimate, model: MarkovModel, spectrum: Spectrum
) -> FloatArray:
    """Return the timescales of drawn models, (n_draws, k), slowest first, NaN where none.

    Rayleigh-Ritz values in the space of the full model's slowest right eigenvectors: exact where
    these are all, else wrong by the square of how far a draw turns them out of that space.
    """
    n, number = model.n_sites, len(draws.flux)
    constant = (model.connected_sets[:, None] == np.unique(model.connected_sets)) * 1.0
    constant = constant[:, model.stationary_distribution @ constant > 0]
    basis = np.concatenate([constant, spectrum.right], axis=1)
    rows = np.arange(number)[:, None] * n + counts.from_site
    columns = np.broadcast_to(counts.to_site, rows.shape)
    flux = sparse.csr_matrix(
        (draws.flux.reshape(-1), (rows.reshape(-1), columns.reshape(-1))), shape=(number * n, n)
    )
    moved = np.asarray(flux @ basis).reshape(number, n, -1)
    transfer = basis.T @ moved
    overlap = basis.T @ (draws.stationary[:, :, None] * basis)
    # a site that a draw never saw leaves a zero in the overlap: its process gets eigenvalue zero
    overlap += 1e-12 * np.eye(basis.shape[1])
    inverse = np.linalg.inv(np.linalg.cholesky(overlap))
    values = np.linalg.eigvalsh(inverse @ transfer @ np.swapaxes(inverse, 1, 2))
    values = values[:, ::-1][:, constant.shape[1] :]
    scales = timescales_of(np.where(values > 1 - 1e-10, 1.0, values), model.lag_ps)
    return np.where(np.isfinite(scales), scales, np.nan)


def _spread(drawn: FloatArray) -> FloatArray:
    """Return the standard deviation of every column, NaN where half or more is missing."""
    enough = 2 * np.isfinite(drawn).sum(axis=0) > max(len(drawn), 2)
    errors = np.full(drawn.shape[1], np.nan)
    errors[enough] = np.nanstd(drawn[:, enough], axis=0, ddof=1)
    return errors


def _third(tensors: FloatArray) -> FloatArray:
    return np.trace(tensors, axis1=1, axis2=2) / 3


def _padded(rows: list[FloatArray]) -> FloatArray:
    """Stack rows of different length, filled up with NaN."""
    table = np.full((len(rows), max(len(row) for row in rows)), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
