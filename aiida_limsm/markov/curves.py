"""Curves that go with a model: over the lag, over time, and over the sites."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .arrays import FloatArray

__all__ = ["Curves"]


def _none() -> FloatArray:
    return np.zeros(0)


def _no_table() -> FloatArray:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Curves:
    """Arrays for figures; the ones with a default are empty where an older file has none.

    ``d_of_lag_*`` go over ``lag_ps``; ``msd_*`` over ``msd_time_ps``: of the ions (``md``), of the
    sites they are on (``projected``), and predicted by the model.

    ``timescales_ps`` and their errors: (n_lags, k), slowest first, NaN where there are fewer.
    ``ck_*``: the Chapman-Kolmogorov test (:mod:`.validation`), (n_multiples, n_groups) over
    ``ck_lag_ps`` and ``ck_groups``. ``eigenvalues`` (k,) and ``right_eigenvectors`` (n_sites, k):
    the slowest processes (:mod:`.spectrum`).
    """

    lag_ps: FloatArray
    d_of_lag_cm2_s: FloatArray
    d_of_lag_error_cm2_s: FloatArray
    msd_time_ps: FloatArray
    msd_md_angstrom2: FloatArray
    msd_md_error_angstrom2: FloatArray
    msd_projected_angstrom2: FloatArray
    msd_model_angstrom2: FloatArray
    timescales_ps: FloatArray = field(default_factory=_no_table)
    timescale_errors_ps: FloatArray = field(default_factory=_no_table)
    ck_lag_ps: FloatArray = field(default_factory=_none)
    ck_predicted: FloatArray = field(default_factory=_no_table)
    ck_observed: FloatArray = field(default_factory=_no_table)
    ck_error: FloatArray = field(default_factory=_no_table)
    eigenvalues: FloatArray = field(default_factory=_none)
    right_eigenvectors: FloatArray = field(default_factory=_no_table)
    ck_groups: tuple[str, ...] = ()
