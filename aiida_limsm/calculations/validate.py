"""Calcfunctions of the validation: how the MD begins, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from pydantic import Field

from aiida_limsm.compute.base import LimsmModel
from aiida_limsm.report.neb_paths import DFT
from aiida_limsm.report.verdict import Check, Verdict, three_digits

from ._settings import read_settings

__all__ = [
    "AIMD", "FINETUNED", "FOUNDATION", "Thresholds", "judge_potential", "known_barriers",
    "md_start", "mean_temperature_k",
]  # fmt: skip

#: Labels of the curves and of the paths that are compared.
AIMD, FINETUNED, FOUNDATION = "aimd", "finetuned", "foundation"
Positive = Annotated[float, Field(gt=0)]


class Thresholds(LimsmModel):
    """What a potential must reach; None is not checked.

    Attributes
    ----------
    max_force_rmse_mev_per_angstrom, max_energy_rmse_mev_per_atom
        On the frames of ``split``: held-out blocks of time.
    min_rdf_overlap
        Of g(r) with AIMD, for every pair of elements.
    max_barrier_error_mev
        For barriers of both directions.
    """

    split: Literal["valid", "test"] = "test"
    max_force_rmse_mev_per_angstrom: Positive | None = None
    max_energy_rmse_mev_per_atom: Positive | None = None
    min_rdf_overlap: Annotated[float, Field(gt=0, le=1)] | None = None
    max_barrier_error_mev: Positive | None = None


@calcfunction
def md_start(
    trajectory: orm.TrajectoryData, parameters: orm.Dict, temperature: orm.Float | None = None
) -> dict[str, Any]:
    """Return how MLFF MD begins that is compared with AIMD.

    Parameters
    ----------
    trajectory
        Of limsm.aimd.
    parameters
        Fields of ``limsm md``.
    temperature
        In K; the mean of the AIMD where None.

    Returns
    -------
    dict
        ``structure``, the first frame, and ``parameters`` with the temperature.
    """
    kelvin = mean_temperature_k(trajectory) if temperature is None else temperature.value
    return {
        "structure": trajectory.get_step_structure(0),
        "parameters": orm.Dict({**parameters.get_dict(), "temperature_k": kelvin}),
    }


def mean_temperature_k(trajectory: orm.TrajectoryData) -> float:
    """Return the mean temperature of AIMD.

    Raises
    ------
    ValueError
        It holds none.
    """
    if "temperature_k" not in trajectory.get_arraynames():
        raise ValueError("holds no temperatures: give it in `temperatures`")
    return float(np.mean(trajectory.get_array("temperature_k")))


@calcfunction
def judge_potential(
    thresholds: orm.Dict,
    errors: orm.Dict,
    failures: orm.List | None = None,
    foundation: orm.Dict | None = None,
    **results: orm.Dict,
) -> orm.Dict:
    """Compare what was measured with the thresholds.

    Parameters
    ----------
    thresholds
        Fields of :class:`Thresholds`.
    errors, foundation
        Results of limsm.evaluate for the potential and for the foundation model.
    failures
        What could not be measured, in words: with any the potential is not accepted.
    **results
        ``rdf_LABEL``: results of limsm.compare, with the labels of :data:`AIMD` and
        :data:`FINETUNED`; ``barrier_LABEL``: the comparison of limsm.neb.

    Returns
    -------
    Dict
        A :class:`aiida_limsm.report.verdict.Verdict`.
    """
    wanted = read_settings(Thresholds, thresholds.get_dict())
    checks = [*_error_checks(wanted, errors.get_dict(), foundation)]
    for kind, check in (("rdf_", _rdf_check), ("barrier_", _barrier_check)):
        found = [key for key in sorted(results) if key.startswith(kind)]
        checks += [check(wanted, key.removeprefix(kind), results[key]) for key in found]
        if not found:
            checks.append(check(wanted, "", None))
    reasons = [_reason(check) for check in checks if check.passed is False]
    verdict = Verdict(
        accepted=not reasons and not failures,
        reasons=(*reasons, *(failures.get_list() if failures is not None else ())),
        not_checked=tuple(
            f"{check.name}: {check.note or 'no threshold'}"
            for check in checks
            if check.passed is None
        ),
        checks=tuple(checks),
    )
    return orm.Dict(verdict.model_dump(mode="json"))


def _reason(check: Check) -> str:
    assert check.value is not None
    assert check.threshold is not None
    limit = "at least" if check.least else "at most"
    text = f"{check.name} {three_digits(check.value)} {check.unit}".rstrip()
    return f"{text}, {limit} {check.threshold:g} asked{f' ({check.note})' if check.note else ''}"


def _check(
    name: str,
    unit: str,
    value: float | None,
    threshold: float | None,
    *,
    least: bool = False,
    missing: str,
    note: str = "",
    foundation: float | None = None,
) -> Check:
    passed = None
    if value is None:
        note = missing
    elif threshold is not None:
        passed = value >= threshold if least else value <= threshold
    return Check(
        name=name, unit=unit, value=value, threshold=threshold, passed=passed, least=least,
        foundation=foundation, note=note if value is None or passed is False else "",
    )  # fmt: skip


def _error_checks(
    wanted: Thresholds, errors: Mapping[str, Any], foundation: orm.Dict | None
) -> list[Check]:
    found = errors["errors"].get(wanted.split, {})
    before = {} if foundation is None else foundation["errors"].get(wanted.split, {})
    return [
        _check(
            f"{name} RMSE on '{wanted.split}'",
            unit,
            found.get(key),
            threshold,
            missing=f"the dataset has no frames in '{wanted.split}'",
            foundation=before.get(key),
        )
        for name, unit, key, threshold in (
            (
                "force",
                "meV/Å",
                "rmse_forces_mev_per_angstrom",
                wanted.max_force_rmse_mev_per_angstrom,
            ),
            (
                "energy",
                "meV per atom",
                "rmse_energy_mev_per_atom",
                wanted.max_energy_rmse_mev_per_atom,
            ),
        )
    ]


def _rdf_check(wanted: Thresholds, label: str, results: orm.Dict | None) -> Check:
    """Judge the pair of elements that is least alike."""
    overlaps = [] if results is None else results["overlaps"]
    least = _least_overlap(overlaps, FINETUNED)
    before = _least_overlap(overlaps, FOUNDATION)
    note = ""
    if least is not None:
        halves = next(s["rdf_halves"] for s in results["sources"] if s["label"] == AIMD)  # type: ignore[index]
        if (own := halves.get(least[0])) is not None and own < (wanted.min_rdf_overlap or 0.0):
            note = f"the halves of the AIMD itself overlap by {own:.2f} only: it is too short"
    return _check(
        f"overlap of g(r){f', {label}' if label else ''}{f', {least[0]}' if least else ''}",
        "",
        None if least is None else least[1],
        wanted.min_rdf_overlap,
        least=True,
        missing="no MD beside AIMD" if results is None else "no g(r) of both",
        note=note,
        foundation=None if before is None else before[1],
    )


def _least_overlap(overlaps: Any, label: str) -> tuple[str, float] | None:
    found = [
        (entry["name"], entry["overlap"])
        for entry in overlaps
        if entry["quantity"] == "rdf" and {entry["first"], entry["second"]} == {AIMD, label}
    ]
    return min(found, key=lambda pair: pair[1], default=None)


def known_barriers(comparison: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether the barriers of the potential and of DFT are known from limsm.neb.

    End points that relax into one minimum are known to have none.
    """
    known = {
        name
        for name, path in comparison.get("methods", {}).items()
        if path["converged"] is not False
    } | set(comparison.get("one_minimum", ()))
    return FINETUNED in known, bool(known & {DFT, f"{DFT} on the path of {FINETUNED}"})


