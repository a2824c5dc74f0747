import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.assignment import SiteAssigner
from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.estimation import ReversibleEstimator
from aiida_limsm.markov.model import estimate_model
from aiida_limsm.markov.paths import SitePaths


def paths_of(x, lattice, rule="core"):
    assigner = SiteAssigner(lattice, x.shape[1], rule)
    assigner.add(x)
    return assigner.finish()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), lag=st.integers(1, 40), blocks=st.integers(1, 4))
def test_window_counts_equal_a_loop_over_frames(toolbox, seed, lag, blocks):
    net = toolbox.d03(0.8)
    sites, images = net.walk(3, 60, 0.3, seed)
    x = net.lattice.positions[sites] + images @ net.lattice.cell
    counts = count_transitions(paths_of(x, net.lattice), 3, lag, blocks)
    wanted: dict[tuple, int] = {}
    for ion in range(3):
        for t in range(60 - lag):
            block = next(b for b in range(blocks) if t < (b + 1) * (60 - lag) // blocks)
            n = images[t + lag, ion] - images[t, ion]
            key = (ion * blocks + block, sites[t, ion], sites[t + lag, ion], *n)
            wanted[key] = wanted.get(key, 0) + 1
    got = {
        (u, counts.from_site[c], counts.to_site[c], *counts.image[c]): n
        for u, c, n in zip(counts.unit, counts.channel, counts.count, strict=True)
    }
    assert got == wanted
    r = counts.reverse
    np.testing.assert_array_equal(r[r], np.arange(counts.n_channels))
    np.testing.assert_array_equal(counts.from_site[r], counts.to_site)
    np.testing.assert_array_equal(counts.image[r], -counts.image)


def test_lag_longer_than_the_paths_is_refused(toolbox):
    lattice = toolbox.lattice(3 * np.eye(3), [[0, 0, 0]])
    with pytest.raises(ValueError, match="no window of 9 frames"):
        count_transitions(paths_of(np.zeros((9, 1, 3)), lattice), 1, 9)


def test_estimate_is_deeptimes_maximum_likelihood_summed_over_cells(toolbox):
    from deeptime.markov.msm import MaximumLikelihoodMSM

    random = np.random.default_rng(4)
    lattice = toolbox.lattice(9 * np.eye(3), 9 * random.uniform(size=(6, 3)))
    net = toolbox.neighbours(lattice, 7.0, random.normal(size=6), 0.4, 4, 1.0)
    x = net.positions(4, 2000, 0.2, seed=2)
    counts = count_transitions(paths_of(x, lattice), 6, 2)
    estimator = ReversibleEstimator(counts, lattice, 0.4)
    estimate = estimator.fit(counts.total())
    summed = np.zeros((6, 6))
    np.add.at(summed, (counts.from_site, counts.to_site), counts.total())
    peer = MaximumLikelihoodMSM(reversible=True, maxerr=1e-12, maxiter=10**6).fit_fetch(summed)
    np.testing.assert_allclose(estimate.stationary, peer.stationary_distribution, atol=1e-8)
    ours = np.zeros((6, 6))
    np.add.at(ours, (counts.from_site, counts.to_site), estimate.flux)
    matrix = ours / estimate.stationary[:, None]
    np.testing.assert_allclose(matrix, peer.transition_matrix, atol=1e-8)


def likelihood(counts, flux, start, n):
    pi = np.bincount(start, flux, n)
    used = counts > 0
    return float((counts[used] * np.log(flux[used] / pi[start[used]])).sum())


def test_estimate_maximises_the_likelihood_with_jump_vectors(toolbox):
    net = toolbox.d03(0.6)
    x = net.positions(3, 400, 0.3, seed=8)
    counts = count_transitions(paths_of(x, net.lattice), 3, 1)
    total = counts.total()
    flux = ReversibleEstimator(counts, net.lattice, 0.3).fit(total).flux
    np.testing.assert_allclose(flux, flux[counts.reverse])  # detailed balance, jump by jump
    best = likelihood(total, flux, counts.from_site, 3)
    random = np.random.default_rng(0)
    for _ in range(200):
        factor = np.exp(0.02 * random.normal(size=len(flux)))
        other = flux * np.sqrt(factor * factor[counts.reverse])
        assert likelihood(total, other / other.sum(), counts.from_site, 3) <= best + 1e-9


def test_disconnected_sets_are_weighted_by_their_ions(toolbox):
    # two separate chains along x with different rates; three ions on one, one on the other
    lattice = toolbox.lattice(np.diag([2.5, 20.0, 20.0]), [[0, 0, 0], [0, 10, 10]])
    random = np.random.default_rng(0)
    steps = random.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(3000, 4))
    steps[:, 3] *= np.arange(3000) % 2 == 0
    x = np.zeros((3000, 4, 3))
    x[..., 0] = 2.5 * np.cumsum(steps, axis=0)
    x[:, 3, 1:] = 10.0
    counts = count_transitions(paths_of(x, lattice), 2, 1)
    model = estimate_model(counts, lattice, 1.0)
    np.testing.assert_allclose(model.stationary_distribution, [0.75, 0.25], atol=1e-3)
    wanted = (0.75 * 0.1 + 0.25 * 0.05) * 2.5**2 / 2 * 1e-4
    assert model.diffusion_tensor()[0, 0] == pytest.approx(wanted, rel=0.1)
    assert len(set(model.connected_sets)) == 2


