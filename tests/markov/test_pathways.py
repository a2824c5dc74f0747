"""Shares of jumps and ways of diffusion, committors and fluxes, against closed forms."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.committor import mean_first_passage_times, reactive_flux
from aiida_limsm.markov.model import MarkovModel
from aiida_limsm.markov.pathways import direction_shares, dominant_pathways, net_current
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    interstitial_network,
    site_lattice,
    triclinic_network,
)
from aiida_limsm.units import ANGSTROM2_PER_PS_TO_CM2_PER_S

X, Y, Z = np.eye(3)


def one_lag(network, lag_ps=0.05):
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


def from_jumps(jumps, positions, cell=None, lag_ps=1.0):
    """A model of jumps (from, to, image, flux), each given once, and of ions that stay."""
    start, end, image, flux = (np.array(part) for part in zip(*jumps, strict=True))
    n = len(positions)
    stay = (1.0 - 2 * flux.sum()) / n
    every = np.arange(n)
    return MarkovModel(
        lattice=site_lattice(np.eye(3) * 4 if cell is None else cell, positions),
        lag_ps=lag_ps,
        from_site=np.concatenate([start, end, every]),
        to_site=np.concatenate([end, start, every]),
        image=np.concatenate([image, -image, np.zeros((n, 3), dtype=np.int64)]),
        flux=np.concatenate([flux, flux, np.full(n, stay)]),
    )


def zigzag(fast=0.05, slow=0.02, across=0.01):
    """Two sites: along x a strong and a weak bond in series, along y a bond of each by itself."""
    return from_jumps(
        [
            (0, 1, (0, 0, 0), fast),
            (1, 0, (1, 0, 0), slow),
            (0, 0, (0, 1, 0), across),
            (1, 1, (0, 1, 0), 2 * across),
        ],
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
    )


class TestShares:
    def test_resistors_in_series_share_as_their_resistance(self):
        shares = direction_shares(zigzag(), X)
        np.testing.assert_allclose(shares.share, [5 / 7, 2 / 7], rtol=1e-9)  # 1/slow : 1/fast
        np.testing.assert_allclose(np.abs(shares.vector[:, 0]), [3.0, 1.0])
        np.testing.assert_array_equal(shares.members, [1, 1])

    def test_resistors_in_parallel_share_as_their_conductance(self):
        shares = direction_shares(zigzag(), 3 * Y)
        np.testing.assert_allclose(shares.share, [2 / 3, 1 / 3], rtol=1e-9)
        np.testing.assert_array_equal(shares.from_site, [1, 0])
        assert len(direction_shares(zigzag(), Z)) == 0

    @pytest.mark.parametrize("group_by", ["jump", "orbit"])
    def test_they_add_up_to_the_diffusion_tensor(self, group_by):
        model = one_lag(triclinic_network(1))
        direction = np.array([1.0, -2.0, 0.5])
        shares = direction_shares(model, direction, group_by)
        unit = direction / np.linalg.norm(direction)
        expected = unit @ model.diffusion_tensor() @ unit
        assert shares.diffusion_cm2_s == pytest.approx(expected, rel=1e-9)
        assert shares.share.sum() == pytest.approx(1.0)
        assert (np.diff(shares.share) <= 0).all()
        assert shares.members.sum() == (len(model.flux) - model.n_sites) // 2

    def test_all_jumps_of_a_kind_are_one(self):
        model = one_lag(interstitial_network())
        shares = direction_shares(model, [1, 1, 1], "orbit")
        assert (len(shares), shares.members[0]) == (1, 6)
        apart = direction_shares(model, [1, 1, 1])
        np.testing.assert_allclose(apart.share, 1 / 6)

    def test_without_correlation_shares_are_squares_of_the_way(self):
        model = from_jumps([(0, 0, (1, 0, 0), 0.1), (0, 0, (2, 1, 0), 0.05)], [[0, 0, 0]])
        shares = direction_shares(model, X)
        np.testing.assert_allclose(shares.share, np.array([0.05 * 4, 0.1]) / 0.3)

    def test_bad_directions(self):
        for direction in ([0, 0, 0], [1, 0], [np.nan, 0, 1]):
            with pytest.raises(ValueError, match="three finite numbers"):
                direction_shares(zigzag(), direction)


class TestWays:
    def test_two_ways_in_parallel(self):
        first, second = dominant_pathways(zigzag(), Y)
        assert (first.sites, first.translation) == ((1, 1), (0, 1, 0))
        assert (second.sites, second.translation) == ((0, 0), (0, 1, 0))
        assert first.share == pytest.approx(2 / 3)
        assert second.share == pytest.approx(1 / 3)

    def test_a_way_over_two_sites(self):
        model = zigzag()
        (way,) = dominant_pathways(model, X)
        assert (way.share, way.translation) == (pytest.approx(1.0), (1, 0, 0))
        assert way.sites[0] == way.sites[-1]
        assert way.images[0] == (0, 0, 0)
        assert way.images[-1] == way.translation
        np.testing.assert_allclose(np.sum(way.vectors, axis=0), [4.0, 0.0, 0.0])
        assert way.bottleneck in way.transitions
        assert dominant_pathways(model, Z) == ()

    @settings(deadline=None, max_examples=12)
    @given(seed=st.integers(1, 4), angle=st.floats(0, 6.28), height=st.floats(-1, 1))
    def test_all_ways_together_carry_everything(self, seed, angle, height):
        model = one_lag(triclinic_network(seed), 0.01)
        flat = np.sqrt(1 - height**2)
        direction = np.array([flat * np.cos(angle), flat * np.sin(angle), height])
        ways = dominant_pathways(model, direction, number=1000)
        assert sum(way.share for way in ways) == pytest.approx(1.0, abs=1e-6)
        for way in ways:
            moved = way.translation @ model.lattice.cell
            assert moved @ direction > 0
            np.testing.assert_allclose(np.sum(way.vectors, axis=0), moved, atol=1e-9)
            for k, row in enumerate(way.transitions):
                assert model.from_site[row] == way.sites[k]
                assert model.to_site[row] == way.sites[k + 1]
                step = np.subtract(way.images[k + 1], way.images[k])
                np.testing.assert_array_equal(step, model.image[row])

    def test_the_first_way_has_the_widest_bottleneck(self):
        model = one_lag(triclinic_network(2))
        current = net_current(model, X)
        (way,) = dominant_pathways(model, X, 1)
        without = current > current[way.bottleneck] * (1 + 1e-9)
        graph = nx.DiGraph(zip(model.from_site[without], model.to_site[without], strict=True))
        assert nx.is_directed_acyclic_graph(graph)

    def test_current_has_no_sources_and_gives_the_diffusion(self):
        model = one_lag(triclinic_network(3))
        direction = np.array([0.6, 0.0, 0.8])
        current = net_current(model, direction)
        left = np.bincount(model.from_site, current, minlength=model.n_sites)
        np.testing.assert_allclose(left, 0.0, atol=1e-9 * np.abs(current).max())
        moved = (current * (model.jump_vectors @ direction)).sum() / 2
        expected = direction @ model.diffusion_tensor() @ direction
        assert moved * ANGSTROM2_PER_PS_TO_CM2_PER_S == pytest.approx(expected)


def line(fluxes, lag_ps=0.5):
    """Sites in a row, joined by ``fluxes`` and no others."""
    n = len(fluxes) + 1
    jumps = [(k, k + 1, (0, 0, 0), flux) for k, flux in enumerate(fluxes)]
    return from_jumps(jumps, [[k + 0.5, 0, 0] for k in range(n)], np.diag([n, 4, 4]), lag_ps)


class TestBetweenSets:
    def test_a_row_of_resistors(self):
        """The committor of a chain is a voltage divider; its flux the total conductance."""
        fluxes = np.array([0.02, 0.05, 0.01, 0.04])
        model = line(fluxes)
        found = reactive_flux(model, [0], [4])
        resistance = np.concatenate([[0.0], np.cumsum(1 / fluxes)])
        np.testing.assert_allclose(found.committor, resistance / resistance[-1], atol=1e-14)
        assert found.flux_per_ps == pytest.approx(1 / resistance[-1] / 0.5)
        np.testing.assert_allclose(found.net_flux_per_ps, found.flux_per_ps)
        (path,) = found.dominant_paths()
        assert path.sites == (0, 1, 2, 3, 4)
        assert path.share == pytest.approx(1.0)

    def test_mean_first_passage_of_a_row(self):
        """Σ over the bonds of all ions on the far side, times the resistance of the bond."""
        fluxes = np.array([0.02, 0.05, 0.01])
        model = line(fluxes, lag_ps=0.25)
        pi = model.stationary_distribution
        times = mean_first_passage_times(model, [0])
        behind = np.cumsum(pi[::-1])[::-1][1:]
        expected = 0.25 * np.concatenate([[0.0], np.cumsum(behind / fluxes)])
        np.testing.assert_allclose(times, expected, rtol=1e-12)

    def test_a_round_trip_takes_both_passages(self):
        """For single sites Σπq⁺ + Σπq⁻ = 1 and the cycle time is 1/F (Kac)."""
        model = one_lag(triclinic_network(1))
        there, back = reactive_flux(model, [0], [2]), reactive_flux(model, [2], [0])
        assert there.flux_per_ps == pytest.approx(back.flux_per_ps)
        cycle = mean_first_passage_times(model, [2])[0] + mean_first_passage_times(model, [0])[2]
        assert 1 / there.flux_per_ps == pytest.approx(cycle)
        assert there.passage_time_ps + back.passage_time_ps == pytest.approx(cycle)

    def test_two_paths_of_a_supercell_share_the_flux(self):
        model = one_lag(d0_3_network()).expand(np.diag([3, 2, 2]))
        found = reactive_flux(model, [0], [20])
        paths = found.dominant_paths(1000)
        assert sum(path.share for path in paths) == pytest.approx(1.0, abs=1e-6)
        pairs = set(zip(found.from_site.tolist(), found.to_site.tolist(), strict=True))
        for path in paths:
            assert (path.sites[0], path.sites[-1]) == (0, 20)
            assert pairs.issuperset(zip(path.sites[:-1], path.sites[1:], strict=True))
            assert path.bottleneck in pairs

    def test_several_sources_and_targets(self):
        model = line([0.02, 0.05, 0.01, 0.04, 0.03])
        found = reactive_flux(model, [2, 3], [0, 5])
        np.testing.assert_allclose(found.committor[[2, 3]], 0.0)
        assert {path.sites for path in found.dominant_paths()} == {(2, 1, 0), (3, 4, 5)}

    def test_large_models_take_conjugate_gradients_and_agree(self, monkeypatch):
        from aiida_limsm.markov import committor

        model = one_lag(triclinic_network(1)).expand(np.diag([3, 3, 2]))
        direct = reactive_flux(model, [0, 7], [40]), mean_first_passage_times(model, [3])
        monkeypatch.setattr(committor, "DIRECT_SITES", 10)
        iterated = reactive_flux(model, [0, 7], [40]), mean_first_passage_times(model, [3])
        np.testing.assert_allclose(iterated[0].committor, direct[0].committor, atol=1e-9)
        np.testing.assert_allclose(iterated[1], direct[1], rtol=1e-8)

    def test_deeptime_says_the_same(self):
        from deeptime.markov import reactive_flux as oracle

        model = one_lag(triclinic_network(2)).expand(np.diag([2, 2, 1]))
        source, target = [0, 1], [10, 11]
        found = reactive_flux(model, source, target)
        expected = oracle(model.transition_matrix, source, target)
        np.testing.assert_allclose(found.committor, expected.forward_committor, atol=1e-10)
        np.testing.assert_allclose(1 - found.committor, expected.backward_committor, atol=1e-10)
        assert found.flux_per_ps == pytest.approx(expected.total_flux / model.lag_ps)
        assert found.rate_per_ps == pytest.approx(expected.rate / model.lag_ps)
        assert found.passage_time_ps == pytest.approx(expected.mfpt * model.lag_ps)
        net = np.zeros((16, 16))
        net[found.from_site, found.to_site] = found.net_flux_per_ps * model.lag_ps
        np.testing.assert_allclose(net, expected.net_flux, atol=1e-12)

    def test_no_way(self):
        jumps = [(0, 1, (0, 0, 0), 0.05), (2, 3, (0, 0, 0), 0.05)]
        model = from_jumps(jumps, [[0, 0, 0], [2, 0, 0], [0, 2, 0], [2, 2, 0]])
        found = reactive_flux(model, [0], [2])
        assert (found.flux_per_ps, found.rate_per_ps) == (0.0, 0.0)
        assert found.passage_time_ps == np.inf
        assert found.dominant_paths() == ()
        np.testing.assert_array_equal(found.committor, [0, 0, 1, 1])
        only = reactive_flux(model, [0], [1]).committor
        np.testing.assert_array_equal(only, [0, 1, np.nan, np.nan])
        np.testing.assert_array_equal(np.isinf(mean_first_passage_times(model, [1])), [0, 0, 1, 1])

    def test_refusals(self):
        model = line([0.1, 0.1])
        for source, target, message in (
            ([], [1], "source: one or more"),
            ([0], [3], "target: one or more"),
            ([-1], [1], "source: one or more"),
            ([0, 1], [1], "share sites"),
        ):
            with pytest.raises(ValueError, match=message):
                reactive_flux(model, source, target)
