"""CalcJob ``limsm.md``: MLFF molecular dynamics of one cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.folders import Folder

from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import JobFiles, LimsmCalculation, write_structure


class MolecularDynamicsCalculation(LimsmCalculation):
    """Runs ``limsm md``."""

    JOB_NAME = "md"
    INPUT_MODEL = MdInput
    NODES = ("potential", "structure")
    RESTART_FILES = ("checkpoint.npz", "segments")

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="The force field.")
        spec.input("structure", valid_type=orm.StructureData, help="The MD cell.")
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.md"
        spec.output("trajectory", valid_type=MolecularDynamicsData, help="The whole trajectory.")

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return file names; check that the potential knows every element."""
        inputs["potential"].check_elements(inputs["structure"].get_symbols_set())
        return {"potential_file": "potential.model", "structure_file": "structure.extxyz"}

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Write the structure, copy the potential and what a restart needs."""
        write_structure(folder, self.inputs.structure, "structure.extxyz")
        potential = self.inputs.potential
        files.copy(potential, potential.filename, "potential.model")
        files.retrieve_temporary.append("trajectory.h5")
