"""The curves of ``limsm compare`` in a file, and back.

Layout (HDF5)::

    /rdf/r                             middles of the bins, Å
    /rdf/<label>/<pair>/{value,error,coordination}
    /vdos/frequency                    THz; frequency_cm1 and frequency_mev beside it
    /vdos/<label>/<element|all>/{value,error}    1/THz, unit area

Errors are NaN where there were too few frames for two blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..atomistic.rdf import RdfCurves
from ..atomistic.sampled import SampledCurves
from ..files import whole_file
from ..markov.arrays import FloatArray

__all__ = ["THZ_TO_CM1", "THZ_TO_MEV", "Curve", "CurveSet", "read_curves", "write_curves"]

THZ_TO_CM1 = 33.35640952
THZ_TO_MEV = 4.135667696


@dataclass(frozen=True)
class Curve:
    """Values with standard errors, (n,); of g(r) also the running coordination number."""

    value: FloatArray
    error: FloatArray
    coordination: FloatArray | None = None


@dataclass(frozen=True)
class CurveSet:
    """Curves on one axis, (n,): by label of the trajectory, then by name."""

    x: FloatArray
    curves: Mapping[str, Mapping[str, Curve]]


def write_curves(
    path: Path, rdf: Mapping[str, RdfCurves], vdos: Mapping[str, SampledCurves]
) -> None:
    """Write the curves of all trajectories, by label; the file appears when it is whole."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        group = _write_set(file, "rdf", "r", "Angstrom", rdf)
        for label, curves in rdf.items():
            for row, name in enumerate(curves.names):
                group[f"{label}/{name}"]["coordination"] = curves.coordination[row]
        if vdos:
            group = _write_set(file, "vdos", "frequency", "THz", vdos)
            frequency = group["frequency"][()]
            for name, factor, unit in (("cm1", THZ_TO_CM1, "cm-1"), ("mev", THZ_TO_MEV, "meV")):
                group[f"frequency_{name}"] = factor * frequency
                group[f"frequency_{name}"].attrs["unit"] = unit


def _write_set(
    file: Any, quantity: str, axis: str, unit: str, found: Mapping[str, SampledCurves]
) -> Any:
    group = file.create_group(quantity)
    group[axis] = next(iter(found.values())).x
    group[axis].attrs["unit"] = unit
    group.attrs["labels"] = list(found)
    for label, curves in found.items():
        error = curves.error
        for row, name in enumerate(curves.names):
            entry = group.create_group(f"{label}/{name}")
            entry["value"], entry["error"] = curves.mean[row], error[row]
        group[label].attrs["names"] = list(curves.names)
    return group


def read_curves(path: Path) -> tuple[CurveSet, CurveSet | None]:
    """Return g(r) and, where there is one, the density of states.

    Raises
    ------
    ValueError
        The file cannot be read, or is another.
    """
    try:
        with h5py.File(path, "r") as file:
            rdf = _read_set(file["rdf"], "r")
            return rdf, _read_set(file["vdos"], "frequency") if "vdos" in file else None
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} holds no curves of limsm compare: {error}") from error


def _read_set(group: Any, axis: str) -> CurveSet:
    def curve(entry: Any) -> Curve:
        coordination = entry.get("coordination")
        return Curve(
            np.asarray(entry["value"][()]),
            np.asarray(entry["error"][()]),
            None if coordination is None else np.asarray(coordination[()]),
        )

    return CurveSet(
        np.asarray(group[axis][()]),
        {
            label: {name: curve(group[label][name]) for name in group[label].attrs["names"]}
            for label in group.attrs["labels"]
        },
    )
