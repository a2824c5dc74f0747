import numpy as np
import pytest

from aiida_limsm.markov.analysis import analyse
from aiida_limsm.markov.findings import Settings
from aiida_limsm.markov.io import read_curves, save_model

FAST = {"bootstrap_samples": 40, "number_of_lags": 4}


def run(toolbox, net, x, interval=0.02, **choices):
    source = toolbox.source(x, interval)
    return analyse([source], net.lattice, 2 * np.eye(3, dtype=int), Settings(**FAST | choices))


def exact_value(net):
    return np.trace(net.diffusion()) / 3


def test_errors_cover_the_exact_value(toolbox):
    """Pooled over replicates: both estimates unbiased, errors neither too small nor too large."""
    net = toolbox.d03(0.2)
    exact = exact_value(net)
    markov, msd, joint = [], [], []
    for replicate in range(24):
        x = net.positions(24, 600, 0.02, 50000 + replicate, sigma=0.25)
        found = run(toolbox, net, x, seed=replicate)
        assert found.markov.resolved
        markov.append((found.markov.value - exact) / found.markov.error)
        msd.append((found.msd.value - exact) / found.msd.error)
        joint.append(found.markov.value / exact)
    assert np.mean(joint) == pytest.approx(1.0, abs=0.05)
    for scores in (np.array(markov), np.array(msd)):
        # 24 normal draws: χ²/24 lies in 0.44 … 1.8 (99 %); errors of few ions are noisy themselves
        assert 0.4 < np.mean(scores**2) < 2.0
        assert np.mean(np.abs(scores) < 2) >= 0.83


def test_recrossings_core_at_once_nearest_at_its_plateau(toolbox):
    """Vibrations of 0.4 Å along each axis make nearest sites flicker; cores do not."""
    net = toolbox.d03(0.2)
    exact = exact_value(net)
    x = net.positions(40, 1500, 0.02, seed=5, sigma=0.42)
    core = run(toolbox, net, x, lag_ps=0.02)
    near = run(toolbox, net, x, lag_ps=0.02, assignment="nearest")
    assert core.markov.value == pytest.approx(exact, rel=0.15)
    assert near.markov.value > 1.25 * exact
    assert near.jumps > 1.2 * core.jumps
    late = run(toolbox, net, x, assignment="nearest", number_of_lags=12)
    assert late.lag_ps > 0.05
    assert abs(late.markov.value - exact) < 3 * late.markov.error


def test_covariance_orientation_and_anisotropy(toolbox):
    """A crystal that conducts along one direction only: the tensor says which."""
    lattice = toolbox.lattice(np.diag([2.5, 9.0, 9.0]), [[0, 0, 0]])
    net = toolbox.neighbours(lattice, 3.0, np.zeros(1), 0.3)
    x = net.positions(30, 800, 0.05, seed=1, sigma=0.2)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    turned = toolbox.network(
        toolbox.lattice(lattice.cell @ turn, lattice.positions @ turn),
        net.start, net.end, net.image, net.rate,
    )  # fmt: skip
    one = run(toolbox, net, x, 0.05, lag_ps=0.05)
    two = run(toolbox, turned, x @ turn, 0.05, lag_ps=0.05)
    assert one.jumps == two.jumps
    np.testing.assert_allclose(two.markov.tensor, turn.T @ one.markov.tensor @ turn, atol=1e-12)
    assert two.markov.error == pytest.approx(one.markov.error)
    assert one.markov.covariance.shape == (6, 6)
    # no jump along y was seen: the error there is what one jump would have made of it
    assert 0 < one.markov.covariance[1, 1] < 0.05 * one.markov.covariance[0, 0]
    assert np.linalg.eigvalsh(two.markov.covariance).min() > -1e-20


