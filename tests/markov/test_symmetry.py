"""Space-group operations of site lattices, and whether the MD cell has the symmetry at all."""

import numpy as np
import pytest
import spglib
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov import operations
from aiida_limsm.markov.homogeneity import occupancy_homogeneity, pooling_allowed
from aiida_limsm.markov.operations import identity_operations, site_operations, symmetrise_tensor
from aiida_limsm.markov.paths import SitePaths
from aiida_limsm.markov.sites import SiteLattice


def lattice_of(atoms, rotation=None):
    cell = atoms.cell.array if rotation is None else atoms.cell.array @ rotation
    return SiteLattice.from_structure(cell, atoms.get_scaled_positions(), atoms.numbers, 3, "Li")


def rotated(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


LI7SI3 = crystal(
    ["Li", "Li", "Si"],
    [(0.8888, 0.1112, 2 / 3), (0.22466, 0.44692, 0.19849), (0.20898, 0.42603, 0.89914)],
    spacegroup=153,
    cellpar=[7.57987, 7.57987, 18.00274, 90, 90, 120],
)
D03 = crystal(
    ["Si", "Li", "Li"],
    [(0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)],
    spacegroup=225,
    cellpar=[6.12] * 3 + [90] * 3,
)


@pytest.mark.parametrize(("atoms", "order"), [(LI7SI3, 6), (D03, 48)])
def test_operations_are_a_group_that_moves_sites_as_geometry_says(atoms, order):
    lattice = lattice_of(atoms, rotated(1)).primitive()
    group = site_operations(lattice)
    assert len(group) == order
    scaled = lattice.scaled_positions
    for g in range(order):
        moved = scaled @ group.rotations[g].T + group.translations[g]
        np.testing.assert_allclose(moved, scaled[group.permutation[g]] + group.shift[g], atol=1e-4)
    turned = group.cartesian(lattice.cell)
    np.testing.assert_allclose(
        turned @ turned.transpose(0, 2, 1), np.eye(3)[None] + 0 * turned, atol=1e-9
    )
    products = {
        tuple(group.permutation[a][group.permutation[b]])
        for a in range(order)
        for b in range(order)
    }
    assert products == {tuple(row) for row in group.permutation}


def test_jump_vectors_turn_with_the_sites():
    lattice = lattice_of(LI7SI3)
    group = site_operations(lattice)
    turned = group.cartesian(lattice.cell)
    random = np.random.default_rng(0)
    start, end = random.integers(0, lattice.n_sites, (2, 50))
    image = random.integers(-2, 3, (50, 3))
    vectors = lattice.jump_vectors(start, end, image)
    for g in range(len(group)):
        found = lattice.jump_vectors(*group.map_transitions(g, start, end, image))
        np.testing.assert_allclose(found, vectors @ turned[g].T, atol=5e-3)


def test_a_supercell_has_its_translations_too_but_not_without_bound(monkeypatch):
    lattice = lattice_of(D03)  # four primitive cells
    assert len(site_operations(lattice)) == 4 * 48
    monkeypatch.setattr(operations, "MAX_ENTRIES", 1000)
    with pytest.raises(ValueError, match=r"192 operations on 12 sites .* primitive cell"):
        site_operations(lattice)


def test_a_strained_lattice_keeps_the_operations_of_the_crystal():
    lattice = lattice_of(D03).primitive()
    strained = lattice.matched_to(lattice.cell @ np.diag([1.01, 0.99, 1.0]) * 2)
    assert len(site_operations(strained)) < 48
    group, plain = site_operations(strained, lattice.cell), site_operations(lattice)
    np.testing.assert_array_equal(group.permutation, plain.permutation)
    np.testing.assert_array_equal(group.shift, plain.shift)
    assert (identity_operations(strained).permutation == [[0, 1, 2]]).all()


def test_kinds_of_site_are_not_exchanged():
    lattice = lattice_of(crystal(["Li"], [(0, 0, 0)], spacegroup=229, cellpar=[3.4] * 3 + [90] * 3))
    assert len(site_operations(lattice)) == 96
    named = SiteLattice(
        lattice.cell, lattice.positions, ("Li1", "i1"), lattice.orbits, lattice.multiplicities,
        lattice.framework_positions, lattice.framework_numbers,
    )  # fmt: skip
    group = site_operations(named)
    assert len(group) == 48
    assert (group.permutation == [0, 1]).all()
    assert named.primitive() is named


def test_primitive_cell_keeps_the_names_of_interstitial_sites():
    lattice = lattice_of(D03)
    grown = SiteLattice(
        lattice.cell,
        np.concatenate(
            [lattice.positions, lattice.framework_positions + np.array([1.53, 1.53, 0])]
        ),
        (*lattice.labels, "i1", "i2", "i3", "i4"),
        (*lattice.orbits, *"xxxx"),
        (*lattice.multiplicities, 4, 4, 4, 4),
        lattice.framework_positions,
        lattice.framework_numbers,
    )
    assert grown.primitive().labels == ("Li1", "Li2", "Li3", "i1")


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 530), st.integers(0, 99))
def test_symmetrised_tensors_are_invariant(hall, seed):
    """For any space group: invariant, idempotent, the trace kept; and for six components alike."""
    rotations = spglib.get_symmetry_from_database(hall)["rotations"]
    random = np.random.default_rng(seed)
    metric = np.mean([r.T @ r for r in rotations.astype(float)], axis=0)  # made invariant
    columns = np.linalg.cholesky(metric).T
    turned = columns @ rotations @ np.linalg.inv(columns)
    tensor = random.normal(size=(4, 3, 3))
    tensor = tensor + tensor.transpose(0, 2, 1)
    mean = symmetrise_tensor(tensor, turned)
    for r in turned:
        np.testing.assert_allclose(r @ mean @ r.T, mean, atol=1e-9)
    np.testing.assert_allclose(symmetrise_tensor(mean, turned), mean, atol=1e-9)
    np.testing.assert_allclose(np.trace(mean, axis1=1, axis2=2), np.trace(tensor, axis1=1, axis2=2))
    six = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    flat = np.stack([tensor[:, a, b] for a, b in six], axis=-1)
    expected = np.stack([mean[:, a, b] for a, b in six], axis=-1)
    np.testing.assert_allclose(symmetrise_tensor(flat, turned), expected, atol=1e-12)


