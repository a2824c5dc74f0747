"""A distribution of ions carried on in time, on boxes of millions of sites.

In a periodic box of L1 × L2 × L3 cells a Fourier transform over the cells takes the chain apart
into one small matrix for each wave vector, M(q)_ij = Σ_n T(i, j, n) e^(−2πi f·n) with f = (k₁/L1,
k₂/L2, k₃/L3). π^½ M π^−½ is Hermitian, so its k-th power comes from its eigenvalues: any time
costs the same. Boxes with walls, and cells of so many sites that the eigenvalues would take
longer, go by sparse products (:mod:`.stepping`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from .arrays import FloatArray, IntArray
from .model import ComplexArray, MarkovModel
from .packed import unique_rows
from .stepping import Boundary, carry_on, number_of_products, step_matrix

__all__ = ["Method", "choose_method", "propagate"]

Method = Literal["auto", "bloch", "sparse"]

PERIODIC: tuple[Boundary, Boundary, Boundary] = ("periodic", "periodic", "periodic")

EIGEN_SECONDS = (4e-6, 3e-7, 1e-9)
"""Eigenvectors of one n × n Hermitian matrix, and their use, take about a + b n² + c n³."""

PRODUCT_SECONDS = 2.5e-9
"""A sparse product takes about so long for each element of the matrix."""

PRODUCT_BYTES = 14
"""Index and value of an element of the step matrix."""

SAME_TIME = 1e-9

MOST_WAVES = 1 << 15
"""Wave vectors taken at once at the most: more are not faster."""

UNIT_EIGENVALUE = 1e-15
"""Eigenvalues within this times n of 1 are 1: the number of ions must not drift in 10⁹ steps."""


def propagate(
    model: MarkovModel,
    density: npt.ArrayLike,
    times_ps: npt.ArrayLike,
    method: Method = "auto",
    boundary: tuple[Boundary, Boundary, Boundary] = PERIODIC,
    memory_mb: int = 2048,
) -> Iterator[FloatArray]:
    """Yield the distribution at each of the times.

    Parameters
    ----------
    model
        The chain. Ions do not feel each other: their density obeys a linear equation.
    density
        Ions on every site at t = 0, shape (L1, L2, L3, n_sites).
    times_ps
        Ascending, shape (n_times,). Between multiples of the lag the distribution is interpolated
        linearly.
    method
        ``bloch`` (Fourier transform and eigenvalues), ``sparse`` (sparse products, about
        √(60 k) of them for k steps), or the one that is faster.
    boundary
        Along each cell vector; walls need sparse products. See :func:`.stepping.step_matrix`.
    memory_mb
        Working memory beside ``density`` and what is yielded. Whatever it is, ``bloch`` holds four
        arrays of the size of ``density``, and ``sparse`` 14 bytes for each transition and cell.

    Yields
    ------
    density
        Shape (L1, L2, L3, n_sites); a new array for every time. Non-negative up to rounding, some
        10⁻¹³ of the largest value of the start; the sum is kept (but for absorbing walls).

    Raises
    ------
    ValueError
        Shapes do not fit, times are not ascending, a density is not finite, or a method and a
        boundary exclude each other.
    """
    start = np.asarray(density, dtype=np.float64)
    times = np.atleast_1d(np.asarray(times_ps, dtype=np.float64))
    if start.ndim != 4 or start.shape[3] != model.n_sites or start.size == 0:
        raise ValueError(
            f"a density of shape (L1, L2, L3, {model.n_sites}) is needed, got {start.shape}"
        )
    if not np.isfinite(start).all():
        raise ValueError("the density at the start has values that are not finite")
    if not (np.isfinite(times).all() and (np.diff(times, prepend=0.0) >= 0).all()):
        raise ValueError("times_ps must be finite, not negative and ascending")
    cells = (start.shape[0], start.shape[1], start.shape[2])
    chosen = choose_method(model, cells, times, boundary, memory_mb) if method == "auto" else method
    if chosen == "bloch":
        if boundary != PERIODIC:
            raise ValueError("method 'bloch' is for periodic boxes: use 'sparse' or 'auto'")
        return _by_bloch(model, start, times, memory_mb)
    return _by_products(model, start, times, boundary)


def choose_method(
    model: MarkovModel,
    cells: tuple[int, int, int],
    times_ps: npt.ArrayLike,
    boundary: tuple[Boundary, Boundary, Boundary] = PERIODIC,
    memory_mb: int = 2048,
) -> Literal["bloch", "sparse"]:
    """Return the method that is likely to be faster."""
    if boundary != PERIODIC:
        return "sparse"
    whole, part = _steps(np.atleast_1d(np.asarray(times_ps, dtype=np.float64)), model.lag_ps)
    elements = float(np.prod(cells)) * len(model.flux)
    by_step, by_wave = elements * PRODUCT_BYTES, 48.0 * model.n_sites**2
    if max(by_step, by_wave) > memory_mb * 1e6:
        return "sparse" if by_step < by_wave else "bloch"
    products = number_of_products(np.diff(whole, prepend=0)) + np.count_nonzero(part)
    waves = float(cells[0] * cells[1] * (cells[2] // 2 + 1))
    groups = -(-len(whole) // _group_size(waves * model.n_sites, memory_mb))
    eigen = float(np.dot(EIGEN_SECONDS, [1.0, model.n_sites**2, model.n_sites**3]))
    by_eigen, by_products = groups * waves * eigen, (products + 10) * elements * PRODUCT_SECONDS
    return "bloch" if by_eigen <= by_products else "sparse"


def _steps(times: FloatArray, lag: float) -> tuple[IntArray, FloatArray]:
    """Return whole lags, and the part of the next one that is more than rounding."""
    steps = times / lag
    whole = np.floor(steps * (1.0 + SAME_TIME))
    part = np.maximum(steps - whole, 0.0)
    part[part < SAME_TIME * steps] = 0.0
    return whole.astype(np.int64), part


def _by_products(
    model: MarkovModel,
    start: FloatArray,
    times: FloatArray,
    boundary: tuple[Boundary, Boundary, Boundary],
) -> Iterator[FloatArray]:
    matrix = step_matrix(model, (start.shape[0], start.shape[1], start.shape[2]), boundary)
    whole, part = _steps(times, model.lag_ps)
    now, done = start.reshape(-1), 0
    for steps, rest in zip(whole, part, strict=True):
        now = carry_on(matrix, now, int(steps) - done)
        done = int(steps)
        shown = (1.0 - rest) * now + rest * (matrix @ now) if rest else now.copy()
        yield shown.reshape(start.shape)


def _by_bloch(
    model: MarkovModel, start: FloatArray, times: FloatArray, memory_mb: int
) -> Iterator[FloatArray]:
    from scipy.fft import irfftn, rfftn

    waves = _Waves(model, (start.shape[0], start.shape[1], start.shape[2]))
    spectrum = rfftn(start, axes=(0, 1, 2))
    shape = spectrum.shape
    spectrum = spectrum.reshape(-1, model.n_sites)
    whole, part = _steps(times, model.lag_ps)
    size = _group_size(spectrum.size, memory_mb)
    batch = min(max(1, int(memory_mb * 1e6 / 8 / waves.bytes_each)), MOST_WAVES)
    for begin in range(0, len(times), size):
        group = slice(begin, begin + size)
        evolved = np.empty((len(whole[group]), *spectrum.shape), dtype=np.complex128)
        for first in range(0, len(spectrum), batch):
            rows = slice(first, min(first + batch, len(spectrum)))
            evolved[:, rows] = waves.carried(rows, spectrum[rows], whole[group], part[group])
        for one in evolved:
            yield irfftn(one.reshape(shape), s=start.shape[:3], axes=(0, 1, 2), overwrite_x=True)


def _group_size(spectrum_size: float, memory_mb: int) -> int:
    """Return for how many times the spectra are held at once."""
    return max(1, int((memory_mb * 1e6 * 0.75 / 16 - 2 * spectrum_size) / spectrum_size))


class _Waves:
    """The matrices of all wave vectors of a box that a real transform needs."""

    def __init__(self, model: MarkovModel, cells: tuple[int, int, int]) -> None:
        pi, n = model.stationary_distribution, model.n_sites
        self.model, self.cells, self.n_sites = model, cells, n
        self.grid = (cells[0], cells[1], cells[2] // 2 + 1)
        self.root = np.sqrt(pi + (pi <= 0))

    @cached_property
    def _stencil(self) -> tuple[FloatArray, sparse.csr_matrix]:
        """Cells that jumps lead to, (u, 3), and π^½ T π^−½ for each of them, (u, n²)."""
        model, n = self.model, self.n_sites
        unseen = np.flatnonzero(model.stationary_distribution <= 0)
        start = np.concatenate([model.from_site, unseen])
        end = np.concatenate([model.to_site, unseen])
        images, row = unique_rows(
            np.concatenate([model.image, np.zeros((len(unseen), 3), dtype=np.int64)])
        )
        flux = np.concatenate([model.flux, np.ones(len(unseen))])
        values = flux / (self.root[start] * self.root[end])
        weights = sparse.csr_matrix((values, (row, start * n + end)), shape=(len(images), n * n))
        return images.astype(np.float64), weights

    @property
    def bytes_each(self) -> int:
        """Memory of the work on one wave vector: three matrices and two sets of phases."""
        return 48 * self.n_sites**2 + 32 * len(self._stencil[0])

    def matrices(self, rows: slice) -> ComplexArray:
        """Return the Hermitian matrices of wave vectors ``rows``, (n_rows, n, n)."""
        images, weights = self._stencil
        index = np.unravel_index(np.arange(rows.start, rows.stop), self.grid)
        wave = np.stack([k / size for k, size in zip(index, self.cells, strict=True)], axis=1)
        phases = np.exp(-2j * np.pi * (wave @ images.T))
        return np.asarray(weights.T @ phases.T).T.reshape(-1, self.n_sites, self.n_sites)

    def carried(
        self, rows: slice, spectrum: ComplexArray, whole: IntArray, part: FloatArray
    ) -> ComplexArray:
        """Return the spectra after each of the times, (n_times, n_rows, n)."""
        values, vectors = np.linalg.eigh(self.matrices(rows))
        values = np.clip(values, -1.0, 1.0)
        values[values > 1.0 - UNIT_EIGENVALUE * max(self.n_sites, 10)] = 1.0
        amplitude = np.matmul((spectrum / self.root)[:, None, :], vectors)
        back = np.conj(np.swapaxes(vectors, 1, 2))
        carried = np.empty((len(whole), *spectrum.shape), dtype=np.complex128)
        for k, (steps, rest) in enumerate(zip(whole, part, strict=True)):
            powers = values ** float(steps)
            if rest:
                powers = powers * (1.0 - rest + rest * values)
            carried[k] = np.matmul(amplitude * powers[:, None, :], back)[:, 0] * self.root
        return carried
