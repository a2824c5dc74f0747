"""AimdWorkChain: Born–Oppenheimer MD with pw.x in segments, joined to one trajectory."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, while_

from aiida_limsm.calculations.aimd import (
    VELOCITIES_CARD,
    initial_velocities,
    join_segments,
    read_segment,
    restart_point,
)
from aiida_limsm.calculations.kpoints import kpoints_mesh
from aiida_limsm.trajectory.pw_output import Ending

from ._aimd_handlers import AimdHandlers, PwCalculation
from ._aimd_inputs import (
    MonitorSettings,
    fill_builder,
    input_warnings,
    max_temperature_k,
    validate_aimd,
    validate_monitor,
)
from ._protocol import LimsmProtocolMixin, recursive_merge, run_calcfunction

#: Share of the walltime after which pw.x is asked to stop itself.
_TIME_SHARE = 0.95


class AimdWorkChain(LimsmProtocolMixin, AimdHandlers):
    """Ab initio MD to an asked number of labelled frames.

    pw.x counts ``nstep`` per job. Here every job is asked for what is still missing: a job that
    stopped itself is continued from its folder, one that was cut off is restarted from the
    positions and velocities of its last whole frame, and all jobs become one trajectory.
    """

    PROTOCOL_NAME = "aimd"
    _process_class = PwCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(
            PwCalculation, namespace="pw", exclude=("structure", "parent_folder", "kpoints")
        )
        spec.input("structure", valid_type=orm.StructureData, help="The start structure.")
        spec.input("temperature", valid_type=orm.Float, help="Of start and thermostat, in K.")
        spec.input("steps", valid_type=orm.Int, help="Labelled frames to end with.")
        spec.input(
            "equilibration_steps",
            valid_type=orm.Int,
            default=lambda: orm.Int(0),
            help="Frames before them, which become the output `equilibration`.",
        )
        spec.input(
            "equilibration_ions",
            valid_type=orm.Dict,
            required=False,
            help="Changes of the namelist IONS (thermostat) during the equilibration.",
        )
        spec.input(
            "seed", valid_type=orm.Int, default=lambda: orm.Int(0), help="Of the start velocities."
        )
        spec.input("kpoints", valid_type=orm.KpointsData, required=False)
        spec.input(
            "kpoints_distance", valid_type=orm.Float, required=False, help="In 1/Å, for a mesh."
        )
        spec.input("kpoints_offset", valid_type=orm.List, default=lambda: orm.List([0.0, 0.0, 0.0]))
        spec.input("mobile_species", valid_type=orm.Str, required=False, help="Must be there.")
        spec.input(
            "steps_per_segment",
            valid_type=orm.Int,
            required=False,
            help="Longest segment; without it the walltime alone cuts segments.",
        )
        spec.input(
            "max_temperature",
            valid_type=orm.Float,
            required=False,
            help="Above it the run counts as exploded, in K; 3 × temperature + 1000 K by default.",
        )
        spec.input(
            "monitor",
            valid_type=orm.Dict,
            default=lambda: orm.Dict(MonitorSettings().model_dump()),
            validator=validate_monitor,
            help="How running jobs are watched: enabled, interval_s, patience (SCF cycles).",
        )
        spec.inputs["max_iterations"].default = lambda: orm.Int(50)
        spec.inputs.validator = validate_aimd
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(
                cls.prepare_process, cls.run_process, cls.inspect_process
            ),
            cls.results,
        )
        spec.output("trajectory", valid_type=orm.TrajectoryData, help="All labelled frames.")
        spec.output("equilibration", valid_type=orm.TrajectoryData, required=False)
        spec.output("summary", valid_type=orm.Dict, help="Settings, statistics and warnings.")
        spec.output("remote_folder", valid_type=orm.RemoteData, required=False)
        spec.output_namespace(
            "segments", valid_type=orm.FolderData, dynamic=True, help="Files of each job."
        )
        frames = "after {frames} of {steps} frames, which are in the outputs"
        spec.exit_code(300, "ERROR_NO_FRAMES", message="No frame: {reason}.")
        spec.exit_code(
            310, "ERROR_NO_PROGRESS", message=f"Jobs end without a new frame {frames}: {{reason}}."
        )
        spec.exit_code(
            311,
            "ERROR_SCF_NOT_CONVERGED",
            message=f"The SCF failed with every mixing that was tried {frames}: {{reason}}.",
        )
        spec.exit_code(
            312,
            "ERROR_OUT_OF_MEMORY",
            message=f"Out of memory {frames}: ask for more memory or more nodes ({{reason}}).",
        )
        spec.exit_code(313, "ERROR_RUNAWAY", message=f"Stopped {frames}: {{reason}}.")
        spec.exit_code(
            314,
            "ERROR_DIAGONALISATION_FAILED",
            message=f"Every diagonalisation broke down {frames}: {{reason}}.",
        )
        spec.exit_code(
            315,
            "ERROR_WALLTIME_TOO_SHORT",
            message=f"No frame fits into the walltime {frames}: raise max_wallclock_seconds.",
        )
        spec.exit_code(
            318,
            "ERROR_NO_FERMI_LEVEL",
            message="Smearing '{smearing}' finds no Fermi level "
            f"{frames}: use 'gaussian' or more k-points ({{reason}}).",
        )
        spec.exit_code(
            317, "ERROR_STOPPED_BY_MONITOR", message=f"Stopped by a monitor {frames}: {{reason}}."
        )
        spec.exit_code(
            316, "ERROR_SEGMENTS_DO_NOT_JOIN", message="Jobs cannot be joined: {reason}."
        )

    @classmethod
    def get_builder_from_protocol(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a builder filled from a protocol; see :func:`fill_builder`."""
        return fill_builder(cls, *args, **kwargs)

    def setup(self) -> None:
        """Start with no frames."""
        super().setup()
        self.ctx.done = 0
        self.ctx.new_frames = 0
        self.ctx.barren = 0
        self.ctx.resume = "start"
        self.ctx.changes = {}
        self.ctx.remarks = []
        self.ctx.failure = None
        self.ctx.time_share = _TIME_SHARE
        self.ctx.last_with_frames = None
        for warning in input_warnings(self.inputs):
            self._remark(warning)
        if "kpoints" in self.inputs:
            self.ctx.kpoints = self.inputs.kpoints
        else:
            self.ctx.kpoints = run_calcfunction(
                kpoints_mesh,
                "kpoints_mesh",
                self.inputs.structure,
                self.inputs.kpoints_distance,
                self.inputs.kpoints_offset,
            )

    def prepare_process(self) -> ExitCode | None:
        """Ask the next job for what is missing, from where the last one got to."""
        inputs = AttributeDict(self.exposed_inputs(PwCalculation, "pw"))
        self._check_folder()
        inputs.kpoints = self.ctx.kpoints
        equilibrating = self.ctx.done < self.inputs.equilibration_steps.value
        end = self.inputs.equilibration_steps.value if equilibrating else self._steps_in_all()
        steps = end - self.ctx.done
        if "steps_per_segment" in self.inputs:
            steps = min(steps, self.inputs.steps_per_segment.value)
        ions: dict[str, Any] = {"tempw": self.inputs.temperature.value}
        if equilibrating and "equilibration_ions" in self.inputs:
            ions |= self.inputs.equilibration_ions.get_dict()
        control: dict[str, Any] = {"restart_mode": "from_scratch"}
        if self.ctx.resume == "continue":
            control["restart_mode"] = "restart"
            ions["ion_velocities"] = "default"  # they are in the folder
            if "settings" in inputs:
                inputs.settings = orm.Dict(_without_velocities(inputs.settings.get_dict()))
            inputs.structure = self.ctx.children[-1].outputs.output_structure
            inputs.parent_folder = self.ctx.children[-1].outputs.remote_folder
        else:
            ions["ion_velocities"] = "from_input"
            if self.ctx.resume == "velocities":
                steps += 1  # the last whole frame is computed once more
            try:
                inputs.structure, inputs.settings = self._start_from()
            except ValueError as error:
                failure = self.exit_codes.ERROR_SEGMENTS_DO_NOT_JOIN.format(reason=error)
                self.ctx.failure = (failure.status, failure.message)
                return self.results()
        walltime = inputs.metadata.options.get("max_wallclock_seconds")
        if walltime:
            control["max_seconds"] = self.ctx.time_share * walltime
        changes = {"CONTROL": {**control, "nstep": steps}, "IONS": ions}
        parameters = recursive_merge(inputs.parameters.get_dict(), changes)
        if "max_seconds" in (own := inputs.parameters.get_dict()["CONTROL"]):
            parameters["CONTROL"]["max_seconds"] = own["max_seconds"]
        inputs.parameters = orm.Dict(recursive_merge(parameters, self.ctx.changes))
        self._watch(inputs)
        self.ctx.inputs = inputs
        self.report(
            f"{steps} steps ({'equilibration' if equilibrating else 'production'}), "
            f"{self.ctx.done} of {self._steps_in_all()} frames done"
        )
        return None

    def _check_folder(self) -> None:
        """Take the velocities where the folder of the last job cannot be continued."""
        if self.ctx.resume != "continue":
            return
        last = self.ctx.children[-1]
        lost = "output_structure" not in last.outputs
        if not lost:
            try:
                lost = last.outputs.remote_folder.is_empty
            except Exception as error:
                self.report(f"{last.outputs.remote_folder} cannot be looked at: {error}")
                lost = True
        if lost:
            self.report("the folder of the last job is gone: restarting from the last whole frame")
            self.ctx.resume = "velocities"

    def _start_from(self) -> tuple[orm.StructureData, orm.Dict]:
        """Return the structure and the settings with the velocities of a job from scratch."""
        own = self.inputs.pw.get("settings")
        if self.ctx.resume == "velocities":
            last = self.ctx.last_with_frames
            values = {
                "structure": last.inputs.structure,
                "parameters": last.inputs.parameters,
                "retrieved": last.outputs.retrieved,
            }
            if own is not None:
                values["settings"] = own
            point = run_calcfunction(restart_point, "restart_point", **values)
            return point["structure"], point["settings"]
        if own is not None and _without_velocities(own.get_dict()) != own.get_dict():
            return self.inputs.structure, own
        if "start_settings" not in self.ctx:
            values = {"settings": own} if own is not None else {}
            self.ctx.start_settings = run_calcfunction(
                initial_velocities,
                "initial_velocities",
                self.inputs.structure,
                self.inputs.temperature,
                self.inputs.seed,
                **values,
            )
        return self.inputs.structure, self.ctx.start_settings

    def _watch(self, inputs: Any) -> None:
        """Have the running job watched."""
        settings = MonitorSettings.model_validate(self.inputs.monitor.get_dict())
        if settings.enabled:
            inputs.setdefault("monitors", {})["limsm_pw_md"] = orm.Dict(
                {
                    "entry_point": "limsm.pw_md",
                    "minimum_poll_interval": settings.interval_s,
                    "kwargs": {
                        "max_temperature_k": max_temperature_k(self.inputs),
                        "patience": settings.patience,
                    },
                }
            )

    def inspect_process(self) -> ExitCode | None:
        """Count the frames of the last job, then let the handlers decide how to go on."""
        self._count_frames(self.ctx.children[-1])
        outcome: ExitCode | None = super().inspect_process()
        if outcome is not None and outcome.status:
            # not returned here: what was computed is joined and attached in any case
            self.ctx.failure = (outcome.status, outcome.message)
        if self.ctx.failure is not None:
            self.ctx.is_finished = True
        return None

    def _count_frames(self, calculation: orm.CalcJobNode) -> None:
        self.ctx.new_frames, self.ctx.runaway, self.ctx.version_seen = 0, None, False
        self.ctx.wrong_charge = ""
        self.ctx.ending, self.ctx.message = Ending.INTERRUPTED.value, "the job left no output"
        if "retrieved" in calculation.outputs:
            segment = read_segment(calculation.outputs.retrieved)
            repeated = self.ctx.done > 0 and len(segment) > 0 and segment.iterations[0] == 1
            self.ctx.new_frames = len(segment) - int(repeated)
            self.ctx.ending, self.ctx.message = segment.ending.value, segment.message
            self.ctx.version_seen = segment.version is not None
            self.ctx.wrong_charge = segment.wrong_charge
            hottest = float(segment.temperatures_k.max(initial=0.0))
            if hottest > (limit := max_temperature_k(self.inputs)):
                self.ctx.runaway = f"{hottest:.4g} K reached, the limit is {limit:.4g} K"
            if len(segment):
                self.ctx.last_with_frames = calculation
        if self.ctx.new_frames:
            self.ctx.done += self.ctx.new_frames
            self.ctx.barren = 0
            # remedies are for the frame that needed them; more bands stay
            self.ctx.changes.pop("ELECTRONS", None)
        else:
            self.ctx.barren += 1
        self.report(
            f"{calculation.process_label}<{calculation.pk}>: {self.ctx.new_frames} new frames, "
            f"{self.ctx.done} of {self._steps_in_all()} done; {self.ctx.message}"
        )

    def results(self) -> ExitCode | None:
        """Join what there is, and say how it ended."""
        if self.ctx.done == 0:
            reason = self.ctx.failure[1] if self.ctx.failure else self.ctx.message
            return self.exit_codes.ERROR_NO_FRAMES.format(reason=reason.rstrip("."))
        children = [child for child in self.ctx.children if "retrieved" in child.outputs]
        nodes: dict[str, Any] = {}
        for index, child in enumerate(children):
            nodes[f"retrieved_{index:03d}"] = child.outputs.retrieved
            self.out(f"segments.segment_{index:03d}", child.outputs.retrieved)
        for kind, pseudo in self.inputs.pw.pseudos.items():
            nodes[f"pseudo_{kind}"] = pseudo
        if "kpoints" not in self.inputs:
            nodes["kpoints_distance"] = self.inputs.kpoints_distance
        try:
            joined = run_calcfunction(
                join_segments,
                "join_segments",
                structure=self.inputs.structure,
                parameters=self.inputs.pw.parameters,
                kpoints=self.ctx.kpoints,
                equilibration_steps=self.inputs.equilibration_steps,
                remarks=orm.List(self.ctx.remarks),
                **nodes,
            )
        except ValueError as error:
            return self.exit_codes.ERROR_SEGMENTS_DO_NOT_JOIN.format(reason=error)
        self.out_many(joined)
        for warning in joined["summary"].get_dict()["warnings"]:
            if warning not in self.ctx.remarks:
                self.report(f"warning: {warning}")
        if "remote_folder" in children[-1].outputs:
            self.out("remote_folder", children[-1].outputs.remote_folder)
        return None if self.ctx.failure is None else ExitCode(*self.ctx.failure)


def _without_velocities(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings of pw.x without start velocities."""
    return {key: value for key, value in settings.items() if key.upper() != VELOCITIES_CARD}
