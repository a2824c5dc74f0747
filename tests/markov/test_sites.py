import numpy as np
import pytest

from aiida_limsm.markov.sites import SiteLattice


def d03():
    a = 6.12
    fcc = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    scaled = np.concatenate([fcc, fcc + 0.5, fcc + 0.25, fcc + 0.75])
    numbers = [14] * 4 + [3] * 12
    return SiteLattice.from_structure(a * np.eye(3), scaled, numbers, 3, symbol="Li")


def random_rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def test_orbits_are_wyckoff_labels():
    lattice = d03()
    assert lattice.n_sites == 12
    assert sorted(set(lattice.orbits)) in (["4b", "8c"], ["4a", "8c"])
    assert lattice.orbits.count("8c") == 8
    assert set(lattice.multiplicities) == {4, 8}
    assert lattice.labels[:2] == ("Li1", "Li2")


def test_primitive_cell_keeps_orientation_and_density():
    lattice = d03()
    small = lattice.primitive()
    assert small.n_sites == 3
    assert sorted(small.orbits) == sorted(["4b", "8c", "8c"]) or "4a" in small.orbits
    matrix = small.supercell_matrix(lattice.cell)
    assert round(abs(np.linalg.det(matrix))) == 4
    grown = small.expand(matrix)
    inverse = np.linalg.inv(lattice.cell)
    for points, reference in (
        (grown.positions, lattice.positions),
        (grown.framework_positions, lattice.framework_positions),
    ):
        delta = (points[:, None] - reference[None]) @ inverse
        distance = np.linalg.norm((delta - np.rint(delta)) @ lattice.cell, axis=-1)
        assert (distance.min(axis=1) < 1e-6).all()
        assert len(set(distance.argmin(axis=1))) == len(reference)
    again = small.primitive()
    assert again is small


@pytest.mark.parametrize("seed", range(5))
def test_any_supercell_is_matched_in_any_orientation(seed):
    random = np.random.default_rng(seed)
    cell = np.array([[4.0, 0.3, 0.1], [0.5, 5.0, -0.4], [-0.7, 0.2, 6.0]]) @ random_rotation(seed)
    lattice = SiteLattice.from_structure(cell, [[0.1, 0.2, 0.3], [0.6, 0.7, 0.9]], [3, 3], 3)
    while True:
        matrix = random.integers(-2, 3, size=(3, 3))
        if abs(np.linalg.det(matrix)) > 0.5:
            break
    strain = np.eye(3) + 0.002 * random.normal(size=(3, 3))
    target = matrix @ cell @ strain
    assert (lattice.supercell_matrix(target) == matrix).all()
    matched = lattice.matched_to(target)
    np.testing.assert_allclose(matrix @ matched.cell, target, atol=1e-10)
    np.testing.assert_allclose(matched.scaled_positions, lattice.scaled_positions, atol=1e-10)
    grown = matched.expand(matrix)
    assert grown.n_sites == 2 * round(abs(np.linalg.det(matrix)))
    np.testing.assert_allclose(grown.cell, target, atol=1e-10)


def test_cell_that_does_not_tile_is_refused_with_a_remedy():
    lattice = d03()
    with pytest.raises(ValueError, match=r"does not tile the MD cell.*supercell"):
        lattice.matched_to(np.diag([9.0, 12.24, 12.24]))


def test_sites_in_another_orientation_do_not_tile():
    lattice = d03()
    with pytest.raises(ValueError, match="does not tile"):
        lattice.matched_to(2 * lattice.cell @ random_rotation(3))


def test_bad_structures():
    with pytest.raises(ValueError, match="no atom of the mobile species"):
        SiteLattice.from_structure(np.eye(3) * 4, [[0, 0, 0]], [14], 3)
    with pytest.raises(ValueError, match="three-dimensional"):
        SiteLattice.from_structure(np.zeros((3, 3)), [[0, 0, 0]], [3], 3)
    with pytest.raises(ValueError, match="every site once"):
        SiteLattice.from_structure(np.eye(3) * 4, [[0, 0, 0], [0.999, 0, 0]], [3, 3], 3)
