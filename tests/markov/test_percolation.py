"""Percolation of periodic networks, against exhaustive search on the endless lattice."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.percolation import bottlenecks, lattice_normals, percolation
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    interstitial_network,
    triclinic_network,
)

CUBE = np.eye(3)


def arrays(jumps):
    """Jumps written as (from, to, image, weight)."""
    start, end, image, weight = zip(*jumps, strict=True)
    return np.array(start), np.array(end), np.array(image), np.array(weight, dtype=float)


# site 0 leads along x in two steps over site 1, along z by itself; site 2 hangs on with a dead end
LADDER = arrays(
    [
        (0, 1, (0, 0, 0), 5.0),
        (1, 0, (1, 0, 0), 3.0),
        (0, 0, (0, 0, 1), 2.0),
        (1, 2, (0, 1, 0), 9.0),
        (2, 2, (0, 2, 0), 1.0),
    ]
)


def test_bottlenecks_of_a_ladder():
    x, y, z = bottlenecks(*LADDER, CUBE, CUBE)
    assert (x.weight, x.jump, x.dimensionality) == (3.0, 1, 1)
    assert (z.weight, z.jump, z.dimensionality) == (2.0, 2, 2)
    assert (y.weight, y.jump, y.dimensionality) == (1.0, 4, 3)


def test_jumps_alike_count_together():
    net = interstitial_network()
    flux = net.stationary_distribution[net.from_site] * net.rate_per_ps
    found = bottlenecks(net.from_site, net.to_site, net.image, flux, net.lattice.cell, CUBE)
    assert [one.dimensionality for one in found] == [3, 3, 3]


def test_a_network_that_does_not_percolate():
    start, end, image, weight = (part[:1] for part in LADDER)
    for one in bottlenecks(start, end, image, weight, CUBE, CUBE):
        assert one == type(one)(None, None, 0)
    none = np.zeros(0, dtype=np.int64)
    found = bottlenecks(none, none, np.zeros((0, 3), dtype=np.int64), np.zeros(0), CUBE, CUBE)
    assert [one.jump for one in found] == [None] * 3


def test_pieces_at_any_threshold():
    start, end, image, weight = LADDER
    at = {t: percolation(start, end, image, 4, weight, t) for t in (10.0, 4.0, 2.5, 2.0, 0.0)}
    np.testing.assert_array_equal(at[10.0].piece, [0, 1, 2, 3])
    np.testing.assert_array_equal(at[4.0].piece, [0, 0, 0, 1])
    assert at[4.0].dimensionality.tolist() == [0, 0, 0, 0]
    assert at[2.5].dimensionality.tolist() == [1, 1, 1, 0]
    np.testing.assert_array_equal(np.abs(at[2.5].translations[0]), [[1, 0, 0]])
    assert at[2.0].dimensionality.tolist() == [2, 2, 2, 0]
    assert at[0.0].dimensionality.tolist() == [3, 3, 3, 0]


def test_directions_of_an_oblique_cell():
    """Hops by a + b only: they lead between the faces along a and along b, and not along c."""
    cell = np.array([[3.0, 0, 0], [1.0, 3.0, 0], [0.5, 0.2, 4.0]])
    jumps = arrays([(0, 0, (1, 1, 0), 1.0)])
    a, b, c = bottlenecks(*jumps, cell, lattice_normals(cell))
    assert (a.jump, b.jump, c.jump) == (0, 0, None)
    # here a + b is along x
    cell = np.array([[3.0, 1.0, 0], [1.0, -1.0, 0], [0, 0, 4.0]])
    x, y, z = bottlenecks(*jumps, cell, CUBE)
    assert (x.jump, y.jump, z.jump) == (0, None, None)


def test_translations_of_both_pieces_survive_a_merger():
    jumps = arrays(
        [
            (0, 0, (1, 0, 0), 9.0),
            (1, 1, (0, 1, 0), 8.0),
            (2, 2, (1, 1, 0), 7.0),
            (0, 1, (0, 0, 0), 6.0),
            (1, 2, (0, 0, 3), 5.0),
            (2, 0, (0, 0, -3), 4.0),
            (2, 0, (0, 0, -4), 3.0),
        ]
    )
    start, end, image, weight = jumps
    assert percolation(start, end, image, 3, weight, 5.0).dimensionality.tolist() == [2] * 3
    assert percolation(start, end, image, 3, weight, 4.0).dimensionality.tolist() == [2] * 3
    assert percolation(start, end, image, 3, weight, 3.0).dimensionality.tolist() == [3] * 3


def torus(start, end, image, n_sites, m):
    """Pieces of the network on a torus of m³ cells, as sets of (site, cell)."""
    graph = nx.Graph()
    graph.add_nodes_from((s, *r) for s in range(n_sites) for r in np.ndindex(m, m, m))
    for i, j, n in zip(start, end, image, strict=True):
        for r in np.ndindex(m, m, m):
            graph.add_edge((i, *r), (j, *((np.array(r) + n) % m).tolist()))
    return list(nx.connected_components(graph))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_agrees_with_pieces_on_a_torus(data):
    """A piece of rank r that winds round a torus of m³ cells holds m^r copies of a site, unless m
    divides an index of its translations: hardly both of 5 and 7."""
    n_sites = data.draw(st.integers(1, 3))
    site, step = st.integers(0, n_sites - 1), st.integers(-1, 1)
    jumps = data.draw(
        st.lists(
            st.tuples(site, site, st.tuples(step, step, step), st.just(1.0)),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    start, end, image, _ = arrays(jumps)
    found = percolation(start, end, image, n_sites)
    tori = {m: torus(start, end, image, n_sites, m) for m in (5, 7)}
    for one in range(n_sites):
        homes = {m: next(p for p in pieces if (one, 0, 0, 0) in p) for m, pieces in tori.items()}
        copies = {m: sum(s == one for s, *_ in home) for m, home in homes.items()}
        rank = found.dimensionality[one]
        assert all(copies[m] <= m**rank for m in copies)
        assert any(copies[m] == m**rank for m in copies)
        joined = {s for s, *_ in homes[5]}
        assert joined == set(np.flatnonzero(found.piece == found.piece[one]).tolist())


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_the_bottleneck_is_where_the_dimensionality_rises(seed):
    random = np.random.default_rng(seed)
    net = d0_3_network()
    weight = random.permutation(len(net.from_site)).astype(float)
    jumps = net.from_site, net.to_site, net.image
    found = bottlenecks(*jumps, weight, net.lattice.cell, CUBE)
    for k, one in enumerate(found):
        for threshold, leads in ((one.weight, True), (one.weight + 0.5, False)):
            pieces = percolation(*jumps, 3, weight, threshold)
            moves = np.concatenate(pieces.translations) @ net.lattice.cell
            assert (np.abs(moves[:, k]) > 1e-6).any() == leads


def test_relabelling_and_choice_of_cell_change_nothing():
    net = triclinic_network(3)
    flux = net.stationary_distribution[net.from_site] * net.rate_per_ps
    weights = [
        one.weight
        for one in bottlenecks(net.from_site, net.to_site, net.image, flux, net.lattice.cell, CUBE)
    ]
    random = np.random.default_rng(0)
    order, shift = random.permutation(4), random.integers(-2, 3, (4, 3))
    rows = random.permutation(len(flux))
    moved = net.image + shift[net.from_site] - shift[net.to_site]
    again = bottlenecks(
        order[net.from_site][rows], order[net.to_site][rows], moved[rows], flux[rows],
        net.lattice.cell, CUBE,
    )  # fmt: skip
    assert [one.weight for one in again] == pytest.approx(weights, rel=1e-12)
