"""What must always hold of counts, models and tensors, on random crystals."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.assignment import SiteAssigner
from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.model import MarkovModel, estimate_model
from aiida_limsm.markov.synthetic import HoppingNetwork, HoppingTrajectory, random_rotation
from aiida_limsm.markov.synthetic_networks import site_lattice, triclinic_network
from aiida_limsm.trajectory.unwrap import Unwrapper

INTERVAL = 0.05
SEEDS = st.integers(0, 10**6)
RULES = st.sampled_from(["core", "nearest"])
several = settings(max_examples=15, deadline=None)


@cache
def one_of_the_crystals(number):
    return triclinic_network(number, n_sites=1 + number % 5, energy_spread_kt=1.0)


def crystal(seed):
    return one_of_the_crystals(seed % 25)


def frames(network, seed, n_ions=8, n_frames=400):
    source = HoppingTrajectory(
        network, n_ions, n_frames, INTERVAL, 2 * np.eye(3, dtype=int), seed, 0.2
    )
    return np.concatenate(list(source.blocks()))[:, :n_ions].astype(float)


def assign(lattice, x, rule="core"):
    assigner = SiteAssigner(lattice, x.shape[1], rule)
    assigner.add(x)
    return assigner.finish()


def fit(lattice, x, lag=2, rule="core"):
    counts = count_transitions(assign(lattice, x, rule), lattice.n_sites, lag)
    return estimate_model(counts, lattice, lag * INTERVAL)


def unimodular(seed):
    """A random integer matrix of determinant 1: other vectors of the same lattice."""
    random = np.random.default_rng(seed)
    matrix = np.eye(3, dtype=int)
    for _ in range(3):
        a, b = random.choice(3, size=2, replace=False)
        matrix[a] += random.choice([-1, 1]) * matrix[b]
    return matrix


def close(one, two, scale=None, tolerance=1e-6):
    bound = tolerance * (np.abs(two).max() if scale is None else scale)
    np.testing.assert_allclose(one, two, rtol=0, atol=max(bound, 1e-30))


def supercell_of(network, matrix):
    """The same jumps among the sites of a larger cell, site by site."""
    small, large = network.lattice, network.lattice.expand(matrix)
    inverse = np.linalg.inv(large.cell)
    vectors = network.jump_vectors
    start, end, image, rate = [], [], [], []
    for site in range(large.n_sites):
        home = site % small.n_sites
        for jump in np.flatnonzero(network.from_site == home):
            away = (large.positions[site] + vectors[jump] - large.positions) @ inverse
            off = np.abs((away - np.rint(away)) @ large.cell).max(axis=1)
            target = int(np.argmin(off))
            assert off[target] < 1e-6
            start.append(site)
            end.append(target)
            image.append(np.rint(away[target]).astype(int))
            rate.append(network.rate_per_ps[jump])
    return HoppingNetwork(
        large, np.array(start), np.array(end), np.array(image), np.array(rate, dtype=float)
    )


@several
@given(seed=SEEDS, lag=st.integers(1, 40), rule=RULES)
def test_fitted_model_is_a_reversible_chain(seed, lag, rule):
    network = crystal(seed)
    model = fit(network.lattice, frames(network, seed), lag, rule)
    pi, t = model.stationary_distribution, model.transition_matrix
    assert model.flux.sum() == pytest.approx(1.0)
    assert (model.flux > 0).all()
    np.testing.assert_allclose(t.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(pi @ t, pi, atol=1e-12)
    there = np.column_stack([model.from_site, model.to_site, model.image])
    back = np.column_stack([model.to_site, model.from_site, -model.image])
    flux = dict(zip(map(tuple, there), model.flux, strict=True))
    np.testing.assert_allclose([flux[tuple(row)] for row in back], model.flux, rtol=1e-9)


@several
@given(seed=SEEDS, lag=st.integers(1, 40), rule=RULES)
def test_tensor_is_symmetric_and_positive_and_correlation_only_slows(seed, lag, rule):
    network = crystal(seed)
    model = fit(network.lattice, frames(network, seed), lag, rule)
    tensor, free = model.diffusion_tensor(), model.diffusion_tensor(correlated=False)
    scale = np.trace(free)
    np.testing.assert_array_equal(tensor, tensor.T)
    assert np.linalg.eigvalsh(tensor).min() >= -1e-12 * scale
    # the correlation term is a square with a minus sign: of a reversible chain it only lowers D
    assert np.linalg.eigvalsh(free - tensor).min() >= -1e-9 * scale


@several
@given(seed=SEEDS, mirror=st.booleans(), rule=RULES)
def test_turned_mirrored_and_shifted_crystal(seed, mirror, rule):
    """An improper rotation makes the cell left-handed."""
    network = crystal(seed)
    x = frames(network, seed)
    turn = random_rotation(seed + 1) * (-1.0 if mirror else 1.0)
    shift = np.random.default_rng(seed).uniform(-9, 9, size=3)
    lattice = network.rotated(turn).lattice
    assert np.sign(np.linalg.det(lattice.cell)) == (-1 if mirror else 1)
    moved = site_lattice(lattice.cell, lattice.positions + shift)
    one, two = fit(network.lattice, x, rule=rule), fit(moved, x @ turn + shift, rule=rule)
    close(two.transition_matrix, one.transition_matrix)
    close(two.diffusion_tensor(), turn.T @ one.diffusion_tensor() @ turn)


@several
@given(seed=SEEDS, rule=RULES)
def test_names_of_sites_and_ions_do_not_matter(seed, rule):
    network = crystal(seed)
    x = frames(network, seed)
    random = np.random.default_rng(seed)
    sites, ions = random.permutation(network.n_sites), random.permutation(x.shape[1])
    lattice = network.lattice
    other = site_lattice(lattice.cell, lattice.positions[sites])
    one, two = fit(lattice, x, rule=rule), fit(other, x[:, ions], rule=rule)
    close(two.stationary_distribution, one.stationary_distribution[sites])
    close(two.transition_matrix, one.transition_matrix[np.ix_(sites, sites)])
    close(two.diffusion_tensor(), one.diffusion_tensor())


@several
@given(seed=SEEDS, rule=RULES)
def test_other_vectors_of_the_same_lattice(seed, rule):
    network = crystal(seed)
    x = frames(network, seed)
    lattice = network.lattice
    skewed = site_lattice(unimodular(seed) @ lattice.cell, lattice.positions)
    one, two = fit(lattice, x, rule=rule), fit(skewed, x, rule=rule)
    assert assign(lattice, x, rule).n_jumps == assign(skewed, x, rule).n_jumps
    close(two.transition_matrix, one.transition_matrix)
    close(two.diffusion_tensor(), one.diffusion_tensor())


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_sites_given_in_a_supercell_pool_to_the_same_model(seed):
    network = crystal(seed)
    x = frames(network, seed)
    random = np.random.default_rng(seed)
    matrix = unimodular(seed) @ np.diag(random.permutation([1, 1 + seed % 2, 2]))
    grown = network.lattice.expand(matrix)
    pooled = grown.primitive()
    assert pooled.n_sites == network.n_sites
    one, two = fit(network.lattice, x), fit(pooled, x)
    assert assign(grown, x).n_jumps == assign(network.lattice, x).n_jumps
    # the pooled sites are averages over the copies, so that positions agree to rounding only
    close(two.diffusion_tensor(), one.diffusion_tensor())
    close(np.sort(two.stationary_distribution), np.sort(one.stationary_distribution))


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_supercell_of_a_model_diffuses_alike(seed):
    network = crystal(seed)
    random = np.random.default_rng(seed)
    matrix = unimodular(seed) @ np.diag(random.permutation([1, 1, 3]))
    large = supercell_of(network, matrix)
    close(large.diffusion_tensor(), network.diffusion_tensor(), tolerance=1e-8)
    lag = 0.4 / np.bincount(network.from_site, network.rate_per_ps).max()
    models = [chain_of(net, lag) for net in (network, large)]
    for model in models:
        close(model.diffusion_tensor(), network.diffusion_tensor(), tolerance=1e-8)
    times = lag * np.array([1, 3, 10])
    close(models[1].msd(times), models[0].msd(times), tolerance=1e-8)


def chain_of(network, lag):
    """The chain T = 1 + Q·lag, which has the D of the network at any lag."""
    pi, every = network.stationary_distribution, np.arange(network.n_sites)
    flux = pi[network.from_site] * network.rate_per_ps * lag
    stay = pi - np.bincount(network.from_site, flux, network.n_sites)
    return MarkovModel(
        lattice=network.lattice,
        lag_ps=lag,
        from_site=np.append(network.from_site, every),
        to_site=np.append(network.to_site, every),
        image=np.concatenate([network.image, np.zeros((network.n_sites, 3), dtype=int)]),
        flux=np.append(flux, stay),
    )


@several
@given(seed=SEEDS, block=st.integers(1, 1000))
def test_wrapped_frames_give_the_same_jumps(seed, block):
    network = crystal(seed)
    bare = replace(network, lattice=site_lattice(network.lattice.cell, network.lattice.positions))
    supercell = unimodular(seed) @ np.diag([8, 8, 8])
    source = HoppingTrajectory(bare, 6, 4000, INTERVAL / 25, supercell, seed, 0.1)
    x = np.concatenate(list(source.blocks()))
    unwrap = Unwrapper(source.cell, "md.h5")
    # else its path cannot be told, and Unwrapper says so
    assume(np.linalg.norm(np.diff(x, axis=0), axis=-1).max() < unwrap.limit)
    folded = replace(source, wrapped=True)
    y = np.concatenate([unwrap(b) for b in folded.blocks(block)])
    one, two = assign(bare.lattice, x.astype(float)), assign(bare.lattice, y.astype(float))
    assert one.n_jumps > 0
    np.testing.assert_array_equal(two.first_run, one.first_run)
    np.testing.assert_array_equal(two.start, one.start)
    np.testing.assert_array_equal(two.site, one.site)
    # paths start in the cell, and go on from there
    ion = np.repeat(np.arange(6), np.diff(one.first_run))
    begin = one.first_run[ion]
    np.testing.assert_array_equal(two.image - two.image[begin], one.image - one.image[begin])
