"""Compiled loop over pairs of atoms and their periodic images."""

from __future__ import annotations

from math import ceil, floor, sqrt

from numba import njit

__all__ = ["count_pairs"]


@njit(cache=True, nogil=True)
def count_pairs(  # type: ignore[no-untyped-def]
    frames, kinds, curve_of, cell, inverse, reach, r_max, width, own, counts
):
    """Add the distances below ``r_max`` of all pairs to a histogram, all images included.

    ``frames`` (n, atoms, 3); ``kinds`` (atoms,); ``curve_of`` (kinds, kinds) is the row of
    ``counts`` (n_curves, bins); ``reach`` (3,) is ``r_max`` over the distance between opposite
    faces. An image m of a pair with the fractional distance f lies at least |f + m| times that
    distance away, so images beyond ``reach`` need no look: exact for any cell and any ``r_max``.
    Pairs of one kind count twice (a sees b, b sees a); with ``own`` an atom's own images once each,
    because both m and -m are visited.
    """
    n_atoms = frames.shape[1]
    limit2 = r_max * r_max
    bins = counts.shape[1]
    for frame in range(frames.shape[0]):
        for i in range(n_atoms):
            for j in range(i if own else i + 1, n_atoms):
                dx = float(frames[frame, j, 0]) - float(frames[frame, i, 0])
                dy = float(frames[frame, j, 1]) - float(frames[frame, i, 1])
                dz = float(frames[frame, j, 2]) - float(frames[frame, i, 2])
                f0 = dx * inverse[0, 0] + dy * inverse[1, 0] + dz * inverse[2, 0]
                f1 = dx * inverse[0, 1] + dy * inverse[1, 1] + dz * inverse[2, 1]
                f2 = dx * inverse[0, 2] + dy * inverse[1, 2] + dz * inverse[2, 2]
                row = curve_of[kinds[i], kinds[j]]
                weight = 2.0 if i != j and kinds[i] == kinds[j] else 1.0
                for m0 in range(ceil(-reach[0] - f0), floor(reach[0] - f0) + 1):
                    g0 = f0 + m0
                    x0, y0, z0 = g0 * cell[0, 0], g0 * cell[0, 1], g0 * cell[0, 2]
                    for m1 in range(ceil(-reach[1] - f1), floor(reach[1] - f1) + 1):
                        g1 = f1 + m1
                        x1, y1, z1 = (
                            x0 + g1 * cell[1, 0],
                            y0 + g1 * cell[1, 1],
                            z0 + g1 * cell[1, 2],
                        )
                        for m2 in range(ceil(-reach[2] - f2), floor(reach[2] - f2) + 1):
                            if i == j and m0 == 0 and m1 == 0 and m2 == 0:
                                continue
                            g2 = f2 + m2
                            x = x1 + g2 * cell[2, 0]
                            y = y1 + g2 * cell[2, 1]
                            z = z1 + g2 * cell[2, 2]
                            r2 = x * x + y * y + z * z
                            if r2 < limit2:
                                counts[row, min(int(sqrt(r2) / width), bins - 1)] += weight
