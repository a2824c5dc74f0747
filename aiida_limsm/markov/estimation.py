"""Reversible maximum likelihood of a Markov model whose transitions carry jump vectors.

Detailed balance pairs every transition with its reverse *through the same jump*:
π_i T(i, j, n) = π_j T(j, i, −n) = x(i, j, n). Maximising Σ C(i,j,n) ln T(i,j,n) under it gives

    x(i, j, n) = S(i, j, n) / (v_i + v_j),  S(i, j, n) = C(i, j, n) + C(j, i, −n),  v_i = C_i / π_i,

in which the denominator does not know n. So the counts summed over n have the maximum-likelihood
flux of the plain reversible model (Bowman et al., J. Chem. Phys. 131, 124101 (2009);
Trendelkamp-Schroer et al., J. Chem. Phys. 143, 174101 (2015)), and splitting that flux over n in
proportion to the symmetrised counts is not an approximation but the maximum itself.

The condition for v, Σ_{j≠i} S_ij v_i / (v_i + v_j) = Σ_{j≠i} C_ij, is that of a Bradley-Terry
model with C_ij "wins" of i over j: concave in ln v, solved here by Newton steps on a weighted
graph Laplacian (tests compare with deeptime, whose import would pull in torch). A finite maximum
exists when every site of a connected set can be reached from every other (Ford, 1957). Sets that
lack a way back (an ion left a site for good) take the symmetrised counts instead, which is the
estimate with π from the populations. Connected sets have no exchange between them, so their
relative weights are the observed ion populations: no ion is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import BoolArray, FloatArray, IntArray, sum_by
from .counts import TransitionCounts
from .linear import ChannelGraph
from .sites import SiteLattice

__all__ = ["Estimate", "ReversibleEstimator"]


NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-4
"""Residual of the linear solves inside Newton's steps; the steps themselves go to 1e-10."""


@dataclass(frozen=True)
class Estimate:
    """Fluxes of one set of counts, or of a stack of them (leading axis, one row per draw).

    Attributes
    ----------
    flux
        x(i, j, n) = π_i T(i, j, n), shape (..., n_channels); sums to 1.
    stationary
        π, shape (..., n_sites).
    one_way
        How many sets had no way back and took symmetrised counts, shape (...).
    log_multiplier
        ln v, shape (..., n_sites): where the next fit may start.
    """

    flux: FloatArray
    stationary: FloatArray
    one_way: IntArray
    log_multiplier: FloatArray


