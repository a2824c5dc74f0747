from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.io import read_curves, save_model
from aiida_limsm.markov.model import MarkovModel

CM2 = 1e-4


def exact_model(net, lag):
    """The chain T = 1 + Q lag, whose D equals that of the continuous-time network for any lag."""
    pi = net.stationary
    flux = pi[net.start] * net.rate * lag
    n = net.lattice.n_sites
    stay = pi - np.bincount(net.start, flux, n)
    every = np.arange(n)
    return MarkovModel(
        lattice=net.lattice,
        lag_ps=lag,
        from_site=np.append(net.start, every),
        to_site=np.append(net.end, every),
        image=np.concatenate([net.image, np.zeros((n, 3), dtype=np.int64)]),
        flux=np.append(flux, stay),
    )


def random_network(toolbox, seed, sites=4, spread=1.0):
    random = np.random.default_rng(seed)
    cell = np.diag(random.uniform(4, 6, 3)) + 0.5 * random.normal(size=(3, 3))
    lattice = toolbox.lattice(cell, random.uniform(size=(sites, 3)) @ cell)
    return toolbox.neighbours(lattice, 4.5, random.normal(size=sites), 0.3, seed, spread)


def lag_for(net):
    return 0.4 / np.bincount(net.start, net.rate).max()


def z_form(model):
    """D by the fundamental matrix, term by term as in the literature."""
    pi, d = model.stationary_distribution, model.jump_vectors
    n = model.n_sites
    b = np.zeros((n, 3))
    np.add.at(b, model.from_site, (model.flux / pi[model.from_site])[:, None] * d)
    z = np.linalg.inv(np.eye(n) - model.transition_matrix + np.outer(np.ones(n), pi))
    first = 0.5 * np.einsum("k,ka,kb->ab", model.flux, d, d)
    cross = b.T @ np.diag(pi) @ z @ b
    return (first - (cross + cross.T) / 2) / model.lag_ps * CM2


def test_two_site_chain_by_hand(toolbox):
    # 1D chain with alternating rates k1, k2 over jumps a1, a2: D = (a1 + a2)² k1 k2 / (2 (k1 + k2))
    lattice = toolbox.lattice(np.diag([3.0, 9.0, 9.0]), [[0, 0, 0], [1, 0, 0]])
    start, end = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    image = np.array([[0, 0, 0], [0, 0, 0], [-1, 0, 0], [1, 0, 0]])
    k1, k2 = 0.7, 0.1
    net = toolbox.network(lattice, start, end, image, np.array([k1, k1, k2, k2]))
    wanted = 9.0 * k1 * k2 / (2 * (k1 + k2)) * CM2
    tensor = exact_model(net, 0.3).diffusion_tensor()
    assert tensor[0, 0] == pytest.approx(wanted, rel=1e-10)
    assert np.abs(tensor - np.diag([wanted, 0, 0])).max() < 1e-18
    uncorrelated = exact_model(net, 0.3).diffusion_tensor(correlated=False)
    assert uncorrelated[0, 0] == pytest.approx(0.5 * (k1 * 1 + k2 * 4) * CM2)


