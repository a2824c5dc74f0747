"""Unwrap positions that were folded into the cell, block by block."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from ..markov.arrays import FloatArray

__all__ = ["Unwrapper"]

Positions = npt.NDArray[np.float32]

STICKS_OUT = 2.0
"""Å by which wrapped positions may lie outside the box: LAMMPS folds atoms back only when it
rebuilds its neighbour list."""

MOST_OUT = 0.4
"""The same as a fraction of the cell, at most."""

CLEAN, NOT_FINITE, NOT_WRAPPED, TOO_FAR = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def _unwrap(x, last, shift, cell, inverse, limit2, low, high, where):  # type: ignore[no-untyped-def]
    """Add ``shift`` to a block in place and let it follow wraps; return (verdict, any shift).

    ``last`` (atoms, 3) are the raw positions of the frame before, NaN in the first element before
    the first frame. A move of half a cell or more is a wrap if both ends lie in the window ``low``
    to ``high`` (fractional) along that axis and the shortest image of the move is below the limit;
    else ``where`` gets frame and atom.
    """
    f = np.empty(3)
    g = np.empty(3)
    turn = np.empty(3)
    any_shift = False
    for atom in range(x.shape[1]):
        for a in range(3):
            any_shift = any_shift or shift[atom, a] != 0.0
    fresh = np.isnan(last[0, 0])
    for frame in range(x.shape[0]):
        for atom in range(x.shape[1]):
            px, py, pz = x[frame, atom, 0], x[frame, atom, 1], x[frame, atom, 2]
            if not (np.isfinite(px) and np.isfinite(py) and np.isfinite(pz)):
                where[0], where[1] = frame, atom
                return 1, any_shift
            if not fresh:
                dx, dy, dz = px - last[atom, 0], py - last[atom, 1], pz - last[atom, 2]
                # no fractional coordinate of a move this short reaches one half
                if dx * dx + dy * dy + dz * dz >= limit2:
                    wraps = False
                    for a in range(3):
                        f[a] = dx * inverse[0, a] + dy * inverse[1, a] + dz * inverse[2, a]
                        turn[a] = np.rint(f[a])
                        wraps = wraps or turn[a] != 0.0
                    if wraps:
                        for a in range(3):
                            g[a] = px * inverse[0, a] + py * inverse[1, a] + pz * inverse[2, a]
                            begin, end = min(g[a], g[a] - f[a]), max(g[a], g[a] - f[a])
                            if turn[a] != 0.0 and (begin < low[a] or end > high[a]):
                                where[0], where[1] = frame, atom
                                return 2, any_shift
                        dx = dx - turn[0] * cell[0, 0] - turn[1] * cell[1, 0] - turn[2] * cell[2, 0]
                        dy = dy - turn[0] * cell[0, 1] - turn[1] * cell[1, 1] - turn[2] * cell[2, 1]
                        dz = dz - turn[0] * cell[0, 2] - turn[1] * cell[1, 2] - turn[2] * cell[2, 2]
                        for a in range(3):
                            shift[atom, a] -= (
                                turn[0] * cell[0, a] + turn[1] * cell[1, a] + turn[2] * cell[2, a]
                            )
                        any_shift = True
                        if dx * dx + dy * dy + dz * dz >= limit2:
                            where[0], where[1] = frame, atom
                            return 3, any_shift
            last[atom, 0], last[atom, 1], last[atom, 2] = px, py, pz
            if any_shift:
                x[frame, atom, 0] = px + shift[atom, 0]
                x[frame, atom, 1] = py + shift[atom, 1]
                x[frame, atom, 2] = pz + shift[atom, 2]
        fresh = False
    return 0, any_shift


class Unwrapper:
    """Makes paths of atoms continuous; called with consecutive blocks of frames.

    A move of half the smallest height of the cell or more between two frames is taken for a wrap
    where the atom lies in the box before and after; otherwise it is refused, because no rule could
    tell the path from its images. Where the box begins follows from the first frame.

    Parameters
    ----------
    cell
        Rows are the cell vectors, Å.
    name
        Of the file, for errors.
    """

    def __init__(self, cell: npt.ArrayLike, name: str) -> None:
        self._cell = np.ascontiguousarray(cell, dtype=np.float64)
        self._inverse = np.ascontiguousarray(np.linalg.inv(self._cell))
        inverse_heights = np.linalg.norm(self._inverse, axis=0)
        self.limit = 0.5 / float(inverse_heights.max())
        self._margin = np.minimum(STICKS_OUT * inverse_heights, MOST_OUT)
        self._window = np.zeros((2, 3))
        self._name = name
        self._last: FloatArray | None = None
        self._shift = np.zeros((0, 3))
        self._frames = 0
        #: whether a wrap was met
        self.wrapped = False

    def __call__(self, block: npt.ArrayLike) -> Positions:
        """Return the next frames unwrapped, (n, n_atoms, 3), Å; may change the block in place.

        Raises
        ------
        ValueError
            A position is not finite, or an atom moves too far between two frames.
        """
        x = np.ascontiguousarray(block, dtype=np.float32)
        if self._last is None:
            self._last = np.full(x.shape[1:], np.nan)
            self._shift = np.zeros(x.shape[1:])
            self._window = self._find_window(x[0])
        where = np.zeros(2, dtype=np.int64)
        verdict, moved = _unwrap(
            x, self._last, self._shift, self._cell, self._inverse, self.limit**2,
            self._window[0], self._window[1], where,
        )  # fmt: skip
        if verdict != CLEAN:
            frame, atom = self._frames + int(where[0]), int(where[1])
            raise ValueError(self._reason(int(verdict), frame, atom))
        self.wrapped = self.wrapped or bool(moved)
        self._frames += len(x)
        return x

    def _find_window(self, first: Positions) -> FloatArray:
        """Return the lowest and highest fractional coordinates (2, 3) that wrapped atoms may have.

        All atoms of a frame lie in the box, so it begins between the highest coordinate less one
        and the lowest.
        """
        with np.errstate(invalid="ignore"):  # what is not finite is refused in its turn
            scaled = first @ self._inverse
        low, high = scaled.min(axis=0), scaled.max(axis=0)
        return np.array([high - 1.0 - self._margin, low + 1.0 + self._margin])

    def _reason(self, verdict: int, frame: int, atom: int) -> str:
        place = f"{self._name}: atom {atom} (counted from 0) in frame {frame}"
        if verdict == NOT_FINITE:
            return f"{place} has a position that is not finite"
        if verdict == NOT_WRAPPED:
            return (
                f"{place} moves by half a cell or more from the frame before, and not by wrapping: "
                "write frames more often"
            )
        return (
            f"{place} moves {self.limit:.2f} Å or more (half the smallest height of the cell) from "
            "the frame before: its path cannot be told from a wrapped one; write frames more "
            "often, or unwrapped positions"
        )