class ReversibleEstimator:
    """Estimates fluxes and diffusion tensors from counts over a fixed list of channels.

    Parameters
    ----------
    counts
        The channels (their counts are only one possible input of :meth:`fit`).
    lattice
        Sites, for the jump vectors.
    lag_ps
        Lag of the counts, ps.
    """

    def __init__(self, counts: TransitionCounts, lattice: SiteLattice, lag_ps: float) -> None:
        self.lag_ps = lag_ps
        self._from, self._to = counts.from_site, counts.to_site
        self._reverse = counts.reverse
        self.vectors = lattice.jump_vectors(self._from, self._to, counts.image)
        self.graph = ChannelGraph(self._from, self._to, self.vectors, counts.n_sites)

    def fit(self, counts: FloatArray, start: Estimate | None = None) -> Estimate:
        """Return the reversible maximum-likelihood fluxes.

        Parameters
        ----------
        counts
            Counts per channel, shape (n_channels,), or (n_draws, n_channels) to fit many at once.
        start
            An estimate of similar counts, such as those of the whole data for bootstrap draws.
        """
        graph, n = self.graph, self.graph.n_sites
        stack = np.atleast_2d(counts)
        draws = len(stack)
        row = graph.by_site(stack)
        symmetric = stack + stack[:, self._reverse]
        population = graph.by_site(symmetric)
        up, down = graph.by_pair(stack)
        joined = (up > 0) | (down > 0)
        weak = graph.components(joined, joined)
        strong = graph.components(up > 0, down > 0, "strong")
        # a weak set is strongly connected when it holds one strong set only
        size = draws * n
        parts = np.zeros(size, dtype=np.int64)
        np.add.at(parts, weak.reshape(-1)[np.unique(strong, return_index=True)[1]], 1)
        fitted = (parts[weak] == 1) & (row > 0)
        theta = (
            np.zeros((draws, n)) if start is None else start.log_multiplier + np.zeros((draws, 1))
        )
        theta = self._bradley_terry(up, down, fitted, np.where(fitted, theta, 0.0))
        v = np.exp(theta)
        stationary = np.where(fitted, row / v, population)
        pair = np.where(fitted[:, self._from], v[:, self._from] + v[:, self._to], 1.0)
        # within a set the fluxes sum to Σπ; between sets weigh by the ions seen there
        weight = sum_by(weak.reshape(-1), population.reshape(-1), size)
        norm = sum_by(weak.reshape(-1), stationary.reshape(-1), size)
        scale = np.divide(weight, norm, out=np.zeros(size), where=norm > 0)[weak]
        scale /= population.sum(axis=1, keepdims=True)
        draw_of = np.zeros(size, dtype=np.int64)
        draw_of[weak] = np.arange(draws)[:, None]
        shape = counts.shape[:-1]
        return Estimate(
            flux=(symmetric / pair * scale[:, self._from]).reshape(counts.shape),
            stationary=(stationary * scale).reshape(*shape, n),
            one_way=np.bincount(draw_of[parts > 1], minlength=draws).reshape(shape),
            log_multiplier=theta.reshape(*shape, n),
        )

    def _bradley_terry(
        self, up: FloatArray, down: FloatArray, fitted: BoolArray, theta: FloatArray
    ) -> FloatArray:
        """Solve for θ = ln v on the fitted sites, from a first guess; shape (n_draws, n_sites)."""
        low, high = self.graph.low, self.graph.high
        active = fitted[:, low] & fitted[:, high]
        wins_low, wins_high = np.where(active, up, 0.0), np.where(active, down, 0.0)
        games = wins_low + wins_high
        if not games.any():
            return theta
        enough = 1e-10 * np.maximum(games.sum(axis=1), 1e-300)

        def likelihood(t: FloatArray) -> FloatArray:
            gap = t[:, high] - t[:, low]
            # ln p(low wins) = −ln(1 + e^gap), ln p(high wins) = gap − ln(1 + e^gap)
            return np.asarray((wins_high * gap - games * np.logaddexp(0.0, gap)).sum(axis=1))

        value = likelihood(theta)
        for _ in range(NEWTON_STEPS):
            p = 1.0 / (1.0 + np.exp(theta[:, high] - theta[:, low]))
            surplus = wins_low - games * p
            gradient = self.graph.from_pairs(surplus, -surplus)
            if (np.abs(gradient).max(axis=1) <= enough).all():
                break
            step = self.graph.solve(games * p * (1 - p), gradient[:, :, None], NEWTON_TOLERANCE)[
                :, :, 0
            ]
            largest = np.abs(step).max(axis=1, keepdims=True)
            step *= np.minimum(1.0, 3.0 / np.maximum(largest, 1e-300))
            while True:
                trial = likelihood(theta + step)
                worse = trial < value - 1e-12 * np.abs(value)
                worse &= np.abs(step).max(axis=1) >= 1e-12
                if not worse.any():
                    break
                step[worse] *= 0.5
            theta, value = theta + step, trial
            if np.abs(step).max() < 1e-12:
                break
        return theta

    def diffusion_tensor(self, estimate: Estimate, correlated: bool = True) -> FloatArray:
        """Return D in cm²/s, shape (3, 3), see :meth:`.linear.ChannelGraph.tensor`."""
        tensor = self.graph.tensor(estimate.flux, correlated)
        return tensor / self.lag_ps * ANGSTROM2_PER_PS_TO_CM2_PER_S
