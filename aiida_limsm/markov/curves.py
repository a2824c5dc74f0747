"""Curves that go with a model: D over the lag, mean-square displacements over time."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import FloatArray

__all__ = ["Curves"]


@dataclass(frozen=True)
class Curves:
    """Arrays for figures; every field has one dimension.

    ``d_of_lag_*`` go over ``lag_ps``; ``msd_*`` over ``msd_time_ps``: of the ions (``md``), of the
    sites they are on (``projected``), and predicted by the model.
    """

    lag_ps: FloatArray
    d_of_lag_cm2_s: FloatArray
    d_of_lag_error_cm2_s: FloatArray
    msd_time_ps: FloatArray
    msd_md_angstrom2: FloatArray
    msd_md_error_angstrom2: FloatArray
    msd_projected_angstrom2: FloatArray
    msd_model_angstrom2: FloatArray
