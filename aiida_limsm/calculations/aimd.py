"""Calcfunction that joins the segments of an ab initio MD run into one labelled trajectory."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from numpy.typing import NDArray

from aiida_limsm.units import GPA_TO_EV_PER_ANGSTROM3, RYDBERG_TIME_TO_FS, RYDBERG_TO_EV

#: pw.x prints these once per MD step, after it moved the ions.
_TEMPERATURE = re.compile(r"^\s*temperature\s*=\s*([0-9.E+-]+)\s*K", re.MULTILINE)
_CONSERVED = re.compile(r"^\s*Ekin \+ Etot \(const\)\s*=\s*([0-9.E+-]+)\s*Ry", re.MULTILINE)
#: The energy of a converged SCF; pw.x marks no other with an exclamation mark.
_CONVERGED = re.compile(r"^!\s+total energy", re.MULTILINE)


def whole_frames(trajectory: orm.TrajectoryData, stdout: str | None = None) -> int:
    """Return how many frames have positions, energy, forces and stress.

    An SCF that fails inside an MD run ends pw.x without a clear sign and leaves a last frame
    without energies, so frames have to be counted. A run that is killed before its first frame
    still shows the XML file of the segment it continued: frames are counted in the text output
    too (``stdout``, by default that of the calculation that made the trajectory).
    """
    if stdout is None and (creator := trajectory.creator) is not None:
        repository = creator.outputs.retrieved.base.repository
        found = "aiida.out" in repository.list_object_names()
        stdout = repository.get_object_content("aiida.out", "r") if found else ""
    names = set(trajectory.get_arraynames())
    if not {"energy", "forces"} <= names:
        return 0
    lengths = [
        len(trajectory.get_array(name))
        for name in ("positions", "energy", "forces", "stress")
        if name in names
    ]
    if stdout is not None:
        lengths.append(len(_CONVERGED.findall(stdout)))
    return min(lengths)


def per_step_values(stdout: str, pattern: re.Pattern[str], count: int) -> NDArray[np.float64]:
    """Return a value that pw.x prints once per step, NaN where a last step is missing."""
    values = np.full(count, np.nan)
    found = [float(text) for text in pattern.findall(stdout)[:count]]
    values[: len(found)] = found
    return values


@calcfunction
def join_segments(
    parameters: orm.Dict, kpoints: orm.KpointsData, **nodes: Any
) -> dict[str, orm.Data]:
    """Join segments to one trajectory in this package's units, and say what made it.

    Parameters
    ----------
    parameters
        The pw.x input of the segments (time step, cutoffs, smearing).
    kpoints
        Their k-points.
    **nodes
        ``trajectory_000`` (TrajectoryData), ``retrieved_000`` (FolderData) and ``output_000``
        (Dict) of segment 0, and so on; ``pseudo_Li`` … (UpfData), one per kind.

    Returns
    -------
    dict
        ``trajectory``: TrajectoryData of the frames that have energies, with the arrays
        ``energies_ev``, ``forces_ev_per_angstrom``, ``stress_ev_per_angstrom3`` (tension
        positive), ``temperature_k``, ``conserved_energy_ev`` and ``times`` in ps.
        ``summary``: Dict with the DFT settings and the run's statistics.
    """
    keys = sorted(key.removeprefix("trajectory_") for key in nodes if key.startswith("trajectory_"))
    arrays: dict[str, list[NDArray[np.float64]]] = {}
    symbols: list[str] = []
    for key in keys:
        trajectory = nodes[f"trajectory_{key}"]
        stdout = nodes[f"retrieved_{key}"].base.repository.get_object_content("aiida.out", "r")
        count = whole_frames(trajectory, stdout)
        symbols = trajectory.symbols
        values = {
            "positions": trajectory.get_positions()[:count],
            "cells": trajectory.get_cells()[:count],
            "energies_ev": trajectory.get_array("energy")[:count],
            "forces_ev_per_angstrom": trajectory.get_array("forces")[:count],
            "temperature_k": per_step_values(stdout, _TEMPERATURE, count),
            "conserved_energy_ev": RYDBERG_TO_EV * per_step_values(stdout, _CONSERVED, count),
        }
        if "stress" in trajectory.get_arraynames():
            stress = trajectory.get_array("stress")[:count]
            # Quantum ESPRESSO counts compression positive, ASE and MACE tension.
            values["stress_ev_per_angstrom3"] = -GPA_TO_EV_PER_ANGSTROM3 * stress
        for name, value in values.items():
            arrays.setdefault(name, []).append(np.asarray(value, dtype=float))
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    settings = dft_settings(parameters.get_dict(), kpoints, nodes)
    time_step_fs = parameters.get_dict()["CONTROL"].get("dt", 20.0) * RYDBERG_TIME_TO_FS
    frames = len(joined["positions"])

    result = orm.TrajectoryData()
    result.set_trajectory(
        symbols=symbols,
        positions=joined.pop("positions"),
        cells=joined.pop("cells"),
        stepids=np.arange(frames),
        times=np.arange(frames) * time_step_fs / 1000.0,
        pbc=nodes[f"trajectory_{keys[0]}"].pbc,
    )
    for name, value in joined.items():
        result.set_array(name, value)
    result.base.attributes.set("dft_settings", settings)
    finite = joined["temperature_k"][np.isfinite(joined["temperature_k"])]
    summary = orm.Dict(
        {
            "frames": frames,
            "segments": len(keys),
            "time_step_fs": time_step_fs,
            "duration_ps": frames * time_step_fs / 1000.0,
            "mean_temperature_k": float(finite.mean()) if len(finite) else None,
            "dft_settings": settings,
        }
    )
    return {"trajectory": result, "summary": summary}


def dft_settings(
    parameters: dict[str, Any], kpoints: orm.KpointsData, nodes: dict[str, Any]
) -> dict[str, Any]:
    """Collect what decides a DFT energy; equal settings mean comparable labels."""
    system = parameters.get("SYSTEM", {})
    outputs = [node for key, node in sorted(nodes.items()) if key.startswith("output_")]
    functional = outputs[0].get_dict().get("dft_exchange_correlation") if outputs else None
    try:
        mesh, offset = kpoints.get_kpoints_mesh()
        k_points = {"mesh": list(mesh), "offset": list(offset)}
    except AttributeError:
        k_points = {"list": kpoints.get_kpoints().tolist()}
    return {
        "code": "Quantum ESPRESSO pw.x",
        "functional": functional,
        "ecutwfc_ry": system.get("ecutwfc"),
        "ecutrho_ry": system.get("ecutrho", 4 * system.get("ecutwfc", 0.0)),
        "k_points": k_points,
        "smearing": system.get("smearing"),
        "degauss_ry": system.get("degauss"),
        "pseudopotentials": {
            key.removeprefix("pseudo_"): {"file": node.filename, "md5": _md5(node)}
            for key, node in sorted(nodes.items())
            if key.startswith("pseudo_")
        },
    }


def _md5(pseudo: Any) -> str:
    # aiida-pseudo's nodes say ``md5``, AiiDA's own ``md5sum``
    return str(getattr(pseudo, "md5", None) or pseudo.md5sum)
