import numpy as np
import pytest

from aiida_limsm.markov.sites import SiteLattice
from aiida_limsm.trajectory.framework import framework_offset
from aiida_limsm.trajectory.h5md import Trajectory
from aiida_limsm.trajectory.ions import IonStream, align
from aiida_limsm.trajectory.writer import H5mdFile

CELL = np.array([[4.0, 0.2, 0], [0, 4.5, 0.3], [0.1, 0, 5.0]])
DOUBLE = 2 * CELL
NOISE = 0.1


def lattice():
    scaled = [[0, 0, 0], [0.5, 0.45, 0.55], [0.25, 0.3, 0.7], [0.7, 0.8, 0.2]]
    return SiteLattice.from_structure(CELL, scaled, [14, 8, 3, 3], 3, "Li")


def supercell():
    grown = lattice().expand(2 * np.eye(3, dtype=int))
    positions = np.concatenate([grown.framework_positions, grown.positions])
    return positions, np.append(grown.framework_numbers, [3] * grown.n_sites)


def masses(numbers):
    return np.where(numbers == 14, 28.0, np.where(numbers == 8, 16.0, 7.0))


def trajectory(path, x, numbers, cell=DOUBLE):
    file = H5mdFile(path, numbers, cell, 0.1, observables=False)
    file.append(x, np.arange(len(x)))
    file.close()
    return Trajectory(path)


def moving_crystal(frames=50, wrap=False):
    """Vibrating supercell, shifted against the sites and drifting by 5 Å."""
    positions, numbers = supercell()
    random = np.random.default_rng(0)
    drift = np.linspace(0, 5, frames)[:, None] * [1.0, 0.5, -0.2]
    x = positions + [0.3, -0.4, 0.1] + drift[:, None]
    x = x + NOISE * random.normal(size=(frames, *positions.shape))
    if wrap:
        x = x - np.floor(x @ np.linalg.inv(DOUBLE)) @ DOUBLE
    return x, numbers, positions, drift


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("memory_mb", [1e-3, 4.0])
def test_drift_and_shift_are_taken_off(tmp_path, wrap, memory_mb):
    x, numbers, positions, drift = moving_crystal(wrap=wrap)
    framework, ions = np.flatnonzero(numbers != 3), np.flatnonzero(numbers == 3)
    with trajectory(tmp_path / "t.h5", x, numbers) as opened:
        found = align(opened, framework, masses(numbers), lattice(), start=10)
        assert found.is_framework
        assert found.misfit < NOISE
        stream = IonStream(opened, ions, found, 10, memory_mb)
        assert (stream.n_frames, stream.n_ions) == (40, 16)
        assert stream.frame_interval_ps == 0.1
        got = np.concatenate(list(stream.blocks()))
    # on the sites, up to one lattice vector for all ions (wrapping: one of the MD cell for each)
    away = (got.mean(axis=0) - positions[ions]) @ np.linalg.inv(CELL)
    assert np.abs(away - np.rint(away)).max() < 0.05
    turns = np.rint(away) - np.rint(away)[0]
    assert np.abs(turns % 2).max() == 0 if wrap else np.abs(turns).max() == 0
    motion = stream.motion
    assert motion.wrapped == wrap
    assert motion.drift_angstrom == pytest.approx(np.linalg.norm(drift[-1] - drift[10]), abs=0.2)
    assert motion.msd_angstrom2 == pytest.approx(6 * NOISE**2, rel=0.4)


def test_without_a_framework_all_atoms_define_the_drift(tmp_path):
    x = np.zeros((5, 2, 3))
    x[:, 0, 0] = np.arange(5)
    with trajectory(tmp_path / "t.h5", x, [3, 3], 20 * np.eye(3)) as opened:
        found = align(opened, np.array([], dtype=int), np.ones(2), None)
        assert not found.is_framework
        stream = IonStream(opened, np.array([0]), found)
        np.testing.assert_allclose(np.concatenate(list(stream.blocks()))[:, 0, 0], np.arange(5) / 2)
    assert stream.motion.drift_angstrom == pytest.approx(2.0)
    assert stream.motion.msd_angstrom2 is None


def test_positions_that_are_not_finite_stop_the_stream(tmp_path):
    x, numbers, _, _ = moving_crystal()
    x[30, 5, 1] = np.nan
    ions = np.flatnonzero(numbers == 3)
    with trajectory(tmp_path / "t.h5", x, numbers) as opened:
        with pytest.raises(ValueError, match=r"t.h5: atom 5 .* in frame 30"):
            align(opened, np.flatnonzero(numbers != 3), masses(numbers), lattice())
        found = align(opened, np.flatnonzero(numbers != 3), masses(numbers), lattice(), start=35)
        assert len(list(IonStream(opened, ions, found, 35).blocks()))


def test_another_crystal_shows_as_misfit():
    random = np.random.default_rng(1)
    positions = 8 * random.uniform(size=(16, 3))
    _, misfit = framework_offset(positions, np.array([14] * 8 + [8] * 8), lattice())
    assert misfit > 0.8
