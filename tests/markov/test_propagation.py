"""Densities carried on in time, against brute force, closed forms and Fick's law."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.fick import compare_with_fick, fick, plane_diffusion, relative_l2
from aiida_limsm.markov.model import MarkovModel
from aiida_limsm.markov.propagation import choose_method, propagate
from aiida_limsm.markov.start_profiles import gaussian_density, point_density, slab_density
from aiida_limsm.markov.stepping import carry_on, number_of_products, step_matrix
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    orthorhombic_network,
    site_lattice,
    triclinic_network,
)
from aiida_limsm.units import ANGSTROM2_PER_PS_TO_CM2_PER_S

METHODS = ("bloch", "sparse")
CELLS = (5, 4, 3)


def one_lag(network, lag_ps):
    """The chain with T = 1 + τQ."""
    pi, n = network.stationary_distribution, network.n_sites
    flux = pi[network.from_site] * network.rate_per_ps * lag_ps
    stay = pi - np.bincount(network.from_site, flux, minlength=n)
    assert (stay > 0).all()
    every = np.arange(n)
    return MarkovModel(
        lattice=network.lattice,
        lag_ps=lag_ps,
        from_site=np.concatenate([network.from_site, every]),
        to_site=np.concatenate([network.to_site, every]),
        image=np.concatenate([network.image, np.zeros((n, 3), dtype=np.int64)]),
        flux=np.concatenate([flux, stay]),
    )


@lru_cache
def random_model(seed):
    network = triclinic_network(seed)
    leaving = np.bincount(network.from_site, network.rate_per_ps)
    return one_lag(network, 0.3 / leaving.max())


def chain(lag_ps=1.0, hop=0.3, jumps=((1, 0, 0),), cell=None):
    """One site that hops by each of ``jumps`` and back, with ``hop`` in all."""
    there = np.array(jumps)
    image = np.concatenate([there, -there, [[0, 0, 0]]])
    none = np.zeros(len(image), dtype=np.int64)
    flux = np.append(np.full(2 * len(there), hop / 2 / len(there)), 1 - hop)
    lattice = site_lattice(np.eye(3) * 2.0 if cell is None else cell, [[0.0, 0.0, 0.0]])
    return MarkovModel(lattice, lag_ps, none, none, image, flux)


@pytest.fixture(scope="module")
def triclinic():
    return one_lag(triclinic_network(1), 0.1)


def brute_force(model, density, steps):
    """One jump after another, with nothing but rolls of the array."""
    cells = density.shape[:3]
    pi = model.stationary_distribution
    for _ in range(steps):
        after = np.zeros_like(density)
        for i, j, n, flux in zip(
            model.from_site, model.to_site, model.image, model.flux, strict=True
        ):
            moved = np.roll(density[..., i], tuple(n % np.array(cells)), axis=(0, 1, 2))
            after[..., j] += moved * flux / pi[i]
        density = after
    return density


@pytest.mark.parametrize("method", METHODS)
def test_equals_one_step_after_the_other(triclinic, method):
    random = np.random.default_rng(0)
    density = random.uniform(size=(*CELLS, triclinic.n_sites))
    steps = np.array([0, 1, 2, 7, 7, 40])
    found = list(propagate(triclinic, density, steps * 0.1, method))
    assert len(found) == len(steps)
    for k, one in zip(steps, found, strict=True):
        np.testing.assert_allclose(one, brute_force(triclinic, density, k), atol=1e-13)


def test_a_box_of_one_cell_is_the_transition_matrix(triclinic):
    density = np.random.default_rng(1).uniform(size=(1, 1, 1, triclinic.n_sites))
    expected = density[0, 0, 0] @ np.linalg.matrix_power(triclinic.transition_matrix, 13)
    for method in METHODS:
        (found,) = propagate(triclinic, density, 1.3, method)
        np.testing.assert_allclose(found[0, 0, 0], expected, rtol=1e-12)


def test_the_expanded_model_says_the_same():
    model = one_lag(d0_3_network(), 0.5)
    density = point_density(model, (3, 2, 2), site=1)
    grown = model.expand(np.diag([3, 2, 2]))
    cell = np.rint((grown.lattice.positions - np.tile(model.lattice.positions, (12, 1)))
                   @ np.linalg.inv(model.lattice.cell)).astype(int)  # fmt: skip
    place = np.ravel_multi_index((*cell.T, np.tile(np.arange(3), 12)), (3, 2, 2, 3), mode="wrap")
    start = np.zeros(36)
    start[:] = density.reshape(-1)[place]
    expected = start @ np.linalg.matrix_power(grown.transition_matrix, 9)
    (found,) = propagate(model, density, 4.5)
    np.testing.assert_allclose(found.reshape(-1)[place], expected, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_long_times_of_a_ring_have_a_closed_form(method):
    model, length, steps = chain(hop=0.3), 40, 200_000
    density = np.zeros((length, 1, 1, 1))
    density[3] = 1.0
    (found,) = propagate(model, density, float(steps), method)
    wave = 2 * np.pi * np.arange(length) / length
    decay = (1 - 0.3 * (1 - np.cos(wave))) ** steps
    expected = (decay * np.cos(wave * (np.arange(length)[:, None] - 3))).sum(axis=1) / length
    np.testing.assert_allclose(found[:, 0, 0, 0], expected, atol=1e-12)


def test_both_methods_agree_far_beyond_what_steps_could_reach(triclinic):
    density = point_density(triclinic, (6, 5, 4), site=0)
    times = [0.03, 12.34, 500.0, 1e4]
    spectral = list(propagate(triclinic, density, times, "bloch"))
    products = list(propagate(triclinic, density, times, "sparse"))
    for a, b in zip(spectral, products, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_between_multiples_of_the_lag_it_is_linear(triclinic):
    density = point_density(triclinic, CELLS, site=2)
    before, after = propagate(triclinic, density, [0.3, 0.4])
    for method in METHODS:
        (found,) = propagate(triclinic, density, 0.325, method)
        np.testing.assert_allclose(found, 0.75 * before + 0.25 * after, atol=1e-15)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(1, 4),
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    time=st.floats(0.0, 1e4),
    method=st.sampled_from(METHODS),
)
def test_what_must_always_hold(seed, shape, time, method):
    model = random_model(seed)
    random = np.random.default_rng(seed)
    density = (
        random.uniform(size=(*shape, model.n_sites)) * (random.uniform(size=shape) < 0.3)[..., None]
    )
    (found,) = propagate(model, density, time, method)
    assert found.sum() == pytest.approx(density.sum(), rel=1e-10)
    assert found.min() >= -1e-12 * max(density.max(), 1e-300)
    equilibrium = np.broadcast_to(model.stationary_distribution, density.shape)
    (same,) = propagate(model, equilibrium, time, method)
    np.testing.assert_allclose(same, equilibrium, rtol=1e-10)


def test_sites_without_ions_keep_what_is_put_there(triclinic):
    lattice = site_lattice(np.eye(3) * 4, [[0, 0, 0], [2, 2, 2]])
    ring = chain()
    model = MarkovModel(lattice, 1.0, ring.from_site, ring.to_site, ring.image, ring.flux)
    density = np.ones((4, 1, 1, 2))
    density[1:, ..., 1] = 0.0
    for method in METHODS:
        (found,) = propagate(model, density, 50.0, method)
        np.testing.assert_allclose(found, density, atol=1e-13)


def test_little_memory_gives_the_same(triclinic):
    density = slab_density(triclinic, (40, 20, 20), axis=0)
    times = np.geomspace(0.1, 100, 7)
    often = propagate(triclinic, density, times, "bloch", memory_mb=16)
    once = propagate(triclinic, density, times, "bloch", memory_mb=1000)
    for a, b in zip(often, once, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-15)


class TestWalls:
    def test_reflection_is_a_mirror(self):
        """Symmetric hops between reflecting walls are hops on a ring of twice the length."""
        model, length = chain(hop=0.4), 7
        density = np.random.default_rng(2).uniform(size=(length, 1, 1, 1))
        walls = ("reflecting", "periodic", "periodic")
        (found,) = propagate(model, density, 60.0, boundary=walls)
        (mirrored,) = propagate(model, np.concatenate([density, density[::-1]]), 60.0)
        np.testing.assert_allclose(found, mirrored[:length], atol=1e-13)

    def test_reflection_keeps_equilibrium_and_ions(self, triclinic):
        walls = ("reflecting", "reflecting", "reflecting")
        matrix = step_matrix(triclinic, CELLS, walls)
        equilibrium = np.tile(triclinic.stationary_distribution, 60)
        np.testing.assert_allclose(matrix @ equilibrium, equilibrium, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(matrix.sum(axis=0)), 1.0, rtol=1e-12)
        balance = matrix.toarray() * equilibrium
        np.testing.assert_allclose(balance, balance.T, atol=1e-17)

    def test_absorption_by_images_of_opposite_sign(self):
        model, length = chain(hop=0.4), 6
        density = np.random.default_rng(3).uniform(size=(length, 1, 1, 1))
        walls = ("absorbing", "periodic", "periodic")
        (found,) = propagate(model, density, 25.0, boundary=walls)
        zero = np.zeros((1, 1, 1, 1))
        odd = np.concatenate([zero, density, zero, -density[::-1]])
        (imaged,) = propagate(model, odd, 25.0)
        np.testing.assert_allclose(found, imaged[1 : length + 1], atol=1e-13)
        assert 0 < found.sum() < density.sum()

    def test_where_a_jump_crosses_two_walls_the_sink_wins(self):
        model = chain(jumps=((1, 1, 0),), hop=0.5)
        for walls in (
            ("absorbing", "reflecting", "periodic"),
            ("reflecting", "absorbing", "periodic"),
        ):
            matrix = step_matrix(model, (2, 2, 1), walls).toarray()
            corner = matrix[:, 0]  # from (0, 0): to (1, 1), through both walls, or stay
            np.testing.assert_allclose(corner, [0.5, 0, 0, 0.25])

    def test_bloch_has_no_walls(self, triclinic):
        density = point_density(triclinic, CELLS)
        walls = ("reflecting", "periodic", "periodic")
        with pytest.raises(ValueError, match="periodic boxes"):
            propagate(triclinic, density, 1.0, "bloch", walls)
        assert choose_method(triclinic, CELLS, 1.0, walls) == "sparse"


class TestPowers:
    @settings(deadline=None, max_examples=20)
    @given(steps=st.integers(0, 10**7))
    def test_powers_of_numbers(self, steps):
        values = np.array([1.0, 0.9999999, 0.999, 0.5, 0.0, -0.3, -0.99999, -1.0])
        matrix = np.diag(values)
        found = carry_on(matrix, np.ones(len(values)), steps)
        np.testing.assert_allclose(found, values**steps, atol=1e-11)

    def test_a_million_steps_cost_thousands_of_products(self):
        assert number_of_products(np.array([1, 5])) == 6
        assert number_of_products(np.array([10**6])) < 8000


class TestFick:
    def test_gaussian_stays_a_gaussian(self):
        cell = np.array([[2.0, 0.0, 0.0], [0.5, 2.2, 0.0], [-0.4, 0.3, 1.9]])
        root = np.array([[1.0, 0.2, 0.0], [0.2, 0.7, 0.1], [0.0, 0.1, 0.5]])
        tensor = root @ root  # Å²/ps
        cells, time, width = (32, 30, 34), 4.0, 3.0
        fractions = np.moveaxis(np.indices(cells), 0, -1) - np.array(cells) // 2
        r = fractions @ cell

        def gaussian(covariance):
            square = np.einsum("...a,ab,...b", r, np.linalg.inv(covariance), r)
            volume = abs(np.linalg.det(cell)) / np.sqrt(np.linalg.det(2 * np.pi * covariance))
            return np.exp(-square / 2) * volume

        start = gaussian(np.eye(3) * width**2)
        expected = gaussian(np.eye(3) * width**2 + 2 * tensor * time)
        (found,) = fick(start, cell, tensor * ANGSTROM2_PER_PS_TO_CM2_PER_S, time)
        np.testing.assert_allclose(found, expected, atol=2e-3 * expected.max())
        assert found.sum() == pytest.approx(start.sum(), rel=1e-12)

    def test_does_not_depend_on_the_choice_of_cell_vectors(self):
        """A shear of the cell by lattice vectors renames the cells and changes nothing."""
        cell = np.diag([2.0, 2.5, 3.0])
        tensor = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]) * 1e-4
        size = 6
        start = np.random.default_rng(4).uniform(size=(size,) * 3)
        n1, n2, n3 = np.indices(start.shape)
        # (n1, n2, n3) cells of a, b, c are (n1 − n2, n2, n3) cells of a, a + b, c
        renamed = np.empty_like(start)
        renamed[(n1 - n2) % size, n2, n3] = start
        sheared = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]) @ cell
        (plain,) = fick(start, cell, tensor, 0.5)
        (other,) = fick(renamed, sheared, tensor, 0.5)
        np.testing.assert_allclose(other[(n1 - n2) % size, n2, n3], plain, atol=1e-13)

    @pytest.mark.parametrize(
        ("network", "lag_ps"),
        [(triclinic_network(2), 0.05), (orthorhombic_network(1, anisotropy_kt=1.0), 0.05)],
    )
    def test_the_law_of_long_times_and_not_of_short_ones(self, network, lag_ps):
        model = one_lag(network, lag_ps)
        cells = (24, 20, 22)
        spacing, across = plane_diffusion(model, 0)
        relaxation = (24 * spacing / 2 / np.pi) ** 2 / (across / ANGSTROM2_PER_PS_TO_CM2_PER_S)
        times = relaxation * np.array([0.03, 0.3, 3.0])
        start = point_density(model, cells)
        found = compare_with_fick(model, start, times, propagate(model, start, times), 0)
        assert found.relative_l2[0] > 0.2
        assert (found.relative_l2[1:] < found.relative_l2[:-1] / 5).all()
        assert found.relative_l2[2] < 0.01
        assert relative_l2(found.model[-1], found.fick[-1]) < 0.01

    def test_second_moment_grows_as_that_of_the_ions(self):
        """From equilibrium within a cell the variance grows as ⟨Δx²⟩ of the model, but for the
        places of the sites in the cell, which planes of cells do not show."""
        model = chain(hop=0.4, cell=np.array([[3.0, 0, 0], [1.0, 2.0, 0], [0.2, 0.1, 2.5]]))
        start = gaussian_density(model, (80, 1, 1), 9.0, axis=0)
        times = np.array([0.0, 10.0, 40.0])
        found = compare_with_fick(model, start, times, propagate(model, start, times), 0)
        normal = np.linalg.inv(model.lattice.cell)[:, 0]
        normal /= np.linalg.norm(normal)
        grown = found.variance_model_angstrom2 - found.variance_model_angstrom2[0]
        np.testing.assert_allclose(grown, normal @ model.msd_tensor(times) @ normal, rtol=1e-4)
        law = 2 * found.diffusion_cm2_s / ANGSTROM2_PER_PS_TO_CM2_PER_S * times
        fick_grown = found.variance_fick_angstrom2 - found.variance_fick_angstrom2[0]
        np.testing.assert_allclose(fick_grown, law, rtol=1e-4)


class TestStarts:
    def test_shapes_and_sums(self, triclinic):
        pi = triclinic.stationary_distribution
        assert point_density(triclinic, CELLS).sum() == pytest.approx(1.0)
        assert point_density(triclinic, CELLS, 3)[2, 2, 1, 3] == 1.0
        slab = slab_density(triclinic, (2, 8, 3), axis=1)
        np.testing.assert_allclose(slab[0, :, 0].sum(axis=1), [0, 0, 1, 1, 1, 1, 0, 0])
        np.testing.assert_allclose(slab[1, 3, 2], pi)
        gaussian = gaussian_density(triclinic, (11, 9, 7), 4.0)
        assert gaussian.sum() == pytest.approx(1.0)
        assert np.unravel_index(gaussian.sum(axis=3).argmax(), (11, 9, 7)) == (5, 4, 3)
        flat = gaussian_density(triclinic, (11, 9, 7), 4.0, axis=2)
        np.testing.assert_allclose(flat, np.broadcast_to(flat[:1, :1], flat.shape))

    def test_refusals(self, triclinic):
        for make in (
            lambda: point_density(triclinic, CELLS, 17),
            lambda: point_density(triclinic, (0, 1, 1)),
            lambda: slab_density(triclinic, (1, 4, 4), 0),
            lambda: gaussian_density(triclinic, CELLS, 0.0),
            lambda: propagate(triclinic, np.ones((2, 2, 2, 1)), 1.0),
            lambda: propagate(triclinic, np.full((*CELLS, 4), np.nan), 1.0),
            lambda: propagate(triclinic, np.ones((*CELLS, 4)), [2.0, 1.0]),
            lambda: propagate(triclinic, np.ones((*CELLS, 4)), -1.0),
        ):
            with pytest.raises(ValueError, match=r"^[^\n]+$"):
                make()


def test_the_faster_method_is_chosen(triclinic):
    assert choose_method(triclinic, (30, 30, 30), [1e5]) == "bloch"
    large = one_lag(d0_3_network(), 0.5).expand(np.diag([6, 6, 6]))
    assert choose_method(large, (4, 4, 4), [1.0]) == "sparse"
