import numpy as np
import pytest

from aiida_limsm.markov.metastable import metastable_sets
from aiida_limsm.markov.model import MarkovModel


def model_from_fluxes(toolbox, flux):
    n = len(flux)
    start, end = np.nonzero(flux > 0)
    random = np.random.default_rng(1)
    return MarkovModel(
        lattice=toolbox.lattice(50 * np.eye(3), 50 * random.uniform(size=(n, 3))),
        lag_ps=1.0,
        from_site=start,
        to_site=end,
        image=np.zeros((len(start), 3), dtype=np.int64),
        flux=flux[start, end] / flux.sum(),
    )


def blocks_of(toolbox, sizes, coupling, seed=0):
    """Groups of sites with fast exchange inside and slow exchange between."""
    random = np.random.default_rng(seed)
    n = sum(sizes)
    flux = coupling * random.uniform(0.5, 1.5, size=(n, n))
    first = 0
    for size in sizes:
        flux[first : first + size, first : first + size] += random.uniform(0.5, 1.5, (size, size))
        first += size
    return model_from_fluxes(toolbox, flux + flux.T)


@pytest.mark.parametrize("sizes", [(4, 5), (3, 4, 5), (2, 3, 3, 4)])
def test_sets_are_deeptimes(toolbox, sizes):
    from deeptime.markov import pcca

    model = blocks_of(toolbox, sizes, 0.003)
    ours = metastable_sets(model)
    assert ours.number == len(sizes)
    peer = pcca(model.transition_matrix, len(sizes), model.stationary_distribution)
    order = [int(np.argmax(peer.memberships.T @ ours.memberships[:, k])) for k in range(len(sizes))]
    assert sorted(order) == list(range(len(sizes)))
    np.testing.assert_allclose(ours.memberships, peer.memberships[:, order], atol=5e-3)
    np.testing.assert_allclose(
        ours.populations, peer.coarse_grained_stationary_probability[order], atol=5e-3
    )
    assert len({tuple(np.flatnonzero(ours.assignment == k)) for k in range(ours.number)}) == len(
        sizes
    )


def test_memberships_are_probabilities(toolbox):
    sets = metastable_sets(blocks_of(toolbox, (3, 3, 4), 0.05, seed=4), 3)
    assert (sets.memberships >= 0).all()
    np.testing.assert_allclose(sets.memberships.sum(axis=1), 1.0)
    assert sets.populations.sum() == pytest.approx(1.0)
    assert sets.reason == "asked"


def test_lifetime_of_two_sites(toolbox):
    sets = metastable_sets(model_from_fluxes(toolbox, np.array([[0.49, 0.01], [0.01, 0.49]])), 2)
    # each site is left with probability 0.02 per lag
    np.testing.assert_allclose(sets.lifetimes_ps, -1 / np.log(0.98))


def test_connected_sets_are_metastable_for_ever(toolbox):
    flux = np.zeros((5, 5))
    flux[:2, :2] = 1.0
    flux[2:4, 2:4] = 0.5
    model = model_from_fluxes(toolbox, flux)
    sets = metastable_sets(model)
    assert sets.number == 2
    assert sets.assignment[4] == -1
    assert sets.assignment[0] == sets.assignment[1] != sets.assignment[2]
    assert np.isinf(sets.lifetimes_ps).all()
    np.testing.assert_allclose(sorted(sets.populations), [1 / 3, 2 / 3])


def test_no_gap_is_one_set_and_symmetry_does_no_harm(toolbox):
    ring = np.zeros((8, 8))  # alike sites in a ring: pairs of equal timescales
    for k in range(8):
        ring[k, k] = 0.5
        ring[k, (k + 1) % 8] = ring[(k + 1) % 8, k] = 0.2
    model = model_from_fluxes(toolbox, ring)
    assert metastable_sets(model).number in (1, 3)
    for number in (1, 2, 3, 4):
        sets = metastable_sets(model, number)
        np.testing.assert_allclose(sets.memberships.sum(axis=1), 1.0)
    with pytest.raises(ValueError, match="metastable sets asked"):
        metastable_sets(model, 9)
    with pytest.raises(ValueError, match="metastable sets asked"):
        metastable_sets(model, 0)


def test_one_site(toolbox):
    sets = metastable_sets(model_from_fluxes(toolbox, np.ones((1, 1))))
    assert sets.number == 1
    assert sets.assignment.tolist() == [0]
