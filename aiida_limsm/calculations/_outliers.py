"""Frames whose forces stick out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Makes the median absolute deviation of normal numbers their standard deviation.
_SCALE = 1.4826
#: Fewer frames have no distribution to stick out of.
_LEAST_FRAMES = 10
#: Forces of a perfect crystal are zero but for rounding.
_FLOOR_EV_PER_ANGSTROM = 1e-3


def force_threshold(max_forces: NDArray[np.float64], deviations: float) -> float | None:
    """Return the force above which a frame is an outlier.

    The largest forces of MD frames spread about evenly on a logarithmic scale, so median and median
    absolute deviation are those of the logarithm; both ignore the outliers themselves.

    Parameters
    ----------
    max_forces
        Longest force vector of each frame, eV/Å.
    deviations
        Scaled median absolute deviations above the median.

    Returns
    -------
    float or None
        In eV/Å; None for fewer than ten frames, or where most have one and the same force.
    """
    if len(max_forces) < _LEAST_FRAMES:
        return None
    logarithms = np.log(np.maximum(max_forces, _FLOOR_EV_PER_ANGSTROM))
    median = np.median(logarithms)
    spread = _SCALE * np.median(np.abs(logarithms - median))
    return float(np.exp(median + deviations * spread)) if spread > 0 else None
