"""Slowest processes of a reversible chain: relaxation times and their maps over the sites.

The states of a model pooled over lattice translations are the sites of one cell, so its spectrum
shows what is alike in all cells (wave vector q = 0): exchange between the sites of the cell. An
eigenvector with one value on every site of a Wyckoff orbit is exchange between kinds of site; one
whose sum over each orbit vanishes is exchange within the orbits. Diffusion from cell to cell has
q ≠ 0: see :func:`slowest_at`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .arrays import FloatArray, IntArray
from .filtered import largest_eigenpairs

__all__ = ["DENSE_SPECTRUM", "Spectrum", "slowest_at", "slowest_processes", "timescales_of"]


DENSE_SPECTRUM = 600
"""Up to this many states all eigenvalues are computed; of larger models the slowest only."""

SAME_EIGENVALUE = 1e-8
SPARE = 6
"""Eigenvectors computed beyond those asked, so that a degenerate block is seldom cut."""


@dataclass(frozen=True)
class Spectrum:
    """Relaxing processes of the chain, slowest first; the stationary ones are left out.

    Attributes
    ----------
    eigenvalues
        Of the transition matrix, descending, shape (k,).
    timescales_ps
        −τ / ln λ, shape (k,); NaN where λ ≤ 0, which has no timescale at this lag.
    left, right
        Eigenvectors φ and ψ as columns, shape (n_sites, k): φ = πψ is how much probability the
        process moves, ψ how fast an ion on each site feels it. Σ_i π_i ψ_i² = 1; zero on sites
        where no ion was seen. Each is positive where √π |ψ| is largest; within a degenerate
        block the vectors are those that peak on one site after the other.
    """

    eigenvalues: FloatArray
    timescales_ps: FloatArray
    left: FloatArray
    right: FloatArray


def timescales_of(eigenvalues: FloatArray, lag_ps: float) -> FloatArray:
    """Return −τ / ln λ; infinite for λ ≥ 1, NaN for λ ≤ 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = -lag_ps / np.log(eigenvalues)
    return np.where(eigenvalues >= 1.0, np.inf, scales)


def slowest_processes(
    flux: sparse.csr_matrix, sets: IntArray, lag_ps: float, number: int | None
) -> Spectrum:
    """Return the slowest processes of a chain.

    Parameters
    ----------
    flux
        x_ij = π_i T_ij, symmetric, (n_sites, n_sites).
    sets
        Connected set of every site, shape (n_sites,).
    lag_ps
        Lag time τ.
    number
        How many; None for all (large models: 10).
    """
    pi = np.asarray(flux.sum(axis=1)).reshape(-1)
    seen = np.flatnonzero(pi > 0)
    root = np.sqrt(pi[seen])
    scale = sparse.diags(1.0 / root)
    symmetric = (scale @ flux[seen][:, seen] @ scale).tocsr()
    stationary = _stationary(root, sets[seen])
    most = len(seen) - stationary.shape[1]
    if len(seen) <= DENSE_SPECTRUM:
        wanted = most if number is None else min(number, most)
        values, vectors = _all(symmetric, stationary)
    else:
        wanted = min(10 if number is None else number, most, len(seen) // 4)
        values, vectors = largest_eigenpairs(symmetric, stationary, min(wanted + SPARE, most))
    vectors = _canonical(values, vectors, wanted)
    values = values[:wanted]
    right = np.zeros((len(pi), wanted))
    right[seen] = vectors / root[:, None]
    return Spectrum(values, timescales_of(values, lag_ps), pi[:, None] * right, right)


def slowest_at(bloch: sparse.csr_matrix) -> float:
    """Return the largest eigenvalue of the Hermitian matrix π^½ M(q) π^−½."""
    if bloch.shape[0] > DENSE_SPECTRUM:
        from scipy.sparse.linalg import eigsh

        start = np.random.default_rng(0).normal(size=bloch.shape[0]) + 0j
        return float(eigsh(bloch, k=1, which="LA", v0=start, return_eigenvectors=False)[0])
    dense = bloch.toarray()
    return float(np.linalg.eigvalsh((dense + dense.conj().T) / 2)[-1])


def _stationary(root: FloatArray, sets: IntArray) -> sparse.csr_matrix:
    """Return √π of every connected set, normalised, as columns (n_sites, n_sets)."""
    index = np.unique(sets, return_inverse=True)[1].reshape(-1)
    norm = np.sqrt(np.bincount(index, weights=root**2))
    return sparse.csr_matrix((root / norm[index], (np.arange(len(root)), index)))


def _all(
    symmetric: sparse.csr_matrix, stationary: sparse.csr_matrix
) -> tuple[FloatArray, FloatArray]:
    # the stationary vectors go from eigenvalue 1 to −2, where nothing else can be
    matrix = symmetric.toarray() - 3.0 * (stationary @ stationary.T).toarray()
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = slice(len(values) - 1, stationary.shape[1] - 1 if stationary.shape[1] else None, -1)
    return values[kept], vectors[:, kept]


def _canonical(values: FloatArray, vectors: FloatArray, number: int) -> FloatArray:
    """Return the first ``number`` columns, made independent of how they were computed.

    Only the space of a degenerate block has a meaning. Its projector P gives a basis: the
    column of P on the site where P_ii is largest, then the same on what is left. For a block of
    one vector this is the sign rule: positive where it is largest.
    """
    result = np.empty((len(vectors), number))
    begin = 0
    while begin < number:
        end = begin + 1
        while end < len(values) and values[end - 1] - values[end] < SAME_EIGENVALUE:
            end += 1
        block = vectors[:, begin:end]
        for column in range(begin, min(end, number)):
            size = (block**2).sum(axis=1)
            peak = int(np.argmax(size >= size.max() * (1 - 1e-6)))
            along = block[peak] / np.linalg.norm(block[peak])
            result[:, column] = block @ along
            rest = np.linalg.svd(along[None, :])[2][1:]
            block = block @ rest.T
        begin = end
    return result
