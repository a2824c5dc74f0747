"""Time-averaged density of the mobile ions on a grid over one cell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import spglib
from numba import njit
from scipy import fft

from .arrays import FloatArray, IntArray

__all__ = ["DensityGrid", "DensityMap", "frames_to_average"]

AVERAGE_PS = 0.2
"""Time over which positions are averaged by default: two or three periods of a light ion."""

MAX_VOXELS = 2**23
"""Larger cells get a wider grid spacing: smoothing and peak search then stay below 0.5 GB."""

HOP = 2.0
"""Steps longer than this (Å) between samples are hops, not vibration."""


@njit(cache=True, nogil=True)
def _deposit(x, inverse, edges, mean, last, counts):  # type: ignore[no-untyped-def]
    """Add the mean positions of frames ``edges[m]:edges[m + 1]`` of ``x`` (n, ions, 3).

    ``mean`` and ``last`` (ions, 3) are workspace. Returns the number of means that are not
    finite, a sum of squared steps from one mean to the next, and the number of these steps.
    """
    na, nb, nc = counts.shape
    bad = 0
    steps = 0
    square = 0.0
    for m in range(len(edges) - 1):
        for ion in range(x.shape[1]):
            for axis in range(3):
                mean[ion, axis] = x[edges[m], ion, axis]
        for frame in range(edges[m] + 1, edges[m + 1]):
            for ion in range(x.shape[1]):
                for axis in range(3):
                    mean[ion, axis] += x[frame, ion, axis]
        scale = 1.0 / (edges[m + 1] - edges[m])
        for ion in range(x.shape[1]):
            px, py, pz = mean[ion, 0] * scale, mean[ion, 1] * scale, mean[ion, 2] * scale
            a = px * inverse[0, 0] + py * inverse[1, 0] + pz * inverse[2, 0]
            b = px * inverse[0, 1] + py * inverse[1, 1] + pz * inverse[2, 1]
            c = px * inverse[0, 2] + py * inverse[1, 2] + pz * inverse[2, 2]
            i = int((a - np.floor(a)) * na)
            j = int((b - np.floor(b)) * nb)
            k = int((c - np.floor(c)) * nc)
            # a coordinate of −1e-17 folds to 1.0: the voxel at the far face is the right one
            i, j, k = min(i, na - 1), min(j, nb - 1), min(k, nc - 1)
            if i < 0 or j < 0 or k < 0:
                bad += 1
                continue
            counts[i, j, k] += 1
            if m % 8 == 0:  # one step in eight tells the mean
                last[ion, 0], last[ion, 1], last[ion, 2] = px, py, pz
            elif m % 8 == 1:
                dx, dy, dz = px - last[ion, 0], py - last[ion, 1], pz - last[ion, 2]
                step = dx * dx + dy * dy + dz * dz
                if step < HOP * HOP:
                    square += step
                    steps += 1
    return bad, square, steps


@dataclass(frozen=True)
class DensityMap:
    """Smoothed density on a periodic grid.

    Attributes
    ----------
    cell
        Cell of the grid as rows, Å: a reduced cell of the lattice, not rotated.
    values
        Ions per Å³, shape (na, nb, nc), at the centres of the voxels; the integral over the cell
        is the mean number of ions in it.
    width
        Standard deviation of the Gaussian the density was smoothed with, Å.
    noise
        Variance of a value divided by the value, 1/Å³, were all samples independent.
    step
        Mean square displacement of an ion from one sample to the next, Å²; NaN where unknown.
    rotations, translations
        Operations the map was averaged over, in fractions of ``cell``; the identity if none.
    """

    cell: FloatArray
    values: FloatArray
    width: float
    noise: float
    step: float
    rotations: IntArray
    translations: FloatArray

    @property
    def voxel(self) -> float:
        """Volume of a voxel, Å³."""
        return float(abs(np.linalg.det(self.cell)) / self.values.size)

    def symmetrise(
        self, cell: npt.ArrayLike, rotations: npt.ArrayLike, translations: npt.ArrayLike
    ) -> DensityMap:
        """Return the mean of the density over operations x → W x + w.

        Averaged in Fourier space, where an operation permutes the coefficients exactly:
        F_g(h) = exp(−2πi h·w) F(h W); no interpolation between grid points.

        Parameters
        ----------
        cell
            Cell in which the operations are given, rows, Å; a cell of the same lattice.
        rotations, translations
            W, integers of shape (n, 3, 3), and w, shape (n, 3); columns, as spglib gives them.
        """
        change = np.asarray(cell, dtype=np.float64) @ np.linalg.inv(self.cell)  # cell = change·self
        if np.abs(change - np.rint(change)).max() > 1e-3 or round(abs(np.linalg.det(change))) != 1:
            raise ValueError("operations are given in a cell of another lattice than the density")
        basis = np.rint(change).T  # x_self = basis @ x_cell, columns
        w = np.asarray(translations, dtype=np.float64) @ basis.T
        given = np.asarray(rotations, dtype=np.float64)
        turned = np.asarray(np.rint(basis @ given @ np.linalg.inv(basis)), dtype=np.int64)
        shape = np.array(self.values.shape)
        axes = [np.rint(fft.fftfreq(n) * n).astype(np.int64) for n in shape]
        h = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        centre = np.exp(-1j * np.pi * (h @ (1.0 / shape)))  # voxel centres are half a step off
        source = fft.fftn(self.values).reshape(-1) * centre
        total = np.zeros_like(source)
        for rotation, translation in zip(turned, w, strict=True):
            image = h @ rotation
            inside = (2 * np.abs(image) < shape).all(axis=1)
            flat = np.ravel_multi_index(tuple((image[inside] % shape).T), tuple(shape))
            total[inside] += source[flat] * np.exp(-2j * np.pi * (h[inside] @ translation))
        mean = fft.ifftn((total / (len(turned) * centre)).reshape(shape)).real
        return replace(
            self, values=np.ascontiguousarray(mean), rotations=turned, translations=w % 1.0
        )


def frames_to_average(frame_interval_ps: float) -> int:
    """Return the number of frames in ``AVERAGE_PS``, one at least."""
    return max(1, round(AVERAGE_PS / frame_interval_ps))


class DensityGrid:
    """Collects positions of the mobile ions, folded into one cell, on a grid.

    Parameters
    ----------
    cell
        Rows are the cell vectors, Å: the MD cell, or any cell that tiles it (the primitive cell
        pools the translations). The grid is laid over its Niggli-reduced cell, so that a skew
        cell does no harm.
    spacing_angstrom
        Longest edge of a voxel; made wider where the cell needs more than ``MAX_VOXELS``.
    repeats
        Number of cells in the MD cell.
    average_frames
        The mean position of an ion over so many frames is one sample. Averaging over a few periods
        of vibration (:func:`frames_to_average`) narrows the density of a site and so tells sites
        apart whose vibrations overlap; a site shows if ions stay on it longer than that.

    Raises
    ------
    ValueError
        The cell has no volume, or spacing or average is not above zero.
    """

    def __init__(
        self,
        cell: npt.ArrayLike,
        spacing_angstrom: float = 0.2,
        repeats: int = 1,
        average_frames: int = 1,
    ) -> None:
        given = np.asarray(cell, dtype=np.float64).reshape(3, 3)
        if abs(np.linalg.det(given)) < 1e-6:
            raise ValueError("the cell of the density grid has no volume: give three cell vectors")
        if spacing_angstrom <= 0 or average_frames < 1:
            raise ValueError("the density grid needs a spacing above zero and one frame or more")
        reduced = spglib.niggli_reduce(given.tolist())
        self.cell = given if reduced is None else np.asarray(reduced, dtype=np.float64)
        self.repeats = repeats
        self.average_frames = average_frames
        lengths = np.linalg.norm(self.cell, axis=1)
        shape = np.maximum(np.ceil(lengths / spacing_angstrom), 4)
        if shape.prod() > MAX_VOXELS:
            shape = np.maximum(np.floor(shape * (MAX_VOXELS / shape.prod()) ** (1 / 3)), 4)
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.counts = np.zeros(self.shape, dtype=np.uint32)
        self.n_samples = 0
        self._inverse = np.ascontiguousarray(np.linalg.inv(self.cell))
        self._square, self._steps = 0.0, 0

    def add(self, positions: npt.NDArray[np.floating]) -> None:
        """Take the next frames of all ions, shape (n_frames, n_ions, 3), Å.

        Positions are in the frame of the sites, single or double precision; unwrapped where
        frames are averaged. A block is cut into windows of nearly ``average_frames``.

        Raises
        ------
        ValueError
            Wrong shape, or positions that are not finite.
        """
        x = np.ascontiguousarray(positions)
        if x.ndim != 3 or x.shape[2] != 3:
            raise ValueError(f"expected positions (frames, ions, 3), got shape {x.shape}")
        windows = max(1, round(x.shape[0] / self.average_frames)) if len(x) else 0
        edges = np.arange(windows + 1) * x.shape[0] // max(windows, 1)
        mean, last = np.empty(x.shape[1:]), np.zeros(x.shape[1:])
        bad, square, steps = _deposit(x, self._inverse, edges, mean, last, self.counts)
        if bad:
            raise ValueError("positions are not finite")
        self.n_samples += windows
        self._square += float(square)
        self._steps += int(steps)

    def smooth(self, width_angstrom: float = 0.25) -> DensityMap:
        """Return the density smoothed with a Gaussian of this standard deviation, Å."""
        if self.n_samples == 0:
            raise ValueError("no frame was added to the density")
        shape, volume = self.shape, float(abs(np.linalg.det(self.cell)))
        h = [fft.fftfreq(n) * n for n in shape[:2]] + [fft.rfftfreq(shape[2]) * shape[2]]
        reciprocal = np.linalg.inv(self.cell).T  # rows: reciprocal vectors without 2π
        metric = reciprocal @ reciprocal.T
        square = (
            metric[0, 0] * h[0][:, None, None] ** 2
            + metric[1, 1] * h[1][:, None] ** 2
            + metric[2, 2] * h[2] ** 2
            + 2 * metric[0, 1] * h[0][:, None, None] * h[1][:, None]
            + 2 * metric[0, 2] * h[0][:, None, None] * h[2]
            + 2 * metric[1, 2] * h[1][:, None] * h[2]
        )
        amplitude = fft.rfftn(self.counts.astype(np.float64))
        amplitude *= np.exp(-2 * (np.pi * width_angstrom) ** 2 * square)
        per_count = self.counts.size / (volume * self.n_samples * self.repeats)
        values = fft.irfftn(amplitude, s=shape) * per_count
        roughness = 1.0 / ((4 * np.pi) ** 1.5 * width_angstrom**3)  # ∫ kernel²
        return DensityMap(
            cell=self.cell,
            values=values,
            width=width_angstrom,
            noise=roughness / (self.n_samples * self.repeats),
            step=self._square / self._steps if self._steps else float("nan"),
            rotations=np.eye(3, dtype=np.int64)[None],
            translations=np.zeros((1, 3)),
        )
