"""Geometry of the jump network: cell of the sites, channels between them, a view of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiida_limsm.compute.results import AnalyseResults

from ..study import TemperatureResult

__all__ = ["Channel", "View", "best_view", "find_channels", "site_cell"]

FloatArray = npt.NDArray[np.float64]

TILTS = ((0.0, 0.0), (0.16, 0.09), (0.30, 0.13), (0.13, 0.30), (0.42, 0.24))
DIRECTIONS = 120
ODD_VIEW_FACTOR = 1.15
MIDDLE_WEIGHT = 0.6
OVERLAP_ANGSTROM = 0.5
MOST_POINTS = 100


@dataclass(frozen=True)
class Channel:
    """Jumps between two neighbouring sites, both ways; ``vector`` (Å) leads from start to end."""

    start: int
    end: int
    vector: FloatArray
    rate_per_ps: float
    back_rate_per_ps: float

    @property
    def strength(self) -> float:
        """The higher of both rates, 1/ps."""
        return max(self.rate_per_ps, self.back_rate_per_ps)


@dataclass(frozen=True)
class View:
    """Orthographic view: rows of ``axes`` (2, 3) are the picture's x and y."""

    axes: FloatArray

    def __call__(self, points: npt.ArrayLike) -> FloatArray:
        """Project points (..., 3) onto the picture (..., 2), Å."""
        return np.asarray(points, dtype=np.float64) @ self.axes.T


def site_cell(result: TemperatureResult) -> FloatArray | None:
    """Return the cell the sites are given in, rows, Å; None where it is not known."""
    if result.lattice is not None:
        return np.asarray(result.lattice.cell, dtype=np.float64)
    cell = result.analysis.sites_cell_angstrom
    return None if cell is None else np.array(cell, dtype=np.float64)


def find_channels(found: AnalyseResults) -> list[Channel]:
    """Join every jump with its way back, strongest first."""
    index = {site.label: number for number, site in enumerate(found.sites)}
    rates: dict[tuple[int, int, tuple[float, ...]], list[float]] = {}
    for row in found.jumps:
        if row.from_site not in index or row.to_site not in index or row.rate_per_ps <= 0:
            continue
        start, end = index[row.from_site], index[row.to_site]
        vector = np.array(row.vector_a)
        here = (start, end, _rounded(vector))
        back = (end, start, _rounded(-vector))
        if here <= back:
            rates.setdefault(here, [0.0, 0.0])[0] += row.rate_per_ps
        else:
            rates.setdefault(back, [0.0, 0.0])[1] += row.rate_per_ps
    channels = [
        Channel(start, end, np.array(vector), forth, back)
        for (start, end, vector), (forth, back) in rates.items()
    ]
    return sorted(channels, key=lambda c: (-c.strength, c.start, c.end, tuple(c.vector)))


def _rounded(vector: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in np.round(vector, 3) + 0.0)


def best_view(cell: FloatArray, positions: FloatArray, channels: list[Channel]) -> View:
    """Choose the direction from which sites and arrows hide each other least.

    Views close to a cell vector are preferred: people recognise a crystal along its axes.

    Parameters
    ----------
    cell
        Rows are the vectors, Å.
    positions
        The sites, shape (n_sites, 3), Å.
    channels
        The channels that are drawn.
    """
    begins = np.array([positions[c.start] for c in channels]).reshape(-1, 3)
    vectors = np.array([c.vector for c in channels]).reshape(-1, 3)
    spots = _unique(np.vstack([positions, begins + vectors]))
    middles = _unique(begins + 0.5 * vectors)
    spots, middles = _thinned(spots), _thinned(middles)
    points = np.vstack([spots, middles])
    weights = np.concatenate([np.ones(len(spots)), np.full(len(middles), MIDDLE_WEIGHT)])
    best: tuple[float, View] | None = None
    for direction, factor in _directions(cell):
        view = _view(cell, direction)
        cost = factor * _overlap(view(points), weights)
        # a later view must be clearly better: equal crystals must get equal pictures
        if best is None or cost < 0.97 * best[0] - 1e-6:
            best = (cost, view)
    assert best is not None
    return best[1]


def _directions(cell: FloatArray) -> Iterator[tuple[FloatArray, float]]:
    """Yield directions of sight with a factor on their cost: slightly off the axes, then any."""
    unit = cell / np.linalg.norm(cell, axis=1)[:, None]
    for along in (2, 1, 0):
        for first, second in TILTS:
            tilted = unit[along] + first * unit[(along + 1) % 3] + second * unit[(along + 2) % 3]
            yield tilted / np.linalg.norm(tilted), 1.0
    # Fibonacci's spiral covers the half sphere evenly
    k = np.arange(DIRECTIONS)
    height = 1.0 - (k + 0.5) / DIRECTIONS
    angle = k * np.pi * (3.0 - np.sqrt(5.0))
    width = np.sqrt(1.0 - height**2)
    for direction in np.column_stack([width * np.cos(angle), width * np.sin(angle), height]):
        yield direction, ODD_VIEW_FACTOR


def _view(cell: FloatArray, sight: FloatArray) -> View:
    """Look along ``sight`` with the first cell vector that is not foreshortened to the right."""
    flat = cell - np.outer(cell @ sight, sight)
    lengths = np.linalg.norm(flat, axis=1)
    visible = lengths / np.linalg.norm(cell, axis=1)
    right = int(np.argmax(visible > min(0.8, visible.max() - 1e-9)))
    x = flat[right] / lengths[right]
    return View(np.array([x, np.cross(sight, x)]))


def _overlap(points: FloatArray, weights: FloatArray) -> float:
    """Return a smooth count of points that lie on each other in the picture."""
    square = ((points[:, None] - points[None]) ** 2).sum(-1)
    near = np.exp(-square / (2 * OVERLAP_ANGSTROM**2)) * weights[:, None] * weights[None]
    return float(near.sum() - (weights**2).sum())


def _thinned(points: FloatArray) -> FloatArray:
    """Return few enough points, evenly chosen, for overlaps to be counted pair by pair."""
    return points[:: max(1, -(-len(points) // MOST_POINTS))]


def _unique(points: FloatArray) -> FloatArray:
    return np.asarray(np.unique(np.round(points, 2) + 0.0, axis=0))
