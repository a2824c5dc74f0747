"""Compiled loops: assignment of positions to sites, and window counting."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["advance", "count_windows"]


@njit(cache=True, nogil=True)
def _nearest_anywhere(x, positions, cell, inverse, heights, image):  # type: ignore[no-untyped-def]
    """Nearest site on the whole lattice; writes its cell into ``image``, returns (site, distance).

    A sphere of radius ``best`` spans ``best / height`` cells along each axis: looking at those
    images only cannot miss a nearer one.
    """
    best = 1e300
    site = 0
    f = np.empty(3)
    low = np.empty(3, np.int64)
    high = np.empty(3, np.int64)
    for pas in range(2):  # first a good bound from one image of each site, then the exact search
        for s in range(positions.shape[0]):
            dx = x[0] - positions[s, 0]
            dy = x[1] - positions[s, 1]
            dz = x[2] - positions[s, 2]
            for a in range(3):
                f[a] = dx * inverse[0, a] + dy * inverse[1, a] + dz * inverse[2, a]
                if pas == 0:
                    low[a] = round(f[a])
                    high[a] = low[a]
                else:
                    low[a] = math.ceil(f[a] - best / heights[a] - 1e-9)
                    high[a] = math.floor(f[a] + best / heights[a] + 1e-9)
            for i in range(low[0], high[0] + 1):
                for j in range(low[1], high[1] + 1):
                    for k in range(low[2], high[2] + 1):
                        ux = dx - i * cell[0, 0] - j * cell[1, 0] - k * cell[2, 0]
                        uy = dy - i * cell[0, 1] - j * cell[1, 1] - k * cell[2, 1]
                        uz = dz - i * cell[0, 2] - j * cell[1, 2] - k * cell[2, 2]
                        distance = math.sqrt(ux * ux + uy * uy + uz * uz)
                        if distance < best:
                            best = distance
                            site = s
                            image[0] = i
                            image[1] = j
                            image[2] = k
    return site, best


@njit(cache=True, nogil=True)
def advance(  # type: ignore[no-untyped-def]
    x, first_frame, core, cores, positions, cell, inverse, heights,
    cutoff, nb_first, nb_site, nb_image, nb_vector, nb_distance, reach,
    site, image, anchor, limit2, settled, first_site, first_image, moments,
    patience, outside_since, lost, ev_frame, ev_ion, ev_site, ev_image,
):  # fmt: skip
    """Carry all ions through one chunk of frames; return (number of events, unsettled frames).

    ``x`` (n, ions, 3); ``core`` ≤ 0 is the nearest-site rule, else the largest of the core radii
    ``cores`` (n_sites,), no two of which overlap. State per
    ion: site, cell, Cartesian anchor of the site, squared distance below which no other site
    can take the ion, and whether it has been inside a core yet. With cores, an ion that stays out
    of every core for more than ``patience`` frames adds the frames of that excursion to ``lost``;
    ``outside_since`` is the frame it left a core, −1 inside.

    ``reach`` (n_sites,) is how near to a site no other one can take the ion, see
    :func:`.neighbours.undisturbed_reach`. Farther out a site j nearer than the best so far has
    |r_j − r_s| < |x − r_s| + best (triangle), so the sorted list is walked to that length, and
    where the list is too short the whole lattice is searched.
    """
    events = 0
    unsettled = 0
    found = np.zeros(3, np.int64)
    for frame in range(x.shape[0]):
        for ion in range(x.shape[1]):
            ux = x[frame, ion, 0] - anchor[ion, 0]
            uy = x[frame, ion, 1] - anchor[ion, 1]
            uz = x[frame, ion, 2] - anchor[ion, 2]
            d2 = ux * ux + uy * uy + uz * uz
            if not d2 < limit2[ion]:
                s = site[ion]
                new = -1
                if settled[ion] == 0:
                    new, distance = _nearest_anywhere(
                        x[frame, ion], positions, cell, inverse, heights, found
                    )
                    if core <= 0.0 or distance <= cores[new]:
                        settled[ion] = 1
                        first_site[ion] = new
                        for a in range(3):
                            first_image[ion, a] = found[a]
                    else:
                        unsettled += 1
                else:
                    own = math.sqrt(d2)
                    best = own if core <= 0.0 else core
                    complete = False
                    for row in range(nb_first[s], nb_first[s + 1]):
                        if nb_distance[row] >= own + best:
                            complete = True
                            break
                        wx = ux - nb_vector[row, 0]
                        wy = uy - nb_vector[row, 1]
                        wz = uz - nb_vector[row, 2]
                        distance = math.sqrt(wx * wx + wy * wy + wz * wz)
                        if distance < best and (core <= 0.0 or distance <= cores[nb_site[row]]):
                            best = distance
                            new = nb_site[row]
                            for a in range(3):
                                found[a] = image[ion, a] + nb_image[row, a]
                    if not complete and cutoff < own + best:
                        new, best = _nearest_anywhere(
                            x[frame, ion], positions, cell, inverse, heights, found
                        )
                        if core > 0.0 and best > cores[new]:
                            new = -1
                    if new == s and (
                        found[0] == image[ion, 0]
                        and found[1] == image[ion, 1]
                        and found[2] == image[ion, 2]
                    ):
                        new = -1
                    if new >= 0:
                        ev_frame[events] = first_frame + frame
                        ev_ion[events] = ion
                        ev_site[events] = new
                        for a in range(3):
                            ev_image[events, a] = found[a]
                        events += 1
                if new >= 0:
                    site[ion] = new
                    for a in range(3):
                        image[ion, a] = found[a]
                    for a in range(3):
                        anchor[ion, a] = positions[new, a] + (
                            found[0] * cell[0, a] + found[1] * cell[1, a] + found[2] * cell[2, a]
                        )
                    if settled[ion] == 1:
                        limit2[ion] = reach[new] * reach[new]
                    ux = x[frame, ion, 0] - anchor[ion, 0]
                    uy = x[frame, ion, 1] - anchor[ion, 1]
                    uz = x[frame, ion, 2] - anchor[ion, 2]
                    d2 = ux * ux + uy * uy + uz * uz
            if core > 0.0:
                inner = cores[site[ion]]
                if d2 <= inner * inner:
                    if outside_since[ion] >= 0:
                        excursion = first_frame + frame - outside_since[ion]
                        if excursion > patience:
                            lost[ion] += excursion
                        outside_since[ion] = -1
                elif outside_since[ion] < 0:
                    outside_since[ion] = first_frame + frame
            s = site[ion]
            moments[s, 0] += 1.0
            moments[s, 1] += ux
            moments[s, 2] += uy
            moments[s, 3] += uz
            moments[s, 4] += d2
    return events, unsettled


@njit(cache=True, nogil=True)
def count_windows(  # type: ignore[no-untyped-def]
    first_run, start, site, image, frames, begin, end, lag, groups, blocks,
    out_unit, out_from, out_to, out_image, out_count,
):  # fmt: skip
    """Write (unit, i, j, n, count) for all windows of ions ``begin`` to ``end``; return the rows.

    Ion k is in group k modulo ``groups``; a unit is one group in one of the ``blocks``.
    Paths are runs of equal site, so the work is proportional to jumps, not to frames: within a
    piece where neither the start's nor the end's run changes, all windows are of one kind.
    """
    rows = 0
    for ion in range(begin, end):
        windows = frames[ion] - lag
        if windows <= 0:
            continue
        last = first_run[ion + 1]
        a = first_run[ion]
        b = a
        t = 0
        block = 0
        while t < windows:
            while b + 1 < last and start[b + 1] <= t + lag:
                b += 1
            while a + 1 < last and start[a + 1] <= t:
                a += 1
            while (block + 1) * windows // blocks <= t:
                block += 1
            stop = (block + 1) * windows // blocks
            if a + 1 < last and start[a + 1] < stop:
                stop = start[a + 1]
            if b + 1 < last and start[b + 1] - lag < stop:
                stop = start[b + 1] - lag
            out_unit[rows] = (ion % groups) * blocks + block
            out_from[rows] = site[a]
            out_to[rows] = site[b]
            for k in range(3):
                out_image[rows, k] = image[b, k] - image[a, k]
            out_count[rows] = stop - t
            rows += 1
            t = stop
    return rows
