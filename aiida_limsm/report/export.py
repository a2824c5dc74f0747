"""The numbers of a report as a table for programs."""

from __future__ import annotations

import csv
import io

from aiida_limsm.compute.results import DiffusionEstimate

from .judge import agreement, bound_of, is_resolved
from .study import Study, TemperatureResult

__all__ = ["COLUMNS", "diffusion_csv"]

_COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
_PLACES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

COLUMNS = (
    "temperature_k", "method", "resolved", "d_cm2_s", "d_error_cm2_s", "upper_bound_95_cm2_s",
    "reason", "agreement_sigma", "jumps", "independent_jumps", "ions", "duration_ps", "lag_time_ps",
    *(name for c in _COMPONENTS for name in (f"d_{c}_cm2_s", f"d_{c}_error_cm2_s")),
)  # fmt: skip


def diffusion_csv(study: Study) -> str:
    """Return CSV text: one row per temperature and method, errors beside their values.

    Where D is not resolved its columns are empty: only the bound may be quoted.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for result in study.by_temperature:
        for method, estimate in (
            ("markov", result.markov),
            ("msd", result.msd),
        ):
            if estimate is not None:
                writer.writerow(_row(result, method, estimate))
    return stream.getvalue()


def _row(result: TemperatureResult, method: str, estimate: DiffusionEstimate) -> dict[str, str]:
    found = result.analysis
    row = {
        "temperature_k": _number(result.temperature_k),
        "method": method,
        "resolved": "yes" if is_resolved(estimate) else "no",
        "upper_bound_95_cm2_s": _number(bound_of(estimate)),
        "reason": estimate.reason,
        "agreement_sigma": _number(agreement(result)),
        "jumps": str(found.n_jumps),
        "independent_jumps": str(found.n_independent_jumps),
        "ions": str(found.n_ions),
        "duration_ps": _number(found.duration_ps),
        "lag_time_ps": _number(found.lag_time_ps) if method == "markov" else "",
    }
    if is_resolved(estimate):
        row["d_cm2_s"] = _number(estimate.isotropic_cm2_s)
        row["d_error_cm2_s"] = _number(estimate.isotropic_error_cm2_s)
        for name, (a, b) in zip(_COMPONENTS, _PLACES, strict=True):
            row[f"d_{name}_cm2_s"] = _number(estimate.tensor_cm2_s[a][b])
            row[f"d_{name}_error_cm2_s"] = _number(estimate.error_cm2_s[a][b])
    return row


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
