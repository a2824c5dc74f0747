from dataclasses import replace

import numpy as np
import pytest

from aiida_limsm.markov.supercells import cells_inside, fold_cells
from aiida_limsm.markov.synthetic_exclusion import ExclusionTrajectory, single_vacancy_tensor
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    reversible_network,
    site_lattice,
    triclinic_network,
)

SKEW = np.array([[2, 1, 0], [0, 3, 0], [-1, 0, 2]])


@pytest.fixture(scope="module")
def cubic():
    return reversible_network(site_lattice(3.0 * np.eye(3), [[0, 0, 0]]), 3.1, [0.0], 1.0)


def walked(source, block=333):
    sites, images = zip(*source.walk(block), strict=True)
    return np.concatenate(sites), np.concatenate(images)


def test_cells_of_a_skew_supercell():
    cells = cells_inside(SKEW)
    assert len(cells) == round(np.linalg.det(SKEW))
    np.testing.assert_array_equal(fold_cells(cells, SKEW), cells)
    far = cells + np.array([3, -2, 5]) @ SKEW
    np.testing.assert_array_equal(fold_cells(far, SKEW), cells)


@pytest.mark.parametrize(("length", "known"), [(3, 0.7234042553), (5, 0.6626360339)])
def test_one_vacancy_of_a_simple_cubic_crystal(cubic, length, known):
    """Numbers of the sum over relative places in test_collective; 0.6531 for an infinite box."""
    tensor = single_vacancy_tensor(cubic, length * np.eye(3, dtype=int))
    # a site next to the tracer is the empty one with probability 1 / (number of ions)
    free = cubic.diffusion_tensor() / (length**3 - 1)
    np.testing.assert_allclose(tensor, known * free, rtol=1e-9, atol=1e-12 * free.max())


def test_unequal_sites_are_in_balance_and_turn_with_the_crystal():
    network = triclinic_network(3, n_sites=2)
    box = 3 * np.eye(3, dtype=int)
    tensor = single_vacancy_tensor(network, box)
    assert np.linalg.eigvalsh(tensor).min() > 0
    turn = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    turned = single_vacancy_tensor(network.rotated(turn), box)
    np.testing.assert_allclose(turned, turn.T @ tensor @ turn, atol=1e-9 * tensor.max())


def test_walk_has_the_exact_spread(cubic):
    box = 3 * np.eye(3, dtype=int)
    source = ExclusionTrajectory(cubic, 26, 60_000, 0.2, box, seed=1)
    _, images = walked(source)
    moved = images[500:] - images[:-500]
    found = (moved**2).sum(axis=2).mean() * 9.0 / 6 / 100.0 * 1e-4
    assert found == pytest.approx(np.trace(single_vacancy_tensor(cubic, box)) / 3, rel=0.05)


def test_no_site_takes_two_ions_and_blocks_do_not_matter():
    network = d0_3_network(0.4, 0.0)
    source = ExclusionTrajectory(network, 15, 800, 0.1, SKEW, seed=2)
    sites, images = walked(source)
    np.testing.assert_array_equal(walked(source, 7)[1], images)
    home = fold_cells(images.astype(np.int64), SKEW)
    for frame in range(0, 800, 50):
        rows = np.column_stack([sites[frame], home[frame]])
        assert len(np.unique(rows, axis=0)) == 15
    assert source.count_jumps() > 100
    full = replace(source, n_ions=3 * len(cells_inside(SKEW)))
    assert full.count_jumps() == 0
    with pytest.raises(ValueError, match="do not fit"):
        replace(source, n_ions=1000).count_jumps()
