"""Compiled loops of the mean-square displacement: windows of a stream, and paths as frames."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["add_windows", "fill_frames"]

TILE = 64
"""Ions taken together: their sums and recent positions stay in the cache over a block."""


@njit(cache=True, nogil=True, inline="always")
def _add_products(now, origin, sums, begin, end, base):  # type: ignore[no-untyped-def]
    """Add the six products of the displacement of ions ``begin`` to ``end`` to ``sums``.

    Ion ``base`` + k is in group k.
    """
    for ion in range(begin, end):
        group = ion - base
        dx = np.float64(np.float32(now[ion, 0]) - np.float32(origin[ion, 0]))
        dy = np.float64(np.float32(now[ion, 1]) - np.float32(origin[ion, 1]))
        dz = np.float64(np.float32(now[ion, 2]) - np.float32(origin[ion, 2]))
        sums[0, group] += dx * dx
        sums[1, group] += dy * dy
        sums[2, group] += dz * dz
        sums[3, group] += dy * dz
        sums[4, group] += dx * dz
        sums[5, group] += dx * dy


@njit(cache=True, nogil=True)
def add_windows(x, first, start, lags, level, stride, rings, sums, windows):  # type: ignore[no-untyped-def]
    """Add all windows that end in a block of frames.

    ``x`` (n, ions, 3) holds the frames from ``first`` on. A window of ``lags[m]`` frames begins on
    a multiple of ``stride[level[m]]``, not before frame ``start``. Origins older than the block
    are read from ``rings`` (levels, slots, ions, 3), which keeps the latest ones of each level and
    must have more slots than any lag has strides. ``sums`` (lags, 6, groups) and ``windows`` (lags)
    grow; ion k is in group k modulo the number of groups.
    """
    last = first + x.shape[0]
    slots = rings.shape[1]
    groups = sums.shape[2]
    tiles = (groups + TILE - 1) // TILE
    for tile in range((x.shape[1] + groups - 1) // groups * tiles):
        base = tile // tiles * groups
        begin = base + tile % tiles * TILE
        end = min(begin + TILE, base + groups, x.shape[1])
        for m in range(len(lags)):
            lag = lags[m]
            k = level[m]
            step = stride[k]
            t = max(first, start + lag)
            t += (lag - t) % step
            while t < last:
                origin = t - lag
                if origin >= first:
                    _add_products(x[t - first], x[origin - first], sums[m], begin, end, base)
                else:
                    kept = rings[k, (origin // step) % slots]
                    _add_products(x[t - first], kept, sums[m], begin, end, base)
                if begin == 0:
                    windows[m] += 1
                t += step
        for k in range(len(stride)):
            step = stride[k]
            t = max(first, last - slots * step)
            t += -t % step
            while t < last:
                for ion in range(begin, end):
                    for a in range(3):
                        rings[k, (t // step) % slots, ion, a] = x[t - first, ion, a]
                t += step


@njit(cache=True, nogil=True)
def fill_frames(places, first_run, start, begin, run, change, current, out):  # type: ignore[no-untyped-def]
    """Write the place of every ion at the frames from ``begin`` on into ``out`` (n, ions, 3).

    ``places`` (runs, 3); ``run``, ``change`` and ``current`` hold for each ion its run, the frame
    at which the run ends and its place, and are carried on.
    """
    for row in range(out.shape[0]):
        frame = begin + row
        for ion in range(out.shape[1]):
            if frame >= change[ion]:
                k = run[ion]
                while k + 1 < first_run[ion + 1] and start[k + 1] <= frame:
                    k += 1
                run[ion] = k
                change[ion] = start[k + 1] if k + 1 < first_run[ion + 1] else 1 << 62
                for a in range(3):
                    current[ion, a] = places[k, a]
            for a in range(3):
                out[row, ion, a] = current[ion, a]
