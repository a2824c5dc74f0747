"""Calcfunction that gathers the results of a transport study in one table."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction


@calcfunction
def summarise_transport(**nodes: orm.Data) -> orm.Dict:
    """Put D(T) of the Markov models beside D of the MSD, with the potential's errors.

    Parameters
    ----------
    **nodes
        ``diffusion_<label>`` and ``msd_<label>`` (DiffusionData), ``analysis_<label>`` (Dict, the
        results of the analysis), ``errors_before`` and ``errors_after`` (Dict, optional).

    Returns
    -------
    Dict
        ``rows``: one entry per temperature, in ascending order; ``held_out``: force RMSE on the
        test frames before and after fine-tuning and their ratio.
    """
    labels = [key.removeprefix("diffusion_") for key in nodes if key.startswith("diffusion_")]
    rows: list[dict[str, Any]] = []
    for label in labels:
        analysis = nodes[f"analysis_{label}"].get_dict()
        rows.append(
            {
                "label": label,
                "temperature_k": nodes[f"diffusion_{label}"].temperature_k,
                "markov": _brief(nodes[f"diffusion_{label}"]),
                "msd": _brief(nodes[f"msd_{label}"]),
                "agreement_sigma": analysis["agreement_sigma"],
                "n_jumps": analysis["n_jumps"],
                "n_independent_jumps": analysis["n_independent_jumps"],
                "n_ions": analysis["n_ions"],
                "duration_ps": analysis["duration_ps"],
                "lag_time_ps": analysis["lag_time_ps"],
                "framework_msd_angstrom2": analysis["framework_msd_angstrom2"],
            }
        )
    rows.sort(key=lambda row: (row["temperature_k"], row["label"]))
    return orm.Dict({"rows": rows, "held_out": _held_out(nodes)})


def _brief(node: Any) -> dict[str, Any]:
    return {
        "isotropic_cm2_s": node.isotropic_cm2_s,
        "isotropic_error_cm2_s": node.isotropic_error_cm2_s,
        "resolved": node.resolved,
        "upper_bound_cm2_s": node.upper_bound_cm2_s,
    }


def _held_out(nodes: dict[str, Any]) -> dict[str, float] | None:
    key = "rmse_forces_mev_per_angstrom"
    values = {
        when: nodes[f"errors_{when}"].get_dict()["errors"]["test"][key]
        for when in ("before", "after")
        if f"errors_{when}" in nodes
    }
    if len(values) == 2:
        values["improvement"] = values["before"] / values["after"]
    return values or None
