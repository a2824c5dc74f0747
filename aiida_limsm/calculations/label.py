"""Calcfunction ``limsm.collect_labels``: single-point DFT results become labelled frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from numpy.typing import NDArray

from aiida_limsm.units import GPA_TO_EV_PER_ANGSTROM3

from .dft_settings import dft_settings, k_point_settings
from .qe_units import ENERGY_FACTOR
from .structures import symbols_of

#: Value of the attribute ``frames_are``: neighbouring frames have nothing to do with each other.
SINGLE_POINTS = "single points"
_UNITS = {"energy": "eV", "forces": "ev / angstrom", "stress": "GPascal"}


@calcfunction
def collect_labels(
    parameters: orm.Dict,
    kpoints: orm.KpointsData,
    kpoints_distance: orm.Float | None = None,
    **nodes: Any,
) -> dict[str, orm.TrajectoryData]:
    """Collect single points to one trajectory per composition, in this package's units.

    Parameters
    ----------
    parameters
        The pw.x input that they share.
    kpoints, kpoints_distance
        k-points of one of them, and the distance that all were made from where they were.
    **nodes
        ``structure_LABEL`` (StructureData), ``trajectory_LABEL`` (TrajectoryData) and
        ``output_LABEL`` (Dict) of each single point; ``pseudo_KIND`` (UPF nodes).

    Returns
    -------
    dict
        TrajectoryData by formula; structures that differ in the order of their atoms are kept
        apart (``Li3Si``, ``Li3Si_2``). Frames are in alphabetical order of their labels, which
        are the attribute ``labels``. Arrays ``energies_ev``, ``forces_ev_per_angstrom`` and
        ``stress_ev_per_angstrom3`` (tension positive); attributes ``dft_settings`` and
        ``frames_are``.

    Raises
    ------
    ValueError
        For a result that is not one converged single point of its structure.
    """
    labels = sorted(key.removeprefix("structure_") for key in nodes if key.startswith("structure_"))
    pseudos = [node for key, node in sorted(nodes.items()) if key.startswith("pseudo_")]
    functionals = {nodes[f"output_{label}"]["dft_exchange_correlation"] for label in labels}
    if len(functionals) > 1:
        raise ValueError(f"single points of unequal functionals: {', '.join(sorted(functionals))}")
    settings = dft_settings(
        parameters.get_dict(),
        k_point_settings(kpoints, kpoints_distance),
        {pseudo.element: pseudo for pseudo in pseudos},
        functionals.pop() if functionals else None,
    )
    groups: dict[tuple[str, ...], list[str]] = {}
    for label in labels:
        groups.setdefault(tuple(symbols_of(nodes[f"structure_{label}"])), []).append(label)
    outputs: dict[str, orm.TrajectoryData] = {}
    for symbols, members in groups.items():
        frames = [
            single_point(
                *(nodes[f"{part}_{label}"] for part in ("structure", "trajectory", "output"))
            )
            for label in members
        ]
        name = _free_name(nodes[f"structure_{members[0]}"].get_formula("hill_compact"), outputs)
        outputs[name] = _trajectory(symbols, members, frames, settings)
    return outputs


def single_point(
    structure: orm.StructureData, trajectory: orm.TrajectoryData, output: orm.Dict
) -> dict[str, NDArray[np.float64]]:
    """Return positions, cell, energy, forces and stress of a converged SCF.

    Raises
    ------
    ValueError
        If it is not converged, not of this structure, or in other units than expected.
    """
    what = f"single point of {structure.get_formula()}"
    values = output.get_dict()
    convergence = values.get("convergence_info", {}).get("scf_conv", {})
    if convergence.get("convergence_achieved") is not True:
        raise ValueError(f"{what}: the SCF did not converge; such an energy is no label")
    for key, expected in _UNITS.items():
        if (unit := values.get(f"{key}_units")) != expected:
            raise ValueError(f"{what}: {key} in {unit}, expected {expected}")
    symbols = symbols_of(structure)
    steps = len(trajectory.get_array("energy"))
    if steps != 1 or list(trajectory.symbols) != symbols:
        raise ValueError(f"{what}: {steps} steps of {''.join(trajectory.symbols)} were computed")
    return {
        # of the structure: pw.x prints them back rounded
        "positions": np.array([site.position for site in structure.sites], float),
        "cells": np.array(structure.cell, float),
        "energies_ev": ENERGY_FACTOR * np.array(trajectory.get_array("energy")[-1], float),
        "forces_ev_per_angstrom": np.array(trajectory.get_array("forces")[-1], float),
        # Quantum ESPRESSO counts compression positive, ASE and MACE tension.
        "stress_ev_per_angstrom3": -GPA_TO_EV_PER_ANGSTROM3
        * np.array(trajectory.get_array("stress")[-1], float),
    }


def _free_name(name: str, taken: Any) -> str:
    same = sum(1 for other in taken if other == name or other.startswith(f"{name}_"))
    return f"{name}_{same + 1}" if same else name


def _trajectory(
    symbols: Sequence[str],
    labels: Sequence[str],
    frames: Sequence[dict[str, NDArray[np.float64]]],
    settings: dict[str, Any],
) -> orm.TrajectoryData:
    arrays = {name: np.array([frame[name] for frame in frames]) for name in frames[0]}
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=list(symbols),
        positions=arrays.pop("positions"),
        cells=arrays.pop("cells"),
        pbc=(True, True, True),
        stepids=np.arange(len(frames)),
    )
    for name, values in arrays.items():
        node.set_array(name, values)
    node.base.attributes.set("dft_settings", settings)
    node.base.attributes.set("frames_are", SINGLE_POINTS)
    node.base.attributes.set("labels", list(labels))
    # which link of the calculation brought which frame: for the trace
    node.set_array("segment", np.arange(len(labels)))
    node.base.attributes.set("segment_links", [f"trajectory_{label}" for label in labels])
    return node
