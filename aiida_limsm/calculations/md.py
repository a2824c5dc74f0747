"""CalcJob ``limsm.md``: MLFF molecular dynamics of one cell, one run or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.folders import Folder

from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md_plan import plan_groups
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import JobFiles, LimsmCalculation, write_structure

STORES = ("repository", "remote")


def validate_store(store: orm.Str | None, _: Any) -> str | None:
    """Refuse another place."""
    if store is None or store.value in STORES:
        return None
    return f"store: choose one of {', '.join(STORES)}, not '{store.value}'"


def stays_remote(inputs: Any) -> bool:
    """Return whether trajectories stay in the job's folder."""
    return "store" in inputs and inputs["store"].value == "remote"


class MolecularDynamicsCalculation(LimsmCalculation):
    """Runs ``limsm md``."""

    JOB_NAME = "md"
    INPUT_MODEL = MdInput
    NODES = ("potential", "structure")
    RESTART_FILES = ("checkpoint.npz", "segments", "mobile_segments", "thermo.csv", "runs")

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="The force field.")
        spec.input("structure", valid_type=orm.StructureData, help="The MD cell.")
        spec.input_namespace(
            "committee",
            valid_type=PotentialData,
            required=False,
            help="Further potentials, whose forces are compared with those of the first.",
        )
        spec.input(
            "store",
            valid_type=orm.Str,
            serializer=orm.to_aiida_type,
            required=False,
            validator=validate_store,
            help="Where trajectories are kept: 'repository' (the default) or 'remote', in the "
            "job's folder, known by their sha256.",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.md"
        spec.output(
            "trajectory",
            valid_type=MolecularDynamicsData,
            required=False,
            help="The whole trajectory of the only run.",
        )
        spec.output(
            "mobile",
            valid_type=MolecularDynamicsData,
            required=False,
            help="Its mobile ions alone, at their own interval.",
        )
        spec.output_namespace(
            "runs",
            valid_type=MolecularDynamicsData,
            dynamic=True,
            required=False,
            help="The trajectories of several runs: run_0 is the first of `runs` in the results.",
        )

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return file names; check that the potentials know every element."""
        committee = inputs.get("committee", {})
        for potential in (inputs["potential"], *committee.values()):
            potential.check_elements(inputs["structure"].get_symbols_set())
        return {
            "potential_file": "potential.model",
            "structure_file": "structure.extxyz",
            "committee_files": [f"committee-{label}.model" for label in sorted(committee)],
        }

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Write the structure, copy the potential and what a restart needs."""
        write_structure(folder, self.inputs.structure, "structure.extxyz")
        potential = self.inputs.potential
        files.copy(potential, potential.filename, "potential.model")
        for label, member in self.inputs.get("committee", {}).items():
            files.copy(member, member.filename, f"committee-{label}.model")
        job: Any = self.build_input(self.inputs)
        fetched = not stays_remote(self.inputs)
        groups = plan_groups(job, len(self.inputs.structure.sites))
        for run in (run for group in groups for run in group.runs):
            names = ["trajectory.h5", *(["mobile.h5"] if job.mobile_interval_steps else [])]
            if not fetched:
                names = []
            if not run.folder:
                files.retrieve_temporary += names
                files.retrieve.append("thermo.csv")
                continue
            # three levels of the name are kept: runs, the run, the file
            files.retrieve_temporary += [(f"{run.folder}/{name}", ".", 3) for name in names]
            files.retrieve.append((f"{run.folder}/thermo.csv", ".", 3))
