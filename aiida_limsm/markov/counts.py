"""Transition counts with jump vectors, kept apart by ion and time block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray, sum_by
from .kernels import count_windows
from .paths import SitePaths

__all__ = ["TransitionCounts", "count_transitions"]


@dataclass(frozen=True)
class TransitionCounts:
    """Sliding-window counts C(i, j, n) at one lag, one record per (unit, channel).

    A channel is a kind of transition (from, to, cell); the list is closed under reversal,
    ``reverse[k]`` being the channel (j, i, −n) of channel k = (i, j, n). A unit is one ion in one
    time block, the block in which the window starts; units are what a bootstrap draws.

    Attributes
    ----------
    lag
        In frames.
    n_sites, n_units
        Sizes.
    from_site, to_site, image, reverse
        The channels, shape (n_channels,) and (n_channels, 3).
    unit, channel, count
        The records, shape (n_records,).
    """

    lag: int
    n_sites: int
    n_units: int
    from_site: IntArray
    to_site: IntArray
    image: IntArray
    reverse: IntArray
    unit: IntArray
    channel: IntArray
    count: FloatArray

    @property
    def n_channels(self) -> int:
        """Number of kinds of transition."""
        return len(self.from_site)

    def total(self, weights: FloatArray | None = None) -> FloatArray:
        """Return counts per channel, units weighted by ``weights`` (n_units,) if given."""
        count = self.count if weights is None else self.count * weights[self.unit]
        return sum_by(self.channel, count, self.n_channels)


def count_transitions(
    paths: SitePaths, n_sites: int, lag: int, blocks: int = 1
) -> TransitionCounts:
    """Count all windows of ``lag`` frames in time ``blocks`` of equally many window starts.

    Raises
    ------
    ValueError
        No ion has more frames than the lag.
    """
    if lag < 1 or not (paths.frames > lag).any():
        raise ValueError(f"no window of {lag} frames in paths of {int(paths.frames.max())} frames")
    room = 2 * len(paths.start) + (blocks + 1) * paths.n_ions
    unit = np.empty(room, dtype=np.int64)
    start = np.empty(room, dtype=np.int64)
    end = np.empty(room, dtype=np.int64)
    image = np.empty((room, 3), dtype=np.int64)
    count = np.empty(room, dtype=np.int64)
    rows = count_windows(
        paths.first_run, paths.start, paths.site, paths.image, paths.frames, lag, blocks,
        unit, start, end, image, count,
    )  # fmt: skip
    start, end, image = start[:rows], end[:rows], image[:rows]
    there = np.column_stack([start, end, image])
    back = np.column_stack([end, start, -image])
    kinds, index = _unique_rows(np.concatenate([there, back]))
    n = len(kinds)
    reverse = np.empty(n, dtype=np.int64)
    reverse[index[:rows]] = index[rows:]
    reverse[index[rows:]] = index[:rows]
    records, inverse = np.unique(unit[:rows] * n + index[:rows], return_inverse=True)
    return TransitionCounts(
        lag=lag,
        n_sites=n_sites,
        n_units=paths.n_ions * blocks,
        from_site=kinds[:, 0],
        to_site=kinds[:, 1],
        image=kinds[:, 2:],
        reverse=reverse,
        unit=records // n,
        channel=records % n,
        count=sum_by(inverse.reshape(-1), count[:rows], len(records)),
    )


def _unique_rows(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return sorted unique rows and the index of every row among them (packed keys: fast)."""
    low = rows.min(axis=0)
    span = rows.max(axis=0) - low + 1
    if np.log2(span.astype(np.float64)).sum() < 62:
        key = np.zeros(len(rows), dtype=np.int64)
        for column in range(rows.shape[1]):
            key = key * span[column] + (rows[:, column] - low[column])
        _, first, index = np.unique(key, return_index=True, return_inverse=True)
        return rows[first], index.reshape(-1)
    unique, index = np.unique(rows, axis=0, return_inverse=True)
    return unique, index.reshape(-1)
