"""Transition counts with jump vectors, kept apart by ion and time block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arrays import FloatArray, IntArray, sum_by
from .groups import group_number
from .kernels import count_windows
from .packed import unique_rows
from .paths import SitePaths

__all__ = ["TransitionCounts", "count_transitions"]


@dataclass(frozen=True)
class TransitionCounts:
    """Sliding-window counts C(i, j, n) at one lag, one record per (unit, channel).

    A channel is a kind of transition (from, to, cell); the list is closed under reversal,
    ``reverse[k]`` being the channel (j, i, −n) of channel k = (i, j, n). A unit is one ion (of
    very many ions, a group, see :func:`.groups.group_number`) in one time block, the block in
    which the window starts; units are what a bootstrap draws.

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
    orbit
        Where the counts were pooled over the space group (:func:`.pooling.pool_counts`): the
        orbit of every channel, shape (n_channels,), numbered from 0; the records then stand on
        one channel of each orbit, and :meth:`total` shares them among all of it.
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
    orbit: IntArray | None = None

    @property
    def n_channels(self) -> int:
        """Number of kinds of transition."""
        return len(self.from_site)

    def total(self, weights: FloatArray | None = None) -> FloatArray:
        """Return counts per channel, units weighted by ``weights`` (n_units,) if given."""
        count = self.count if weights is None else self.count * weights[self.unit]
        total = sum_by(self.channel, count, self.n_channels)
        if self.orbit is None:
            return total
        sizes = self._orbit_sizes
        return (sum_by(self.orbit, total, len(sizes)) / sizes)[self.orbit]

    @cached_property
    def _orbit_sizes(self) -> IntArray:
        assert self.orbit is not None
        return np.bincount(self.orbit)


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
    groups = group_number(paths.n_ions)
    rows = count_windows(
        paths.first_run, paths.start, paths.site, paths.image, paths.frames, lag, groups, blocks,
        unit, start, end, image, count,
    )  # fmt: skip
    seen, index = unique_rows(np.column_stack([start[:rows], end[:rows], image[:rows]]))
    back = np.column_stack([seen[:, 1], seen[:, 0], -seen[:, 2:]])
    kinds, place = unique_rows(np.concatenate([seen, back]))
    n, there = len(kinds), place[: len(seen)]
    reverse = np.empty(n, dtype=np.int64)
    reverse[there] = place[len(seen) :]
    reverse[place[len(seen) :]] = there
    # nearly sorted already, and nearly all distinct: no case for hashing
    records, inverse = np.unique(unit[:rows] * n + there[index], return_inverse=True)
    return TransitionCounts(
        lag=lag,
        n_sites=n_sites,
        n_units=groups * blocks,
        from_site=kinds[:, 0],
        to_site=kinds[:, 1],
        image=kinds[:, 2:],
        reverse=reverse,
        unit=records // n,
        channel=records % n,
        count=sum_by(inverse, count[:rows], len(records)),
    )
