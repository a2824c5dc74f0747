"""Chapman-Kolmogorov test: what the model of one lag predicts for longer ones, against the data.

Tested is the probability to be found on the same site in the same lattice cell after kτ. The
usual test of T^k on the sites of one cell knows nothing of diffusion, and nothing at all where
the cell has a single site; this one takes place on the infinite lattice. See Prinz et al.,
J. Chem. Phys. 134, 174105 (2011), section IV.F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .arrays import FloatArray, IntArray, sum_by
from .counts import count_transitions
from .errors import bootstrap_weights
from .model import MarkovModel
from .paths import SitePaths

__all__ = ["CkTest", "chapman_kolmogorov", "return_probabilities"]


FULL_SITES = 300
GRID_SIZE = 4_000_000
"""Most elements (sites² × cells) of the grid on which the chain is carried on."""

SPREAD = 5.0
"""The grid is this many standard deviations of the displacement wide: an ion that goes all the
way round and is taken for one that came back has a weight of e^(−12)."""


@dataclass(frozen=True)
class CkTest:
    """Predicted and observed probability to be on the same site and cell after kτ.

    Attributes
    ----------
    lag_ps
        kτ, shape (k,).
    groups
        Names of the groups of sites.
    predicted, observed, error
        Shape (k, n_groups); the error is that of the observed value (bootstrap over ions and
        time blocks). NaN where no ion was seen; no error of one ion in one block.
    max_deviation
        Largest |predicted − observed|, an absolute probability.
    max_deviation_sigma
        The largest of |predicted − observed| in units of the error; NaN where no error is known.
    """

    lag_ps: FloatArray
    groups: tuple[str, ...]
    predicted: FloatArray
    observed: FloatArray
    error: FloatArray
    max_deviation: float
    max_deviation_sigma: float


def chapman_kolmogorov(
    model: MarkovModel,
    paths: SitePaths,
    lag: int,
    groups: Sequence[str],
    multiples: Sequence[int] = (1, 2, 3, 4, 5),
    blocks: int = 5,
    samples: int = 100,
    seed: int = 0,
) -> CkTest:
    """Test a model against the paths it was fitted to.

    Parameters
    ----------
    model
        Fitted at ``lag``.
    paths
        Site sequences.
    lag
        Of the model, frames.
    groups
        Name of the group of every site, shape (n_sites,), such as its Wyckoff orbit. Within a
        group sites are weighed by how often they were a window's start, on both sides of the
        comparison: populations that had no time to equilibrate are no fault of the dynamics.
    multiples
        k, ascending; those longer than the paths are left out.
    blocks, samples, seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        No multiple of the lag fits into the paths.
    """
    kept = np.array([k for k in multiples if k * lag < paths.frames.max()], dtype=np.int64)
    if len(kept) == 0:
        raise ValueError(f"no multiple of the lag ({lag} frames) is shorter than the paths")
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    number = len(names)
    returns = return_probabilities(model, kept)
    predicted, observed, error = (np.full((len(kept), number), np.nan) for _ in range(3))
    for row, k in enumerate(kept):
        counts = count_transitions(paths, model.n_sites, int(k * lag), blocks)
        start = counts.from_site[counts.channel]
        stays = (counts.from_site == counts.to_site) & ~counts.image.any(axis=1)
        cell = counts.unit * number + group[start]
        shape = (counts.n_units, number)
        windows = sum_by(cell, counts.count, counts.n_units * number).reshape(shape)
        stayed = sum_by(cell, counts.count * stays[counts.channel], windows.size).reshape(shape)
        site_windows = sum_by(start, counts.count, model.n_sites)
        total = windows.sum(axis=0)
        seen = total > 0
        came_back = sum_by(group, site_windows * returns[row], number)
        predicted[row, seen] = came_back[seen] / total[seen]
        observed[row, seen] = stayed.sum(axis=0)[seen] / total[seen]
        if counts.n_units > 1:
            weights = np.stack(list(bootstrap_weights(counts.n_units, samples, seed)))
            with np.errstate(invalid="ignore"):
                drawn = (weights @ stayed[:, seen]) / (weights @ windows[:, seen])
            error[row, seen] = np.nanstd(drawn, axis=0, ddof=1)
    deviation = np.abs(predicted - observed)
    sigma = deviation[error > 0] / error[error > 0]
    return CkTest(
        lag_ps=np.asarray(kept * model.lag_ps, dtype=np.float64),
        groups=tuple(str(name) for name in names),
        predicted=predicted,
        observed=observed,
        error=error,
        max_deviation=float(np.nanmax(deviation)),
        max_deviation_sigma=float(sigma.max()) if len(sigma) else np.nan,
    )


def return_probabilities(model: MarkovModel, multiples: IntArray) -> FloatArray:
    """Return the probability to be on the same site and cell after kτ, (n_multiples, n_sites).

    The chain is carried on to half of k only: with detailed balance the way back has the
    probabilities of the way there, (T^{a+b})_ii = Σ_j (T^a)_ij (T^b)_ij π_i / π_j.
    """
    half = (int(multiples.max()) + 1) // 2
    shape = _grid(model, int(multiples.max()))
    root = np.sqrt(model.stationary_distribution)
    inverse = np.where(root > 0, 1.0 / np.where(root > 0, root, 1.0), 0.0)
    weights = model.flux * inverse[model.from_site] * inverse[model.to_site]
    power = _bloch_powers if model.n_sites <= FULL_SITES else _sparse_powers
    overlaps = power(model, weights, shape, half)
    return np.array([overlaps[k // 2, k - k // 2] for k in multiples.tolist()])


def _grid(model: MarkovModel, steps: int) -> tuple[int, int, int]:
    """Return how many cells along each axis no ion goes round in ``steps`` steps."""
    scaled = model.jump_vectors @ np.linalg.inv(model.lattice.cell)
    spread = np.sqrt(steps * (model.flux @ scaled**2))
    reach = steps * np.abs(model.image).max(axis=0) + 1
    cells = np.minimum(reach, np.ceil(SPREAD * spread).astype(np.int64) + 1)
    while model.n_sites**2 * np.prod(cells) > GRID_SIZE and cells.max() > 1:
        cells[np.argmax(cells)] -= 1
    return int(cells[0]), int(cells[1]), int(cells[2])


def _bloch_powers(
    model: MarkovModel, weights: FloatArray, shape: tuple[int, int, int], half: int
) -> dict[tuple[int, int], FloatArray]:
    """Powers of π^½ M(q) π^−½ on the wave vectors of the grid, by one Fourier transform."""
    n = model.n_sites
    cells = np.ravel_multi_index((model.image % shape).T, shape)
    place = (model.from_site * n + model.to_site) * int(np.prod(shape)) + cells
    chain = sum_by(place, weights, n * n * int(np.prod(shape))).reshape(n, n, *shape)
    # real in space: half of the wave vectors are the conjugates of the other half
    bloch = np.fft.rfftn(chain, axes=(2, 3, 4))
    double = np.full(bloch.shape[-1], 2.0)
    double[0] = 1.0
    if shape[2] % 2 == 0:
        double[-1] = 1.0
    share = np.broadcast_to(double, bloch.shape[2:]).reshape(-1) / np.prod(shape)
    step = np.ascontiguousarray(np.moveaxis(bloch.reshape(n, n, -1), 2, 0))
    powers = [np.broadcast_to(np.eye(n, dtype=np.complex128), step.shape), step]
    for _ in range(half - 1):
        powers.append(powers[-1] @ step)
    return {
        (a, b): np.einsum("q,qij,qij->i", share, powers[a].real, powers[b].real)
        + np.einsum("q,qij,qij->i", share, powers[a].imag, powers[b].imag)
        for b in range(half + 1)
        for a in range(max(b - 1, 0), b + 1)
    }


def _sparse_powers(
    model: MarkovModel, weights: FloatArray, shape: tuple[int, int, int], half: int
) -> dict[tuple[int, int], FloatArray]:
    """Powers of the chain on a supercell, for ions that start in its first cell."""
    n, copies = model.n_sites, int(np.prod(shape))
    grown = model.expand(np.diag(shape))
    step = sparse.csr_matrix(
        (np.tile(weights, copies), (grown.from_site, grown.to_site)), shape=(n * copies,) * 2
    )
    powers = [sparse.eye(n, n * copies, format="csr")]
    for _ in range(half):
        powers.append(powers[-1] @ step)
    return {
        (a, b): np.asarray(powers[a].multiply(powers[b]).sum(axis=1)).reshape(-1)
        for b in range(half + 1)
        for a in range(max(b - 1, 0), b + 1)
    }
