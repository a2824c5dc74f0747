"""AimdWorkChain: Born–Oppenheimer MD with pw.x in segments, joined to one trajectory."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain, append_, if_, while_
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_limsm.calculations.aimd import join_segments, whole_frames

from ._protocol import (
    LimsmProtocolMixin,
    code_options,
    load_code,
    recursive_merge,
    run_calcfunction,
)

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")
PwCalculation: Any = CalculationFactory("quantumespresso.pw")

#: Handlers of PwBaseWorkChain that would start the MD again from its first frame.
_UNSAFE_HANDLERS = ("sanity_check_insufficient_bands",)


def one_line(node: orm.ProcessNode) -> str:
    """Return how a process ended, for a message: ``PwCalculation<12>: reason``."""
    reason = node.exit_message or f"ended in state {node.process_state}"
    return f"{node.process_label}<{node.pk}>: {reason.rstrip('.')}"


def shifted_mesh(
    structure: orm.StructureData, distance: float, offset: list[float]
) -> orm.KpointsData:
    """Return a mesh of at most ``distance`` (1/Å) between points, shifted by ``offset``.

    Without symmetry a shifted mesh has half the inequivalent points of one through Γ.
    """
    kpoints = orm.KpointsData()
    kpoints.set_cell_from_structure(structure)
    kpoints.set_kpoints_mesh_from_density(distance, offset=offset)
    return kpoints


def _validate(inputs: Any, _: Any) -> str | None:
    if "steps" in inputs and inputs["steps"].value < 1:
        return "steps: ask for at least one MD step"
    if "temperature" in inputs and not 0 < inputs["temperature"].value < 5000:
        return f"temperature: {inputs['temperature'].value:g} K is not between 0 and 5000 K"
    parameters = inputs.get("base", {}).get("pw", {}).get("parameters")
    if parameters is not None:
        calculation = parameters.get_dict().get("CONTROL", {}).get("calculation")
        if calculation != "md":
            return f"base.pw.parameters: CONTROL.calculation is '{calculation}', must be 'md'"
    return None


class AimdWorkChain(LimsmProtocolMixin, WorkChain):
    """Ab initio MD to an asked number of labelled frames.

    pw.x counts ``nstep`` per job, and PwBaseWorkChain exposes only the last job of a restart.
    Here every segment is asked for what is still missing, a clean stop is continued with
    positions, velocities and wave functions, and all segments become one trajectory.
    """

    PROTOCOL_NAME = "aimd"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(
            PwBaseWorkChain,
            namespace="base",
            exclude=("clean_workdir", "pw.structure", "pw.parent_folder", "max_iterations"),
        )
        spec.input("structure", valid_type=orm.StructureData, help="The start structure.")
        spec.input("temperature", valid_type=orm.Float, help="Of the thermostat, in K.")
        spec.input("steps", valid_type=orm.Int, help="Labelled frames to end with.")
        spec.input(
            "steps_per_segment",
            valid_type=orm.Int,
            required=False,
            help="Longest segment; without it the walltime alone cuts segments.",
        )
        spec.input(
            "max_segments", valid_type=orm.Int, default=lambda: orm.Int(50), help="When to give up."
        )
        spec.input("clean_workdir", valid_type=orm.Bool, default=lambda: orm.Bool(False))
        spec.inputs.validator = _validate
        spec.outline(
            cls.setup,
            while_(cls.should_run_segment)(cls.run_segment, cls.inspect_segment),
            if_(cls.has_frames)(cls.join),
            cls.results,
        )
        spec.output("trajectory", valid_type=orm.TrajectoryData, help="All labelled frames.")
        spec.output("summary", valid_type=orm.Dict, help="DFT settings and statistics.")
        spec.output("remote_folder", valid_type=orm.RemoteData, required=False)
        spec.exit_code(300, "ERROR_NO_FRAMES", message="No frame: {reason}.")
        spec.exit_code(
            310,
            "ERROR_SEGMENT_FAILED",
            message="A segment ended early ({reason}) after {frames} of {steps} frames; the frames "
            "so far are in `trajectory`.",
        )
        spec.exit_code(
            311,
            "ERROR_SCF_NOT_CONVERGED",
            message="The SCF failed inside the MD after {frames} of {steps} frames; the frames "
            "so far are in `trajectory`.",
        )
        spec.exit_code(
            401,
            "ERROR_MAXIMUM_SEGMENTS_EXCEEDED",
            message="{frames} of {steps} frames after the allowed number of segments.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData,
        *,
        temperature_k: float | None = None,
        steps: int | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        code
            A pw.x code (node or label).
        structure
            The start structure.
        temperature_k, steps
            Target temperature and number of frames; the protocol's where None.
        protocol
            ``fast``, ``balanced`` or ``stringent``.
        overrides
            Same nesting as the protocol file.
        options
            Job options (walltime, resources, queue) over the protocol's.

        Raises
        ------
        ValueError
            For an unknown protocol or pseudopotential family.
        """
        code = load_code(code)
        inputs = cls.get_protocol_inputs(protocol, overrides)
        base_inputs = inputs["base"]
        if "kpoints_offset" in inputs:
            base_inputs["kpoints"] = shifted_mesh(
                structure, base_inputs["kpoints_distance"], inputs["kpoints_offset"]
            )
        base = PwBaseWorkChain.get_builder_from_protocol(
            code,
            structure,
            protocol=protocol,
            overrides=base_inputs,
        )
        base.pop("clean_workdir", None)
        base.pop("max_iterations", None)
        base.pw.pop("structure", None)
        base.pw.metadata = {
            "options": code_options(code, base_inputs["pw"]["metadata"]["options"], options)
        }
        builder: Any = cls.get_builder()
        builder.base = base
        builder.structure = structure
        builder.temperature = orm.Float(temperature_k or inputs["temperature_k"])
        builder.steps = orm.Int(steps or inputs["steps"])
        if "steps_per_segment" in inputs:
            builder.steps_per_segment = orm.Int(inputs["steps_per_segment"])
        builder.max_segments = orm.Int(inputs["max_segments"])
        builder.clean_workdir = orm.Bool(inputs["clean_workdir"])
        return builder

    def setup(self) -> None:
        """Start with no frames."""
        self.ctx.frames = 0
        self.ctx.segments = []
        self.ctx.failure = None
        self.ctx.structure = self.inputs.structure
        self.ctx.parent_folder = None

    def should_run_segment(self) -> bool:
        """Return whether frames are missing and another segment is allowed."""
        return (
            self.ctx.failure is None
            and self.ctx.frames < self.inputs.steps.value
            and len(self.ctx.segments) < self.inputs.max_segments.value
        )

    def run_segment(self) -> dict[str, Any]:
        """Submit pw.x for the frames that are missing."""
        inputs = AttributeDict(self.exposed_inputs(PwBaseWorkChain, "base"))
        missing = self.inputs.steps.value - self.ctx.frames
        if "steps_per_segment" in self.inputs:
            missing = min(missing, self.inputs.steps_per_segment.value)
        changes: dict[str, Any] = {
            "CONTROL": {"nstep": missing},
            "IONS": {"tempw": self.inputs.temperature.value},
        }
        inputs.pw = AttributeDict(inputs.pw)
        if self.ctx.parent_folder is not None:
            changes["CONTROL"]["restart_mode"] = "restart"
            inputs.pw.parent_folder = self.ctx.parent_folder
        inputs.pw.structure = self.ctx.structure
        inputs.pw.parameters = orm.Dict(recursive_merge(inputs.pw.parameters.get_dict(), changes))
        # One job a segment: what to do next is decided here, where frames are counted.
        inputs.max_iterations = orm.Int(1)
        inputs.handler_overrides = orm.Dict(
            {
                **inputs.get("handler_overrides", orm.Dict({})).get_dict(),
                **{name: {"enabled": False} for name in _UNSAFE_HANDLERS},
            }
        )
        index = len(self.ctx.segments)
        inputs.metadata = {"call_link_label": f"segment_{index:03d}"}
        node = self.submit(PwBaseWorkChain, **inputs)
        self.report(
            f"segment {index}: PwBaseWorkChain<{node.pk}> for {missing} of "
            f"{self.inputs.steps.value} frames"
        )
        return {"segments": append_(node)}

    def inspect_segment(self) -> None:
        """Count the whole frames of the last segment and decide how to go on."""
        workchain = self.ctx.segments[-1]
        calculations = [node for node in workchain.called if node.process_class is PwCalculation]
        calculation = calculations[-1] if calculations else None
        asked = self.inputs.steps.value
        if calculation is None or "output_trajectory" not in calculation.outputs:
            failed = workchain if calculation is None else calculation
            self.ctx.failure = (310, one_line(failed))
            return
        count = whole_frames(calculation.outputs.output_trajectory)
        self.ctx.frames += count
        self.ctx.calculations = (
            [*self.ctx.get("calculations", []), calculation]
            if count
            else (self.ctx.get("calculations", []))
        )
        self.report(f"{self.ctx.frames} of {asked} frames")
        if self.ctx.frames >= asked:
            return
        codes = PwCalculation.exit_codes
        clean_stop = calculation.exit_status == codes.ERROR_OUT_OF_WALLTIME.status
        finished = calculation.exit_status == 0
        asked_of_segment = calculation.inputs.parameters.get_dict()["CONTROL"]["nstep"]
        if count and (clean_stop or (finished and count >= asked_of_segment)):
            self.ctx.structure = calculation.outputs.output_structure
            self.ctx.parent_folder = calculation.outputs.remote_folder
        else:
            self.ctx.failure = (311 if finished else 310, one_line(calculation))

    def has_frames(self) -> bool:
        """Return whether there is anything to join."""
        return self.ctx.frames > 0

    def join(self) -> None:
        """Make one trajectory of all segments."""
        calculations = self.ctx.calculations
        nodes: dict[str, orm.Data] = {}
        for index, calculation in enumerate(calculations):
            nodes[f"trajectory_{index:03d}"] = calculation.outputs.output_trajectory
            nodes[f"retrieved_{index:03d}"] = calculation.outputs.retrieved
            nodes[f"output_{index:03d}"] = calculation.outputs.output_parameters
        for kind, pseudo in self.inputs.base.pw.pseudos.items():
            nodes[f"pseudo_{kind}"] = pseudo
        last = calculations[-1]
        joined = run_calcfunction(
            join_segments,
            "join_segments",
            parameters=self.inputs.base.pw.parameters,
            kpoints=calculations[0].inputs.kpoints,
            **nodes,
        )
        self.out("trajectory", joined["trajectory"])
        self.out("summary", joined["summary"])
        self.out("remote_folder", last.outputs.remote_folder)

    def results(self) -> ExitCode | None:
        """Say how it ended."""
        frames, steps = self.ctx.frames, self.inputs.steps.value
        if frames == 0:
            reason = self.ctx.failure[1] if self.ctx.failure else "no segment was run"
            return self.exit_codes.ERROR_NO_FRAMES.format(reason=reason)
        if self.ctx.failure is not None:
            code, reason = self.ctx.failure
            if code == 311:
                return self.exit_codes.ERROR_SCF_NOT_CONVERGED.format(frames=frames, steps=steps)
            return self.exit_codes.ERROR_SEGMENT_FAILED.format(
                reason=reason, frames=frames, steps=steps
            )
        if frames < steps:
            return self.exit_codes.ERROR_MAXIMUM_SEGMENTS_EXCEEDED.format(
                frames=frames, steps=steps
            )
        return None

    def on_terminated(self) -> None:
        """Clean the work directories if asked."""
        super().on_terminated()
        if not self.inputs.clean_workdir.value:
            return
        for node in self.node.called_descendants:
            if isinstance(node, orm.CalcJobNode) and "remote_folder" in node.outputs:
                node.outputs.remote_folder._clean()