def _barrier_check(wanted: Thresholds, label: str, comparison: orm.Dict | None) -> Check:
    found = {} if comparison is None else comparison.get_dict()
    flat = found.get("one_minimum", ())
    missing, note = "no barrier of DFT", ""
    if comparison is None:
        missing = "no path beside DFT"
    elif DFT in flat and FINETUNED in flat:
        missing = "DFT and the potential relax both end points into one minimum"
    elif DFT in flat or FINETUNED in flat:
        who = "DFT relaxes" if DFT in flat else "the potential relaxes"
        note = f"{who} both end points into one minimum"
    return _check(
        f"error of the barrier{f', {label}' if label else ''}",
        "meV",
        _barrier_error(found, FINETUNED),
        wanted.max_barrier_error_mev,
        missing=missing,
        note=note,
        foundation=_barrier_error(found, FOUNDATION),
    )


def _barrier_error(comparison: Mapping[str, Any], method: str) -> float | None:
    """Return the larger error of both directions, each method on its own path where that is known.

    Without a path of DFT its energies on the path of the potential are taken. Where one of the two
    has no barrier because both end points are one minimum, the lower barrier of the other counts.
    """
    flat = comparison.get("one_minimum", ())
    for one, other in ((method, DFT), (DFT, method)):
        path = comparison.get("methods", {}).get(other)
        if one in flat and path is not None:
            profile = path["profile"]
            ways = (profile["barrier_forward_ev"], profile["barrier_backward_ev"])
            return 1e3 * float(min(ways))
    own = [entry for entry in comparison.get("differences", ()) if entry["method"] == method]
    for entry in sorted(own, key=lambda entry: bool(entry["reference"] != DFT)):
        return max(abs(float(entry["forward_mev"])), abs(float(entry["backward_mev"])))
    return None
