"""Fick's second law beside the chain: what of a spreading the diffusion tensor alone explains.

∂c/∂t = ∇·D∇c for the ions of every cell, solved exactly in a periodic box: the wave of wave
vector q decays as exp(−q·D·q t). On the grid of cells a wave stands for q + G with any reciprocal
lattice vector G; the one that decays most slowly is meant, so that the result does not depend on
which cell vectors were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray
from .model import MarkovModel

__all__ = ["FickComparison", "compare_with_fick", "fick", "plane_diffusion", "relative_l2"]


@dataclass(frozen=True)
class FickComparison:
    """A distribution carried on by the chain, and by Fick's law with the chain's own D.

    Attributes
    ----------
    times_ps
        Shape (n_times,).
    position_angstrom
        Distance of the planes of cells from the first one, along the normal, shape (L,).
    model, fick
        Ions per cell, averaged over each plane, shape (n_times, L).
    relative_l2
        ‖c_model − c_Fick‖ / ‖c_Fick‖ over the ions of all cells, shape (n_times,).
    variance_model_angstrom2, variance_fick_angstrom2
        Variance of the position along the normal, shape (n_times,). It grows as 2 D_nn t under
        Fick's law until the distribution meets itself across the periodic boundary.
    diffusion_cm2_s
        D_nn = n·D·n.
    """

    times_ps: FloatArray
    position_angstrom: FloatArray
    model: FloatArray
    fick: FloatArray
    relative_l2: FloatArray
    variance_model_angstrom2: FloatArray
    variance_fick_angstrom2: FloatArray
    diffusion_cm2_s: float


def fick(
    cells: npt.ArrayLike, cell: FloatArray, tensor_cm2_s: npt.ArrayLike, times_ps: npt.ArrayLike
) -> Iterator[FloatArray]:
    """Yield the solution of Fick's second law at each of the times.

    Parameters
    ----------
    cells
        Ions in each cell at t = 0, shape (L1, L2, L3).
    cell
        Rows are the cell vectors, Å.
    tensor_cm2_s
        D, (3, 3), cm²/s.
    times_ps
        Not negative.

    Yields
    ------
    cells
        Shape (L1, L2, L3). A start that is sharper than Fick's law can show on a grid of cells
        may give slightly negative values at first.
    """
    from scipy.fft import irfftn, rfftn

    start = np.asarray(cells, dtype=np.float64)
    spectrum = rfftn(start)
    decay = _decay_per_ps(start.shape, cell, np.asarray(tensor_cm2_s, dtype=np.float64))
    for time in np.atleast_1d(np.asarray(times_ps, dtype=np.float64)):
        yield np.asarray(irfftn(spectrum * np.exp(-decay * time), s=start.shape))


def _decay_per_ps(shape: tuple[int, ...], cell: FloatArray, tensor: FloatArray) -> FloatArray:
    """Return q·D·q of the slowest wave of every point of the half grid, 1/ps."""
    fractions = np.meshgrid(
        np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]),
        indexing="ij", sparse=True,
    )  # fmt: skip
    inverse = np.linalg.inv(cell)
    metric = (2 * np.pi) ** 2 * inverse.T @ (tensor / ANGSTROM2_PER_PS_TO_CM2_PER_S) @ inverse
    slowest = np.full((shape[0], shape[1], shape[2] // 2 + 1), np.inf)
    for shift in product((-1, 0, 1), repeat=3):
        f = [fraction + step for fraction, step in zip(fractions, shift, strict=True)]
        value = sum(
            metric[a, b] * (1 if a == b else 2) * f[a] * f[b] for a in range(3) for b in range(a, 3)
        )
        np.minimum(slowest, value, out=slowest)
    return np.maximum(slowest, 0.0)


def plane_diffusion(model: MarkovModel, axis: int) -> tuple[float, float]:
    """Return the distance of neighbouring planes of cells (Å) and D across them (cm²/s).

    The planes are those spanned by the two cell vectors other than ``axis``.
    """
    normal = np.linalg.inv(model.lattice.cell)[:, axis]
    size = float(np.linalg.norm(normal))
    return 1.0 / size, float(normal @ model.diffusion_tensor() @ normal) / size**2


def relative_l2(found: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """Return ‖found − reference‖ / ‖reference‖."""
    expected = np.asarray(reference, dtype=np.float64)
    difference = np.asarray(found, dtype=np.float64) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def compare_with_fick(
    model: MarkovModel,
    start: FloatArray,
    times_ps: npt.ArrayLike,
    densities: Iterator[FloatArray],
    axis: int,
) -> FickComparison:
    """Compare densities of the chain with Fick's law, taking one after the other.

    Parameters
    ----------
    model
        The chain.
    start
        Density at t = 0, (L1, L2, L3, n_sites).
    times_ps
        Times of the densities.
    densities
        What :func:`.propagation.propagate` yields for them.
    axis
        Cell vector across whose planes the profiles are taken.
    """
    times = np.atleast_1d(np.asarray(times_ps, dtype=np.float64))
    spacing, across = plane_diffusion(model, axis)
    ions = start.sum(axis=3)
    others = tuple(a for a in range(3) if a != axis)
    expected = fick(ions, model.lattice.cell, model.diffusion_tensor(), times)
    profiles, solutions, errors = [], [], []
    for density, solution in zip(densities, expected, strict=True):
        found = density.sum(axis=3)
        errors.append(relative_l2(found, solution))
        profiles.append(found.mean(axis=others))
        solutions.append(solution.mean(axis=others))
    position = spacing * np.arange(ions.shape[axis])
    shown, law = np.array(profiles), np.array(solutions)
    return FickComparison(
        times_ps=times,
        position_angstrom=position,
        model=shown,
        fick=law,
        relative_l2=np.array(errors),
        variance_model_angstrom2=_variance(shown, position),
        variance_fick_angstrom2=_variance(law, position),
        diffusion_cm2_s=across,
    )


def _variance(profiles: FloatArray, position: FloatArray) -> FloatArray:
    total = profiles.sum(axis=1)
    mean = profiles @ position / total
    return np.asarray(profiles @ position**2 / total - mean**2)
