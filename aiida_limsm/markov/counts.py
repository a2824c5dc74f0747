"""Transition counts with jump vectors, kept apart by ion and time block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .arrays import FloatArray, IntArray, sum_by
from .groups import group_number
from .kernels import count_windows
from .packed import unique_rows
from .paths import SitePaths

__all__ = ["TransitionCounts", "count_transitions"]


RUNS_AT_ONCE = 200_000
"""Runs whose windows are held in memory together, about 50 MB."""


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
        sizes = self.orbit_sizes
        return (sum_by(self.orbit, total, len(sizes)) / sizes)[self.orbit]

    @cached_property
    def orbit_sizes(self) -> IntArray:
        """Number of channels of every orbit, shape (n_orbits,)."""
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
    groups = group_number(paths.n_ions)
    parts = list(_counted(paths, lag, groups, blocks))
    seen, place = unique_rows(np.concatenate([part[0] for part in parts]))
    back = np.column_stack([seen[:, 1], seen[:, 0], -seen[:, 2:]])
    kinds, index = unique_rows(np.concatenate([seen, back]))
    n, there = len(kinds), index[: len(seen)]
    reverse = np.empty(n, dtype=np.int64)
    reverse[there] = index[len(seen) :]
    reverse[index[len(seen) :]] = there
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
    unit = np.concatenate([part[1] for part in parts])
    channel = np.concatenate(
        [there[place[offset + part[2]]] for offset, part in zip(offsets, parts, strict=False)]
    )
    count = np.concatenate([part[3] for part in parts])
    if groups < paths.n_ions and len(parts) > 1:  # else no unit is in two parts
        records, index = np.unique(unit * n + channel, return_inverse=True)
        unit, channel = records // n, records % n
        count = sum_by(index, count, len(records))
    return TransitionCounts(
        lag=lag,
        n_sites=n_sites,
        n_units=groups * blocks,
        from_site=kinds[:, 0],
        to_site=kinds[:, 1],
        image=kinds[:, 2:],
        reverse=reverse,
        unit=unit,
        channel=channel,
        count=count,
    )


def _counted(
    paths: SitePaths, lag: int, groups: int, blocks: int
) -> Iterator[tuple[IntArray, IntArray, IntArray, FloatArray]]:
    """Count some ions after the other: kinds (k, 5) seen, and unit, kind and count of records."""
    begin = 0
    while begin < paths.n_ions:
        most = paths.first_run[begin] + RUNS_AT_ONCE
        end = max(int(np.searchsorted(paths.first_run, most, side="right")) - 1, begin + 1)
        room = 2 * int(paths.first_run[end] - paths.first_run[begin]) + (blocks + 1) * (end - begin)
        unit = np.empty(room, dtype=np.int64)
        start = np.empty(room, dtype=np.int64)
        stop = np.empty(room, dtype=np.int64)
        image = np.empty((room, 3), dtype=np.int64)
        count = np.empty(room, dtype=np.int64)
        rows = count_windows(
            paths.first_run, paths.start, paths.site, paths.image, paths.frames,
            begin, end, lag, groups, blocks, unit, start, stop, image, count,
        )  # fmt: skip
        kinds, index = unique_rows(np.column_stack([start[:rows], stop[:rows], image[:rows]]))
        n = max(len(kinds), 1)
        # nearly sorted already, and nearly all distinct: no case for hashing
        records, inverse = np.unique(unit[:rows] * n + index, return_inverse=True)
        yield kinds, records // n, records % n, sum_by(inverse, count[:rows], len(records))
        begin = end
