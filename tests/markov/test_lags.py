from types import SimpleNamespace

import numpy as np
import pytest

from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.errors import bootstrap_weights, tensor_to_six
from aiida_limsm.markov.estimation import ReversibleEstimator
from aiida_limsm.markov.fitting import fit_with_errors, scan_lags
from aiida_limsm.markov.lags import choose_lag
from aiida_limsm.markov.model import model_from
from aiida_limsm.markov.operations import site_operations
from aiida_limsm.markov.paths import SitePaths
from aiida_limsm.markov.pooling import pool_counts


def paths_of(sites, images):
    """Runs of exact site sequences (frames, ions)."""
    new = np.ones(sites.shape, dtype=bool)
    new[1:] = (sites[1:] != sites[:-1]) | (images[1:] != images[:-1]).any(axis=-1)
    ion, frame = np.nonzero(new.T)
    return SitePaths(
        first_run=np.concatenate([[0], np.cumsum(new.sum(axis=0))]),
        start=frame,
        site=sites[frame, ion],
        image=images[frame, ion],
        frames=np.full(sites.shape[1], len(sites)),
    )


@pytest.fixture(scope="module")
def walked(toolbox):
    net = toolbox.d03(0.6, bias=1.2)
    return SimpleNamespace(net=net, paths=paths_of(*net.walk(20, 4000, 0.2, seed=9)))


def test_draws_fitted_together_are_the_draws_fitted_one_by_one(walked):
    lattice = walked.net.lattice
    fit = fit_with_errors(walked.paths, lattice, 4, 5, 0.2, 30, seed=3)
    counts = count_transitions(walked.paths, 3, 4, 5)
    estimator = ReversibleEstimator(counts, lattice, 0.8)
    scales = []
    for row, weights in enumerate(bootstrap_weights(counts.n_units, 30, 3)):
        estimate = estimator.fit(counts.total(weights))
        six = tensor_to_six(estimator.diffusion_tensor(estimate))
        np.testing.assert_allclose(fit.samples[row], six, rtol=1e-7, atol=1e-14)
        six = tensor_to_six(estimator.diffusion_tensor(estimate, correlated=False))
        np.testing.assert_allclose(fit.uncorrelated_samples[row], six, rtol=1e-7, atol=1e-14)
        scales.append(model_from(counts, estimate, lattice, 0.8).timescales()[0])
    assert fit.timescale_errors_ps[0] == pytest.approx(np.std(scales, ddof=1), rel=1e-5)
    factors = fit.samples[:, :3].sum(axis=1) / fit.uncorrelated_samples[:, :3].sum(axis=1)
    assert fit.correlation_factor_error == pytest.approx(factors.std(ddof=1))
    assert fit.correlation_factor == pytest.approx(
        np.trace(fit.tensor) / np.trace(fit.uncorrelated)
    )


def test_draws_of_pooled_counts(walked):
    lattice = walked.net.lattice
    operations = site_operations(lattice)
    assert len(operations) > 1

    def pooling(counts):
        return pool_counts(counts, operations)

    fit = fit_with_errors(walked.paths, lattice, 4, 5, 0.2, 10, 3, pooling)
    counts = pooling(count_transitions(walked.paths, 3, 4, 5))
    estimator = ReversibleEstimator(counts, lattice, 0.8)
    for row, weights in enumerate(bootstrap_weights(counts.n_units, 10, 3)):
        six = tensor_to_six(estimator.diffusion_tensor(estimator.fit(counts.total(weights))))
        np.testing.assert_allclose(fit.samples[row], six, rtol=1e-7, atol=1e-13)


def test_large_models_take_conjugate_gradients_and_agree(walked, monkeypatch):
    lattice = walked.net.lattice
    dense = fit_with_errors(walked.paths, lattice, 4, 5, 0.2, 8, seed=3)
    monkeypatch.setattr("aiida_limsm.markov.linear.DENSE_SITES", 1)
    sparse = fit_with_errors(walked.paths, lattice, 4, 5, 0.2, 8, seed=3)
    np.testing.assert_allclose(sparse.samples, dense.samples, rtol=1e-6, atol=1e-14)


def test_scan_has_errors_at_every_lag(walked):
    lags = np.array([1, 3, 10, 40])
    scan = scan_lags(walked.paths, walked.net.lattice, lags, 5, 0.2, 100, seed=0)
    exact = np.trace(walked.net.diffusion()) / 3
    spread = scan.samples.std(axis=0, ddof=1)
    assert scan.samples.shape == (60, 4)
    assert (np.abs(scan.values - exact) < 5 * spread).all()
    assert scan.timescales_ps.shape == scan.timescale_errors_ps.shape
    # from the generator: the slowest relaxation of the cell
    net = walked.net
    q = np.zeros((3, 3))
    np.add.at(q, (net.start, net.end), net.rate)
    q -= np.diag(q.sum(axis=1))
    slowest = -1 / np.sort(np.linalg.eigvals(q).real)[-2]
    assert np.abs(scan.timescales_ps[0, 0] - slowest) < 6 * scan.timescale_errors_ps[0, 0]


def test_still_ions_have_no_correlation_factor(toolbox):
    lattice = toolbox.lattice(4 * np.eye(3), [[0, 0, 0], [2, 2, 2]])
    still = paths_of(np.zeros((50, 2), dtype=np.int64), np.zeros((50, 2, 3), dtype=np.int64))
    fit = fit_with_errors(still, lattice, 2, 2, 1.0, 10, seed=0)
    assert np.isnan(fit.correlation_factor)
    assert np.isnan(fit.correlation_factor_error)
    assert len(fit.timescales_ps) == 0
    scan = scan_lags(still, lattice, np.array([1, 2]), 2, 1.0, 10, seed=0)
    assert scan.timescales_ps.shape == (2, 0)
    assert choose_lag(np.array([1.0, 2.0]), scan.values, scan.samples).plateau
