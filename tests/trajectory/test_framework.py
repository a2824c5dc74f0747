import numpy as np
import pytest

from aiida_limsm.markov.sites import SiteLattice
from aiida_limsm.trajectory.framework import AlignedIons, framework_motion, framework_offset
from aiida_limsm.trajectory.h5md import H5mdFile, Trajectory

CELL = np.array([[4.0, 0.2, 0], [0, 4.5, 0.3], [0.1, 0, 5.0]])


def lattice():
    scaled = [[0, 0, 0], [0.5, 0.45, 0.55], [0.25, 0.3, 0.7], [0.7, 0.8, 0.2]]
    return SiteLattice.from_structure(CELL, scaled, [14, 8, 3, 3], 3, "Li")


def supercell():
    sites = lattice()
    grown = sites.expand(2 * np.eye(3, dtype=int))
    positions = np.concatenate([grown.framework_positions, grown.positions])
    numbers = np.append(grown.framework_numbers, [3] * grown.n_sites)
    return positions, numbers


def make(path, x, numbers, cell=2 * CELL):
    file = H5mdFile(path, numbers, cell, 0.1, observables=False)
    file.append(x, np.arange(len(x)))
    file.close()
    return Trajectory(path)


def test_drift_and_shift_are_taken_off(tmp_path):
    random = np.random.default_rng(0)
    positions, numbers = supercell()
    shift = np.array([0.3, -0.4, 0.1])
    drift = np.linspace(0, 5, 50)[:, None] * [1.0, 0.5, -0.2]
    x = positions + shift + drift[:, None] + 0.1 * random.normal(size=(50, *positions.shape))
    masses = np.where(numbers == 14, 28.0, np.where(numbers == 8, 16.0, 7.0))
    framework = np.flatnonzero(numbers != 3)
    with make(tmp_path / "t.h5", x, numbers) as trajectory:
        motion = framework_motion(trajectory, framework, masses, 10, 1e-3)
        np.testing.assert_allclose(motion.drift, drift[10:] - drift[10], atol=0.25)
        offset, misfit = framework_offset(motion.mean_positions, numbers[framework], lattice())
        base = shift + drift[10]
        assert misfit < 0.1
        assert motion.msd == pytest.approx(6 * 0.1**2, rel=0.3)
        ions = AlignedIons(trajectory, np.flatnonzero(numbers == 3), motion, offset, 10, 1e-3)
        assert (ions.n_frames, ions.n_ions) == (40, 16)
        got = np.concatenate(list(ions.chunks(slice(0, 16))))
        # equal to the sites up to one lattice vector, the same for all ions
        away = (got.mean(axis=0) - positions[numbers == 3]) @ np.linalg.inv(CELL)
        assert np.abs(away - np.rint(away)).max() < 0.05
        assert np.abs(np.rint(away) - np.rint(away)[0]).max() == 0
        rest = (offset - base) @ np.linalg.inv(CELL)
        assert np.abs(rest - np.rint(rest)).max() < 0.05
        part = np.concatenate(list(ions.chunks(slice(3, 5))))
        np.testing.assert_array_equal(part, got[:, 3:5])


def test_without_framework_all_atoms_define_the_drift(tmp_path):
    x = np.zeros((5, 2, 3))
    x[:, 0, 0] = np.arange(5)
    with make(tmp_path / "t.h5", x, [3, 3], 20 * np.eye(3)) as trajectory:
        motion = framework_motion(trajectory, np.array([], dtype=int), np.ones(2), 0, 10)
        np.testing.assert_allclose(motion.drift[:, 0], 0.5 * np.arange(5))
        assert motion.msd is None


def test_wrapped_positions_are_refused(tmp_path):
    x = np.full((4, 1, 3), 0.1)
    x[2:, 0, 0] = 7.9
    with (
        make(tmp_path / "t.h5", x, [3]) as trajectory,
        pytest.raises(ValueError, match="look wrapped"),
    ):
        framework_motion(trajectory, np.array([], dtype=int), np.ones(1), 0, 10)


def test_another_crystal_shows_as_misfit():
    random = np.random.default_rng(1)
    positions = 8 * random.uniform(size=(16, 3))
    _, misfit = framework_offset(positions, np.array([14] * 8 + [8] * 8), lattice())
    assert misfit > 0.8
