"""Distributions of ions to start a propagation from, shape (L1, L2, L3, n_sites)."""

from __future__ import annotations

import numpy as np

from .arrays import FloatArray
from .model import MarkovModel

__all__ = ["gaussian_density", "point_density", "slab_density"]

Cells = tuple[int, int, int]


def point_density(model: MarkovModel, cells: Cells, site: int | None = None) -> FloatArray:
    """Return one ion in the middle cell: on ``site``, or spread as in equilibrium.

    Raises
    ------
    ValueError
        There is no such site, or a box without cells is asked.
    """
    _check(cells)
    density = np.zeros((*cells, model.n_sites))
    middle = tuple(size // 2 for size in cells)
    if site is None:
        density[middle] = model.stationary_distribution
    elif 0 <= site < model.n_sites:
        density[(*middle, site)] = 1.0
    else:
        raise ValueError(f"site {site} does not exist: the model has {model.n_sites} sites")
    return density


def slab_density(model: MarkovModel, cells: Cells, axis: int) -> FloatArray:
    """Return one ion in each cell of the middle half of the box along a cell vector, no others.

    Within the cells they are spread as in equilibrium.

    Raises
    ------
    ValueError
        The box has fewer than two cells along the axis.
    """
    _check(cells)
    length = cells[axis]
    if length < 2:
        raise ValueError(f"a slab needs two cells or more along axis {'abc'[axis]}")
    filled = np.zeros(length)
    first = length // 4
    filled[first : first + length // 2] = 1.0
    shape = [1, 1, 1, 1]
    shape[axis] = length
    density = np.empty((*cells, model.n_sites))
    density[:] = filled.reshape(shape) * model.stationary_distribution
    return density


def gaussian_density(
    model: MarkovModel, cells: Cells, width_angstrom: float, axis: int | None = None
) -> FloatArray:
    """Return one ion in all, its cell drawn from a Gaussian about the middle cell.

    Within the cells as in equilibrium.

    Parameters
    ----------
    model, cells
        The chain and the size of the box.
    width_angstrom
        Standard deviation, Å.
    axis
        None for a Gaussian in three dimensions; else it varies across the planes of cells along
        this cell vector only.

    Raises
    ------
    ValueError
        The width is not positive.
    """
    _check(cells)
    if not width_angstrom > 0:
        raise ValueError("the width of a Gaussian must be positive")
    offsets = np.moveaxis(np.indices(cells), 0, -1) - np.array(cells) // 2
    cell = model.lattice.cell
    if axis is None:
        square = ((offsets @ cell) ** 2).sum(axis=-1)
    else:
        square = (offsets[..., axis] / np.linalg.norm(np.linalg.inv(cell)[:, axis])) ** 2
    weight = np.exp(-square / (2.0 * width_angstrom**2))
    return np.asarray((weight / weight.sum())[..., None] * model.stationary_distribution)


def _check(cells: Cells) -> None:
    if len(cells) != 3 or min(cells) < 1:
        raise ValueError(f"the box must have one cell or more along each vector, not {cells}")
