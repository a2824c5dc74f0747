"""Compiled loop that takes drift and shift off the ions of a block of frames."""

from __future__ import annotations

from numba import njit

__all__ = ["align_block"]


@njit(cache=True, nogil=True)
def align_block(  # type: ignore[no-untyped-def]
    block, framework, weights, ions, origin, offset, first, tail, out, total, sums
):
    """Write the ions of a block, framework drift and ``offset`` taken off, into ``out``.

    ``block`` (n, atoms, 3) float32; ``framework`` indices with mass fractions ``weights``;
    ``origin`` their centre and ``first`` (n_framework, 3) their places in the first frame.
    Adds up the framework's drift-free positions in ``total`` (n_framework, 3), and in ``sums``
    the squared displacement from ``first`` of the frames from ``tail`` on [0]; [1] is the largest
    squared drift so far.
    """
    for frame in range(block.shape[0]):
        cx = cy = cz = 0.0
        for k in range(len(framework)):
            a = framework[k]
            cx += weights[k] * block[frame, a, 0]
            cy += weights[k] * block[frame, a, 1]
            cz += weights[k] * block[frame, a, 2]
        cx -= origin[0]
        cy -= origin[1]
        cz -= origin[2]
        sums[1] = max(sums[1], cx * cx + cy * cy + cz * cz)
        for k in range(len(framework)):
            a = framework[k]
            x = block[frame, a, 0] - cx
            y = block[frame, a, 1] - cy
            z = block[frame, a, 2] - cz
            total[k, 0] += x
            total[k, 1] += y
            total[k, 2] += z
            if frame >= tail:
                x -= first[k, 0]
                y -= first[k, 1]
                z -= first[k, 2]
                sums[0] += x * x + y * y + z * z
        cx += offset[0]
        cy += offset[1]
        cz += offset[2]
        for k in range(len(ions)):
            a = ions[k]
            out[frame, k, 0] = block[frame, a, 0] - cx
            out[frame, k, 1] = block[frame, a, 1] - cy
            out[frame, k, 2] = block[frame, a, 2] - cz
