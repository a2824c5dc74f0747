"""Counts pooled over the space group: exact invariance, the right answer, smaller scatter."""

import numpy as np
import pytest
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.counts import TransitionCounts, count_transitions
from aiida_limsm.markov.estimation import ReversibleEstimator
from aiida_limsm.markov.model import estimate_model
from aiida_limsm.markov.operations import site_operations
from aiida_limsm.markov.paths import SitePaths
from aiida_limsm.markov.pooling import pool_counts
from aiida_limsm.markov.sites import SiteLattice

CRYSTALS = {
    "LiSi": (88, [9.32716, 9.32716, 5.74071, 90, 90, 90],
             [("Li", 0.58097, 0.63552, 0.17933), ("Si", 0.61068, 0.70266, 0.71962)]),
    "Li7Si3": (153, [7.57987, 7.57987, 18.00274, 90, 90, 120],
               [("Li", 0.8888, 0.1112, 2 / 3), ("Li", 0.22466, 0.44692, 0.19849),
                ("Si", 0.20898, 0.42603, 0.89914)]),
    "Li13Si4": (55, [7.89799, 15.01155, 4.42074, 90, 90, 90],
                [("Li", 0, 0.5, 0), ("Li", 0.76992, 0.15356, 0), ("Li", 0.34756, 0.52543, 0),
                 ("Li", 0.40473, 0.69421, 0), ("Li", 0.75803, 0.40463, 0.5),
                 ("Li", 0.59013, 0.74477, 0.5), ("Li", 0.90392, 0.60552, 0.5),
                 ("Si", 0.58336, 0.83975, 0), ("Si", 0.92569, 0.06887, 0.5)]),
    "Li15Si4": (220, [10.56605] * 3 + [90] * 3,
                [("Li", 0.75, 0.125, 0), ("Li", 0.09609, 0.62693, 0.71344),
                 ("Si", 0.04243, 0.54243, 0.95757)]),
    "D0_3": (225, [6.12] * 3 + [90] * 3,
             [("Si", 0, 0, 0), ("Li", 0.5, 0.5, 0.5), ("Li", 0.25, 0.25, 0.25)]),
    "triclinic": (2, [4.5, 5.3, 6.1, 78, 95, 104],
                  [("Li", 0.1, 0.2, 0.3), ("Li", 0.6, 0.7, 0.15), ("Si", 0.4, 0.1, 0.8)]),
    "monoclinic": (14, [5.1, 6.3, 7.7, 90, 111, 90],
                   [("Li", 0.1, 0.2, 0.3), ("Si", 0.6, 0.45, 0.15)]),
}  # fmt: skip


def sites_of(name, seed=None):
    """The primitive lattice of a phase, turned in space if a seed is given."""
    group, cellpar, basis = CRYSTALS[name]
    atoms = crystal(
        [row[0] for row in basis], [row[1:] for row in basis], spacegroup=group, cellpar=cellpar
    )
    cell = atoms.cell.array
    if seed is not None:
        q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
        q = q * np.sign(np.diag(r))
        cell = cell @ q * np.sign(np.linalg.det(q))
    return SiteLattice.from_structure(
        cell, atoms.get_scaled_positions(), atoms.numbers, 3, "Li"
    ).primitive()


def random_counts(lattice, seed, kinds=12, units=7):
    """Counts of a few random transitions, closed under reversal by brute force."""
    random = np.random.default_rng(seed)
    rows = np.column_stack(
        [random.integers(0, lattice.n_sites, (kinds, 2)), random.integers(-1, 2, (kinds, 3))]
    )
    every = np.arange(lattice.n_sites)
    stay = np.column_stack([every, every, np.zeros((lattice.n_sites, 3), dtype=int)])
    rows = np.concatenate([rows, stay])
    back = np.column_stack([rows[:, 1], rows[:, 0], -rows[:, 2:]])
    kind = np.unique(np.concatenate([rows, back]), axis=0)
    number = {tuple(row): k for k, row in enumerate(kind)}
    records = random.integers(0, len(kind), 60)
    unit = random.integers(0, units, 60)
    pair = np.unique(np.column_stack([unit, records]), axis=0)
    return TransitionCounts(
        lag=1, n_sites=lattice.n_sites, n_units=units,
        from_site=kind[:, 0], to_site=kind[:, 1], image=kind[:, 2:],
        reverse=np.array([number[(r[1], r[0], *-r[2:])] for r in kind]),
        unit=pair[:, 0], channel=pair[:, 1],
        count=random.integers(1, 50, len(pair)).astype(float),
    )  # fmt: skip


