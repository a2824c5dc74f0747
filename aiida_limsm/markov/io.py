"""Models and curves in HDF5: the same content always gives the same bytes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..files import whole_file
from .curves import Curves
from .model import MarkovModel
from .sites import SiteLattice

__all__ = ["load_model", "read_curves", "save_model"]

FORMAT = "aiida-limsm markov model"
VERSION = 1


def save_model(model: MarkovModel, path: Path, curves: Curves | None = None) -> None:
    """Write a model, and its curves if given, atomically."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["lag_ps"] = model.lag_ps
        lattice = model.lattice
        sites = file.create_group("sites")
        _write(sites, "cell", lattice.cell, "Angstrom")
        _write(sites, "positions", lattice.positions, "Angstrom")
        _write(sites, "multiplicities", np.array(lattice.multiplicities, dtype=np.int64))
        _write(sites, "labels", np.array([name.encode() for name in lattice.labels]))
        _write(sites, "orbits", np.array([name.encode() for name in lattice.orbits]))
        _write(sites, "framework_positions", lattice.framework_positions, "Angstrom")
        _write(sites, "framework_numbers", lattice.framework_numbers)
        transitions = file.create_group("transitions")
        _write(transitions, "from_site", model.from_site)
        _write(transitions, "to_site", model.to_site)
        _write(transitions, "image", model.image)
        _write(transitions, "flux", model.flux)
        _write(file, "stationary_distribution", model.stationary_distribution)
        if curves is not None:
            group = file.create_group("curves")
            for field in fields(Curves):
                if field.name != "ck_groups":
                    _write(group, field.name, getattr(curves, field.name))
            _write(
                group,
                "ck_groups",
                np.array([str(name).encode() for name in curves.ck_groups], dtype="S"),
            )


def load_model(path: Path) -> MarkovModel:
    """Read a model written by :func:`save_model`.

    Raises
    ------
    ValueError
        The file is none of ours.
    """
    with _open(path) as file:
        sites, transitions = file["sites"], file["transitions"]
        lattice = SiteLattice(
            cell=sites["cell"][()],
            positions=sites["positions"][()],
            labels=tuple(name.decode() for name in sites["labels"][()]),
            orbits=tuple(name.decode() for name in sites["orbits"][()]),
            multiplicities=tuple(int(m) for m in sites["multiplicities"][()]),
            framework_positions=sites["framework_positions"][()],
            framework_numbers=sites["framework_numbers"][()],
        )
        return MarkovModel(
            lattice=lattice,
            lag_ps=float(file.attrs["lag_ps"]),
            from_site=transitions["from_site"][()],
            to_site=transitions["to_site"][()],
            image=transitions["image"][()],
            flux=transitions["flux"][()],
        )


def read_curves(path: Path) -> Curves:
    """Read the curves of a model file.

    Raises
    ------
    ValueError
        The file is none of ours, or has no curves.
    """
    with _open(path) as file:
        if "curves" not in file:
            raise ValueError(f"{path} holds no curves")
        group = file["curves"]
        found = {
            field.name: group[field.name][()] for field in fields(Curves) if field.name in group
        }
        found["ck_groups"] = tuple(name.decode() for name in found.get("ck_groups", ()))
        return Curves(**found)


def _write(group: Any, name: str, array: Any, unit: str | None = None) -> None:
    dataset = group.create_dataset(name, data=array, track_times=False)
    if unit is not None:
        dataset.attrs["unit"] = unit


def _open(path: Path) -> Any:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        reason = "does not exist" if not Path(path).exists() else "is no readable HDF5 file"
        raise ValueError(f"{path} {reason}") from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise ValueError(f"{path} is no model file of aiida-limsm")
    return file
