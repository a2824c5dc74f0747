"""Calcfunction that gathers D over cell size and temperature, with fits and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_limsm.markov.series import ArrheniusFit, SizeSeries, arrhenius, size_series
from aiida_limsm.report.format import format_with_error

__all__ = ["collect_series"]

Row = dict[str, Any]

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
            lengths["abc".index(axis)] if axis else abs(np.linalg.det(cell)) ** (1 / 3)
        )
    found.sort(key=lambda row: (row["length_angstrom"], row["supercell"], row["temperature_k"]))
    temperatures = sorted({row["temperature_k"] for row in found})
    supercells = list(dict.fromkeys(tuple(row["supercell"]) for row in found))[::-1]
    size = [_over_size([r for r in found if r["temperature_k"] == t]) for t in temperatures]
    fits = [_over_temperature([r for r in found if tuple(r["supercell"]) == s]) for s in supercells]
    return orm.Dict(
        {
            "rows": found,
            "length_axis": axis,
            "size": [entry for entry in size if entry is not None],
            "arrhenius": [entry for entry in fits if entry is not None],
            "failed": asked["failed"],
        }
    )


def varied_axis(supercells: Sequence[Sequence[int]]) -> str | None:
    """Return the only axis along which cells differ; None where it is not one alone."""
    differ = [len({cell[k] for cell in supercells}) > 1 for k in range(3)]
    return "abc"[differ.index(True)] if sum(differ) == 1 else None


def _row(label: str, member: dict[str, Any], node: Any) -> Row:
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
    }


def _columns(rows: Sequence[Row], *names: str) -> list[list[float]]:
    return [[row[name] for row in rows] for name in names]


def _parts(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the resolved rows, and the labels of the others."""
    return [r for r in rows if r["resolved"]], [r["label"] for r in rows if not r["resolved"]]


def _over_size(rows: Sequence[Row]) -> dict[str, Any] | None:
    resolved, left_out = _parts(rows)
    if len(rows) < 2:
        return None
    entry: dict[str, Any] = {
        "temperature_k": rows[0]["temperature_k"],
        "resolved": len(resolved),
        "left_out": left_out,
    }
    if len(resolved) < 2:
        return {**entry, "converged": False, "verdict": "fewer than two cells are resolved"}
    found = size_series(
        *_columns(resolved, "length_angstrom", "isotropic_cm2_s", "isotropic_error_cm2_s")
    )
    entry |= {
        "converged": found.converged and not left_out,
        "converged_from_angstrom": found.converged_from,
        "verdict": _size_verdict(found, left_out) + _temperature_warning(resolved),
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
    resolved, left_out = _parts(rows)
    if len(rows) < 2:
        return None
    entry: dict[str, Any] = {
        "supercell": rows[0]["supercell"],
        "resolved": len(resolved),
        "left_out": left_out,
    }
    if len(resolved) < 2:
        return {**entry, "verdict": "fewer than two temperatures are resolved"}
    found = arrhenius(
        *_columns(resolved, "mean_temperature_k", "isotropic_cm2_s", "isotropic_error_cm2_s")
    )
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
        "verdict": _arrhenius_verdict(found, left_out),
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
