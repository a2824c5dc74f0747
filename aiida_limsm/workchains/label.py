"""LabelWorkChain: single-point DFT labels for a batch of structures, a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain, while_
from aiida.plugins import WorkflowFactory

from aiida_limsm.calculations.kpoints import kpoints_mesh
from aiida_limsm.calculations.label import collect_labels

from ._first_done import FirstDoneMixin
from ._label_inputs import fill_builder, input_warnings, own_pseudos, validate_label
from ._protocol import LimsmProtocolMixin, run_calcfunction

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")


def failure_reason(workchain: orm.WorkChainNode) -> str:
    """Return why a single point has no result: the last job's word where it has one."""
    jobs = [node for node in workchain.called if isinstance(node, orm.CalcJobNode)]
    last = max(jobs, key=lambda node: node.pk or 0, default=None)
    failed = last if last is not None and not last.is_finished_ok else workchain
    reason = failed.exit_message or failed.exception or f"ended in state {failed.process_state}"
    return f"{failed.process_label}<{failed.pk}>: {reason.strip().rstrip('.')}"


class LabelWorkChain(LimsmProtocolMixin, FirstDoneMixin, WorkChain):
    """Energy, forces and stress of many structures by the DFT of the ab initio MD.

    At most ``max_concurrent`` calculations are on their way at a time; when one ends the next
    starts. Calculations that fail are named in the summary and left out. The labels depend
    neither on how many run at a time nor on which ends first.
    """

    PROTOCOL_NAME = "label"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input_namespace(
            "structures", valid_type=orm.StructureData, dynamic=True, help="By label."
        )
        spec.input_namespace(
            "pseudos", valid_type=orm.Data, dynamic=True, help="One per kind of all structures."
        )
        spec.expose_inputs(
            PwBaseWorkChain,
            namespace="base",
            exclude=(
                "pw.structure",
                "pw.parent_folder",
                "pw.pseudos",
                "kpoints_force_parity",
            ),
        )
        spec.input(
            "kpoints_offset",
            valid_type=orm.List,
            required=False,
            help="Shift of the mesh made from base.kpoints_distance: three numbers, 0 or 0.5.",
        )
        spec.input(
            "max_concurrent",
            valid_type=orm.Int,
            default=lambda: orm.Int(10),
            help="How many calculations at a time.",
        )
        spec.input(
            "max_failed_fraction",
            valid_type=orm.Float,
            default=lambda: orm.Float(0.2),
            help="Largest share of failed structures with which the batch is still a success.",
        )
        spec.inputs.validator = validate_label
        spec.outline(
            cls.setup,
            while_(cls.is_unfinished)(cls.fill_up),
            cls.collect,
            cls.results,
        )
        spec.output_namespace(
            "labels",
            valid_type=orm.TrajectoryData,
            dynamic=True,
            help="Labelled frames by formula, in alphabetical order of the structures' labels.",
        )
        spec.output(
            "summary", valid_type=orm.Dict, help="Asked, labelled, failed (with reason), warnings."
        )
        spec.exit_code(
            300,
            "ERROR_NO_LABELS",
            message="None of {asked} structures was labelled; {label}: {reason}.",
            invalidates_cache=True,
        )
        spec.exit_code(
            410,
            "ERROR_TOO_MANY_FAILED",
            message="{failed} of {asked} structures failed, the first {label}: {reason}. The "
            "others are in `labels`.",
            invalidates_cache=True,
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structures: Mapping[str, orm.StructureData] | Sequence[orm.StructureData],
        *,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Cutoffs that are not given are the highest that the family recommends for the elements of
        all structures. A batch that lacks an element of the MD (lithium metal beside a silicide)
        has to be given the MD's: ``{'base': {'pw': {'parameters': {'SYSTEM': {'ecutwfc': …,
        'ecutrho': …}}}}}``.

        Parameters
        ----------
        code
            A pw.x code (node or label).
        structures
            By label, or in order (labels ``structure_0000``, …).
        protocol
            ``fast``, ``balanced`` or ``stringent``; that of the MD for comparable labels.
        overrides
            Same nesting as the protocol file.
        options
            Job options (walltime, resources, queue) over the protocol's.

        Raises
        ------
        ValueError
            For no structure, a label that AiiDA does not take, an unknown protocol or a
            pseudopotential family that is not installed.
        """
        return fill_builder(
            cls, code, structures, protocol=protocol, overrides=overrides, options=options
        )

    def setup(self) -> None:
        """Put all structures in the queue, in order of their labels."""
        self.ctx.queue = sorted(self.inputs.structures)
        self.ctx.running = []
        # pks, not nodes: AiiDA writes all of the context down at every step
        self.ctx.pks = {}
        self.ctx.meshes = {}
        self.ctx.warnings = input_warnings(self.inputs)
        for warning in self.ctx.warnings:
            self.report(f"warning: {warning}")

    def is_unfinished(self) -> bool:
        """Return whether any calculation is waiting or running."""
        self.ctx.running = [
            label for label in self.ctx.running if not self._single_point(label).is_terminated
        ]
        return bool(self.ctx.queue or self.ctx.running)

    def fill_up(self) -> dict[str, Any]:
        """Submit as many as there is room for, and wait for any of those on their way."""
        while self.ctx.queue and len(self.ctx.running) < self.inputs.max_concurrent.value:
            label = self.ctx.queue.pop(0)
            self.ctx.pks[label] = self._submit_single_point(label).pk
            self.ctx.running.append(label)
        self.ctx.pop("waited_for", None)
        return {f"waited_for.{label}": self._single_point(label) for label in self.ctx.running}

    def _single_point(self, label: str) -> Any:
        return orm.load_node(self.ctx.pks[label])

    def _submit_single_point(self, label: str) -> Any:
        structure = self.inputs.structures[label]
        inputs = AttributeDict(self.exposed_inputs(PwBaseWorkChain, "base"))
        inputs.pw = AttributeDict(inputs.pw)
        inputs.pw.structure = structure
        inputs.pw.pseudos = own_pseudos(structure, self.inputs.pseudos)
        if "kpoints_distance" in inputs:
            inputs.kpoints = self._mesh(label, structure, inputs.pop("kpoints_distance"))
        inputs.metadata = {"call_link_label": label}
        node = self.submit(PwBaseWorkChain, **inputs)
        asked = len(self.inputs.structures)
        self.report(f"{label}: PwBaseWorkChain<{node.pk}>, {len(self.ctx.pks) + 1} of {asked}")
        return node

    def _mesh(
        self, label: str, structure: orm.StructureData, distance: orm.Float
    ) -> orm.KpointsData:
        """Return the mesh of a cell, made once for all structures that share the cell."""
        cell = repr(structure.cell)
        if cell not in self.ctx.meshes:
            offset = self.inputs.get("kpoints_offset", None) or orm.List([0.0, 0.0, 0.0])
            self.ctx.meshes[cell] = run_calcfunction(
                kpoints_mesh, f"kpoints_{label}", structure, distance, offset
            )
        return self.ctx.meshes[cell]

    def collect(self) -> None:
        """Make one trajectory per composition of those that succeeded."""
        nodes = {label: self._single_point(label) for label in sorted(self.ctx.pks)}
        good = [label for label, node in nodes.items() if node.is_finished_ok]
        self.ctx.failed = [
            {
                "label": label,
                "structure": self.inputs.structures[label].uuid,
                "formula": self.inputs.structures[label].get_formula(),
                "reason": failure_reason(node),
            }
            for label, node in nodes.items()
            if label not in good
        ]
        for entry in self.ctx.failed:
            self.report(f"{entry['label']} is left out: {entry['reason']}")
        if good:
            self.out("labels", self._collected(good))

    def _collected(self, labels: Sequence[str]) -> dict[str, orm.TrajectoryData]:
        nodes: dict[str, orm.Data] = {}
        kinds: set[str] = set()
        for label in labels:
            outputs = self._single_point(label).outputs
            structure = self.inputs.structures[label]
            nodes[f"structure_{label}"] = structure
            nodes[f"trajectory_{label}"] = outputs.output_trajectory
            nodes[f"output_{label}"] = outputs.output_parameters
            kinds |= set(structure.get_kind_names())
        for kind in sorted(kinds):
            nodes[f"pseudo_{kind}"] = self.inputs.pseudos[kind]
        base = self.inputs.base
        if "kpoints_distance" in base:
            nodes["kpoints_distance"] = base.kpoints_distance
            kpoints = self.ctx.meshes[repr(self.inputs.structures[labels[0]].cell)]
        else:
            kpoints = base.kpoints
        labelled: dict[str, orm.TrajectoryData] = run_calcfunction(
            collect_labels,
            "collect_labels",
            parameters=base.pw.parameters,
            kpoints=kpoints,
            **nodes,
        )
        return labelled

    def results(self) -> ExitCode | None:
        """Say how many there are."""
        failed, asked = self.ctx.failed, len(self.inputs.structures)
        summary = {
            "asked": asked,
            "labelled": asked - len(failed),
            "failed": failed,
            "warnings": self.ctx.warnings,
        }
        self.out("summary", orm.Dict(summary).store())
        if not failed:
            return None
        first = {"asked": asked, "label": failed[0]["label"], "reason": failed[0]["reason"]}
        if len(failed) == asked:
            return self.exit_codes.ERROR_NO_LABELS.format(**first)
        if len(failed) > self.inputs.max_failed_fraction.value * asked:
            return self.exit_codes.ERROR_TOO_MANY_FAILED.format(failed=len(failed), **first)
        return None
