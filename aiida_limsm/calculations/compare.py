"""CalcJob ``limsm.compare``: g(r) and vibrations of trajectories, and how alike they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.folders import Folder

from aiida_limsm.compute.compare_models import COMPARISON_FILENAME, CompareInput
from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.trajectory.layout import CELL_TOLERANCE, TIME_TOLERANCE

from .base import JobFiles, LimsmCalculation

Source = MolecularDynamicsData | orm.TrajectoryData


class CompareCalculation(LimsmCalculation):
    """Runs ``limsm compare``.

    The labels are the keys of ``trajectories``, in alphabetical order. A TrajectoryData, as
    ``limsm.aimd`` makes it, is written as H5MD, with its velocities (Å/ps) where it has them.
    """

    JOB_NAME = "compare"
    INPUT_MODEL = CompareInput
    NODES = ("trajectories",)

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input_namespace(
            "trajectories",
            valid_type=(MolecularDynamicsData, orm.TrajectoryData),
            help="One or more, of the same elements: `aimd`, `foundation`, `finetuned` …",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            help="Fields of the job's input model: `r_max_angstrom`, `vdos`, `resolution_thz` …",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.compare"
        spec.output(
            "curves", valid_type=orm.SinglefileData, help="g(r) and densities of states (HDF5)."
        )

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return file names and labels; check that the nodes can be compared."""
        trajectories = dict(sorted(inputs["trajectories"].items()))
        if not trajectories:
            raise ValueError("trajectories: give at least one")
        elements = {key: _elements(node) for key, node in trajectories.items()}
        head = next(iter(elements))
        for key, symbols in elements.items():
            if symbols != elements[head]:
                raise ValueError(
                    f"trajectories.{key} holds {', '.join(sorted(symbols))}, trajectories.{head} "
                    f"{', '.join(sorted(elements[head]))}: compare trajectories of the same "
                    "elements"
                )
        for key, node in trajectories.items():
            if isinstance(node, orm.TrajectoryData):
                _frame_interval_ps(key, node)
                _constant_cell(key, node)
            else:
                _check_place(key, node, inputs.get("code"))
        return {
            "trajectory_files": tuple(f"{key}.h5" for key in trajectories),
            "labels": tuple(trajectories),
            "frame_intervals_fs": (),
            "topology_file": None,
            "species_order": None,
        }

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Copy, link or write the trajectories."""
        for key, node in sorted(self.inputs.trajectories.items()):
            name = f"{key}.h5"
            if isinstance(node, orm.TrajectoryData):
                _write_h5md(key, node, Path(folder.get_abs_path(name)))
            elif node.storage == "remote":
                files.remote_symlink.append((node.computer.uuid, node.remote_path, name))
            else:
                files.copy(node, node.filename, name)
        files.retrieve.append(COMPARISON_FILENAME)


def _elements(node: Source) -> set[str]:
    return set(node.symbols if isinstance(node, orm.TrajectoryData) else node.symbol_counts)


def _check_place(key: str, node: MolecularDynamicsData, code: Any) -> None:
    """Refuse a trajectory that stays on another computer than the job's."""
    if code is None or node.storage != "remote":
        return
    computer, here = getattr(code, "computer", None), node.computer
    if computer is None or here is None or here.uuid != computer.uuid:
        place = "?" if here is None else here.label
        raise ValueError(f"trajectories.{key} lies on {place}: use a limsm code of that computer")


def _frame_interval_ps(key: str, node: orm.TrajectoryData) -> float:
    """Return the time between frames of a TrajectoryData.

    Raises
    ------
    ValueError
        It holds no times, or they are not evenly spaced.
    """
    if "times" not in node.get_arraynames():
        raise ValueError(f"trajectories.{key} holds no times: join it with limsm.aimd")
    steps = np.diff(node.get_array("times"))
    if len(steps) == 0 or not (np.abs(steps - steps[0]) <= TIME_TOLERANCE * steps[0]).all():
        raise ValueError(f"trajectories.{key}: frames are not evenly spaced in time")
    return float(steps.mean())


def _constant_cell(key: str, node: orm.TrajectoryData) -> Any:
    """Return the cell of a TrajectoryData, (3, 3), Å; raises ``ValueError`` where it changes."""
    if "cells" not in node.get_arraynames():
        raise ValueError(f"trajectories.{key} holds no cells")
    cells = node.get_array("cells")
    if np.abs(cells - cells[0]).max() > CELL_TOLERANCE:
        raise ValueError(
            f"trajectories.{key}: the cell changes; run the production at constant volume"
        )
    return cells[0]


def _write_h5md(key: str, node: orm.TrajectoryData, path: Path) -> None:
    from ase.data import atomic_numbers

    from aiida_limsm.trajectory.writer import H5mdFile

    names = node.get_arraynames()
    positions = node.get_array("positions")
    temperature = node.get_array("temperature_k") if "temperature_k" in names else None
    velocities = node.get_array("velocities") if "velocities" in names else None
    with H5mdFile(
        path,
        [atomic_numbers[symbol] for symbol in node.symbols],
        _constant_cell(key, node),
        _frame_interval_ps(key, node),
        observables=temperature is not None,
        fields=() if velocities is None else ("velocity",),
    ) as file:
        file.append(positions, np.arange(len(positions)), temperature, velocities=velocities)
