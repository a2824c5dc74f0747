"""Calcfunction that gathers D over cell size and temperature, with fits and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_limsm.markov.series import ArrheniusFit, SizeSeries, arrhenius, size_series
from aiida_limsm.markov.tensor import RESOLVED_ERRORS, is_isotropic
from aiida_limsm.report.format import format_with_error
from aiida_limsm.report.series import resolved_d

__all__ = ["collect_series", "fit_rows", "varied_axis"]

Row = dict[str, Any]

#: Names of the lattice vectors.
AXES = "abc"

#: Cells at one temperature are compared without a warning within this fraction of it.
EQUALLY_HOT = 0.02


@calcfunction
def collect_series(members: orm.Dict, **diffusion: orm.Data) -> orm.Dict:
    """Put D of all members into one table and fit it over size and temperature.

    Parameters
    ----------
    members
        ``members``: for each label ``supercell`` and ``temperature_k`` as asked for; ``failed``:
        reasons by label.
    **diffusion
        DiffusionData by label, of those that have a result.

    Returns
    -------
    Dict
        ``rows``; ``length_axis``; ``size``: one entry per temperature with several supercells;
        ``arrhenius``: one per supercell with several temperatures, the largest first; ``failed``.
        Members that are not resolved are in ``rows`` and in ``left_out``, not in the fits.

        Rows and fits are of the mean over three axes. ``along`` of each holds the same for D along
        lattice vectors, uᵀ D u: in ``rows`` and ``arrhenius`` for all three, in ``size`` for
        ``length_axis``.
    """
    asked = members.get_dict()
    found = [
        _row(label, asked["members"][label], node) for label, node in sorted(diffusion.items())
    ]
    axis = varied_axis([member["supercell"] for member in asked["members"].values()])
    for row in found:
        cell = np.array(row.pop("cell_angstrom"))
        lengths = np.linalg.norm(cell, axis=1)
        row["length_angstrom"] = float(
            lengths[AXES.index(axis)] if axis else abs(np.linalg.det(cell)) ** (1 / 3)
        )
    found.sort(key=lambda row: (row["length_angstrom"], row["supercell"], row["temperature_k"]))
    return orm.Dict(
        {
            "rows": found,
            "length_axis": axis,
            **fit_rows(found, axis),
            "failed": asked["failed"],
        }
    )


def fit_rows(rows: Sequence[Row], axis: str | None) -> dict[str, list[Row]]:
    """Return ``size`` and ``arrhenius`` of :func:`collect_series`.

    Parameters
    ----------
    rows
        Its ``rows``, sorted by length.
    axis
        Its ``length_axis``.
    """
    temperatures = sorted({row["temperature_k"] for row in rows})
    supercells = list(dict.fromkeys(tuple(row["supercell"]) for row in rows))[::-1]
    size = [_over_size([r for r in rows if r["temperature_k"] == t], axis) for t in temperatures]
    fits = [_over_temperature([r for r in rows if tuple(r["supercell"]) == s]) for s in supercells]
    return {
        "size": [entry for entry in size if entry is not None],
        "arrhenius": [entry for entry in fits if entry is not None],
    }


def varied_axis(supercells: Sequence[Sequence[int]]) -> str | None:
    """Return the only axis along which cells differ; None where it is not one alone."""
    differ = [len({cell[k] for cell in supercells}) > 1 for k in range(3)]
    return AXES[differ.index(True)] if sum(differ) == 1 else None


def _row(label: str, member: dict[str, Any], node: Any) -> Row:
    values, errors = node.along(node.cell_angstrom)
    return {
        "label": label,
        "supercell": list(member["supercell"]),
        "temperature_k": member["temperature_k"],
        "mean_temperature_k": node.temperature_k,
        "cell_angstrom": node.cell_angstrom.tolist(),
        "n_ions": node.n_ions,
        "duration_ps": node.duration_ps,
        "isotropic_cm2_s": node.isotropic_cm2_s,
        "isotropic_error_cm2_s": node.isotropic_error_cm2_s,
        "resolved": node.resolved,
        "upper_bound_cm2_s": node.upper_bound_cm2_s,
        "reason": node.reason,
        "isotropic": is_isotropic(node.tensor, node.covariance),
        "along": {
            axis: {
                "d_cm2_s": float(d),
                "error_cm2_s": float(error),
                # as for principal values: the tensor may be resolved without all its components
                "resolved": bool(node.resolved and d > RESOLVED_ERRORS * error > 0),
            }
            for axis, d, error in zip(AXES, values, errors, strict=True)
        },
    }


@dataclass(frozen=True)
class Points:
    """What goes into a fit: D of the resolved rows, and the labels of the others."""

    rows: list[Row]
    d: list[float]
    error: list[float]
    left_out: list[str]

    @classmethod
    def of(cls, rows: Sequence[Row], axis: str | None) -> Points:
        """Take the mean over the axes, or D along one lattice vector."""
        found = [(row, resolved_d(row, axis)) for row in rows]
        good = [(row, *value) for row, value in found if value is not None]
        return cls(
            rows=[row for row, _, _ in good],
            d=[d for _, d, _ in good],
            error=[error for _, _, error in good],
            left_out=[row["label"] for row, value in found if value is None],
        )

    def of_rows(self, name: str) -> list[float]:
        """Return a value of each resolved row."""
        return [row[name] for row in self.rows]

    def counts(self) -> dict[str, Any]:
        """Return what every entry says of them."""
        return {"resolved": len(self.rows), "left_out": self.left_out}


def _over_size(rows: Sequence[Row], axis: str | None) -> dict[str, Any] | None:
    if len(rows) < 2:
        return None
    return {
        "temperature_k": rows[0]["temperature_k"],
        **_size_fit(Points.of(rows, None)),
        "along": {axis: _size_fit(Points.of(rows, axis))} if axis else {},
    }


def _size_fit(points: Points) -> dict[str, Any]:
    entry = points.counts()
    if len(points.rows) < 2:
        return {**entry, "converged": False, "verdict": "fewer than two cells are resolved"}
    found = size_series(points.of_rows("length_angstrom"), points.d, points.error)
    entry |= {
        "converged": found.converged and not points.left_out,
        "converged_from_angstrom": found.converged_from,
        "verdict": _size_verdict(found, points.left_out) + _temperature_warning(points.rows),
    }
    if found.fit is not None:
        entry |= {
            "infinite_cm2_s": found.infinite,
            "infinite_error_cm2_s": found.infinite_error,
            "slope_cm2_angstrom_s": found.slope,
            "slope_error_cm2_angstrom_s": found.slope_error,
            "depends_on_size": found.depends_on_size,
            "chi_square": found.fit.chi_square,
            "freedom": found.fit.freedom,
            "p_value": found.fit.p_value,
        }
    return entry


def _size_verdict(found: SizeSeries, left_out: Sequence[str]) -> str:
    if not found.converged:
        verdict = "not converged: no smaller cell agrees with the largest"
    else:
        verdict = f"from {found.converged_from:.3g} Å on D agrees with that of the largest cell"
    if found.fit is not None:
        trend = "a trend" if found.depends_on_size else "no trend"
        verdict += f"; {trend} with 1/L beyond errors"
    return verdict + (f"; not resolved: {', '.join(left_out)}" if left_out else "")


def _temperature_warning(rows: Sequence[Row]) -> str:
    """Say where cells were not equally hot: short runs of small cells miss their temperature."""
    means = [row["mean_temperature_k"] for row in rows]
    apart = max(means) - min(means)
    if apart <= EQUALLY_HOT * max(means):
        return ""
    return f"; their mean temperatures differ by {apart:.0f} K, which alone changes D"


def _over_temperature(rows: Sequence[Row]) -> dict[str, Any] | None:
    if len(rows) < 2:
        return None
    return {
        "supercell": rows[0]["supercell"],
        **_temperature_fit(Points.of(rows, None)),
        "along": {axis: _temperature_fit(Points.of(rows, axis)) for axis in AXES},
    }


def _temperature_fit(points: Points) -> dict[str, Any]:
    entry = points.counts()
    if len(points.rows) < 2:
        return {**entry, "verdict": "fewer than two temperatures are resolved"}
    found = arrhenius(points.of_rows("mean_temperature_k"), points.d, points.error)
    bent = found.curvature
    return {
        **entry,
        "energy_ev": found.energy_ev,
        "energy_error_ev": found.energy_error_ev,
        "log_d0_cm2_s": found.log_d0,
        "log_d0_error": found.log_d0_error,
        "covariance": found.covariance.tolist(),
        "chi_square": found.fit.chi_square,
        "freedom": found.fit.freedom,
        "p_value": found.fit.p_value,
        "curvature_ev2": None if bent is None else bent.value,
        "curvature_error_ev2": None if bent is None else bent.error,
        "curvature_p_value": None if bent is None else bent.p_value,
        "verdict": _arrhenius_verdict(found, points.left_out),
    }


def _arrhenius_verdict(found: ArrheniusFit, left_out: Sequence[str]) -> str:
    energy = format_with_error(found.energy_ev, found.energy_error_ev, "eV")
    if found.curvature is None:
        said = "two temperatures, so that nothing tests the law"
    elif found.curvature.significant:
        said = f"curved (p = {found.curvature.p_value:.2g}): one energy does not describe it"
    else:
        said = f"no curvature beyond errors (p = {found.curvature.p_value:.2g})"
    return f"Ea = {energy}; {said}" + (
        f"; not resolved, left out: {', '.join(left_out)}" if left_out else ""
    )