def as_dict(counts, total):
    keys = np.column_stack([counts.from_site, counts.to_site, counts.image])
    return {tuple(int(x) for x in key): value for key, value in zip(keys, total, strict=True)}


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(CRYSTALS)), st.integers(0, 10_000))
def test_pooled_counts_are_the_mean_over_the_group(name, seed):
    """Brute force: the pooled count of a channel is the mean of the counts of its images."""
    lattice = sites_of(name, seed)
    group = site_operations(lattice)
    counts = random_counts(lattice, seed)
    pooled = pool_counts(counts, group)
    weights = np.random.default_rng(seed).random(counts.n_units)
    before, after = as_dict(counts, counts.total(weights)), as_dict(pooled, pooled.total(weights))
    expected = dict.fromkeys(after, 0.0)
    for (i, j, *n), value in before.items():
        for g in range(len(group)):
            start, end, image = group.map_transitions(
                g, np.array([i]), np.array([j]), np.array([n])
            )
            expected[(int(start[0]), int(end[0]), *(int(x) for x in image[0]))] += value / len(
                group
            )
    assert expected.keys() == after.keys()
    for key, value in expected.items():
        assert after[key] == pytest.approx(value, abs=1e-9)
    back = np.column_stack([pooled.to_site, pooled.from_site, -pooled.image])
    there = np.column_stack([pooled.from_site, pooled.to_site, pooled.image])
    np.testing.assert_array_equal(there[pooled.reverse], back)
    again = pool_counts(pooled, group)
    np.testing.assert_allclose(again.total(weights), pooled.total(weights), atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(CRYSTALS)), st.integers(0, 10_000))
def test_model_has_the_symmetry_of_the_crystal(name, seed):
    """T commutes with the permutations; D is invariant under the point group."""
    lattice = sites_of(name, seed)
    group = site_operations(lattice)
    pooled = pool_counts(random_counts(lattice, seed, kinds=25), group)
    model = estimate_model(pooled, lattice, 1.0)
    matrix = model.transition_matrix
    pi = model.stationary_distribution
    for moved in group.permutation:
        np.testing.assert_allclose(matrix[np.ix_(moved, moved)], matrix, atol=1e-8)
        np.testing.assert_allclose(pi[moved], pi, atol=1e-9)
    estimator = ReversibleEstimator(pooled, lattice, 1.0)
    tensor = estimator.diffusion_tensor(estimator.fit(pooled.total()))
    scale = np.abs(tensor).max()
    for turn in group.cartesian(lattice.cell):
        np.testing.assert_allclose(turn @ tensor @ turn.T, tensor, atol=2e-4 * scale)


def paths_of(sites, images):
    frames, ions = sites.shape
    first, start, site, image = [0], [], [], []
    for ion in range(ions):
        changed = np.ones(frames, dtype=bool)
        changed[1:] = (np.diff(sites[:, ion]) != 0) | (np.diff(images[:, ion], axis=0) != 0).any(1)
        rows = np.flatnonzero(changed)
        first.append(first[-1] + len(rows))
        start.append(rows)
        site.append(sites[rows, ion])
        image.append(images[rows, ion])
    return SitePaths(
        np.array(first), np.concatenate(start), np.concatenate(site), np.concatenate(image),
        np.full(ions, frames),
    )  # fmt: skip


def test_pooling_keeps_the_answer_and_narrows_it(toolbox):
    """Li15Si4, rates equal by symmetry, short runs: D within errors, its tensor less scattered."""
    lattice = sites_of("Li15Si4")
    energies = np.where(np.array(lattice.orbits) == "12a", 0.8, 0.0)
    network = toolbox.neighbours(lattice, 3.0, energies, 0.05)
    exact = network.diffusion()
    group = site_operations(lattice)
    plain, pooled = [], []
    for seed in range(25):
        counts = count_transitions(paths_of(*network.walk(8, 600, 1.0, seed)), lattice.n_sites, 2)
        for results, used in ((plain, counts), (pooled, pool_counts(counts, group))):
            estimator = ReversibleEstimator(used, lattice, 2.0)
            results.append(estimator.diffusion_tensor(estimator.fit(used.total())))
    plain, pooled = np.array(plain), np.array(pooled)
    scatter = pooled.std(axis=0, ddof=1)
    assert abs(pooled.mean(axis=0) - exact)[0, 0] < 4 * scatter[0, 0] / np.sqrt(len(pooled))
    assert np.abs(pooled[:, 0, 1]).max() < 1e-4 * exact[0, 0]  # cubic: no off-diagonals
    components = [(a, b) for a in range(3) for b in range(3)]
    spread = [np.sqrt(sum(x.std(axis=0)[c] ** 2 for c in components)) for x in (plain, pooled)]
    assert spread[1] < 0.6 * spread[0]


def test_operations_of_another_lattice_are_refused():
    small, other = sites_of("D0_3"), sites_of("LiSi")
    with pytest.raises(ValueError, match="operations of 8 sites cannot pool counts on 3"):
        pool_counts(random_counts(small, 0), site_operations(other))