def test_honeycomb_is_isotropic_and_uncorrelated_sum_is_too_large(toolbox):
    a = 3.0
    cell = np.array([[a, 0, 0], [-a / 2, a * 3**0.5 / 2, 0], [0, 0, 10.0]])
    points = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]]) @ cell
    net = toolbox.neighbours(toolbox.lattice(cell, points), 1.8, np.zeros(2), 0.2)
    model = exact_model(net, 0.5)
    tensor = model.diffusion_tensor()
    # three neighbours at a/√3: rate 3k, D = (3k/4) a²/3
    assert tensor[0, 0] == pytest.approx(0.75 * 0.2 * a**2 / 3 * CM2)
    assert tensor[1, 1] == pytest.approx(tensor[0, 0])
    assert abs(tensor[2, 2]) < 1e-18


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_closed_form_equals_generator_z_form_and_msd_slope(toolbox, seed):
    net = random_network(toolbox, seed)
    model = exact_model(net, lag_for(net))
    exact = net.diffusion()
    scale = np.trace(exact)
    tensor = model.diffusion_tensor()
    assert np.abs(tensor - exact).max() < 1e-8 * scale
    if model.connected_sets.max() == 0:
        assert np.abs(z_form(model) - exact).max() < 1e-7 * scale
    late = np.array([1e6, 2e6]) * model.lag_ps
    msd = model.msd_tensor(late)
    slope = (msd[1] - msd[0]) / (late[1] - late[0]) / 2 * CM2
    assert np.abs(slope - exact).max() < 1e-5 * scale


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_bloch_curvature_gives_the_tensor(toolbox, seed):
    net = random_network(toolbox, seed, sites=3, spread=0.3)
    model = exact_model(net, lag_for(net))
    if model.connected_sets.max() > 0:
        return
    direction = np.random.default_rng(seed).normal(size=3)
    direction /= np.linalg.norm(direction)
    q = 2e-3
    values = np.linalg.eigvals(model.bloch_matrix(q * direction))
    leading = values[np.argmax(values.real)].real
    curvature = -np.log(leading) / model.lag_ps / q**2 * CM2
    wanted = direction @ model.diffusion_tensor() @ direction
    assert curvature == pytest.approx(wanted, rel=1e-2)
    scattering = model.intermediate_scattering(q * direction, 3)
    assert scattering[0] == pytest.approx(1.0)
    assert (np.diff(scattering) <= 0).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_tensor_turns_with_the_crystal(toolbox, seed):
    net = random_network(toolbox, seed)
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    lattice = net.lattice
    turned = toolbox.lattice(lattice.cell @ q, lattice.positions @ q)
    other = toolbox.network(turned, net.start, net.end, net.image, net.rate)
    lag = lag_for(net)
    one = exact_model(net, lag).diffusion_tensor()
    two = exact_model(other, lag).diffusion_tensor()
    np.testing.assert_allclose(two, q.T @ one @ q, atol=1e-9 * np.trace(one))


def test_msd_equals_walks_on_the_network(toolbox):
    net = toolbox.d03(0.3, bias=1.5)
    model = exact_model(net, 0.02)
    x = net.positions(4000, 41, 0.5, seed=3)
    times = np.array([0.5, 2.0, 10.0, 20.0])
    frames = (times / 0.5).astype(int)
    walked = [((x[f] - x[0]) ** 2).sum(-1).mean() for f in frames]
    np.testing.assert_allclose(model.msd(times), walked, rtol=0.06)


def test_msd_interpolates_and_starts_at_zero(toolbox):
    model = exact_model(toolbox.d03(0.3), 0.1)
    msd = model.msd([0.0, 0.05, 0.1, 0.2])
    assert msd[0] == 0.0
    assert msd[1] == pytest.approx(msd[2] / 2)
    assert msd[3] > msd[2]


def test_timescales_of_the_two_site_chain(toolbox):
    lattice = toolbox.lattice(np.diag([3.0, 9.0, 9.0]), [[0, 0, 0], [1, 0, 0]])
    start, end = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    image = np.array([[0, 0, 0], [0, 0, 0], [-1, 0, 0], [1, 0, 0]])
    net = toolbox.network(lattice, start, end, image, np.array([0.4, 0.8, 0.1, 0.2]))
    model = exact_model(net, 1e-4)
    assert model.timescales() == pytest.approx([1 / 1.5], rel=1e-3)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_supercell_of_a_model_is_the_same_chain(toolbox, seed):
    net = random_network(toolbox, seed, sites=3)
    model = exact_model(net, lag_for(net))
    random = np.random.default_rng(seed)
    matrix = random.integers(-2, 3, size=(3, 3))
    if abs(round(np.linalg.det(matrix))) not in range(1, 9):
        matrix = np.diag([2, 1, 3])
    grown = model.expand(matrix)
    copies = abs(round(np.linalg.det(matrix)))
    assert grown.n_sites == 3 * copies
    np.testing.assert_allclose(
        grown.stationary_distribution, np.tile(model.stationary_distribution / copies, copies)
    )
    np.testing.assert_allclose(
        grown.jump_vectors, np.tile(model.jump_vectors, (copies, 1)), atol=1e-9
    )
    scale = np.trace(model.diffusion_tensor())
    np.testing.assert_allclose(
        grown.diffusion_tensor(), model.diffusion_tensor(), atol=1e-8 * scale
    )
    times = model.lag_ps * np.array([0.5, 3, 40, 2000])
    np.testing.assert_allclose(
        grown.msd_tensor(times), model.msd_tensor(times), rtol=1e-6, atol=1e-7
    )


