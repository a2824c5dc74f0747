"""How long ions stay on each site: mean, its error and quantiles, cut runs included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray, sum_by
from .paths import SitePaths

__all__ = ["QUANTILES", "ResidenceTimes", "residence_times"]

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class ResidenceTimes:
    """Residence times per site.

    Attributes
    ----------
    visits
        Runs on the site, those cut by the start or the end of the trajectory included.
    exits
        Runs whose end was seen.
    mean_ps, error_ps
        Time spent on the site per exit, and that over √exits: the maximum-likelihood mean of an
        exponential distribution with cut runs; the inverse of the sum of jump rates. Infinite
        mean and NaN error where no exit was seen, NaN both where no ion was.
    quantiles_ps
        Shape (n_sites, 3): times by which 10, 50 and 90 % of the ions that entered have left
        (Kaplan & Meier, J. Am. Stat. Assoc. 53, 457 (1958): runs cut by the end count as long as
        they were seen; runs under way at the start, of unknown age, are left out). NaN where the
        runs seen are too short or too few.
    """

    visits: IntArray
    exits: IntArray
    mean_ps: FloatArray
    error_ps: FloatArray
    quantiles_ps: FloatArray


def residence_times(paths: SitePaths, n_sites: int, interval_ps: float) -> ResidenceTimes:
    """Return residence-time statistics of every site; ``interval_ps`` is the time of a frame.

    Times are whole numbers of frames: a residence below a frame is seen as one frame or not at
    all.
    """
    left = np.ones(len(paths.start), dtype=bool)
    left[paths.first_run[1:] - 1] = False
    entered = np.ones(len(paths.start), dtype=bool)
    entered[paths.first_run[:-1]] = False
    duration = paths.duration
    visits = np.bincount(paths.site, minlength=n_sites)
    exits = np.bincount(paths.site[left], minlength=n_sites)
    time = sum_by(paths.site, duration, n_sites) * interval_ps
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = time / exits
        error = np.where(exits > 0, mean / np.sqrt(exits), np.nan)
    quantiles = _kaplan_meier(paths.site[entered], duration[entered], left[entered], n_sites)
    return ResidenceTimes(
        visits=np.asarray(visits, dtype=np.int64),
        exits=np.asarray(exits, dtype=np.int64),
        mean_ps=mean,
        error_ps=error,
        quantiles_ps=quantiles * interval_ps,
    )


def _kaplan_meier(
    site: IntArray, duration: IntArray, left: np.ndarray[tuple[int], np.dtype[np.bool_]], n: int
) -> FloatArray:
    """Return the quantiles (n, 3) of the durations, in frames."""
    quantiles = np.full((n, len(QUANTILES)), np.nan)
    order = np.lexsort((~left, duration, site))  # of equal durations those that ended come first
    site, duration, left = site[order], duration[order], left[order]
    first = np.searchsorted(site, np.arange(n + 1))
    at_risk = first[site + 1] - np.arange(len(site))
    # ln S falls by ln(1 − 1/n) at every end; 50 stands for the infinity when the last one leaves
    with np.errstate(divide="ignore"):
        fall = np.where(left, np.minimum(-np.log1p(-1.0 / at_risk), 50.0), 0.0)
    total = np.concatenate([[0.0], np.cumsum(fall)])
    gone = total[1:] - total[first[site]]
    for column, share in enumerate(QUANTILES):
        reached = np.flatnonzero(gone >= -np.log1p(-share) - 1e-9)
        sites, place = np.unique(site[reached], return_index=True)
        quantiles[sites, column] = duration[reached[place]]
    return quantiles
