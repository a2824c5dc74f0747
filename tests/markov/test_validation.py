import time

import numpy as np
import pytest

from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.model import MarkovModel, estimate_model
from aiida_limsm.markov.paths import SitePaths
from aiida_limsm.markov.validation import chapman_kolmogorov, return_probabilities


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


def chain_on_a_line(toolbox, p):
    """One site: a step to either side with probability p."""
    lattice = toolbox.lattice(np.diag([2.5, 20.0, 20.0]), [[0, 0, 0]])
    return MarkovModel(
        lattice=lattice,
        lag_ps=1.0,
        from_site=np.zeros(3, dtype=np.int64),
        to_site=np.zeros(3, dtype=np.int64),
        image=np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]]),
        flux=np.array([1 - 2 * p, p, p]),
    )


def test_return_probability_of_a_walk_on_a_line(toolbox):
    model = chain_on_a_line(toolbox, 0.2)
    step = np.array([0.2, 0.6, 0.2])
    whole = np.array([1.0])
    wanted = []
    for _ in range(6):
        whole = np.convolve(whole, step)
        wanted.append(whole[len(whole) // 2])
    found = return_probabilities(model, np.arange(1, 7))
    np.testing.assert_allclose(found[:, 0], wanted, atol=1e-12)


def test_fourier_and_sparse_routes_agree(toolbox, monkeypatch):
    random = np.random.default_rng(3)
    cell = np.diag([4.0, 5.0, 6.0])
    net = toolbox.neighbours(
        toolbox.lattice(cell, random.uniform(size=(4, 3)) @ cell), 4.2, random.normal(size=4), 0.3
    )
    sites, images = net.walk(20, 3000, 0.2, seed=1)
    counts = count_transitions(paths_of(sites, images), 4, 2)
    model = estimate_model(counts, net.lattice, 0.4)
    multiples = np.array([1, 2, 3, 5])
    dense = return_probabilities(model, multiples)
    monkeypatch.setattr("aiida_limsm.markov.validation.FULL_SITES", 1)
    np.testing.assert_allclose(return_probabilities(model, multiples), dense, atol=1e-6)


def test_markov_chain_passes_and_the_error_covers_the_deviation(toolbox):
    net = toolbox.d03(0.4)
    sites, images = net.walk(40, 20_000, 0.1, seed=5)
    paths = paths_of(sites, images)
    model = estimate_model(count_transitions(paths, 3, 5), net.lattice, 0.5)
    began = time.process_time()
    test = chapman_kolmogorov(model, paths, 5, ("4b", "8c", "8c"), multiples=(1, 2, 3, 5, 100_000))
    assert time.process_time() - began < 2.0
    assert test.groups == ("4b", "8c")
    np.testing.assert_allclose(test.lag_ps, [0.5, 1.0, 1.5, 2.5])
    assert test.predicted.shape == test.observed.shape == test.error.shape == (4, 2)
    assert test.max_deviation < 0.02
    assert test.max_deviation_sigma < 4.0
    assert test.max_deviation == np.abs(test.predicted - test.observed).max()


def test_hidden_memory_fails(toolbox):
    # every jump is followed by the jump back: no Markov chain over sites
    lattice = toolbox.lattice(np.diag([2.5, 20.0, 20.0]), [[0, 0, 0]])
    random = np.random.default_rng(0)
    images = np.zeros((6000, 30, 3), dtype=np.int64)
    phase = random.integers(0, 20, size=30)
    images[:, :, 0] = ((np.arange(6000)[:, None] + phase) // 10) % 2
    paths = paths_of(np.zeros((6000, 30), dtype=np.int64), images)
    model = estimate_model(count_transitions(paths, 1, 4), lattice, 4.0)
    test = chapman_kolmogorov(model, paths, 4, ("1a",))
    assert test.max_deviation > 0.2
    assert test.max_deviation_sigma > 5


def test_unseen_groups_and_short_paths(toolbox):
    lattice = toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0], [1.5, 1.5, 1.5]])
    still = paths_of(np.zeros((10, 1), dtype=np.int64), np.zeros((10, 1, 3), dtype=np.int64))
    model = estimate_model(count_transitions(still, 2, 2), lattice, 2.0)
    test = chapman_kolmogorov(model, still, 2, ("a", "b"), blocks=1)
    assert test.max_deviation == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(test.predicted[:, 1]).all()
    assert np.isnan(test.max_deviation_sigma)
    with pytest.raises(ValueError, match="no multiple of the lag"):
        chapman_kolmogorov(model, still, 20, ("a", "b"))
