"""Array types and the one sum that every count here is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "FloatArray", "IntArray", "sum_by"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def sum_by(index: IntArray, values: npt.ArrayLike, size: int) -> FloatArray:
    """Return the sum of ``values`` for every index 0 … size − 1, shape (size,)."""
    total = np.bincount(index, weights=np.asarray(values, dtype=np.float64), minlength=size)
    return np.asarray(total, dtype=np.float64)
