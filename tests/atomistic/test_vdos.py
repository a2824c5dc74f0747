"""The density of states of crystals whose vibrations are known exactly."""

import numpy as np
import pytest

from aiida_limsm.atomistic.vdos import (
    VdosSampler,
    finite_differences,
    highest_frequency_thz,
    longest_interval_fs,
    resolution_thz,
)

INTERVAL_PS = 0.01
SEGMENT_PS = 4.0
ANGULAR = 9648.533
"""(rad/ps)² of 1 eV/Å²/amu."""


class HarmonicChain:
    """A periodic chain Li-Si of eight cells along x, springs between neighbours.

    The springs across are weaker, so that bands along x, y and z are apart. Modes move with the
    energy of equipartition and phases of their own.
    """

    def __init__(self, seed=1, springs=(2.0, 0.7, 0.3)):
        from ase.data import atomic_masses

        self.numbers = np.tile([3, 14], 8)
        self.cell = np.diag([16 * 2.4, 9.0, 9.0])
        masses = atomic_masses[self.numbers]
        n = len(masses)
        self.sites = np.zeros((n, 3))
        self.sites[:, 0] = 2.4 * np.arange(n)
        rng = np.random.default_rng(seed)
        self.modes = []  # angular frequency (rad/ps), vector of displacements, phase, axis
        for axis, spring in enumerate(springs):
            matrix = 2 * spring * np.eye(n)
            for i in range(n):
                matrix[i, (i + 1) % n] -= spring
                matrix[(i + 1) % n, i] -= spring
            matrix *= ANGULAR / np.sqrt(np.outer(masses, masses))
            squared, vectors = np.linalg.eigh(matrix)
            for value, vector in zip(squared[1:], vectors.T[1:], strict=True):
                phase = rng.uniform(0, 2 * np.pi)
                self.modes.append((np.sqrt(value), vector, vector / np.sqrt(masses), phase, axis))

    def move(self, frames, interval_ps=INTERVAL_PS):
        time = interval_ps * np.arange(frames)
        positions = np.tile(self.sites, (frames, 1, 1))
        velocities = np.zeros_like(positions)
        for omega, _, vector, phase, axis in self.modes:
            # one amplitude of velocity for all: equipartition
            velocities[:, :, axis] += np.outer(np.cos(omega * time + phase), vector)
            positions[:, :, axis] += np.outer(np.sin(omega * time + phase) / omega, vector)
        return positions, velocities

    def exact(self, frequency, width):
        """Sum of lines of a width, weighted by the share of an element, each with unit area."""
        curves = []
        for number in (3, 14, None):
            curve = np.zeros_like(frequency)
            for omega, vector, *_ in self.modes:
                share = 1.0 if number is None else (vector**2)[self.numbers == number].sum()
                spread = (frequency - omega / (2 * np.pi)) / (width / 2.355)
                curve += share * np.exp(-0.5 * spread**2)
            curves.append(curve / curve.sum() / (frequency[1] - frequency[0]))
        return np.array(curves)


@pytest.fixture(scope="module")
def chain():
    return HarmonicChain()


def sampled(chain, values, frequency, interval=INTERVAL_PS, from_positions=False):
    sampler = VdosSampler(chain.numbers, interval, SEGMENT_PS, from_positions)
    for block in np.array_split(values, 7):  # the length of blocks must not matter
        sampler.add(block)
    return sampler, sampler.curves(frequency)


def test_lines_stand_at_the_exact_frequencies_with_the_exact_weights(chain):
    frequency = np.arange(0, 25, 0.05)
    _, velocities = chain.move(12001)
    sampler, found = sampled(chain, velocities, frequency)
    assert found.names == ("Li", "Si", "all")
    np.testing.assert_allclose(found.mean.sum(axis=1) * 0.05, 1.0)
    exact = chain.exact(frequency, resolution_thz(SEGMENT_PS))
    # curves of unit area that share nothing would differ by 2
    assert (np.abs(found.mean - exact).sum(axis=1) * 0.05 < 0.06).all()
    assert sampler.share_near_nyquist() < 1e-6
    # band edges of the diatomic chain along x: sqrt(2 f / m) of the light and the heavy atom
    highest = max(omega for omega, *_ in chain.modes) / (2 * np.pi)
    above = frequency > highest + 2 * resolution_thz(SEGMENT_PS)
    assert found.mean[:, above].max() < 1e-4 * found.mean.max()


