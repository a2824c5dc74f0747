"""Trajectories at the edge of what can be analysed: finite results, no warnings of NumPy."""

from dataclasses import fields, is_dataclass

import numpy as np
import pytest

from aiida_limsm.markov.analysis import analyse
from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.findings import Settings

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

FAST = {"bootstrap_samples": 30, "number_of_lags": 6}
ONE = np.eye(3, dtype=int)
# no error of one ion in one time block, nor where all ions did the same
MAY_BE_UNKNOWN = {"check.error", "check.max_deviation_sigma"}


def run(toolbox, lattice, x, interval=0.05, supercell=2 * ONE, **choices):
    return analyse(
        [toolbox.source(np.asarray(x, dtype=float), interval)],
        lattice, supercell, Settings(**FAST | choices),
    )  # fmt: skip


def places(lattice, sites, images=None):
    """Positions of site sequences (frames, ions), with a little vibration."""
    sites = np.asarray(sites)
    x = lattice.positions[sites] + np.random.default_rng(0).normal(0, 0.05, (*sites.shape, 3))
    return x if images is None else x + np.asarray(images) @ lattice.cell


def refuse_nan(found):
    """Everything that is quoted is finite; only curves and unseen sites may have gaps."""

    def look(value, name):
        if isinstance(value, Curves):
            return
        if is_dataclass(value):
            for field in fields(value):
                look(getattr(value, field.name), f"{name}.{field.name}")
        elif isinstance(value, (float, np.ndarray)) and name not in MAY_BE_UNKNOWN:
            array = np.asarray(value)
            if array.dtype.kind == "f":
                assert np.isfinite(array).all(), name

    for part in ("markov", "msd", "uncorrelated", "axes", "model", "check", "table"):
        look(getattr(found, part), part)
    assert np.isfinite([found.double_occupancy_fraction, found.unassigned_fraction]).all()
    for estimate in (found.markov, found.msd, found.uncorrelated):
        np.testing.assert_array_equal(estimate.tensor, estimate.tensor.T)
        assert np.linalg.eigvalsh(estimate.covariance).min() >= -1e-9 * estimate.covariance.max()
        if not estimate.resolved:
            assert estimate.reason
            assert 0 < estimate.upper_bound < np.inf


@pytest.fixture
def pair(toolbox):
    return toolbox.lattice(np.diag([6.0, 7.0, 8.0]), [[0, 0, 0], [3, 0, 0]])


@pytest.fixture
def single(toolbox):
    return toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0]])


@pytest.mark.parametrize("frames", [2, 3, 5, 40])
@pytest.mark.parametrize("ions", [1, 3])
def test_still_ions(toolbox, pair, frames, ions):
    found = run(toolbox, pair, places(pair, np.zeros((frames, ions), dtype=int)))
    assert found.markov.value == 0
    assert not found.markov.resolved
    refuse_nan(found)


def test_one_jump_between_two_frames(toolbox, pair):
    found = run(toolbox, pair, places(pair, [[0], [1]]))
    assert not found.markov.resolved
    refuse_nan(found)


def test_an_ion_that_leaves_for_good(toolbox, pair):
    sites = np.zeros((200, 4), dtype=int)
    sites[100:, 0] = 1
    found = run(toolbox, pair, places(pair, sites))
    assert found.jumps == 1
    assert not found.markov.resolved
    assert any("no way back" in line for line in found.warnings)
    refuse_nan(found)


def test_an_ion_that_only_ever_goes_on(toolbox, single):
    """A ballistic ion: no jump has a reverse that was seen."""
    images = np.zeros((300, 2, 3), dtype=int)
    images[:, :, 0] = (np.arange(300) // 10)[:, None]
    found = run(toolbox, single, places(single, np.zeros((300, 2), dtype=int), images))
    assert found.jumps == 2 * 29
    refuse_nan(found)


def test_two_sublattices_that_do_not_exchange(toolbox):
    """Fast ions and slow ones: D is the mean over ions, weighted by their populations."""
    lattice = toolbox.lattice(np.diag([3.0, 9.0, 9.0]), [[0, 0, 0], [0, 4.5, 4.5]])
    rates = np.array([0.9, 0.9, 0.1, 0.1])
    net = toolbox.network(
        lattice, np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]),
        np.array([[1, 0, 0], [-1, 0, 0]] * 2), rates,
    )  # fmt: skip
    found = run(toolbox, lattice, net.positions(60, 2000, 0.05, seed=0, sigma=0.15))
    share = found.model.stationary_distribution
    exact = (share * [0.9, 0.1]).sum() * 9.0 * 1e-4
    assert abs(found.markov.tensor[0, 0] - exact) < 3 * found.markov.error_tensor[0, 0]
    assert len(np.unique(found.model.connected_sets)) == 2
    assert not any("no way back" in line for line in found.warnings)
    refuse_nan(found)


