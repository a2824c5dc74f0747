"""The Markov state model over lattice sites and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray, sum_by
from .counts import TransitionCounts
from .estimation import Estimate, ReversibleEstimator
from .krylov import block_lanczos, correlation_sum
from .linear import ChannelGraph
from .packed import unique_rows
from .sites import SiteLattice
from .spectrum import DENSE_SPECTRUM, Spectrum, slowest_at, slowest_processes, timescales_of
from .supercells import fold_cells

__all__ = ["MarkovModel", "estimate_model", "model_from"]

ComplexArray = npt.NDArray[np.complex128]

DENSE_MATRIX = 5000
"""Largest model that gives its matrices as full arrays (200 MB)."""

LANCZOS_LIMIT = 6000
MSD_TOLERANCE = 1e-5
"""Error of the slope of the late mean-square displacement; of its offset, ten times that."""


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
    def flux_matrix(self) -> sparse.csr_matrix:
        """π_i T(i, j) summed over cells, sparse and symmetric, (n_sites, n_sites)."""
        return self._summed(self.flux)

    @cached_property
    def sparse_transition_matrix(self) -> sparse.csr_matrix:
        """T(i, j) summed over cells, sparse, (n_sites, n_sites); unseen sites keep their ion."""
        pi = self.stationary_distribution
        unseen = (pi <= 0).astype(np.float64)
        return (sparse.diags(1.0 / (pi + unseen)) @ self.flux_matrix + sparse.diags(unseen)).tocsr()

    @cached_property
    def transition_matrix(self) -> FloatArray:
        """T(i, j) as an array, for small models, (n_sites, n_sites).

        Raises
        ------
        ValueError
            The model has more than 5000 sites.
        """
        self._refuse_dense("sparse_transition_matrix")
        return self.sparse_transition_matrix.toarray()

    @cached_property
    def connected_sets(self) -> IntArray:
        """Number of the connected set of every site, shape (n_sites,)."""
        return np.asarray(
            connected_components(self.flux_matrix > 0, directed=False)[1], dtype=np.int64
        )

    @cached_property
    def correctors(self) -> FloatArray:
        """χ with (1 − T) χ = b, b_i the mean jump from site i; shape (n_sites, 3), Å.

        χ_j − χ_i is how much farther an ion will get in the long run from j than from i, beside
        the jump itself: the correlated part of a transition is d + χ_j − χ_i. Zero on the first
        site of every connected set: only differences within a set have a meaning.
        """
        return self._graph.correctors(self.flux)

    def diffusion_tensor(self, correlated: bool = True) -> FloatArray:
        """Return the tracer diffusion tensor, shape (3, 3), cm²/s.

        Exact for the chain; with ``correlated`` False successive jumps are taken as independent
        (the "jump diffusion" number, an overestimate).
        """
        tensor = self._graph.tensor(self.flux, correlated)
        return tensor / self.lag_ps * ANGSTROM2_PER_PS_TO_CM2_PER_S

    def msd_tensor(self, time_ps: npt.ArrayLike) -> FloatArray:
        """Return ⟨Δr ⊗ Δr⟩ of an ion in equilibrium, shape (n_times, 3, 3), Å².

        At t = kτ exactly k⟨d⊗d⟩ − 2 Σ_{m=1}^{k−1} (k − m) bᵀ π T^{m−1} b (Haus & Kehr, Phys. Rep.
        150, 263 (1987)), summed in closed form over the spectrum of T, of which large models need
        only what b excites (:mod:`.krylov`); between multiples of the lag it is interpolated
        linearly.
        """
        time = np.atleast_1d(np.asarray(time_ps, dtype=np.float64))
        steps = time / self.lag_ps
        lower = np.floor(steps + 1e-9)
        part = np.clip(steps - lower, 0.0, 1.0)[:, None, None]
        return (1 - part) * self._msd_at(lower) + part * self._msd_at(lower + 1)

    def _msd_at(self, steps: FloatArray) -> FloatArray:
        second = 2.0 * self._graph.tensor(self.flux, correlated=False)
        return steps[:, None, None] * second - 2.0 * correlation_sum(*self._jump_spectrum, steps)

    @cached_property
    def _jump_spectrum(self) -> tuple[FloatArray, FloatArray]:
        """Eigenvalues of T and how much of π^½ b is in each, shapes (s,) and (s, 3)."""
        second = float(self.flux @ (self.jump_vectors**2).sum(axis=1))
        size = float(np.sqrt(second))
        mean_jumps = self._graph.drift(self.flux) * self._inverse_root[:, None]
        scale = sparse.diags(self._inverse_root)
        symmetric = (scale @ self.flux_matrix @ scale).tocsr()
        if self.n_sites <= DENSE_SPECTRUM:
            values, vectors = np.linalg.eigh(symmetric.toarray())
            return values, vectors.T @ mean_jumps
        # known without the spectrum: the sums of A²/(1 − λ) and A²/(1 − λ)², which rule late times
        pi, sets = self.stationary_distribution, self.connected_sets
        weight = np.maximum(sum_by(sets, pi, self.n_sites), 1e-300)[sets]
        chi = self.correctors.copy()
        for a in range(3):
            chi[:, a] -= (sum_by(sets, pi * chi[:, a], self.n_sites)[sets]) / weight
        late = np.array([(chi * self._graph.drift(self.flux)).sum(), (chi**2 * pi[:, None]).sum()])
        tolerance = MSD_TOLERANCE * np.array([second / 2 - late[0], 10 * late[1]])
        for values, amplitude, exact in block_lanczos(symmetric, mean_jumps, size):
            share, gap = (amplitude**2).sum(axis=1), np.maximum(1.0 - values, 1e-300)
            found = np.array([(share / gap).sum(), (share / gap**2).sum()])
            if exact or (np.abs(found - late) <= tolerance).all():
                break
            if len(values) > LANCZOS_LIMIT:
                raise ValueError(
                    f"the mean-square displacement of {self.n_sites} sites has not converged "
                    f"in {len(values)} Lanczos vectors: the rates differ by too many decades"
                )
        return values, amplitude

    def msd(self, time_ps: npt.ArrayLike) -> FloatArray:
        """Return the mean-square displacement of the sites at any times, shape (n_times,), Å²."""
        return np.trace(self.msd_tensor(time_ps), axis1=1, axis2=2)

    def spectrum(self, number: int | None = None) -> Spectrum:
        """Return the slowest processes; all of a small model (600 sites), else ten, if not said."""
        return slowest_processes(self.flux_matrix, self.connected_sets, self.lag_ps, number)

    def timescales(self, number: int | None = None) -> FloatArray:
        """Return the implied timescales −τ / ln λ, ps, slowest first, as :meth:`spectrum`.

        The eigenvalue 1 of every connected set is left out, and so are eigenvalues ≤ 0, which
        have no timescale at this lag.
        """
        scales = self.spectrum(number).timescales_ps
        return scales[np.isfinite(scales)]

    def bloch_matrix(self, wave_vector: npt.ArrayLike) -> ComplexArray:
        """Return M(q)_ij = Σ_n T(i, j, n) exp(i q·d), shape (n_sites, n_sites).

        ``wave_vector`` in 1/Å. Its leading eigenvalue is exp(−q·D·q τ) for small q.

        Raises
        ------
        ValueError
            The model has more than 5000 sites.
        """
        self._refuse_dense("sparse_bloch_matrix")
        return self.sparse_bloch_matrix(wave_vector).toarray()

    def sparse_bloch_matrix(self, wave_vector: npt.ArrayLike) -> sparse.csr_matrix:
        """Return M(q), see :meth:`bloch_matrix`, as a sparse matrix."""
        inverse = sparse.diags(self._inverse_root**2)
        return (inverse @ self._summed(self.flux * self._phases(wave_vector))).tocsr()

    def intermediate_scattering(self, wave_vector: npt.ArrayLike, steps: int) -> FloatArray:
        """Return the self intermediate scattering function at t = 0, τ, …, steps·τ.

        F(q, kτ) = πᵀ M(q)^k 1: real, because the chain is reversible (Chudley & Elliott, 1961).
        """
        matrix = self.sparse_bloch_matrix(wave_vector)
        vector = np.ones(self.n_sites, dtype=np.complex128)
        values = np.empty(steps + 1)
        for k in range(steps + 1):
            values[k] = (self.stationary_distribution @ vector).real
            vector = matrix @ vector
        return values

    def relaxation_at(self, wave_vectors: npt.ArrayLike) -> FloatArray:
        """Return the time in which the slowest density wave exp(i q·r) decays, ps.

        −τ / ln of the leading eigenvalue of M(q), for ``wave_vectors`` (n, 3) in 1/Å, shape (n,);
        1/(q·D·q) at small q. ħ over it (0.6582 meV ps) is the half width at half maximum of the
        narrowest quasi-elastic line (Chudley & Elliott, Proc. Phys. Soc. 77, 353 (1961)). Infinite
        at q = 0 and where all jumps have q·d = 2πn; NaN where the eigenvalue is not positive.
        """
        scale = sparse.diags(self._inverse_root)
        values = np.array(
            [
                slowest_at((scale @ self._summed(self.flux * self._phases(q)) @ scale).tocsr())
                for q in np.atleast_2d(np.asarray(wave_vectors, dtype=np.float64))
            ]
        )
        return timescales_of(np.where(values > 1 - 1e-14, 1.0, values), self.lag_ps)

    def expand(self, matrix: npt.ArrayLike) -> MarkovModel:
        """Return the same chain on the supercell ``matrix @ cell``, every site its own state."""
        supercell = np.asarray(matrix, dtype=np.int64).reshape(3, 3)
        lattice, grown = self.lattice, self.lattice.expand(supercell)
        copies = grown.n_sites // self.n_sites
        # cell, in units of the old one, in which each of the new sites lies
        shift = grown.positions - np.tile(lattice.positions, (copies, 1))
        cell = np.rint(shift @ np.linalg.inv(lattice.cell)).astype(np.int64)
        cell = cell.reshape(copies, self.n_sites, 3)
        copy_of = {
            tuple(home): k for k, home in enumerate(fold_cells(cell[:, 0], supercell).tolist())
        }
        target = cell[:, self.from_site] + self.image  # (copies, n_channels, 3)
        homes, place = unique_rows(fold_cells(target.reshape(-1, 3), supercell))
        copy = np.array([copy_of[tuple(home)] for home in homes.tolist()])[place]
        to_site = np.tile(self.to_site, copies)
        away = target.reshape(-1, 3) - cell[copy, to_site]
        return MarkovModel(
            lattice=grown,
            lag_ps=self.lag_ps,
            from_site=(np.arange(copies)[:, None] * self.n_sites + self.from_site).reshape(-1),
            to_site=copy * self.n_sites + to_site,
            image=np.rint(away @ np.linalg.inv(supercell)).astype(np.int64),
            flux=np.tile(self.flux / copies, copies),
        )

    @cached_property
    def _graph(self) -> ChannelGraph:
        return ChannelGraph(self.from_site, self.to_site, self.jump_vectors, self.n_sites)

    @cached_property
    def _inverse_root(self) -> FloatArray:
        """1/√π, zero where no ion was seen."""
        pi = self.stationary_distribution
        return np.where(pi > 0, 1.0 / np.sqrt(np.where(pi > 0, pi, 1.0)), 0.0)

    def _phases(self, wave_vector: npt.ArrayLike) -> ComplexArray:
        return np.exp(1j * self.jump_vectors @ np.asarray(wave_vector, dtype=np.float64))

    def _summed(self, values: npt.NDArray[np.inexact]) -> sparse.csr_matrix:
        """Return values per channel as a matrix, summed over cells."""
        return sparse.csr_matrix(
            (values, (self.from_site, self.to_site)), shape=(self.n_sites, self.n_sites)
        )

    def _refuse_dense(self, instead: str) -> None:
        if self.n_sites > DENSE_MATRIX:
            raise ValueError(f"{self.n_sites} sites are too many for a full matrix: use {instead}")

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
    return model_from(counts, estimate, lattice, lag_ps)


def model_from(
    counts: TransitionCounts, estimate: Estimate, lattice: SiteLattice, lag_ps: float
) -> MarkovModel:
    """Return the model of an estimate, without the transitions it gives no flux."""
    kept = estimate.flux > 0
    return MarkovModel(
        lattice=lattice,
        lag_ps=lag_ps,
        from_site=counts.from_site[kept],
        to_site=counts.to_site[kept],
        image=counts.image[kept],
        flux=estimate.flux[kept],
    )
