"""Currents on a graph taken apart into closed ways, the widest first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components

from .arrays import FloatArray, IntArray

__all__ = ["widest_cycles"]

NEGLIGIBLE = 1e-9
"""Currents smaller than this times the largest are rounding errors."""


def widest_cycles(
    start: IntArray, end: IntArray, current: FloatArray, n_sites: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Take the cycle with the widest bottleneck out of a current, again and again.

    The bottleneck decomposition of Metzner, Schütte & Vanden-Eijnden, Multiscale Model. Simul. 7,
    1192 (2009), section 3.3, for closed ways; of ways through the same bottleneck one with few
    transitions is taken.

    Parameters
    ----------
    start, end
        Edges, shape (n_edges,).
    current
        Not negative, without sources or sinks, shape (n_edges,).
    n_sites
        Number of sites.

    Yields
    ------
    edges, left
        Edges of the cycle in their order, and the current they had before it was taken: the
        smallest of these is the current of the cycle.
    """
    current = current.copy()
    smallest = NEGLIGIBLE * float(current.max(initial=0.0))
    while True:
        order = np.argsort(-current, kind="stable")
        order = order[current[order] > smallest]
        cycle = _first_cycle(start, end, order, n_sites)
        if cycle is None:
            return
        yield cycle, current[cycle].copy()
        current[cycle] -= current[cycle].min()


def _first_cycle(start: IntArray, end: IntArray, order: IntArray, n_sites: int) -> IntArray | None:
    """Return the first cycle that appears when edges are added in the given order.

    An edge closes a cycle when a strongly connected piece, or a loop, appears: where that happens
    is found by bisection.
    """
    if not _cyclic(start[order], end[order], n_sites):
        return None
    low, high = 0, len(order)  # no cycle with the first `low` edges, one with `high`
    while high - low > 1:
        middle = (low + high) // 2
        if _cyclic(start[order[:middle]], end[order[:middle]], n_sites):
            high = middle
        else:
            low = middle
    last = order[high - 1]  # closes the cycle
    first, goal = int(end[last]), int(start[last])
    if first == goal:
        return np.array([last])
    used = order[: high - 1][::-1]  # of parallel edges the widest is written last
    edge = {(int(start[k]), int(end[k])): int(k) for k in used}
    _, before = breadth_first_order(_graph(start[used], end[used], n_sites), first, directed=True)
    back, site = [], goal
    while site != first:
        back.append(edge[int(before[site]), site])
        site = int(before[site])
    return np.array([int(last), *reversed(back)], dtype=np.int64)


def _cyclic(start: IntArray, end: IntArray, n_sites: int) -> bool:
    if (start == end).any():
        return True
    graph = _graph(start, end, n_sites)
    return bool(connected_components(graph, directed=True, connection="strong")[0] < n_sites)


def _graph(start: IntArray, end: IntArray, n_sites: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(start)), (start, end)), shape=(n_sites, n_sites))
