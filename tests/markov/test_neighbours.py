"""Neighbours of sites against a search through many images, and in supercells."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.neighbours import (
    nearest_distances,
    neighbour_list,
    undisturbed_reach,
)


def every_neighbour(cell, positions, reach):
    """Distances to the sites of all cells from each site (n, n, n_cells); itself infinite."""
    images = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1)
    images = images.reshape(-1, 3)
    vectors = positions[None, :, None] - positions[:, None, None] + images @ cell
    distance = np.linalg.norm(vectors, axis=-1)
    distance[np.arange(len(positions)), np.arange(len(positions)), len(images) // 2] = np.inf
    return distance


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    sites=st.integers(1, 5),
    skew=st.sampled_from([0.0, 1.0, 2.0]),
    on_faces=st.booleans(),
)
def test_list_equals_brute_force(seed, sites, skew, on_faces):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(3.0, 6.0, 3)) + skew * random.normal(size=(3, 3))
    if abs(np.linalg.det(cell)) < 25:
        return
    scaled = random.uniform(size=(sites, 3))
    if on_faces:
        scaled = np.unique(np.floor(4 * scaled) / 4, axis=0)
    positions = scaled @ cell
    found = neighbour_list(cell, positions)
    thinnest = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0).max()
    if thinnest < 1.5:  # too many images to look at
        return
    distance = every_neighbour(cell, positions, int(found.cutoff / thinnest) + 3)
    np.testing.assert_allclose(found.nearest, distance.min(axis=(1, 2)))
    # distances at the cut-off itself are a matter of rounding
    for s in range(len(positions)):
        rows = slice(found.first[s], found.first[s + 1])
        place = positions[found.site[rows]] + found.image[rows] @ cell - positions[s]
        np.testing.assert_allclose(place, found.vector[rows], atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(place, axis=1), found.distance[rows])
        assert (np.diff(found.distance[rows]) >= 0).all()
        inner = distance[s] < found.cutoff - 1e-6
        assert (found.distance[rows] < found.cutoff - 1e-6).sum() == inner.sum()


def test_supercell_has_the_neighbours_of_its_cell(toolbox):
    lattice = toolbox.d03(0.5).lattice
    grown = lattice.expand(12 * np.eye(3, dtype=int))
    one, many = (neighbour_list(x.cell, x.positions) for x in (lattice, grown))
    copies = grown.n_sites // lattice.n_sites
    np.testing.assert_allclose(many.nearest, np.tile(one.nearest, copies))
    np.testing.assert_array_equal(np.diff(many.first), np.tile(np.diff(one.first), copies))
    np.testing.assert_allclose(many.distance, np.tile(one.distance, copies))


def test_reach_of_cores_is_the_gap_to_the_nearest_core():
    cell = 9.0 * np.eye(3)
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0], [5.0, 0, 0]])
    found = neighbour_list(cell, positions)
    np.testing.assert_allclose(nearest_distances(cell, positions), [2, 2, 3])
    np.testing.assert_allclose(undisturbed_reach(found), [1.0, 1.0, 1.5])
    cores = np.array([0.5, 0.6, 0.1])
    np.testing.assert_allclose(undisturbed_reach(found, cores), [1.4, 1.5, 2.4])
