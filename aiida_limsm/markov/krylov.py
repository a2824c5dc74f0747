"""Mean-square displacement of a chain of any size by block Lanczos quadrature.

MSD(t) needs uᵀ f_k(S) u with S = π^½ T π^−½, u = π^½ b and a polynomial f_k of degree k − 1. The
block tridiagonal matrix of m Lanczos steps from u gives it exactly for k ≤ 2m and approximates it
beyond (Golub & Meurant, Matrices, Moments and Quadrature, 2010). Nothing but three blocks of three
vectors is kept: lost orthogonality makes copies of nodes, not wrong sums over them (Greenbaum,
Linear Algebra Appl. 113, 7 (1989)).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from .arrays import FloatArray

__all__ = ["block_lanczos", "correlation_sum"]


NEGLIGIBLE = 1e-9
"""Directions of a block smaller than this are rounding errors of the ones before."""


def block_lanczos(
    symmetric: sparse.csr_matrix, start: FloatArray, scale: float
) -> Iterator[tuple[FloatArray, FloatArray, bool]]:
    """Yield the nodes and weights of the quadrature after 32, 48, 72, … steps.

    Parameters
    ----------
    symmetric
        S, (n, n), of norm one.
    start
        u, shape (n, 3).
    scale
        Size of the terms u is a sum of: what is smaller by 10⁹ is their rounding error.

    Yields
    ------
    values, amplitude, exact
        θ, shape (s,), and A, shape (s, 3): uᵀ f(S) u ≈ Σ_s f(θ_s) A_s ⊗ A_s; whether the space
        is exhausted, so that this is exact.
    """
    basis, first = _orthonormal(start, scale)
    check = 32
    rank = basis.shape[1]
    before, coupling = np.zeros((len(start), 0)), np.zeros((rank, 0))
    diagonal: list[FloatArray] = []
    below: list[FloatArray] = []
    while rank:
        new = symmetric @ basis - before @ coupling.T
        inner = basis.T @ new
        new -= basis @ inner
        diagonal.append((inner + inner.T) / 2)
        following, coupling = _orthonormal(new, 1.0)
        exact = following.shape[1] == 0
        if exact or len(diagonal) == check:
            check += check // 2
            values, vectors = np.linalg.eigh(_tridiagonal(diagonal, below))
            yield values, vectors[:rank].T @ first, exact
        if exact:
            return
        below.append(coupling)
        before, basis = basis, following
    yield np.zeros(0), np.zeros((0, 3)), True


def correlation_sum(values: FloatArray, amplitude: FloatArray, steps: FloatArray) -> FloatArray:
    """Return Σ_{m=1}^{k−1} (k − m) uᵀ S^{m−1} u for every k of ``steps``, shape (n, 3, 3)."""
    gap = 1.0 - values
    k = steps[:, None]
    small = k * gap < 1e-4
    safe = np.where(gap > 1e-15, gap, 1.0)
    powers = np.sign(values) ** np.round(k) * np.abs(values) ** k
    closed = (k * safe - (1 - powers)) / safe**2
    # (1 − g)^k expanded: the closed form loses its digits where k g is small
    series = k * (k - 1) / 2 * (1 - (k - 2) * gap / 3 * (1 - (k - 3) * gap / 4))
    total = np.where(small, series, closed)
    return np.einsum("ts,sa,sb->tab", total, amplitude, amplitude)


def _orthonormal(block: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """Split a block (n, m) into orthonormal columns (n, r) times coefficients (r, m)."""
    columns, triangle = np.linalg.qr(block)
    left, sizes, right = np.linalg.svd(triangle)
    kept = sizes > NEGLIGIBLE * scale
    return columns @ left[:, kept], sizes[kept, None] * right[kept]


def _tridiagonal(diagonal: list[FloatArray], below: list[FloatArray]) -> FloatArray:
    offset = np.concatenate([[0], np.cumsum([len(block) for block in diagonal])])
    matrix = np.zeros((offset[-1], offset[-1]))
    for k, block in enumerate(diagonal):
        matrix[offset[k] : offset[k + 1], offset[k] : offset[k + 1]] = block
    for k, block in enumerate(below[: len(diagonal) - 1]):
        matrix[offset[k + 1] : offset[k + 2], offset[k] : offset[k + 1]] = block
        matrix[offset[k] : offset[k + 1], offset[k + 1] : offset[k + 2]] = block.T
    return matrix