def test_a_single_mode_is_a_line_of_the_stated_width(chain):
    frequency = np.arange(0, 25, 0.01)
    omega, *_ = chain.modes[-1]
    time = INTERVAL_PS * np.arange(4001)
    velocities = np.cos(omega * time)[:, None, None] * np.array([1.0, 0, 0])
    # the centre of mass must stay: one Li against another
    velocities = (
        velocities * np.where(np.arange(16) == 0, 1.0, np.where(np.arange(16) == 2, -1, 0))[:, None]
    )
    _, found = sampled(chain, velocities, frequency)
    line = found.mean[0]
    assert frequency[line.argmax()] == pytest.approx(omega / (2 * np.pi), abs=0.015)
    width = 0.01 * (line > line.max() / 2).sum()
    assert width == pytest.approx(resolution_thz(SEGMENT_PS), rel=0.03)
    assert found.mean[1].sum() == 0.0  # no Si moves


def test_positions_give_what_velocities_give(chain):
    frequency = np.arange(0, 25, 0.05)
    positions, velocities = chain.move(8001)
    _, exact = sampled(chain, velocities, frequency)
    blocks = [part.astype(np.float32) for part in np.array_split(positions, 5)]
    moves = np.concatenate(list(finite_differences(blocks, chain.cell, INTERVAL_PS)))
    assert moves.shape == (8000, 16, 3)
    _, found = sampled(chain, moves, frequency, from_positions=True)
    assert (np.abs(found.mean - exact.mean).sum(axis=1) * 0.05 < 0.01).all()
    # wrapped positions make no difference
    wrapped = [np.mod(part + 1.0, np.diag(chain.cell)).astype(np.float32) for part in blocks]
    again = np.concatenate(list(finite_differences(wrapped, chain.cell, INTERVAL_PS)))
    np.testing.assert_allclose(again, moves, atol=2e-3)


def test_weights_hold_up_to_the_nyquist_frequency(chain):
    """With 25 fs between frames the highest mode is close to the limit of 20 THz."""
    frequency = np.arange(0, 20, 0.05)
    positions, velocities = chain.move(16001, 0.025)
    _, exact = sampled(chain, velocities, frequency, interval=0.025)
    moves = np.concatenate(list(finite_differences([positions], chain.cell, 0.025)))
    _, found = sampled(chain, moves, frequency, interval=0.025, from_positions=True)
    assert (np.abs(found.mean - exact.mean).sum(axis=1) * 0.05 < 0.02).all()


def test_the_drift_of_all_atoms_is_no_vibration(chain):
    frequency = np.arange(0, 25, 0.05)
    _, velocities = chain.move(4001)
    _, still = sampled(chain, velocities, frequency)
    _, drifting = sampled(chain, velocities + np.array([3.0, -1.0, 0.2]), frequency)
    np.testing.assert_allclose(drifting.mean, still.mean, atol=1e-9)


def test_bounds_of_frequencies_and_intervals():
    assert longest_interval_fs(highest_frequency_thz({"Li", "Si"})) == 20.0
    assert longest_interval_fs(highest_frequency_thz({"Li", "O"})) == pytest.approx(7.14, abs=0.01)
    assert longest_interval_fs(highest_frequency_thz({"Li", "O", "H"})) < 4.0


def test_refusals(chain):
    with pytest.raises(ValueError, match=r"segments of 8 frames, 0.05 ps hold 5: write frames"):
        VdosSampler(chain.numbers, INTERVAL_PS, 0.05)
    frequency = np.arange(0, 25, 0.05)
    sampler = VdosSampler(chain.numbers, INTERVAL_PS, SEGMENT_PS)
    sampler.add(np.ones((399, 16, 3)))
    with pytest.raises(ValueError, match="a spectrum needs 400 frames at least: run longer"):
        sampler.curves(frequency)
    sampler.add(np.ones((1, 16, 3)))
    with pytest.raises(ValueError, match="the atoms do not move"):
        sampler.curves(frequency)
    with pytest.raises(ValueError, match="not finite"):
        sampler.add(np.full((1, 16, 3), np.nan))
