"""CalcJob ``limsm.markov``: Markov state model and diffusion tensor from trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.folders import Folder

from aiida_limsm.compute.base import MODEL_FILENAME
from aiida_limsm.compute.inputs import AnalyseInput
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.data.markov_model import MarkovModelData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import JobFiles, LimsmCalculation, write_structure

STRUCTURE_FILENAME = "structure.extxyz"


class MarkovCalculation(LimsmCalculation):
    """Runs ``limsm analyse``."""

    JOB_NAME = "analyse"
    INPUT_MODEL = AnalyseInput
    NODES = ("trajectories",)
    CACHE_VERSION = 2

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input_namespace(
            "trajectories",
            valid_type=MolecularDynamicsData,
            help="Replicas of one system at one temperature, counted together.",
        )
        spec.input(
            "sites",
            valid_type=orm.StructureData,
            required=False,
            help="Structure whose mobile atoms mark every site an ion can take; left out where "
            "the parameters ask for sites from the density alone.",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            help="Fields of the job's input model: `lag_ps`, `pool`, `sites`, `temperature_k` …",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.markov"
        spec.output("markov_model", valid_type=MarkovModelData, help="The model over sites.")
        spec.output("diffusion", valid_type=DiffusionData, help="D of the Markov model.")
        spec.output("diffusion_msd", valid_type=DiffusionData, help="D of the MSD, as a check.")

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the file names; check that there is something to analyse."""
        if not inputs["trajectories"]:
            raise ValueError("trajectories: give at least one")
        code = inputs.get("code")
        computer = getattr(code, "computer", None)
        for key, trajectory in inputs["trajectories"].items():
            if code is None or trajectory.storage != "remote":
                continue
            if computer is None or trajectory.computer.uuid != computer.uuid:
                raise ValueError(
                    f"trajectories.{key} lies on {trajectory.computer.label}: use a limsm code of "
                    "that computer"
                )
        return {
            "trajectory_files": tuple(f"{key}.h5" for key in sorted(inputs["trajectories"])),
            "structure_file": cls._structure_file(inputs),
            "topology_file": None,
        }

    @staticmethod
    def _structure_file(inputs: Mapping[str, Any]) -> str | None:
        """Return the name of the structure's file; None for sites from the density alone."""
        parameters = inputs["parameters"].get_dict()
        species = parameters.get("species", "Li")
        density, given = parameters.get("sites") == "density", "sites" in inputs
        if density and given:
            raise ValueError("sites: the parameters ask for sites 'density': give no structure")
        if not density and not given:
            raise ValueError(
                "sites: give a structure that marks the sites, or set sites to 'density'"
            )
        if given and species not in inputs["sites"].get_symbols_set():
            raise ValueError(f"sites: the structure has no {species}, so it marks no site for it")
        return STRUCTURE_FILENAME if given else None

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Write the sites and copy the trajectories."""
        if "sites" in self.inputs:
            write_structure(folder, self.inputs.sites, STRUCTURE_FILENAME)
        for key, trajectory in sorted(self.inputs.trajectories.items()):
            if trajectory.storage == "remote":
                # analysed where it lies: it was too large to bring home
                source = (trajectory.computer.uuid, trajectory.remote_path, f"{key}.h5")
                files.remote_symlink.append(source)
            else:
                files.copy(trajectory, trajectory.filename, f"{key}.h5")
        files.retrieve_temporary.append(MODEL_FILENAME)