def test_a_chain_conducts_along_one_direction_exactly(toolbox):
    axis = np.array([1.0, 2.0, 2.0]) / 3.0
    rest = np.linalg.svd(axis[None])[2][1:]
    lattice = toolbox.lattice(np.array([2.5 * axis, 9 * rest[0], 9 * rest[1]]), [[0, 0, 0]])
    net = toolbox.neighbours(lattice, 3.0, np.zeros(1), 0.5)
    found = run(toolbox, lattice, net.positions(20, 2000, 0.05, seed=1, sigma=0.2))
    values = np.linalg.eigvalsh(found.markov.tensor)
    assert np.abs(values[:2]).max() < 1e-12 * values[2]
    np.testing.assert_allclose(
        found.markov.tensor, values[2] * np.outer(axis, axis), atol=1e-10 * values[2]
    )
    assert found.axes.dimensionality == 1
    refuse_nan(found)


def test_rates_that_differ_by_a_thousand(toolbox):
    lattice = toolbox.lattice(np.diag([2.5, 3.0, 3.5]), [[0, 0, 0]])
    six = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    none = np.zeros(6, dtype=int)
    net = toolbox.network(lattice, none, none, six, np.tile([2.0, 0.05, 0.002], 2))
    exact = np.array([2.0, 0.05, 0.002]) * np.diag(lattice.cell) ** 2 * 1e-4
    found = run(toolbox, lattice, net.positions(40, 4000, 0.02, seed=2, sigma=0.15), 0.02)
    score = (np.diag(found.markov.tensor) - exact) / np.diag(found.markov.error_tensor)
    assert np.abs(score).max() < 3
    assert found.axes.dimensionality == 1
    refuse_nan(found)


def test_a_site_that_is_never_visited(toolbox):
    lattice = toolbox.lattice(np.diag([6.0, 7.0, 8.0]), [[0, 0, 0], [3, 0, 0], [0, 3.5, 4]])
    sites = np.random.default_rng(0).integers(0, 2, size=(60, 5)).repeat(5, axis=0)
    found = run(toolbox, lattice, places(lattice, sites))
    assert found.model.stationary_distribution[2] == 0
    assert found.sites.occupancy[2] == 0
    assert np.isnan(found.sites.vibration_amplitude[2])
    assert not found.markov.resolved  # pairs of sites that lead nowhere
    refuse_nan(found)


def test_ions_far_from_every_site(toolbox, pair):
    x = places(pair, np.zeros((400, 3), dtype=int)) + np.array([1.5, 3.5, 4.0])
    found = run(toolbox, pair, x)
    assert found.lost_ions + round(3 * found.unassigned_fraction) >= 3
    refuse_nan(found)


def test_trajectories_of_unequal_length(toolbox):
    net = toolbox.d03(0.3)
    parts = [
        toolbox.source(net.positions(6, n, 0.05, seed=n, sigma=0.2), 0.05) for n in (900, 4, 300)
    ]
    found = analyse(parts, net.lattice, 2 * ONE, Settings(**FAST))
    refuse_nan(found)
    exact = np.trace(net.diffusion()) / 3
    assert abs(found.markov.value - exact) < 3 * found.markov.error


def test_lag_must_be_shorter_than_the_run(toolbox, single):
    x = places(single, np.zeros((10, 1), dtype=int))
    with pytest.raises(ValueError, match="not shorter than the trajectory"):
        run(toolbox, single, x, lag_ps=0.5)
