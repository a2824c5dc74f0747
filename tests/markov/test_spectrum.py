import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.model import MarkovModel


def exact_model(net, lag):
    """The chain T = 1 + Q lag of a network."""
    pi = net.stationary
    n = net.lattice.n_sites
    flux = pi[net.start] * net.rate * lag
    every = np.arange(n)
    return MarkovModel(
        lattice=net.lattice,
        lag_ps=lag,
        from_site=np.append(net.start, every),
        to_site=np.append(net.end, every),
        image=np.concatenate([net.image, np.zeros((n, 3), dtype=np.int64)]),
        flux=np.append(flux, pi - np.bincount(net.start, flux, n)),
    )


def random_model(toolbox, seed, sites=5):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(4, 6, 3)) + 0.5 * random.normal(size=(3, 3))
    lattice = toolbox.lattice(cell, random.uniform(size=(sites, 3)) @ cell)
    net = toolbox.neighbours(lattice, 4.5, random.normal(size=sites), 0.3, seed, 1.0)
    return exact_model(net, 0.4 / np.bincount(net.start, net.rate).max())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_eigenvectors_are_those_of_the_transition_matrix(toolbox, seed):
    model = random_model(toolbox, seed)
    spectrum = model.spectrum()
    matrix, pi = model.transition_matrix, model.stationary_distribution
    sets = model.connected_sets.max() + 1
    assert spectrum.right.shape == (5, 5 - sets)
    np.testing.assert_allclose(
        matrix @ spectrum.right, spectrum.right * spectrum.eigenvalues, atol=1e-10
    )
    np.testing.assert_allclose(
        matrix.T @ spectrum.left, spectrum.left * spectrum.eigenvalues, atol=1e-10
    )
    np.testing.assert_allclose(
        spectrum.right.T @ (pi[:, None] * spectrum.right), np.eye(5 - sets), atol=1e-9
    )
    assert (np.diff(spectrum.eigenvalues) <= 1e-12).all()
    peak = np.argmax(np.round(np.sqrt(pi)[:, None] * np.abs(spectrum.right), 6), axis=0)
    assert (spectrum.right[peak, np.arange(len(peak))] > 0).all()


def test_degenerate_vectors_do_not_depend_on_the_order_of_channels(toolbox):
    model = exact_model(toolbox.d03(0.3), 0.1).expand(2 * np.eye(3, dtype=int))
    random = np.random.default_rng(0).permutation(len(model.flux))
    other = MarkovModel(
        model.lattice, model.lag_ps, model.from_site[random], model.to_site[random],
        model.image[random], model.flux[random],
    )  # fmt: skip
    np.testing.assert_allclose(model.spectrum(7).right, other.spectrum(7).right, atol=1e-6)


def test_sparse_and_dense_spectra_agree(toolbox, monkeypatch):
    # 81 sites, with degenerate eigenvalues that Lanczos likes to miss
    model = exact_model(toolbox.d03(0.3), 0.1).expand(3 * np.eye(3, dtype=int))
    dense = model.spectrum(10)
    monkeypatch.setattr("aiida_limsm.markov.spectrum.DENSE_SPECTRUM", 10)
    large = model.spectrum(10)
    np.testing.assert_allclose(large.eigenvalues, dense.eigenvalues, atol=1e-9)
    np.testing.assert_allclose(large.timescales_ps, dense.timescales_ps, rtol=1e-5)
    residual = model.sparse_transition_matrix @ large.right - large.right * large.eigenvalues
    assert np.abs(residual).max() < 1e-6
    assert len(model.spectrum().eigenvalues) == 10


def test_unseen_sites_are_zero(toolbox):
    lattice = toolbox.lattice(6 * np.eye(3), [[0, 0, 0], [2, 0, 0], [0, 3, 0]])
    model = MarkovModel(
        lattice, 1.0, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]),
        np.zeros((4, 3), dtype=np.int64), np.array([0.4, 0.1, 0.1, 0.4]),
    )  # fmt: skip
    spectrum = model.spectrum()
    assert spectrum.eigenvalues == pytest.approx([0.6])
    assert spectrum.right[:, 0] == pytest.approx([1.0, -1.0, 0.0])
    assert spectrum.left[:, 0] == pytest.approx([0.5, -0.5, 0.0])


def test_relaxation_of_density_waves(toolbox):
    # one site, nearest neighbours on a cubic lattice: Chudley and Elliott's 1 − T(q)
    lattice = toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0]])
    image = np.vstack([np.zeros((1, 3)), np.eye(3), -np.eye(3)]).astype(np.int64)
    zero = np.zeros(7, dtype=np.int64)
    model = MarkovModel(lattice, 0.5, zero, zero, image, np.array([0.4, *[0.1] * 6]))
    waves = np.array([[0.3, 0.1, -0.2], [0, 0, 0], [2 * np.pi / 3, 0, 0], [1e-3, 0, 0]])
    found = model.relaxation_at(waves)
    leading = 0.4 + 0.2 * np.cos(3 * waves[0]).sum()
    assert found[0] == pytest.approx(-0.5 / np.log(leading))
    assert np.isinf(found[1:3]).all()
    tensor = model.diffusion_tensor() * 1e4
    assert found[3] == pytest.approx(1 / (1e-6 * tensor[0, 0]), rel=1e-3)


def test_relaxation_is_the_same_in_a_supercell(toolbox):
    model = exact_model(toolbox.d03(0.3, bias=1.5), 0.1)
    wave = [[0.2, 0.1, 0.05]]
    grown = model.expand([[2, 0, 0], [1, 3, 0], [0, 0, 1]])
    np.testing.assert_allclose(grown.relaxation_at(wave), model.relaxation_at(wave), rtol=1e-8)
