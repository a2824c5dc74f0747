"""Steps of a chain on a box of many cells by sparse products: any size, walls allowed.

The k-th power of a matrix whose spectrum lies in [−1, 1] is a sum of Chebyshev polynomials of it,
λ^k = Σ_j c_j T_j(λ) with c_j the chance that a coin-tossing walk of k steps ends at ±j. Beyond
j = √(2k ln(2/ε)) less than ε is left (Sachdeva & Vishnoi, Found. Trends Theor. Comput. Sci. 9,
125 (2014), theorem 3.3): a million steps cost 8000 products.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import sparse

from .arrays import FloatArray, IntArray
from .model import MarkovModel

__all__ = ["Boundary", "carry_on", "number_of_products", "step_matrix"]

Boundary = Literal["periodic", "reflecting", "absorbing"]

TRUNCATION = 1e-13
"""Part of the Chebyshev sum that is left out."""


def step_matrix(
    model: MarkovModel, cells: tuple[int, int, int], boundary: tuple[Boundary, Boundary, Boundary]
) -> sparse.csr_matrix:
    """Return the matrix that carries the ions of all sites on by one lag, (n, n).

    Parameters
    ----------
    model
        The chain.
    cells
        L1, L2, L3; sites are numbered as in an array (L1, L2, L3, n_sites).
    boundary
        Along each cell vector. An ion that would jump through a ``reflecting`` wall stays where
        it is, which keeps detailed balance; one that jumps through an ``absorbing`` wall is gone.
    """
    pi, n = model.stationary_distribution, model.n_sites
    unseen = np.flatnonzero(pi <= 0)  # their ions stay
    start = np.concatenate([model.from_site, unseen])
    order = np.argsort(np.concatenate([model.to_site, unseen]), kind="stable")
    end = np.concatenate([model.to_site, unseen])[order]
    start = start[order]
    image = np.concatenate([model.image, np.zeros((len(unseen), 3), dtype=np.int64)])[order]
    flux = np.concatenate([model.flux, np.ones(len(unseen))])[order]
    weight = pi + (pi <= 0)
    number = int(np.prod(cells))
    # 32 bits where they do: half of the memory of a step goes into indices
    integer = np.int32 if number * len(flux) < 2**31 else np.int64
    home = np.indices(cells, dtype=integer).reshape(3, -1)
    itself = np.arange(number, dtype=integer)
    indices = np.empty((number, len(flux)), dtype=integer)
    values = np.tile(flux / weight[start], (number, 1))
    for channel in range(len(flux)):
        origin = [home[a] - integer(image[channel, a]) for a in range(3)]
        cell = np.ravel_multi_index(origin, cells, mode="wrap").astype(integer)
        indices[:, channel] = cell * n + integer(start[channel])
        for a in sorted(range(3), key=lambda axis: boundary[axis] == "absorbing"):
            if boundary[a] == "periodic":
                continue
            outside = (origin[a] < 0) | (origin[a] >= cells[a])
            if boundary[a] == "absorbing":
                values[outside, channel] = 0.0
                continue
            # in the endless crystal as much comes from outside as now is kept at the wall
            indices[outside, channel] = itself[outside] * n + integer(end[channel])
            values[outside, channel] = flux[channel] / weight[end[channel]]
    lengths = np.tile(np.bincount(end, minlength=n), number)
    rows = np.concatenate([[0], np.cumsum(lengths)]).astype(integer)
    size = number * n
    return sparse.csr_matrix((values.reshape(-1), indices.reshape(-1), rows), shape=(size, size))


def number_of_products(steps: IntArray) -> int:
    """Return how many sparse products it takes to go by each of ``steps`` in turn."""
    return int(sum(min(int(k), _degree(int(k))) for k in steps))


def carry_on(matrix: sparse.csr_matrix, density: FloatArray, steps: int) -> FloatArray:
    """Return matrix^steps @ density, shape (n,).

    Parameters
    ----------
    matrix
        Similar to a symmetric one with spectrum in [−1, 1], as :func:`step_matrix` gives.
    density
        Shape (n,).
    steps
        Not negative.
    """
    degree = _degree(steps)
    if degree >= steps:
        for _ in range(steps):
            density = matrix @ density
        return density
    odd = steps % 2
    orders = np.arange(odd, degree + 1, 2, dtype=np.float64)
    ratio = (steps - orders[:-1]) / (steps + orders[:-1] + 2)
    share = np.concatenate([[1.0], np.cumprod(ratio)])
    if not odd:
        share[0] /= 2  # a walk ends at 0 in one way, at ±j in two
    share /= share.sum()
    before, now = density, matrix @ density
    total = share[0] * (now if odd else before)
    for order in range(2, degree + 1):
        # T_{j+1} = 2 A T_j − T_{j−1}, in place: three arrays at any time
        after = matrix @ now
        after *= 2.0
        after -= before
        before, now = now, after
        if order % 2 == odd and order // 2 < len(share):
            total += share[order // 2] * now
    return np.asarray(total)


def _degree(steps: int) -> int:
    return int(np.ceil(np.sqrt(2.0 * steps * np.log(2.0 / TRUNCATION))))
