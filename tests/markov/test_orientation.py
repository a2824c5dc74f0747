import numpy as np
import pytest

from aiida_limsm.markov.orientation import orientations
from aiida_limsm.markov.sites import SiteLattice

CELL = np.array([[4.0, 0.0, 0.0], [0.4, 5.0, 0.0], [-0.3, 0.6, 6.0]])
SCALED = [[0, 0, 0], [0.5, 0.45, 0.55], [0.25, 0.3, 0.7]]


def lattice(cell=CELL):
    return SiteLattice.from_structure(cell, SCALED, [14, 8, 3], 3, "Li")


def rotation(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_supercell_gives_the_rotation_back(seed):
    turn = rotation(seed)
    matrix = np.array([[2, 0, 0], [1, 1, 0], [0, 0, 2]])
    found = orientations(lattice(), matrix @ CELL @ turn)
    assert len(found) == 1  # a triclinic lattice has one
    np.testing.assert_allclose(found[0].cell, CELL @ turn, atol=1e-9)
    np.testing.assert_allclose(found[0].positions, lattice().positions @ turn, atol=1e-9)
    matched = found[0].matched_to(matrix @ CELL @ turn)
    np.testing.assert_allclose(matched.scaled_positions, lattice().scaled_positions, atol=1e-9)


def test_a_cube_has_24_and_the_unturned_one_comes_first():
    found = orientations(lattice(4.0 * np.eye(3)), 8.0 * np.eye(3))
    assert len(found) == 24
    np.testing.assert_allclose(found[0].cell, 4.0 * np.eye(3), atol=1e-9)


def test_a_little_strain_is_allowed_and_another_cell_is_not():
    turn = rotation(5)
    assert len(orientations(lattice(), 1.01 * CELL @ turn)) == 1
    assert orientations(lattice(), 1.2 * CELL) == []


def test_a_mirrored_cell_gets_the_crystal_turned_not_mirrored():
    mirrored = CELL @ rotation(5) * [1, 1, -1]  # a lattice looks the same through its inverse
    (found,) = orientations(lattice(), mirrored)
    assert np.linalg.det(np.linalg.solve(CELL, found.cell)) == pytest.approx(1.0)
    found.supercell_matrix(mirrored)
