"""The one way our CalcJobs talk to ``limsm``: nodes in, a validated ``input.json`` out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiida import orm
from aiida.common import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob
from pydantic import ValidationError

from aiida_limsm.compute.base import (
    INPUT_FILENAME,
    LOG_FILENAME,
    RESULTS_FILENAME,
    LimsmModel,
    Status,
    first_error,
)

#: Exit code of every status but ``finished``; 3xx end a workchain, 4xx can be restarted.
EXIT_CODES: dict[Status, int] = {
    Status.INVALID_INPUT: 310,
    Status.INTERNAL_ERROR: 311,
    Status.FORCES_EXPLODED: 320,
    Status.TEMPERATURE_RUNAWAY: 321,
    Status.ATOMS_TOO_CLOSE: 322,
    Status.FRAMEWORK_UNSTABLE: 323,
    Status.COMMITTEE_DISAGREES: 324,
    Status.LOSS_NOT_FINITE: 330,
    Status.TRAINING_FAILED: 331,
    Status.LOSS_EXPLODED: 332,
    Status.REPLAY_IGNORED: 333,
    Status.TRAJECTORY_UNUSABLE: 340,
    Status.END_POINTS_COLLAPSED: 350,
    Status.OUT_OF_WALLTIME: 400,
    Status.DISK_FULL: 410,
    Status.NOT_CONVERGED: 420,
}
_TRANSIENT = {Status.INTERNAL_ERROR, Status.OUT_OF_WALLTIME, Status.DISK_FULL}


@dataclass
class JobFiles:
    """What AiiDA is to copy into a job's folder, and to bring back."""

    local_copy: list[tuple[str, str, str]] = field(default_factory=list)
    remote_copy: list[tuple[str, str, str]] = field(default_factory=list)
    remote_symlink: list[tuple[str, str, str]] = field(default_factory=list)
    retrieve: list[str | tuple[str, str, int]] = field(default_factory=list)
    retrieve_temporary: list[str | tuple[str, str, int]] = field(default_factory=list)

    def copy(self, node: orm.Data, source: str, target: str) -> None:
        """Have a repository file of a node copied."""
        self.local_copy.append((node.uuid, source, target))

    def continue_from(self, parent: orm.RemoteData, names: tuple[str, ...]) -> None:
        """Have files and folders of an earlier job copied; what is not there is left out."""
        assert parent.computer is not None  # a RemoteData cannot be stored without
        uuid, path = parent.computer.uuid, parent.get_remote_path()
        self.remote_copy += [(uuid, f"{path}/{name}", ".") for name in names]


class LimsmCalculation(CalcJob):
    """Base of the CalcJobs that run ``limsm <job> input.json``."""

    JOB_NAME: ClassVar[str]
    INPUT_MODEL: ClassVar[type[LimsmModel]]
    #: Input ports that :meth:`owned_fields` reads; without them nothing can be validated.
    NODES: ClassVar[tuple[str, ...]]
    #: What a restarted job needs of the folder that it continues; empty for short jobs.
    RESTART_FILES: ClassVar[tuple[str, ...]] = ()
    #: Raise when the same inputs would give other outputs.
    CACHE_VERSION = 1

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare what all jobs share."""
        super().define(spec)
        spec.inputs.validator = cls.validate_inputs
        spec.input("code", valid_type=orm.AbstractCode, help="The `limsm` executable.")
        spec.input("parameters", valid_type=orm.Dict, help="Fields of the job's input model.")
        if cls.RESTART_FILES:
            spec.input(
                "parent_folder",
                valid_type=orm.RemoteData,
                required=False,
                help="Folder of an interrupted job of the same inputs, to continue.",
            )
        spec.inputs["metadata"]["options"]["resources"].default = {
            "num_machines": 1,
            "num_mpiprocs_per_machine": 1,
        }
        spec.inputs["metadata"]["options"]["withmpi"].default = False
        spec.output("output_parameters", valid_type=orm.Dict, help="The job's results.json.")
        spec.exit_code(
            302,
            "ERROR_NO_RESULTS",
            invalidates_cache=True,
            message="The job left no readable results.json: it was killed or never started.",
        )
        spec.exit_code(
            303,
            "ERROR_OUTPUT_FILE",
            invalidates_cache=True,
            message="An output file is missing or damaged: {reason}",
        )
        for status, code in EXIT_CODES.items():
            spec.exit_code(
                code,
                f"ERROR_{status.name}",
                invalidates_cache=status in _TRANSIENT,
                message="{message}",
            )

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that come from nodes other than ``parameters``.

        Raises
        ------
        ValueError
            When nodes do not fit together, with the remedy.
        """
        raise NotImplementedError

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Put the input nodes' files into place."""
        raise NotImplementedError

    @classmethod
    def build_input(cls, inputs: Mapping[str, Any]) -> LimsmModel:
        """Return the validated input of the job; raises ValueError with one line."""
        owned = cls.owned_fields(inputs)
        values = inputs["parameters"].get_dict()
        if taken := sorted(set(owned) & set(values)):
            raise ValueError(f"{', '.join(taken)} come from other inputs: remove them")
        options = inputs.get("metadata", {}).get("options", {})
        limit = options.get("max_wallclock_seconds")
        if limit is not None and "max_seconds" in cls.INPUT_MODEL.model_fields:
            # A job must stop by itself: core.direct never kills, and the killed leave no results.
            values.setdefault("max_seconds", 0.95 * limit)
        try:
            return cls.INPUT_MODEL.model_validate({**values, **owned})
        except ValidationError as error:
            raise ValueError(first_error(error)) from None

    @classmethod
    def validate_inputs(cls, inputs: Any, namespace: Any) -> str | None:
        """Refuse wrong input at submission, before a job exists."""
        # A workchain that exposes this job may provide some of the nodes itself.
        if any(name not in namespace or name not in inputs for name in (*cls.NODES, "parameters")):
            return None
        try:
            cls.build_input(inputs)
        except ValueError as error:
            return f"{cls.JOB_NAME}: {error}"
        return None

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write ``input.json`` and say what to run and what to fetch."""
        job_input = self.build_input(self.inputs)
        text = json.dumps(job_input.model_dump(mode="json"), indent=2, sort_keys=True)
        with folder.open(INPUT_FILENAME, "w") as handle:
            handle.write(text + "\n")

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = [self.JOB_NAME, INPUT_FILENAME]
        codeinfo.stdout_name = "stdout.txt"
        codeinfo.stderr_name = "stderr.txt"

        files = JobFiles(retrieve=[RESULTS_FILENAME, LOG_FILENAME, "stdout.txt", "stderr.txt"])
        self.prepare_files(folder, files)
        if (parent := self.inputs.get("parent_folder")) is not None:
            files.continue_from(parent, self.RESTART_FILES)
        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.local_copy_list = files.local_copy
        calcinfo.remote_copy_list = files.remote_copy
        calcinfo.remote_symlink_list = files.remote_symlink
        calcinfo.retrieve_list = list(files.retrieve)
        calcinfo.retrieve_temporary_list = list(files.retrieve_temporary)
        return calcinfo


def write_structure(folder: Folder, structure: orm.StructureData, name: str) -> None:
    """Write a structure as extxyz (eight decimals of Å) with nothing but the crystal."""
    import io

    import ase.io

    atoms = structure.get_ase()
    atoms.info.clear()
    for key in set(atoms.arrays) - {"numbers", "positions"}:
        del atoms.arrays[key]
    buffer = io.StringIO()
    ase.io.write(buffer, atoms, format="extxyz")
    with folder.open(name, "w") as handle:
        handle.write(buffer.getvalue())