def disordered(toolbox, seed, repeats=4):
    """A supercell in which every site has its own energy, every jump its own barrier."""
    grown = exact_model(toolbox.d03(0.3), 0.1).expand(repeats * np.eye(3, dtype=int))
    random = np.random.default_rng(seed)
    hops = grown.from_site != grown.to_site
    start, end, image = grown.from_site[hops], grown.to_site[hops], grown.image[hops]
    up = start < end
    key = np.column_stack([np.minimum(start, end), np.maximum(start, end)])
    key = np.column_stack([key, np.where(up[:, None], image, -image)])
    barrier = np.unique(key, axis=0, return_inverse=True)[1].reshape(-1)
    energy = random.normal(size=grown.n_sites)
    conductance = np.exp(random.normal(size=barrier.max() + 1))[barrier]
    pi = np.exp(-energy) / np.exp(-energy).sum()
    flux = conductance / np.bincount(start, conductance / pi[start]).max() * 0.5
    every = np.arange(grown.n_sites)
    return MarkovModel(
        lattice=grown.lattice,
        lag_ps=0.1,
        from_site=np.append(start, every),
        to_site=np.append(end, every),
        image=np.concatenate([image, np.zeros((len(every), 3), dtype=np.int64)]),
        flux=np.append(flux, pi - np.bincount(start, flux)),
    )


def test_large_models_without_full_matrices(toolbox, monkeypatch):
    dense, large = disordered(toolbox, 1), disordered(toolbox, 1)
    times = 0.1 * np.array([1, 2, 5, 30, 300, 1e4, 1e6])
    wanted = dense.msd_tensor(times)
    monkeypatch.setattr("aiida_limsm.markov.model.DENSE_SPECTRUM", 1)
    monkeypatch.setattr("aiida_limsm.markov.model.DENSE_MATRIX", 1)
    found = large.msd_tensor(times)
    assert len(large._jump_spectrum[0]) > 0
    scale = np.trace(wanted, axis1=1, axis2=2)[:, None, None]
    assert np.abs((found - wanted) / scale).max() < 1e-4
    with pytest.raises(ValueError, match="use sparse_transition_matrix"):
        _ = large.transition_matrix
    with pytest.raises(ValueError, match="use sparse_bloch_matrix"):
        large.bloch_matrix([0.1, 0, 0])


def test_correctors_solve_their_equation(toolbox):
    model = disordered(toolbox, 2)
    pi, d = model.stationary_distribution, model.jump_vectors
    drift = np.zeros((model.n_sites, 3))
    np.add.at(drift, model.from_site, (model.flux / pi[model.from_site])[:, None] * d)
    chi = model.correctors
    np.testing.assert_allclose(chi - model.transition_matrix @ chi, drift, atol=1e-8)
    assert (chi[0] == 0).all()


def test_saved_model_is_the_same_and_so_are_the_bytes(toolbox, tmp_path):
    model = exact_model(toolbox.d03(0.3), 0.1)
    model.save(tmp_path / "a.h5")
    loaded = MarkovModel.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(loaded.flux, model.flux)
    np.testing.assert_array_equal(loaded.diffusion_tensor(), model.diffusion_tensor())
    assert loaded.lattice.labels == model.lattice.labels
    loaded.save(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_curves_of_older_files_are_read(toolbox, tmp_path):
    line, table = np.arange(3.0), np.arange(6.0).reshape(3, 2)
    old = Curves(*[line + k for k in range(8)])
    new = replace(old, timescales_ps=table, ck_predicted=table, ck_groups=("4a", "8c"))
    model = exact_model(toolbox.d03(0.3), 0.1)
    save_model(model, tmp_path / "a.h5", new)
    save_model(model, tmp_path / "b.h5", new)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    found = read_curves(tmp_path / "a.h5")
    np.testing.assert_array_equal(found.timescales_ps, table)
    assert found.ck_groups == ("4a", "8c")
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        for name in set(file["curves"]) - {f.name for f in fields(Curves)[:8]}:
            del file["curves"][name]
    found = read_curves(tmp_path / "b.h5")
    np.testing.assert_array_equal(found.msd_model_angstrom2, old.msd_model_angstrom2)
    assert found.timescales_ps.shape == (0, 0)
    assert found.ck_groups == ()


def test_foreign_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        MarkovModel.load(tmp_path / "no.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(ValueError, match="no readable HDF5"):
        MarkovModel.load(tmp_path / "text.h5")
