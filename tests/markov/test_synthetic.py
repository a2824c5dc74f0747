from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.synthetic import HoppingNetwork, HoppingTrajectory, random_rotation
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    interstitial_network,
    orthorhombic_network,
    site_lattice,
    triclinic_network,
)

CM2 = 1e-4
TWICE = 2 * np.eye(3, dtype=int)


def chain(k1, k2):
    """Two sites 1 and 2 Å apart in turn, rates k1 and k2 (1/ps)."""
    lattice = site_lattice(np.diag([3.0, 9.0, 9.0]), [[0, 0, 0], [1, 0, 0]])
    image = np.array([[0, 0, 0], [0, 0, 0], [-1, 0, 0], [1, 0, 0]])
    return HoppingNetwork(
        lattice, np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0]), image, np.array([k1, k1, k2, k2])
    )


def generator_form(network):
    """D by the group inverse of the generator, as Haus & Kehr write it."""
    n, pi, d = network.n_sites, network.stationary_distribution, network.jump_vectors
    q = np.zeros((n, n))
    np.add.at(q, (network.from_site, network.to_site), network.rate_per_ps)
    np.add.at(q, (network.from_site, network.from_site), -network.rate_per_ps)
    a = np.zeros((n, 3))
    np.add.at(a, network.from_site, network.rate_per_ps[:, None] * d)
    group = np.linalg.inv(np.outer(np.ones(n), pi) - q) - np.outer(np.ones(n), pi)
    cross = a.T @ np.diag(pi) @ group @ a
    first = 0.5 * np.einsum("k,ka,kb->ab", pi[network.from_site] * network.rate_per_ps, d, d)
    return (first - (cross + cross.T) / 2) * CM2


def trajectory(network, **changes):
    default = HoppingTrajectory(
        network, n_ions=5, n_frames=300, frame_interval_ps=0.05, supercell=TWICE, seed=3
    )
    return replace(default, **changes)


def whole(source, block=97):
    return np.concatenate(list(source.blocks(block)))


def test_chain_by_hand():
    # D = (a1 + a2)² k1 k2 / (2 (k1 + k2))
    tensor = chain(0.7, 0.1).diffusion_tensor()
    wanted = 9.0 * 0.07 / 1.6 * CM2
    np.testing.assert_allclose(tensor, np.diag([wanted, 0, 0]), atol=1e-12 * wanted)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), sites=st.integers(1, 4))  # five take long to place at random
def test_closed_form_equals_the_generator_form(seed, sites):
    network = triclinic_network(seed, sites, energy_spread_kt=1.5)
    np.testing.assert_allclose(
        network.diffusion_tensor(), generator_form(network), rtol=1e-9, atol=1e-16
    )
    turn = random_rotation(seed)
    np.testing.assert_allclose(
        network.rotated(turn).diffusion_tensor(),
        turn.T @ network.diffusion_tensor() @ turn,
        rtol=1e-9,
        atol=1e-16,
    )
    faster = network.with_jump_rate(3.0 * network.jump_rate_per_ps)
    np.testing.assert_allclose(faster.diffusion_tensor(), 3 * network.diffusion_tensor())


def test_ready_made_networks_are_what_they_say():
    d03 = d0_3_network(0.05, bias_kt=1.0)
    tensor = d03.diffusion_tensor()
    np.testing.assert_allclose(tensor, tensor[0, 0] * np.eye(3), atol=1e-12 * tensor[0, 0])
    pi = d03.stationary_distribution
    assert pi[1] / pi[0] == pytest.approx(np.e)
    # every way through an interstitial: chain of two equal 2 Å jumps along each axis, by hand
    cubic = interstitial_network(0.02, energy_kt=2.0)
    out, back = 0.02, 0.02 * np.exp(2.0)
    share = cubic.stationary_distribution[0]
    assert share == pytest.approx(1 / (1 + 3 * np.exp(-2.0)))
    leave = share * 2 * out  # per axis; half of them go on
    wanted = leave / 2 * 4.0**2 / 2 * CM2
    np.testing.assert_allclose(np.diag(cubic.diffusion_tensor()), wanted)
    assert back * cubic.stationary_distribution[1] == pytest.approx(out * share)
    principal = np.diag(orthorhombic_network(0).diffusion_tensor())
    assert principal[0] > 2 * principal[1] > 0
    assert principal[1] > principal[2] > 0
    assert orthorhombic_network(0).jump_rate_per_ps == pytest.approx(1.0)


