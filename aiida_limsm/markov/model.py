"""The Markov state model over lattice sites and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from .arrays import FloatArray, IntArray, sum_by
from .counts import TransitionCounts
from .estimation import ReversibleEstimator
from .sites import SiteLattice

__all__ = ["MarkovModel", "estimate_model"]

ComplexArray = npt.NDArray[np.complex128]


@dataclass(frozen=True)
class MarkovModel:
    """Reversible Markov chain over sites, every transition with its jump vector.

    Attributes
    ----------
    lattice
        The sites and the cell.
    lag_ps
        Lag time τ, ps.
    from_site, to_site, image
        Transitions (i, j, n), shape (n_channels,), (n_channels,), (n_channels, 3).
    flux
        x(i, j, n) = π_i T(i, j, n), shape (n_channels,): sums to 1, and is equal for a transition
        and its reverse.
    """

    lattice: SiteLattice
    lag_ps: float
    from_site: IntArray
    to_site: IntArray
    image: IntArray
    flux: FloatArray

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.lattice.n_sites

    @cached_property
    def stationary_distribution(self) -> FloatArray:
        """Probability π of a tagged ion to be on each site, shape (n_sites,)."""
        return sum_by(self.from_site, self.flux, self.n_sites)

    @cached_property
    def jump_vectors(self) -> FloatArray:
        """Vector of every transition, shape (n_channels, 3), Å."""
        return self.lattice.jump_vectors(self.from_site, self.to_site, self.image)

    @cached_property
    def transition_matrix(self) -> FloatArray:
        """T(i, j) summed over cells, shape (n_sites, n_sites); unseen sites keep their ion."""
        matrix = np.zeros((self.n_sites, self.n_sites))
        np.add.at(matrix, (self.from_site, self.to_site), self.flux)
        pi = self.stationary_distribution
        unseen = pi <= 0
        matrix[unseen, unseen] = 1.0
        return np.asarray(matrix / np.where(unseen, 1.0, pi)[:, None])

    @cached_property
    def connected_sets(self) -> IntArray:
        """Number of the connected set of every site, shape (n_sites,)."""
        graph = sparse.coo_matrix(
            (self.flux > 0, (self.from_site, self.to_site)), shape=(self.n_sites,) * 2
        )
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)

    @cached_property
    def _spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues (ascending) and orthonormal vectors of π^½ T π^−½."""
        root = np.sqrt(self.stationary_distribution)
        root = np.where(root > 0, root, 1.0)
        symmetric = self.transition_matrix * root[:, None] / root[None, :]
        values, vectors = np.linalg.eigh((symmetric + symmetric.T) / 2)
        return values, vectors

    def _mean_jumps(self) -> FloatArray:
        """π_i^½ b_i, shape (n_sites, 3): the mean jump from each site, Å."""
        weighted = self.flux[:, None] * self.jump_vectors
        total = np.column_stack(
            [sum_by(self.from_site, weighted[:, a], self.n_sites) for a in range(3)]
        )
        root = np.sqrt(self.stationary_distribution)
        return np.asarray(total / np.where(root > 0, root, 1.0)[:, None])

    def _estimator(self) -> tuple[ReversibleEstimator, FloatArray]:
        channels = np.column_stack([self.from_site, self.to_site, self.image])
        back = np.column_stack([self.to_site, self.from_site, -self.image])
        order = np.lexsort(channels.T[::-1])
        back_order = np.lexsort(back.T[::-1])
        reverse = np.empty(len(order), dtype=np.int64)
        reverse[back_order] = order
        counts = TransitionCounts(
            lag=1,
            n_sites=self.n_sites,
            n_units=1,
            from_site=self.from_site,
            to_site=self.to_site,
            image=self.image,
            reverse=reverse,
            unit=np.zeros(len(order), dtype=np.int64),
            channel=np.arange(len(order)),
            count=self.flux,
        )
        return ReversibleEstimator(counts, self.lattice, self.lag_ps), self.flux

    def diffusion_tensor(self, correlated: bool = True) -> FloatArray:
        """Return the tracer diffusion tensor, shape (3, 3), cm²/s.

        Exact for the chain; with ``correlated`` False successive jumps are taken as independent
        (the "jump diffusion" number, an overestimate).
        """
        estimator, flux = self._estimator()
        return estimator.diffusion_tensor(estimator.fit(flux), correlated)

    def msd_tensor(self, time_ps: npt.ArrayLike) -> FloatArray:
        """Return ⟨Δr ⊗ Δr⟩ of an ion in equilibrium, shape (n_times, 3, 3), Å².

        At t = kτ exactly k⟨d⊗d⟩ − 2 Σ_{m=1}^{k−1} (k − m) bᵀ π T^{m−1} b (Haus & Kehr, Phys. Rep.
        150, 263 (1987)), summed in closed form over the spectrum of T; between multiples of the
        lag it is interpolated linearly.
        """
        time = np.atleast_1d(np.asarray(time_ps, dtype=np.float64))
        steps = time / self.lag_ps
        lower = np.floor(steps + 1e-9)
        part = np.clip(steps - lower, 0.0, 1.0)[:, None, None]
        return (1 - part) * self._msd_at(lower) + part * self._msd_at(lower + 1)

    def _msd_at(self, steps: FloatArray) -> FloatArray:
        values, vectors = self._spectrum
        amplitude = vectors.T @ self._mean_jumps()  # (n_sites, 3)
        gap = 1.0 - values
        slow = gap < 1e-12
        safe = np.where(slow, 1.0, gap)
        k = steps[:, None]
        powers = np.sign(values) ** np.round(k) * np.abs(values) ** k
        total = np.where(slow, k * (k - 1) / 2, (k * safe - (1 - powers)) / safe**2)
        second = np.einsum("k,ka,kb->ab", self.flux, self.jump_vectors, self.jump_vectors)
        correlation = np.einsum("ts,sa,sb->tab", total, amplitude, amplitude)
        return np.asarray(steps[:, None, None] * second - 2.0 * correlation)

    def msd(self, time_ps: npt.ArrayLike) -> FloatArray:
        """Return the mean-square displacement of the sites at any times, shape (n_times,), Å²."""
        return np.trace(self.msd_tensor(time_ps), axis1=1, axis2=2)

    def timescales(self, number: int | None = None) -> FloatArray:
        """Return the implied timescales −τ / ln λ, ps, slowest first.

        The eigenvalue 1 of every connected set is left out, and so are eigenvalues ≤ 0, which
        have no timescale at this lag.
        """
        values = np.sort(self._spectrum[0])[::-1]
        values = values[int(self.connected_sets.max()) + 1 :]
        values = values[(values > 0) & (values < 1)]
        return np.asarray(-self.lag_ps / np.log(values[:number]))

    def bloch_matrix(self, wave_vector: npt.ArrayLike) -> ComplexArray:
        """Return M(q)_ij = Σ_n T(i, j, n) exp(i q·d), shape (n_sites, n_sites).

        ``wave_vector`` in 1/Å. Its leading eigenvalue is exp(−q·D·q τ) for small q.
        """
        q = np.asarray(wave_vector, dtype=np.float64)
        matrix = np.zeros((self.n_sites, self.n_sites), dtype=np.complex128)
        np.add.at(
            matrix, (self.from_site, self.to_site), self.flux * np.exp(1j * self.jump_vectors @ q)
        )
        pi = self.stationary_distribution
        return np.asarray(matrix / np.where(pi > 0, pi, 1.0)[:, None])

    def intermediate_scattering(self, wave_vector: npt.ArrayLike, steps: int) -> FloatArray:
        """Return the self intermediate scattering function at t = 0, τ, …, steps·τ.

        F(q, kτ) = πᵀ M(q)^k 1: real, because the chain is reversible (Chudley & Elliott, 1961).
        """
        matrix = self.bloch_matrix(wave_vector)
        vector = np.ones(self.n_sites, dtype=np.complex128)
        values = np.empty(steps + 1)
        for k in range(steps + 1):
            values[k] = (self.stationary_distribution @ vector).real
            vector = matrix @ vector
        return values

    def save(self, path: Path) -> None:
        """Write the model to an HDF5 file (same model, same bytes)."""
        from .io import save_model

        save_model(self, path)

    @classmethod
    def load(cls, path: Path) -> MarkovModel:
        """Read a model written by :meth:`save`."""
        from .io import load_model

        return load_model(path)


def estimate_model(counts: TransitionCounts, lattice: SiteLattice, lag_ps: float) -> MarkovModel:
    """Fit the reversible model to all counts."""
    estimate = ReversibleEstimator(counts, lattice, lag_ps).fit(counts.total())
    kept = estimate.flux > 0
    return MarkovModel(
        lattice=lattice,
        lag_ps=lag_ps,
        from_site=counts.from_site[kept],
        to_site=counts.to_site[kept],
        image=counts.image[kept],
        flux=estimate.flux[kept],
    )
