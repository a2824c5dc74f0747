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
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import BoolArray, FloatArray, IntArray, sum_by
from .counts import TransitionCounts
from .sites import SiteLattice

__all__ = ["Estimate", "ReversibleEstimator"]


DENSE_LIMIT = 250


@dataclass(frozen=True)
class Estimate:
    """Flux x(i, j, n) = π_i T(i, j, n) per channel (sums to 1), and the connected sets.

    ``sets[i]`` numbers the connected set of site i, −1 where no ion was seen; ``one_way`` tells
    how many sets had no way back and took symmetrised counts.
    """

    flux: FloatArray
    stationary: FloatArray
    sets: IntArray
    one_way: int


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
        self.n_sites = counts.n_sites
        self.lag_ps = lag_ps
        self._from, self._to = counts.from_site, counts.to_site
        self._reverse = counts.reverse
        self._vectors = lattice.jump_vectors(self._from, self._to, counts.image)
        low, high = np.minimum(self._from, self._to), np.maximum(self._from, self._to)
        off = low != high
        pairs, index = np.unique(low[off] * self.n_sites + high[off], return_inverse=True)
        self._pair_low, self._pair_high = pairs // self.n_sites, pairs % self.n_sites
        self._off = np.flatnonzero(off)
        self._pair = index.reshape(-1)
        self._upward = self._from[self._off] < self._to[self._off]
        self._last: tuple[bytes, IntArray, IntArray] | None = None

    def fit(self, counts: FloatArray) -> Estimate:
        """Return the reversible maximum-likelihood fluxes for counts per channel."""
        n, pairs = self.n_sites, len(self._pair_low)
        row = sum_by(self._from, counts, n)
        symmetric = counts + counts[self._reverse]
        population = sum_by(self._from, symmetric, n)
        seen = population > 0
        off = counts[self._off]
        up = sum_by(self._pair[self._upward], off[self._upward], pairs)
        down = sum_by(self._pair[~self._upward], off[~self._upward], pairs)
        weak, strong = self._connections(up > 0, down > 0)
        # a weak set is strongly connected when it holds one strong set only
        parts = np.zeros(n, dtype=np.int64)
        first_of_strong = np.unique(strong, return_index=True)[1]
        np.add.at(parts, weak[first_of_strong], 1)
        fitted = (parts[weak] == 1) & (row > 0)
        theta = self._bradley_terry(up, down, fitted, weak)
        v = np.exp(theta)
        stationary = np.where(fitted, row / v, population)
        flux = symmetric / np.where(fitted[self._from], v[self._from] + v[self._to], 1.0)
        # within a set the fluxes sum to Σπ; between sets weigh by the ions seen there
        weight = sum_by(weak, population, n)
        norm = sum_by(weak, stationary, n)
        scale = np.divide(weight, norm, out=np.zeros(n), where=norm > 0) / weight.sum()
        sets = np.where(seen, weak, -1)
        return Estimate(
            flux=flux * scale[weak[self._from]],
            stationary=stationary * scale[weak],
            sets=_renumber(sets),
            one_way=int((parts[np.unique(weak[seen])] > 1).sum()),
        )

    def _connections(self, up: BoolArray, down: BoolArray) -> tuple[IntArray, IntArray]:
        """Return weak and strong sets; bootstrap draws nearly always share the last answer."""
        key = up.tobytes() + down.tobytes()
        if self._last is None or self._last[0] != key:
            either = up | down
            weak = self._components(either, either, "weak")
            self._last = (key, weak, self._components(up, down, "strong"))
        return self._last[1], self._last[2]

    def _components(self, up: BoolArray, down: BoolArray, connection: str) -> IntArray:
        start = np.concatenate([self._pair_low[up], self._pair_high[down]])
        end = np.concatenate([self._pair_high[up], self._pair_low[down]])
        graph = sparse.coo_matrix((np.ones(len(start)), (start, end)), shape=(self.n_sites,) * 2)
        labels = connected_components(graph, directed=True, connection=connection)[1]
        return np.asarray(labels, dtype=np.int64)

    def _bradley_terry(
        self, up: FloatArray, down: FloatArray, fitted: BoolArray, sets: IntArray
    ) -> FloatArray:
        """Solve for θ = ln v on the fitted sites; one site of each set stays at 0."""
        n, low, high = self.n_sites, self._pair_low, self._pair_high
        active = fitted[low] & fitted[high]
        games = np.where(active, up + down, 0.0)
        wins_low, wins_high = np.where(active, up, 0.0), np.where(active, down, 0.0)
        theta = np.zeros(n)
        if not games.any():
            return theta
        wins = sum_by(low, wins_low, n) + sum_by(high, wins_high, n)
        grounded = _grounded(sets) | ~fitted

        def likelihood(t: FloatArray) -> float:
            return float(wins @ t - games @ np.logaddexp(t[low], t[high]))

        value = likelihood(theta)
        for _ in range(100):
            p = 1.0 / (1.0 + np.exp(theta[high] - theta[low]))
            gradient = wins - sum_by(low, games * p, n) - sum_by(high, games * (1 - p), n)
            gradient[grounded] = 0.0
            if np.abs(gradient).max() <= 1e-10 * games.sum():
                break
            step = self._solve(games * p * (1 - p), gradient[:, None], grounded)[:, 0]
            step *= min(1.0, 3.0 / max(np.abs(step).max(), 1e-300))
            while True:
                trial = likelihood(theta + step)
                if trial >= value - 1e-12 * abs(value) or np.abs(step).max() < 1e-12:
                    break
                step *= 0.5
            theta, value = theta + step, trial
            if np.abs(step).max() < 1e-12:
                break
        return theta

    def _solve(self, weights: FloatArray, right: FloatArray, grounded: BoolArray) -> FloatArray:
        """Solve (graph Laplacian of the pair weights) y = right with y = 0 on grounded sites."""
        free = np.flatnonzero(~grounded)
        solution = np.zeros_like(right)
        if len(free) == 0:
            return solution
        n, low, high = self.n_sites, self._pair_low, self._pair_high
        diagonal = sum_by(low, weights, n) + sum_by(high, weights, n)
        diagonal = np.where(diagonal > 0, diagonal, 1.0)
        if len(free) <= DENSE_LIMIT:
            matrix = np.zeros((n, n))
            matrix[low, high] = -weights
            matrix[high, low] = -weights
            matrix[np.arange(n), np.arange(n)] = diagonal
            solution[free] = np.linalg.solve(matrix[np.ix_(free, free)], right[free])
            return solution
        every = np.arange(n)
        laplacian = sparse.coo_matrix(
            (
                np.concatenate([-weights, -weights, diagonal]),
                (np.concatenate([low, high, every]), np.concatenate([high, low, every])),
            ),
            shape=(n, n),
        ).tocsr()[free][:, free]
        solution[free] = np.asarray(spsolve(laplacian.tocsc(), right[free])).reshape(len(free), -1)
        return solution

    def correctors(self, estimate: Estimate) -> FloatArray:
        """Return χ (n_sites, 3) with (1 − T) χ = b, where b_i is the mean jump from i (Å)."""
        n = self.n_sites
        flux = estimate.flux
        drift = np.column_stack(
            [sum_by(self._from, flux * self._vectors[:, a], n) for a in range(3)]
        )
        weights = sum_by(
            self._pair[self._upward], flux[self._off][self._upward], len(self._pair_low)
        )
        grounded = _grounded(np.where(estimate.sets < 0, n, estimate.sets)) | (estimate.sets < 0)
        return self._solve(weights, drift, grounded)

    def diffusion_tensor(self, estimate: Estimate, correlated: bool = True) -> FloatArray:
        """Return D in cm²/s, shape (3, 3): exact for the Markov chain, positive semidefinite.

        D = (1/2τ) Σ x(i,j,n) (d + χ_j − χ_i) ⊗ (d + χ_j − χ_i), which equals the Z-matrix form
        (1/2τ) Σ x d⊗d − (1/τ) bᵀ π Z b (Trinkle, Phys. Rev. Lett. 121, 235901 (2018)); with
        ``correlated`` False the first term alone (uncorrelated jumps).
        """
        jumps = self._vectors
        if correlated:
            chi = self.correctors(estimate)
            jumps = jumps + chi[self._to] - chi[self._from]
        tensor = np.einsum("k,ka,kb->ab", estimate.flux, jumps, jumps) / (2.0 * self.lag_ps)
        return np.asarray(tensor * ANGSTROM2_PER_PS_TO_CM2_PER_S)


def _grounded(sets: IntArray) -> BoolArray:
    """Mark the first site of every set."""
    mask = np.zeros(len(sets), dtype=bool)
    mask[np.unique(sets, return_index=True)[1]] = True
    return mask


def _renumber(sets: IntArray) -> IntArray:
    """Return the sets numbered 0, 1, … in the order of their labels; −1 stays −1."""
    labels, index = np.unique(sets, return_inverse=True)
    index = index.reshape(-1)
    return np.asarray(index - 1 if labels[0] == -1 else index, dtype=np.int64)
