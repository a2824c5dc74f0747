"""Peaks of a density: which maxima stand out of their surroundings and of the noise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numba import njit

from .arrays import BoolArray, FloatArray, IntArray, sum_by
from .density import DensityMap

__all__ = ["Peaks", "find_peaks"]

CLEAR_CONTRAST = 2.0
"""Peaks that stand out this much tell the vibration amplitude, from which noise is judged."""


@njit(cache=True, nogil=True)
def _climb(values, order, shape, label, top, saddle, heir):  # type: ignore[no-untyped-def]
    """Flood the voxels from the highest down; return the number of maxima.

    ``order`` lists voxels by falling value, ``label`` (all −1) takes the maximum a voxel climbs
    to. Maxima are numbered as they appear, so a lower number is a higher one. Where two basins
    first meet, the lower component's maximum dies: ``saddle`` takes the value there and ``heir``
    the maximum on the other side. A maximum that never meets a higher one keeps saddle 0 and
    heir −1.
    """
    na, nb, nc = shape
    root = np.empty(len(top), np.int64)
    beside = np.empty(26, np.int64)
    number = 0
    for v in order:
        i, j, k = v // (nb * nc), v // nc % nb, v % nc
        m = 0
        best = -1
        first = -1  # root of the highest component that touches this voxel
        for di in range(-1, 2):
            for dj in range(-1, 2):
                for dk in range(-1, 2):
                    w = ((i + di) % na * nb + (j + dj) % nb) * nc + (k + dk) % nc
                    if w == v or label[w] < 0:
                        continue
                    if best < 0 or values[w] > values[best]:
                        best = w
                    beside[m] = w
                    m += 1
                    r = label[w]
                    while root[r] != r:
                        root[r] = root[root[r]]
                        r = root[r]
                    if first < 0 or r < first:
                        first = r
        if m == 0:
            if number == len(top):
                return -1
            label[v] = number
            top[number] = v
            root[number] = number
            heir[number] = -1
            saddle[number] = 0.0
            number += 1
            continue
        label[v] = label[best]
        for n in range(m):
            r = label[beside[n]]
            while root[r] != r:
                r = root[r]
            if r == first:
                continue
            saddle[r] = values[v]
            highest = -1
            for q in range(m):
                s = label[beside[q]]
                while root[s] != s:
                    s = root[s]
                if s == first and (highest < 0 or values[beside[q]] > values[highest]):
                    highest = beside[q]
            heir[r] = label[highest]
            root[r] = first
    return number


@dataclass(frozen=True)
class Peaks:
    """Maxima of a density that stand out, highest first.

    Attributes
    ----------
    positions
        Shape (n_peaks, 3), Å, inside the cell of the map.
    height
        Density at the maximum, ions/Å³.
    saddle
        Density at the highest pass to a higher peak, ions/Å³; for the highest of all, which has
        none, the mean density.
    neighbour
        The peak beyond that pass, −1 for the highest of all.
    significance
        (√height − √saddle) over its standard error: density counts are Poisson variables, whose
        square root has a constant variance.
    occupancy
        Ions in the basin of the peak: the region from which the density climbs to it.
    correlated_samples
        Samples that count as one independent sample, from the ions' steps between them.
    """

    positions: FloatArray
    height: FloatArray
    saddle: FloatArray
    neighbour: IntArray
    significance: FloatArray
    occupancy: FloatArray
    correlated_samples: float

    def __len__(self) -> int:
        return len(self.height)


def find_peaks(
    density: DensityMap, minimum_contrast: float = 1.3, minimum_significance: float = 4.0
) -> Peaks:
    """Return the maxima that no fluctuation and no shoulder of another peak explains.

    Parameters
    ----------
    density
        Smoothed, perhaps symmetrised.
    minimum_contrast
        Least height / saddle: 1.3 is a free-energy well of 0.26 kT.
    minimum_significance
        Least :attr:`Peaks.significance`. Chance maxima of a uniform field reach 3.7 (measured, up
        to 3375 Å³), those in vibrational tails 0.3.

    Notes
    -----
    Every maximum is paired with the pass at which it joins a higher one (persistence:
    Edelsbrunner, Letscher & Zomorodian, Discrete Comput. Geom. 28, 511 (2002)). Basins of maxima
    that fail are given to the peak beyond their pass.

    Successive samples are not independent. With a displacement u of variance σ² per component
    around its site and steps ⟨Δ²⟩ = 6σ²(1 − ρ), (1 + ρ)/(1 − ρ)
    samples count as one; σ comes from height and occupancy of the clear peaks.
    """
    values = density.values.reshape(-1)
    # the kernel of a single sample is 2^1.5 noise high; far below it there is only round-off
    floor = 0.05 * density.noise * 2**1.5
    above = np.flatnonzero(values > floor)
    order = above[np.argsort(-values[above], kind="stable")]
    label = np.full(values.size, -1, dtype=np.int64)
    room = len(order) // 8 + 64  # maxima are never neighbours
    top, heir = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
    saddle = np.empty(room)
    shape = density.values.shape
    number = int(_climb(values, order, shape, label, top, saddle, heir))
    if number < 0:
        raise ValueError("the density has too many maxima: smooth it with a larger width")
    top, saddle, heir = top[:number], saddle[:number], heir[:number]
    height = values[top]
    saddle[:1] = values.mean()
    inside = label >= 0
    weight = sum_by(label[inside], values[inside], number) * density.voxel
    contrast = height / np.maximum(saddle, 1e-300)

    clear = _follow(heir, contrast >= CLEAR_CONTRAST)
    mass = sum_by(clear, weight, number)
    correlated = _correlated_samples(density, height, mass)
    positions = _refine(density, top)
    images = _distinct_images(density, positions)
    error = np.sqrt(density.noise * correlated / images) / 2.0
    significance = (np.sqrt(height) - np.sqrt(saddle)) / error
    good = (contrast >= minimum_contrast) & (significance >= minimum_significance)
    owner = _follow(heir, good)
    kept = np.flatnonzero(good)
    rank = np.full(number + 1, -1, dtype=np.int64)
    rank[kept] = np.arange(len(kept))
    occupancy = sum_by(owner, weight, number)
    beyond = np.where(heir[kept] < 0, -1, owner[heir[kept]])
    return Peaks(
        positions=positions[kept],
        height=height[kept],
        saddle=saddle[kept],
        neighbour=rank[beyond],
        significance=significance[kept],
        occupancy=occupancy[kept],
        correlated_samples=correlated,
    )


def _follow(heir: IntArray, good: BoolArray) -> IntArray:
    """Return the good maximum every maximum belongs to: itself, or along its heirs.

    The highest maximum has no heir and always counts as good here.
    """
    owner = np.where(good | (heir < 0), np.arange(len(heir)), heir)
    while True:
        further = owner[owner]
        if (further == owner).all():
            return owner
        owner = further


def _correlated_samples(density: DensityMap, height: FloatArray, mass: FloatArray) -> float:
    """Return (1 + ρ)/(1 − ρ) of the vibration, see :func:`find_peaks`."""
    peaks = mass > 0
    if not peaks.any() or not density.step > 0:
        return 1.0
    # a Gaussian of weight m and height h has the variance (m/h)^(2/3) / 2π
    spread = (mass[peaks] / height[peaks]) ** (2.0 / 3.0) / (2 * np.pi) - density.width**2
    rank = np.argsort(spread)
    share = np.cumsum(mass[peaks][rank])
    variance = float(spread[rank][np.searchsorted(share, share[-1] / 2)])
    forgotten = density.step / (6.0 * max(variance, 1e-4))  # 1 − ρ
    return max(1.0, (2.0 - forgotten) / forgotten)


def _distinct_images(density: DensityMap, positions: FloatArray) -> FloatArray:
    """Return how many places, farther apart than the smoothing, the average is taken over."""
    n = len(density.rotations)
    scaled = positions @ np.linalg.inv(density.cell)
    same = np.zeros(len(positions))
    for rotation, translation in zip(density.rotations, density.translations, strict=True):
        away = scaled @ rotation.T + translation - scaled
        away = (away - np.rint(away)) @ density.cell
        same += (away**2).sum(axis=1) < (2 * density.width) ** 2
    return np.asarray(n / np.maximum(same, 1.0))


def _refine(density: DensityMap, top: IntArray) -> FloatArray:
    """Return the maxima (Å) of the quadratics through ln ρ at the 27 voxels around each."""
    shape = np.array(density.values.shape)
    index = np.stack(np.unravel_index(top, tuple(shape)), axis=-1)
    steps = np.array(list(product((-1, 0, 1), repeat=3)))
    around = (index[:, None] + steps) % shape
    near = density.values[around[..., 0], around[..., 1], around[..., 2]]
    f = np.log(np.maximum(near, near.max(axis=1, keepdims=True) * 1e-6))
    columns = [np.ones(27), *steps.T, *(steps.T**2 / 2)]
    columns += [steps[:, 1] * steps[:, 2], steps[:, 0] * steps[:, 2], steps[:, 0] * steps[:, 1]]
    fit = np.linalg.lstsq(np.column_stack(columns), f.T, rcond=None)[0].T
    gradient, hessian = fit[:, 1:4], np.zeros((len(top), 3, 3))
    for a in range(3):
        hessian[:, a, a] = fit[:, 4 + a]
    for (a, b), column in zip(((1, 2), (0, 2), (0, 1)), (7, 8, 9), strict=True):
        hessian[:, a, b] = hessian[:, b, a] = fit[:, column]
    safe = np.linalg.eigvalsh(hessian).max(axis=1) < -1e-12
    hessian[~safe] = -np.eye(3)
    shift = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
    shift = np.where(safe[:, None], np.clip(shift, -1.0, 1.0), 0.0)
    scaled = ((index + 0.5 + shift) / shape) % 1.0
    return np.asarray(scaled @ density.cell)
