"""Linear algebra on the graph of transitions: correctors and diffusion tensors, of any size.

All draws of a bootstrap are solved together: B draws over N sites are one graph of B·N sites
without edges between draws.
Small graphs are solved densely. Large ones by conjugate gradients with a Jacobi preconditioner,
whose cost grows with the number of edges; a direct factorisation fills in on three-dimensional
lattices.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .arrays import BoolArray, FloatArray, IntArray, sum_by
from .packed import unique_keys

__all__ = ["ChannelGraph"]


DENSE_SITES = 40
"""Up to here a batched dense solve is faster than conjugate gradients."""

TOLERANCE = 1e-10
"""Residual of the conjugate gradients, relative to the right-hand side."""

ROUNDING = 1e-9

ACCEPTED = 1e-7
"""Residual above which the direct solver takes over; D is wrong by its square only."""


class ChannelGraph:
    """Sites joined by the transitions (i, j, n) between them.

    Parameters
    ----------
    from_site, to_site
        Channels, shape (n_channels,).
    vectors
        Their jump vectors, shape (n_channels, 3), Å.
    n_sites
        Number of sites.

    Attributes
    ----------
    low, high
        The pairs of different sites with a channel between them, low < high, shape (n_pairs,).
    """

    def __init__(
        self, from_site: IntArray, to_site: IntArray, vectors: FloatArray, n_sites: int
    ) -> None:
        self.n_sites = n_sites
        self._from, self._to, self._vectors = from_site, to_site, vectors
        off = np.flatnonzero(from_site != to_site)
        start, end = from_site[off], to_site[off]
        keys, pair = unique_keys(np.minimum(start, end) * n_sites + np.maximum(start, end))
        self.low, self.high = keys // n_sites, keys % n_sites
        upward = start < end
        self._up = _sums(off[upward], pair[upward], (len(from_site), len(keys)))
        self._down = _sums(off[~upward], pair[~upward], (len(from_site), len(keys)))
        self._leaving = _sums(np.arange(len(from_site)), from_site, (len(from_site), n_sites))
        rows = np.repeat(np.arange(len(from_site)), 3)
        columns = np.add.outer(3 * from_site, np.arange(3)).reshape(-1)
        self._moves = sparse.csr_matrix(
            (vectors.reshape(-1), (rows, columns)), shape=(len(from_site), 3 * n_sites)
        )
        self._distances = sparse.diags(np.abs(vectors).sum(axis=1)) @ self._leaving
        pairs = np.arange(len(keys))
        self._at_low = _sums(pairs, self.low, (len(keys), n_sites))
        self._at_high = _sums(pairs, self.high, (len(keys), n_sites))

    def by_site(self, values: FloatArray) -> FloatArray:
        """Sum ``values`` (..., n_channels) over the channels leaving each site, (..., n_sites)."""
        return np.asarray(values @ self._leaving)

    def by_pair(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Sum ``values`` over the channels low → high and over high → low, (..., n_pairs) each."""
        return np.asarray(values @ self._up), np.asarray(values @ self._down)

    def from_pairs(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Sum values (..., n_pairs) at the low and the high ends of the pairs, (..., n_sites)."""
        return np.asarray(low @ self._at_low + high @ self._at_high)

    def components(self, up: BoolArray, down: BoolArray, connection: str = "weak") -> IntArray:
        """Return the connected component of every site, shape (..., n_sites).

        ``up`` and ``down`` (..., n_pairs) tell which pairs are joined low → high and high → low.
        Numbers go on from draw to draw of the stack.
        """
        n = self.n_sites
        shape = up.shape[:-1]
        number = int(np.prod(shape, dtype=np.int64))
        draw, pair = np.nonzero(up.reshape(number, -1))
        back_draw, back = np.nonzero(down.reshape(number, -1))
        start = np.concatenate([draw * n + self.low[pair], back_draw * n + self.high[back]])
        end = np.concatenate([draw * n + self.high[pair], back_draw * n + self.low[back]])
        graph = sparse.coo_matrix(
            (np.ones(len(start), dtype=np.int8), (start, end)), shape=(number * n,) * 2
        )
        labels = connected_components(graph, directed=True, connection=connection)[1]
        return np.asarray(labels, dtype=np.int64).reshape(*shape, n)

    def solve(self, weights: FloatArray, right: FloatArray, tolerance: float) -> FloatArray:
        """Solve L y = right, L the graph Laplacian of the pair ``weights``.

        Parameters
        ----------
        weights
            (n_draws, n_pairs), not negative.
        right
            (n_draws, n_sites, m); its sum over every connected component is zero.
        tolerance
            Relative residual asked of conjugate gradients.

        Returns
        -------
        y
            (n_draws, n_sites, m); zero on the first site of every component.
        """
        if not right.any() or weights.shape[-1] == 0:
            return np.zeros_like(right)
        joined = weights > 0
        component = self.components(joined, joined)
        first = np.zeros(component.size, dtype=bool)
        labels, place = np.unique(component, return_index=True)
        first[place] = True
        if self.n_sites <= DENSE_SITES:
            return self._solve_dense(weights, right, first.reshape(component.shape))
        group = np.searchsorted(labels, component.reshape(-1))
        laplacian = self._laplacian(weights)
        solution = np.empty((component.size, right.shape[-1]))
        for a in range(right.shape[-1]):
            column = right[..., a].reshape(-1)
            # rounding errors must not add up to a sum that no solution has
            column = column - (sum_by(group, column, len(labels)) / np.bincount(group))[group]
            solution[:, a] = _conjugate_gradients(laplacian, column, first, tolerance)
        solution -= solution[place[group]]
        return solution.reshape(right.shape)

    def _solve_dense(self, weights: FloatArray, right: FloatArray, first: BoolArray) -> FloatArray:
        n, every = self.n_sites, np.arange(self.n_sites)
        matrix = np.zeros((len(weights), n, n))
        matrix[:, self.low, self.high] = -weights
        matrix[:, self.high, self.low] = -weights
        diagonal = -matrix.sum(axis=2)
        # the rows of a component sum to zero, and so does its right-hand side: weight added to
        # the first site's diagonal makes the matrix regular and the solution zero there
        matrix[:, every, every] = diagonal + np.where(
            first, np.where(diagonal > 0, diagonal, 1.0), 0.0
        )
        return np.asarray(np.linalg.solve(matrix, right))

    def _laplacian(self, weights: FloatArray) -> sparse.csr_matrix:
        """Return the Laplacian of the whole stack, (n_draws·n_sites)²; 1 for isolated sites."""
        number, n = len(weights), self.n_sites
        offset = n * np.arange(number)[:, None]
        low, high = (self.low + offset).reshape(-1), (self.high + offset).reshape(-1)
        values = weights.reshape(-1)
        size = number * n
        adjacent = sparse.coo_matrix((values, (low, high)), shape=(size, size)).tocsr()
        adjacent = adjacent + adjacent.T
        diagonal = np.asarray(adjacent.sum(axis=1)).reshape(-1)
        return (sparse.diags(np.where(diagonal > 0, diagonal, 1.0)) - adjacent).tocsr()

    def drift(self, flux: FloatArray) -> FloatArray:
        """Return π_i b_i, b_i the mean jump from site i, shape (..., n_sites, 3), Å.

        Exactly zero where symmetry makes it so: the rounding errors that positions and sums
        leave would otherwise be solved for as if they were a direction of their own.
        """
        drift = np.asarray(flux @ self._moves).reshape(*flux.shape[:-1], self.n_sites, 3)
        terms = np.asarray(flux @ self._distances)[..., None]
        return np.where(np.abs(drift) < ROUNDING * terms, 0.0, drift)

    def correctors(self, flux: FloatArray) -> FloatArray:
        """Return χ with (1 − T) χ = b, shape (n_sites, 3), Å, for fluxes (n_channels,).

        Zero on the first site of every connected set; only differences have a meaning.
        """
        up, down = self.by_pair(flux[None])
        return self.solve((up + down) / 2, self.drift(flux)[None], TOLERANCE)[0]

    def tensor(self, flux: FloatArray, correlated: bool = True) -> FloatArray:
        """Return ½ Σ x (d + χ_j − χ_i) ⊗ (d + χ_j − χ_i), shape (3, 3), Å².

        Divided by the lag it is D, exact for the chain and positive semidefinite; it equals the
        Z-matrix form ½ Σ x d⊗d − bᵀ π Z b (Trinkle, Phys. Rev. Lett. 121, 235901 (2018)). It is
        also the minimum over all χ, so that an error of χ enters squared. With ``correlated``
        False χ is left out: successive jumps taken as independent.
        """
        jumps = self._vectors
        if correlated:
            chi = self.correctors(flux)
            jumps = jumps + chi[self._to] - chi[self._from]
        tensor = (jumps * flux[:, None]).T @ jumps / 2
        return np.asarray(tensor + tensor.T) / 2  # to the last digit

    def tensors(self, flux: FloatArray, drift: FloatArray, second: FloatArray) -> FloatArray:
        """Return the same for a stack of fluxes, of whose jumps only moments are known.

        Parameters
        ----------
        flux
            (n_draws, n_channels).
        drift
            Σ x d over the channels leaving each site, (n_draws, n_sites, 3).
        second
            ½ Σ x d ⊗ d, (n_draws, 3, 3).
        """
        up, down = self.by_pair(flux)
        chi = self.solve((up + down) / 2, drift, TOLERANCE)
        step = chi[:, self.high] - chi[:, self.low]
        square = np.swapaxes(step * (up + down)[..., None], 1, 2) @ step / 2
        cross = np.swapaxes(drift, 1, 2) @ chi
        return np.asarray(second + square - cross - np.swapaxes(cross, 1, 2))


def _sums(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return the 0/1 matrix that sums the entries ``rows`` into ``columns``."""
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def _conjugate_gradients(
    laplacian: sparse.csr_matrix, right: FloatArray, first: BoolArray, tolerance: float
) -> FloatArray:
    """Solve a consistent singular system; the direct solver is the way out where it fails."""
    from scipy.sparse.linalg import cg, splu

    norm = float(np.linalg.norm(right))
    if norm == 0:
        return np.zeros_like(right)
    diagonal = laplacian.diagonal()
    solution, failed = cg(
        laplacian, right, rtol=tolerance, maxiter=20_000, M=sparse.diags(1.0 / diagonal)
    )
    if not failed or np.linalg.norm(laplacian @ solution - right) <= ACCEPTED * norm:
        return np.asarray(solution)
    grounded = laplacian + sparse.diags(np.where(first, diagonal, 0.0))
    return np.asarray(splu(grounded.tocsc()).solve(right))
