"""Transition path theory between two sets of sites: committor, flux, rate, passage times, paths.

For a reversible chain with flux x_ij = π_i T_ij per lag τ, the committor q_i, the chance to come to
the target before the source, solves Σ_j x_ij (q_j − q_i) = 0 outside of both. The net reactive flux
from i to j is x_ij (q_j − q_i) / τ where this is positive (Metzner, Schütte & Vanden-Eijnden,
Multiscale Model. Simul. 7, 1192 (2009); Noé et al., PNAS 106, 19011 (2009)).

Sites are states of the model: in one pooled over lattice translations a site stands for all its
copies in the crystal. Expand the model (:meth:`.model.MarkovModel.expand`) to tell copies apart,
and see :mod:`.pathways` for the ways through an endless crystal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy import sparse

from .arrays import BoolArray, FloatArray, IntArray
from .decomposition import widest_cycles
from .model import MarkovModel

__all__ = ["ReactiveFlux", "SitePath", "mean_first_passage_times", "reactive_flux"]

DIRECT_SITES = 3000
"""Up to here the equations are factorised; beyond, conjugate gradients need less memory."""

TOLERANCE = 1e-12


@dataclass(frozen=True)
class SitePath:
    """A path from the source to the target, the share of the flux it carries, and its bottleneck.

    ``bottleneck`` are the two sites between which the current along the path is smallest.
    """

    sites: tuple[int, ...]
    share: float
    bottleneck: tuple[int, int]


@dataclass(frozen=True)
class ReactiveFlux:
    """Ions on their way from a source to a target, in equilibrium.

    Attributes
    ----------
    source, target
        Sites, ascending.
    committor
        q of every site, shape (n_sites,): 0 on the source, 1 on the target, NaN on sites that
        are connected with neither. An ion comes from the source, not the target, with 1 − q.
    from_site, to_site, net_flux_per_ps
        Pairs of sites with a net flux, shape (n_pairs,), q rising from the one to the other.
    flux_per_ps
        Ions that pass from source to target per ps, for one ion in the model's sites.
    rate_per_ps
        The same for one ion that was last in the source, Σ π (1 − q).
    passage_time_ps
        1 / rate: mean time from reaching the source to reaching the target; infinite without a
        way.
    """

    source: tuple[int, ...]
    target: tuple[int, ...]
    committor: FloatArray
    from_site: IntArray
    to_site: IntArray
    net_flux_per_ps: FloatArray
    flux_per_ps: float
    rate_per_ps: float
    passage_time_ps: float

    def dominant_paths(self, number: int = 5) -> tuple[SitePath, ...]:
        """Decompose the flux into paths, the one with the widest bottleneck first.

        The shares of all of them together would add up to 1.
        """
        if self.flux_per_ps == 0:
            return ()
        n = len(self.committor)
        # a state beyond both sets leads what arrives back to where it began: paths become cycles
        into = np.array(self.source, dtype=np.int64)
        out = np.array(self.target, dtype=np.int64)
        beyond = np.full(len(into) + len(out), n, dtype=np.int64)
        start = np.concatenate([self.from_site, beyond[: len(into)], out])
        end = np.concatenate([self.to_site, into, beyond[: len(out)]])
        edge = np.concatenate([self.net_flux_per_ps, np.full(len(beyond), 2 * self.flux_per_ps)])
        paths = []
        for cycle, left in islice(widest_cycles(start, end, edge, n + 1), number):
            rows = np.roll(cycle, -int(np.argmax(start[cycle] == n)))[1:-1]
            amount = left.min()
            narrow = cycle[np.argmin(left)]
            paths.append(
                SitePath(
                    sites=(*(int(s) for s in start[rows]), int(end[rows[-1]])),
                    share=float(amount) / self.flux_per_ps,
                    bottleneck=(int(start[narrow]), int(end[narrow])),
                )
            )
        return tuple(paths)


def reactive_flux(model: MarkovModel, source: Sequence[int], target: Sequence[int]) -> ReactiveFlux:
    """Return how ions go from ``source`` to ``target``, both lists of sites.

    Raises
    ------
    ValueError
        A set is empty or has sites that do not exist, or the sets overlap.
    """
    begin, goal = _site_set(model, source, "source"), _site_set(model, target, "target")
    if (begin & goal).any():
        raise ValueError("source and target share sites")
    value = np.where(goal, 1.0, 0.0)
    committor = _dirichlet(model, begin | goal, value, np.zeros(model.n_sites))
    flux = model.flux_matrix.tocoo()
    q = np.nan_to_num(committor)
    step = q[flux.col] - q[flux.row]
    rising = (step > 0) & (flux.data > 0)
    net = flux.data[rising] * step[rising] / model.lag_ps
    start = flux.row[rising].astype(np.int64)
    total = float(net[begin[start]].sum())
    from_source = np.where(np.isfinite(committor), 1.0 - q, 0.0)
    weight = float(model.stationary_distribution @ from_source)
    return ReactiveFlux(
        source=tuple(int(s) for s in np.flatnonzero(begin)),
        target=tuple(int(s) for s in np.flatnonzero(goal)),
        committor=committor,
        from_site=start,
        to_site=flux.col[rising].astype(np.int64),
        net_flux_per_ps=net,
        flux_per_ps=total,
        rate_per_ps=total / weight if total > 0 else 0.0,
        passage_time_ps=weight / total if total > 0 else float("inf"),
    )


def mean_first_passage_times(model: MarkovModel, target: Sequence[int]) -> FloatArray:
    """Return the mean time (ps) from every site to the target, shape (n_sites,).

    Zero on the target, infinite on sites that are not connected with it.

    Raises
    ------
    ValueError
        The target is empty or has sites that do not exist.
    """
    goal = _site_set(model, target, "target")
    source = model.stationary_distribution * model.lag_ps
    times = _dirichlet(model, goal, np.zeros(model.n_sites), source)
    return np.where(np.isnan(times), np.inf, times)


def _site_set(model: MarkovModel, sites: Sequence[int], name: str) -> BoolArray:
    chosen = np.unique(np.asarray(sites, dtype=np.int64))
    if len(chosen) == 0 or chosen[0] < 0 or chosen[-1] >= model.n_sites:
        raise ValueError(f"{name}: one or more sites from 0 to {model.n_sites - 1} are needed")
    members = np.zeros(model.n_sites, dtype=bool)
    members[chosen] = True
    return members


def _dirichlet(
    model: MarkovModel, fixed: BoolArray, value: FloatArray, right: FloatArray
) -> FloatArray:
    """Solve Σ_j x_ij (u_i − u_j) = right_i where u is not fixed; NaN where nothing fixes it."""
    from scipy.sparse.linalg import cg, spsolve

    sets = model.connected_sets
    reached = np.isin(sets, sets[fixed]) & ~fixed
    solution = np.where(fixed, value, np.nan)
    if not reached.any():
        return solution
    # without the ions that stay: they cancel, and would take digits along
    rows = (model.flux_matrix - sparse.diags(model.flux_matrix.diagonal())).tocsr()[reached]
    inner = rows[:, reached]
    loss = np.asarray(rows.sum(axis=1)).reshape(-1)
    laplacian = (sparse.diags(loss) - inner).tocsc()
    known = right[reached] + rows[:, fixed] @ value[fixed]
    if laplacian.shape[0] <= DIRECT_SITES:
        solution[reached] = spsolve(laplacian, known)
        return solution
    scale = sparse.diags(1.0 / laplacian.diagonal())
    found, failed = cg(laplacian, known, rtol=TOLERANCE, maxiter=20_000, M=scale)
    solution[reached] = spsolve(laplacian, known) if failed else found
    return solution
