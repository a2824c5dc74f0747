"""Largest eigenvalues of a large sparse matrix, by subspace iteration with a Chebyshev filter.

The slow processes of a large chain crowd at eigenvalue 1, where Lanczos steps cost far more for
orthogonalisation than for products. A block of vectors is filtered instead by a polynomial of the
matrix that stays within ±1 below the wanted eigenvalues and grows steeply there, then turned into
eigenvectors by Rayleigh and Ritz (Zhou, Saad, Tiago & Chelikowsky, J. Comput. Phys. 219, 172
(2006)). Copies of a degenerate eigenvalue come together, none is missed.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .arrays import FloatArray

__all__ = ["largest_eigenpairs"]

RESIDUAL = 1e-9
"""‖A v − λ v‖ of an eigenvector that counts as found."""

SPARE_PART, SPARE_LEAST = 0.25, 6
"""Vectors carried along beyond those wanted: the filter is the steeper for them."""

BELOW = 0.05
"""The filter begins to grow so much of (1 − λ) below the last vector carried along."""

GROWTH = 4.0
"""Exponent by which one sweep raises the last wanted vector over what it leaves behind."""

DEGREES = (8, 2000)
FLATTEST = GROWTH**2 / (2 * DEGREES[1] ** 2)
"""So far below a wanted eigenvalue the highest degree grows by what a sweep asks for."""

SWEEPS = 300


def largest_eigenpairs(
    matrix: sparse.csr_matrix, left_out: sparse.csr_matrix, number: int
) -> tuple[FloatArray, FloatArray]:
    """Return the largest eigenvalues of a symmetric matrix, descending, with eigenvectors.

    Parameters
    ----------
    matrix
        (n, n), with spectrum in [−1, 1].
    left_out
        Orthonormal eigenvectors of eigenvalue 1, which are not looked for, as columns (n, k).
    number
        How many; below n − k.

    Returns
    -------
    values, vectors
        (number,) and orthonormal columns (n, number).

    Raises
    ------
    ValueError
        Not found within 300 sweeps: the eigenvalues differ by too many decades.
    """
    size, known = left_out.shape
    block = min(number + max(int(SPARE_PART * number), SPARE_LEAST), size - known)
    x = np.random.default_rng(0).normal(size=(size, block))
    across = left_out.T.tocsr()

    def apply(y: FloatArray) -> FloatArray:
        """Multiply, the eigenvalues of what is left out taken to zero."""
        return np.asarray(matrix @ y - left_out @ (across @ y))

    edge, degree = 0.0, DEGREES[0]
    for _ in range(SWEEPS):
        x = _filtered(apply, x, edge, degree)
        x -= left_out @ (across @ x)
        x, _ = np.linalg.qr(x)
        moved = apply(x)
        small = x.T @ moved
        values, turn = np.linalg.eigh((small + small.T) / 2)
        values, turn = values[::-1], turn[:, ::-1]
        x, moved = x @ turn, moved @ turn
        residual = np.linalg.norm(moved[:, :number] - values[:number] * x[:, :number], axis=0)
        if residual.max() <= RESIDUAL:
            return values[:number], x[:, :number]
        last = float(values[number - 1])
        edge = float(values[-1]) - BELOW * (1.0 - float(values[-1]))
        # what spoils the vectors still is at least as far below them as the residual
        edge = max(min(edge, last - max(float(residual.max()), FLATTEST)), -0.5)
        steepness = float(np.arccosh(_mapped(last, edge)))
        degree = int(np.clip(GROWTH / steepness, *DEGREES))
    raise ValueError(
        f"the slowest processes of {size} sites were not found in {SWEEPS} sweeps: the rates "
        "differ by too many decades"
    )


def _mapped(value: float, edge: float) -> float:
    """Map [−1, edge] to [−1, 1]; what lies above goes beyond 1."""
    return (2.0 * value + 1.0 - edge) / (1.0 + edge)


def _filtered(apply, x: FloatArray, edge: float, degree: int) -> FloatArray:  # type: ignore[no-untyped-def]
    """Return the Chebyshev polynomial of the matrix times ``x``, scaled to stay finite."""
    centre, half = (edge - 1.0) / 2.0, (edge + 1.0) / 2.0
    top = _mapped(1.0, edge)
    # T_{j+1}(top) = 2 top T_j − T_{j−1}: ratios of successive ones keep the vectors of order one
    ratio = 1.0 / top
    before, now = x, (apply(x) - centre * x) * (ratio / half)
    for _ in range(1, degree):
        after_ratio = 1.0 / (2.0 * top - ratio)
        after = apply(now)
        after -= centre * now
        after *= 2.0 * after_ratio / half
        after -= (ratio * after_ratio) * before
        before, now, ratio = now, after, after_ratio
    return now