def test_no_way_back_takes_the_populations(toolbox):
    lattice = toolbox.lattice(6 * np.eye(3), [[0, 0, 0], [3, 3, 3]])
    x = np.zeros((100, 2, 3))
    x[60:, 0] = 3.0
    counts = count_transitions(paths_of(x, lattice), 2, 1)
    estimate = ReversibleEstimator(counts, lattice, 1.0).fit(counts.total())
    assert estimate.one_way == 1
    assert estimate.flux.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(estimate.stationary, [0.8, 0.2], atol=0.01)


def test_unseen_sites_do_no_harm(toolbox):
    net = toolbox.d03(0.5)
    grown = net.lattice.expand(np.diag([2, 2, 2]))
    x = grown.positions[0] + np.zeros((50, 1, 3))
    counts = count_transitions(paths_of(x, grown), grown.n_sites, 3)
    model = estimate_model(counts, grown, 1.0)
    assert model.stationary_distribution.sum() == pytest.approx(1.0)
    assert np.abs(model.diffusion_tensor()).max() == 0.0
    assert len(model.timescales()) == 0
    assert model.msd([5.0])[0] == 0.0


def test_sparse_and_dense_solvers_agree(toolbox, monkeypatch):
    net = toolbox.d03(0.5)
    lattice = net.lattice.expand(np.diag([2, 2, 2]))
    x = net.positions(6, 1500, 0.3, seed=3)
    paths = paths_of(x, lattice)
    counts = count_transitions(paths, lattice.n_sites, 2)
    estimator = ReversibleEstimator(counts, lattice, 0.6)
    dense = estimator.diffusion_tensor(estimator.fit(counts.total()))
    monkeypatch.setattr("aiida_limsm.markov.linear.DENSE_SITES", 1)
    np.testing.assert_allclose(
        estimator.diffusion_tensor(estimator.fit(counts.total())), dense, atol=1e-12
    )


def test_pooled_and_expanded_models_agree_on_long_walks(toolbox):
    net = toolbox.d03(1.0)
    x = net.positions(30, 4000, 0.2, seed=6)
    exact = np.trace(net.diffusion()) / 3
    for lattice in (net.lattice, net.lattice.expand(np.diag([2, 1, 1]))):
        counts = count_transitions(paths_of(x, lattice), lattice.n_sites, 1)
        model = estimate_model(counts, lattice, 0.2)
        assert np.trace(model.diffusion_tensor()) / 3 == pytest.approx(exact, rel=0.05)


def test_replicas_are_counted_together(toolbox):
    net = toolbox.d03(0.5)
    one = paths_of(net.positions(2, 100, 0.3, seed=1), net.lattice)
    two = paths_of(net.positions(3, 70, 0.3, seed=2), net.lattice)
    both = SitePaths.concatenate([one, two])
    total = count_transitions(both, 3, 4).total().sum()
    assert total == 2 * 96 + 3 * 66
    assert both.n_jumps == one.n_jumps + two.n_jumps
