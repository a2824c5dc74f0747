"""Fit the model at one lag or over many, with bootstrap samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray
from .counts import count_transitions
from .errors import bootstrap_weights, tensor_to_six
from .estimation import ReversibleEstimator
from .model import MarkovModel, estimate_model
from .paths import SitePaths
from .sites import SiteLattice

__all__ = ["Fit", "fit_with_errors", "scan_lags"]


SCAN_SAMPLES = 60
LARGE_MODEL = 300
MAX_TIMESCALES = 10


@dataclass(frozen=True)
class Fit:
    """A model at one lag, its tensor and bootstrap ``samples`` of it (n_samples, 6), cm²/s.

    ``units`` is the number of (ion, time block) units drawn from, ``one_way`` the number of
    connected sets without a way back. Timescale errors are NaN where they cannot be given.
    """

    model: MarkovModel
    tensor: FloatArray
    samples: FloatArray
    timescales_ps: FloatArray
    timescale_errors_ps: FloatArray
    units: int
    one_way: int


def scan_lags(
    paths: SitePaths,
    lattice: SiteLattice,
    lags: IntArray,
    blocks: int,
    interval: float,
    bootstrap_samples: int,
    seed: int,
) -> tuple[FloatArray, FloatArray]:
    """Return D at every lag and bootstrap samples of it (the same draws at every lag), cm²/s."""
    number = min(bootstrap_samples, SCAN_SAMPLES if lattice.n_sites < LARGE_MODEL else 20)
    values = np.zeros(len(lags))
    samples = np.zeros((number, len(lags)))
    for column, lag in enumerate(lags):
        counts = count_transitions(paths, lattice.n_sites, int(lag), blocks)
        estimator = ReversibleEstimator(counts, lattice, float(lag) * interval)
        full = estimator.diffusion_tensor(estimator.fit(counts.total()))
        values[column] = np.trace(full) / 3
        draws = bootstrap_weights(counts.n_units, number, seed)
        for row, weights in enumerate(draws):
            tensor = estimator.diffusion_tensor(estimator.fit(counts.total(weights)))
            samples[row, column] = np.trace(tensor) / 3
    return values, samples


def fit_with_errors(
    paths: SitePaths,
    lattice: SiteLattice,
    lag: int,
    blocks: int,
    interval: float,
    bootstrap_samples: int,
    seed: int,
) -> Fit:
    """Fit the model at one lag; bootstrap its tensor (n_samples, 6) and timescales."""
    counts = count_transitions(paths, lattice.n_sites, lag, blocks)
    lag_ps = lag * interval
    estimator = ReversibleEstimator(counts, lattice, lag_ps)
    full = estimator.fit(counts.total())
    model = estimate_model(counts, lattice, lag_ps)
    scales = model.timescales(MAX_TIMESCALES)
    small = lattice.n_sites < LARGE_MODEL
    tensors = np.zeros((bootstrap_samples, 6))
    drawn = np.full((bootstrap_samples, len(scales)), np.nan)
    draws = bootstrap_weights(counts.n_units, bootstrap_samples, seed)
    for row, weights in enumerate(draws):
        estimate = estimator.fit(counts.total(weights))
        tensors[row] = tensor_to_six(estimator.diffusion_tensor(estimate))
        if small and len(scales):
            kept = estimate.flux > 0
            drawn_model = MarkovModel(
                lattice, lag_ps, counts.from_site[kept], counts.to_site[kept],
                counts.image[kept], estimate.flux[kept],
            )  # fmt: skip
            found = drawn_model.timescales(len(scales))
            drawn[row, : len(found)] = found
    errors = np.full(len(scales), np.nan)
    for column in range(len(scales)):
        usable = drawn[np.isfinite(drawn[:, column]), column]
        if len(usable) >= bootstrap_samples // 2:
            errors[column] = usable.std(ddof=1)
    return Fit(
        model=model,
        tensor=estimator.diffusion_tensor(full),
        samples=tensors,
        timescales_ps=scales,
        timescale_errors_ps=errors,
        units=counts.n_units,
        one_way=full.one_way,
    )