@pytest.fixture
def d03_md():
    """A 2 × 2 × 2 MD cell of D0_3: primitive lattice, supercell, numbers, framework positions."""
    atoms = D03.repeat(2)
    lattice = lattice_of(D03).primitive()
    random = np.random.default_rng(0)
    framework = atoms.positions[atoms.numbers == 14]
    framework = framework + random.normal(scale=0.15, size=framework.shape)
    return lattice, lattice.supercell_matrix(atoms.cell.array), atoms.numbers, framework


def test_a_perfect_framework_may_be_pooled_whatever_the_lithium_does(d03_md):
    lattice, supercell, numbers, framework = d03_md
    assert pooling_allowed(lattice, supercell, numbers, 3, framework) == (True, "")
    vacancies = np.concatenate([numbers[numbers == 14], [3] * 90])
    assert pooling_allowed(lattice, supercell, vacancies, 3, framework)[0]
    shifted = framework + np.array([2, -1, 3]) @ lattice.cell  # any cell, wrapped or not
    assert pooling_allowed(lattice, supercell, numbers, 3, shifted)[0]


def test_framework_defects_forbid_pooling_with_the_reason(d03_md):
    lattice, supercell, numbers, framework = d03_md
    fewer = np.concatenate([[14] * 31, [3] * 96])
    allowed, reason = pooling_allowed(lattice, supercell, fewer, 3, framework[1:])
    assert not allowed
    assert "31 element 14 where the perfect crystal has 32" in reason
    names = {14: "Si", 15: "P"}.get
    doped = np.concatenate([[14] * 31, [15], [3] * 96])
    allowed, reason = pooling_allowed(lattice, supercell, doped, 3, framework, names)
    assert (allowed, reason) == (False, "the MD cell holds 31 Si where the perfect crystal has 32")
    added = np.append(numbers, 15)
    allowed, reason = pooling_allowed(
        lattice, supercell, added, 3, np.append(framework, [[0, 0, 0]], axis=0), names
    )
    assert reason == "the MD cell holds 1 P that the sites structure lacks"
    away = framework.copy()
    away[3] += [1.5, 0.9, 0.3]
    allowed, reason = pooling_allowed(lattice, supercell, numbers, 3, away, names)
    assert not allowed
    assert "1 Si lie more than 1 Å" in reason
    double = framework.copy()
    double[3] = framework[5] + 0.3
    allowed, reason = pooling_allowed(lattice, supercell, numbers, 3, double, names)
    assert reason == "1 Si share a framework site with another"
    with pytest.raises(ValueError, match="31 framework positions given for 32"):
        pooling_allowed(lattice, supercell, numbers, 3, framework[1:])


def random_stays(seed, preference, frames=4000, ions=40):
    """Ions that jump anywhere in a cell of 8 × 1 × 1, to cell c with weight ``preference[c]``."""
    random = np.random.default_rng(seed)
    weight = np.asarray(preference, dtype=float) / np.sum(preference)
    first, start, image = [0], [], []
    for _ in range(ions):
        times = np.cumsum(random.geometric(0.1, size=frames // 2))
        times = np.append(0, times[times < frames])
        cells = random.choice(8, size=len(times), p=weight)
        first.append(first[-1] + len(times))
        start.append(times)
        image.append(np.column_stack([cells, np.zeros((len(times), 2), dtype=int)]))
    rows = np.concatenate(start)
    return SitePaths(
        np.array(first), rows, np.zeros(len(rows), dtype=np.int64), np.concatenate(image),
        np.full(ions, frames),
    )  # fmt: skip


def test_homogeneity_alarms_are_as_rare_as_they_claim():
    supercell = np.diag([8, 1, 1])
    chance = [
        occupancy_homogeneity(random_stays(seed, [1] * 8), supercell, 1).probability
        for seed in range(60)
    ]
    assert 0.25 < np.mean(np.array(chance) < 0.5) < 0.75
    assert min(chance) > 1e-3


def test_homogeneity_sees_a_trap():
    found = occupancy_homogeneity(random_stays(0, [1.5] + [1] * 7), np.diag([8, 1, 1]), 1)
    assert found.suspicious
    assert "differ" in found.reason


def test_homogeneity_says_when_it_cannot_tell():
    still = SitePaths(
        np.arange(4), np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64),
        np.array([[0, 0, 0], [1, 0, 0], [3, 0, 0]]), np.full(3, 100),
    )  # fmt: skip
    found = occupancy_homogeneity(still, np.diag([4, 1, 1]), 1)
    assert not found.suspicious
    assert "no jumps" in found.reason
    half = SitePaths(
        np.array([0, 2]), np.array([0, 50]), np.zeros(2, dtype=np.int64),
        np.array([[0, 0, 0], [1, 0, 0]]), np.full(1, 100),
    )  # fmt: skip
    assert "too long" in occupancy_homogeneity(half, np.diag([4, 1, 1]), 1).reason
    assert "one cell" in occupancy_homogeneity(half, np.eye(3, dtype=int), 1).reason