def test_separate_parts_have_the_share_of_their_sites():
    lattice = site_lattice(np.diag([3.0, 9.0, 9.0]), [[0, 0, 0], [0, 4, 4]])
    every = np.array([0, 0, 1, 1])
    image = np.array([[1, 0, 0], [-1, 0, 0]] * 2)
    network = HoppingNetwork(lattice, every, every, image, np.array([0.1, 0.1, 0.4, 0.4]))
    assert network.diffusion_tensor()[0, 0] == pytest.approx((0.1 + 0.4) / 2 * 9.0 * CM2)


def test_walk_has_the_occupancies_rates_and_spread_of_the_network():
    network = triclinic_network(5).rotated(random_rotation(1))
    source = trajectory(network, n_ions=400, n_frames=1001, frame_interval_ps=0.1)
    sites = np.concatenate([block for block, _ in source.walk()])
    seen = np.bincount(sites.ravel(), minlength=4) / sites.size
    np.testing.assert_allclose(seen, network.stationary_distribution, atol=0.01)
    x = whole(source)[:, :400].astype(float)
    dx = x[100:] - x[:-100]
    # 10 ps is long against 1 jump per ps, so that the mean-square displacement is nearly 6 D t
    spread = np.einsum("tia,tib->ab", dx, dx) / (dx.shape[0] * 400) / 20 * CM2
    scale = np.trace(network.diffusion_tensor()) / 3
    assert np.abs(spread - network.diffusion_tensor()).max() < 0.1 * scale


def test_count_of_jumps():
    network = triclinic_network(5)
    source = trajectory(network, n_ions=50, n_frames=5000, frame_interval_ps=0.01)
    x = whole(source)[:, :50]
    assert source.count_jumps() == int((np.abs(np.diff(x, axis=0)).max(axis=-1) > 0.1).sum())
    expected = network.jump_rate_per_ps * 50 * 4999 * 0.01
    assert source.count_jumps() == pytest.approx(expected, abs=5 * expected**0.5)


def test_seed_decides_and_blocks_do_not():
    network = triclinic_network(2)
    source = trajectory(network, vibration_angstrom=0.2, framework_vibration_angstrom=0.1)
    first = whole(source, 300)
    assert first.dtype == np.float32
    assert first.shape == (300, source.n_atoms, 3)
    np.testing.assert_array_equal(whole(source, 7), first)
    assert np.abs(whole(replace(source, seed=4)) - first).max() > 1.0


def test_vibrations_have_their_size_and_memory():
    still = trajectory(d0_3_network(), n_frames=4000, framework_vibration_angstrom=0.1)
    moving = replace(still, vibration_angstrom=0.3, vibration_time_ps=0.1)
    noise = whole(moving).astype(float) - whole(still)
    framework = whole(still)[:, 5:].astype(float)
    assert noise[:, :5].std() == pytest.approx(0.3, rel=0.05)
    memory = (noise[1:, :5] * noise[:-1, :5]).mean() / 0.09
    assert memory == pytest.approx(np.exp(-0.5), abs=0.05)
    assert (framework - framework.mean(axis=0)).std() == pytest.approx(0.1, rel=0.05)
    frozen = whole(replace(still, framework_vibration_angstrom=0.0))[:, 5:]
    assert np.ptp(frozen, axis=0).max() == 0.0


def test_wrapped_positions_are_the_same_points_inside_the_cell():
    skew = np.array([[2, 1, 0], [0, 2, 0], [0, -1, 1]])
    network = triclinic_network(8).rotated(random_rotation(4))
    free = trajectory(network, supercell=skew, n_ions=40, n_frames=900, vibration_angstrom=0.2)
    folded = whole(replace(free, wrapped=True)).astype(float)
    inverse = np.linalg.inv(free.cell)
    scaled = folded @ inverse
    assert scaled.min() > -1e-5
    assert scaled.max() < 1 + 1e-5
    away = (whole(free) - folded) @ inverse
    assert np.abs(away - np.rint(away)).max() < 1e-5
    assert np.abs(np.rint(away)).max() >= 1
    assert len(free.md_lattice.framework_numbers) == 4


def test_ions_start_anywhere_in_the_supercell():
    source = trajectory(d0_3_network(), n_ions=4000, n_frames=1)
    (_, images), *_ = source.walk()
    cells, number = np.unique(images[0], axis=0, return_counts=True)
    assert len(cells) == 8
    assert number.min() > 400


def test_impossible_networks_are_refused():
    good = chain(0.7, 0.1)
    with pytest.raises(ValueError, match="no reverse"):
        replace(good, image=np.abs(good.image)).diffusion_tensor()
    with pytest.raises(ValueError, match="detailed balance"):
        replace(good, rate_per_ps=np.array([0.7, 0.7, 0.1, 0.2])).diffusion_tensor()
