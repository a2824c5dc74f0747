"""Curves with statistical errors from blocks of time, and how much two of them overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..markov.arrays import FloatArray

__all__ = ["BlockSums", "Overlap", "SampledCurves", "overlap", "sample"]

MOST_ROWS = 256


class BlockSums:
    """Sums over consecutive blocks of equal length of a series of unknown length.

    When all rows are full, neighbours are joined: a long series takes no more memory than a short
    one.

    Parameters
    ----------
    shape
        Of what is summed.
    most
        Rows, an even number.

    Attributes
    ----------
    row
        Array of the given shape to add to; say with :meth:`filled` how many entries that were.
    """

    def __init__(self, shape: tuple[int, ...], most: int = MOST_ROWS) -> None:
        self._rows = np.zeros((most, *shape))
        self._weights = np.zeros(most)
        self._length = 1
        self._used = 0

    @property
    def row(self) -> FloatArray:
        """The sum that is being filled."""
        return np.asarray(self._rows[self._used])

    @property
    def room(self) -> int:
        """Entries that still belong to :attr:`row`."""
        return self._length - int(self._weights[self._used])

    def filled(self, entries: int) -> None:
        """Count entries, not more than :attr:`room`, that were added to :attr:`row`."""
        self._weights[self._used] += entries
        if self.room > 0:
            return
        self._used += 1
        if self._used == len(self._rows):
            self._used //= 2
            self._length *= 2
            for series in (self._rows, self._weights):
                series[: self._used] = series[0::2] + series[1::2]
                series[self._used :] = 0

    def sums(self) -> tuple[FloatArray, FloatArray]:
        """Return the sums (n, *shape) and the number of entries in each, (n,)."""
        used = self._used + (self._weights[min(self._used, len(self._rows) - 1)] > 0)
        return self._rows[:used].copy(), self._weights[:used].copy()


@dataclass(frozen=True)
class SampledCurves:
    """Curves over one axis, with those that one block of time less would have given.

    Attributes
    ----------
    names
        What every curve is of: ``Li-Si``, ``Li``.
    x
        Axis, (n,), evenly spaced.
    mean
        From all frames, (n_curves, n).
    without
        Without one block after the other, (n_blocks, n_curves, n); empty where there was no time
        for two blocks.
    halves
        Of the first and of the second half, (2, n_curves, n).
    """

    names: tuple[str, ...]
    x: FloatArray
    mean: FloatArray
    without: FloatArray
    halves: FloatArray

    @property
    def error(self) -> FloatArray:
        """Standard error by the jackknife over blocks, (n_curves, n); NaN with fewer than two."""
        return _jackknife(self.without)

    def halves_overlap(self) -> FloatArray:
        """Overlap of first and second half, (n_curves,): what noise alone does not exceed."""
        return overlap(self.halves[0], self.halves[1])

    def compared_with(self, other: SampledCurves) -> dict[str, Overlap]:
        """Compare with the same curves of another trajectory.

        Raises
        ------
        ValueError
            They are on another axis.
        """
        if self.x.shape != other.x.shape or not np.allclose(self.x, other.x):
            raise ValueError("curves on different axes cannot be compared")
        common = [name for name in self.names if name in other.names]
        rows = [self.names.index(name) for name in common]
        columns = [other.names.index(name) for name in common]
        a, b = self.mean[rows], other.mean[columns]
        values = [overlap(a, b), _difference(a, b)]
        errors = []
        for measure in (overlap, _difference):
            variance = (
                _jackknife(measure(self.without[:, rows], b)) ** 2
                + _jackknife(measure(a, other.without[:, columns])) ** 2
            )
            errors.append(np.sqrt(variance))
        return {
            name: Overlap(*(float(series[k]) for series in (*values, *errors)))
            for k, name in enumerate(common)
        }


@dataclass(frozen=True)
class Overlap:
    """How alike two curves are, with standard errors (NaN where there were too few blocks).

    ``overlap`` is 2 ∫ min(p, q) / ∫ (p + q): one for equal curves, zero for curves that are never
    positive together; for curves of unit area it is ∫ min(p, q). ``difference`` is the mean of
    |p − q| over the axis.
    """

    overlap: float
    difference: float
    overlap_error: float
    difference_error: float


def overlap(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return 2 ∫ min(p, q) / ∫ (p + q) over the last axis, which is evenly spaced.

    Zero where both curves vanish everywhere: nothing is known to be alike.
    """
    total = (first + second).sum(axis=-1)
    return np.asarray(
        2 * np.minimum(first, second).sum(axis=-1) / np.where(total > 0, total, np.inf)
    )


def _difference(first: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(np.abs(first - second).mean(axis=-1))


def _jackknife(without: FloatArray) -> FloatArray:
    """Return the standard error from values with one block left out each, along the first axis."""
    blocks = len(without)
    if blocks < 2:
        return np.full(without.shape[1:], np.nan)
    spread = without - without.mean(axis=0)
    return np.asarray(np.sqrt((blocks - 1) / blocks * (spread**2).sum(axis=0)))


def sample(
    names: tuple[str, ...],
    x: FloatArray,
    sums: BlockSums,
    to_curves: Callable[[FloatArray, float], FloatArray],
    blocks: int,
) -> SampledCurves:
    """Turn sums over blocks into curves with errors.

    Parameters
    ----------
    names, x
        Of the curves.
    sums
        Filled.
    to_curves
        Makes curves (n_curves, n) of a sum and its number of entries.
    blocks
        How many blocks of time the jackknife leaves out, one after the other.
    """
    rows, weights = sums.sums()
    whole, weight = rows.sum(axis=0), float(weights.sum())

    def curves(chosen: slice) -> FloatArray:
        return to_curves(rows[chosen].sum(axis=0), float(weights[chosen].sum()))

    edges = np.linspace(0, len(rows), min(blocks, len(rows)) + 1).round().astype(int)
    parts = [slice(*pair) for pair in pairwise(edges)]
    without = [
        to_curves(whole - rows[part].sum(axis=0), weight - float(weights[part].sum()))
        for part in (parts if len(parts) > 1 else [])
    ]
    mean = to_curves(whole, weight)
    middle = len(rows) // 2
    return SampledCurves(
        names=names,
        x=x,
        mean=mean,
        without=np.array(without) if without else np.empty((0, *mean.shape)),
        halves=np.stack([curves(slice(middle or None)), curves(slice(middle, None))]),
    )