def test_no_jumps_is_a_bound_not_a_number(toolbox):
    net = toolbox.d03(0.0)
    x = net.positions(5, 200, 0.02, seed=0, sigma=0.1)
    found = run(toolbox, net, x)
    assert (found.jumps, found.independent_jumps) == (0, 0)
    for estimate in (found.markov, found.msd):
        assert not estimate.resolved
        assert "0 independent jumps" in estimate.reason
        # three jumps in 5 × 4 ps would still be 5 % likely
        assert estimate.upper_bound == pytest.approx(3.689 * 2.65**2 / 6 / 20 * 1e-4, rel=1e-2)
    assert found.markov.value == 0.0


def test_one_ion_one_site_works(toolbox):
    lattice = toolbox.lattice(2.5 * np.eye(3), [[0, 0, 0]])
    net = toolbox.neighbours(lattice, 2.6, np.zeros(1), 0.4)
    x = net.positions(1, 3000, 0.05, seed=3, sigma=0.1)
    found = run(toolbox, net, x, 0.05)
    assert found.markov.resolved
    assert abs(found.markov.value - exact_value(net)) < 3 * found.markov.error
    assert found.model.n_sites == 1
    assert len(found.timescales_ps) == 0


def test_two_frames_are_enough_to_say_unresolved(toolbox):
    net = toolbox.d03(0.0)
    found = run(toolbox, net, net.positions(1, 2, 0.02, seed=0))
    assert not found.markov.resolved
    assert found.markov.upper_bound > 0


def test_thin_sampling_of_a_large_network_is_not_resolved(toolbox):
    net = toolbox.d03(0.02)
    grown = net.lattice.expand(np.diag([4, 4, 4]))
    x = net.positions(40, 600, 0.02, seed=3, sigma=0.2)
    x = x + np.random.default_rng(0).integers(4, size=(40, 3)) @ net.lattice.cell
    source = toolbox.source(x, 0.02)
    found = analyse([source], grown, np.eye(3, dtype=int), Settings(**FAST))
    assert found.independent_jumps > 10
    assert not found.markov.resolved
    assert "thinly sampled" in found.markov.reason
    assert found.markov.upper_bound > exact_value(net)


def test_asked_lag_is_taken_and_must_fit(toolbox):
    net = toolbox.d03(0.3)
    x = net.positions(12, 400, 0.02, seed=4)
    assert run(toolbox, net, x, lag_ps=0.5).lag_reason == "asked"
    found = run(toolbox, net, x, lag_ps=2.0)
    assert found.lag_ps == pytest.approx(2.0)
    assert any("time blocks" in line for line in found.warnings)
    with pytest.raises(ValueError, match="not shorter than the trajectory"):
        run(toolbox, net, x, lag_ps=8.0)


def test_same_seed_same_bytes_and_curves_come_back(toolbox, tmp_path):
    net = toolbox.d03(0.3)
    x = net.positions(12, 400, 0.02, seed=4, sigma=0.2)
    names = ("a.h5", "b.h5")
    for name in names:
        found = run(toolbox, net, x)
        save_model(found.model, tmp_path / name, found.curves)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    curves = read_curves(tmp_path / "a.h5")
    np.testing.assert_array_equal(curves.lag_ps, found.curves.lag_ps)
    assert len(curves.d_of_lag_cm2_s) == len(curves.lag_ps)
    assert len(curves.msd_model_angstrom2) == len(curves.msd_time_ps)
    found.model.save(tmp_path / "c.h5")
    with pytest.raises(ValueError, match="no curves"):
        read_curves(tmp_path / "c.h5")


def test_memory_bound_changes_little(toolbox):
    net = toolbox.d03(0.3)
    x = net.positions(12, 300, 0.02, seed=4, sigma=0.2)
    one = run(toolbox, net, x)
    tiny = run(toolbox, net, x, memory_mb=0)
    np.testing.assert_array_equal(tiny.markov.tensor, one.markov.tensor)
    # fewer time origins are remembered: the same within the error
    assert abs(tiny.msd.value - one.msd.value) < one.msd.error
