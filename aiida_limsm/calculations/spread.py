"""CalcJob ``limsm.spread``: where on an MLFF trajectory the members of a committee disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.common.folders import Folder

from aiida_limsm.compute.spread_models import SPREAD_FILENAME, SpreadInput
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import JobFiles, LimsmCalculation


class SpreadCalculation(LimsmCalculation):
    """Runs ``limsm spread``; the frames need no labels."""

    JOB_NAME = "spread"
    INPUT_MODEL = SpreadInput
    NODES = ("potential", "committee", "trajectory")

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="One member.")
        spec.input_namespace("committee", valid_type=PotentialData, help="The other members.")
        spec.input("trajectory", valid_type=MolecularDynamicsData, help="Frames without labels.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            help="Fields of the job's input model: `frame_stride`, `skip_frames` …",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.spread"
        spec.output(
            "spread",
            valid_type=orm.SinglefileData,
            required=False,
            help="Frames, spread and force of every atom (HDF5).",
        )

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return file names; check that there are several members, which know every element."""
        committee = dict(sorted(inputs["committee"].items()))
        if not committee:
            raise ValueError("committee: give at least one more potential")
        try:
            _ = inputs["trajectory"].filename
        except NotExistent as error:
            raise ValueError(f"trajectory: {error}") from None
        seen: dict[str, str] = {}
        members = {"potential": inputs["potential"]}
        members |= {f"committee.{key}": member for key, member in committee.items()}
        for name, member in members.items():
            try:
                member.check_elements(inputs["trajectory"].symbol_counts)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if member.sha256 in seen:
                raise ValueError(
                    f"{name} is the same model as {seen[member.sha256]}: a committee needs "
                    "potentials of different seeds"
                )
            seen[member.sha256] = name
        return {
            "potential_files": ("potential.model", *(_file(key) for key in committee)),
            "trajectory_file": "trajectory.h5",
        }

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Copy the models and the trajectory."""
        potential, trajectory = self.inputs.potential, self.inputs.trajectory
        files.copy(potential, potential.filename, "potential.model")
        for key, member in sorted(self.inputs.committee.items()):
            files.copy(member, member.filename, _file(key))
        files.copy(trajectory, trajectory.filename, "trajectory.h5")
        files.retrieve.append(SPREAD_FILENAME)


def _file(key: str) -> str:
    return f"committee_{key}.model"
