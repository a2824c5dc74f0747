"""ValidateWorkChain: a potential beside DFT, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain

from aiida_limsm.calculations._settings import settings_validator
from aiida_limsm.calculations.compare import CompareCalculation
from aiida_limsm.calculations.evaluate import EvaluateCalculation
from aiida_limsm.calculations.validate import (
    AIMD,
    FINETUNED,
    FOUNDATION,
    Thresholds,
    judge_potential,
    known_barriers,
    md_start,
)
from aiida_limsm.compute.base import Status
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from ._protocol import LimsmProtocolMixin, run_calcfunction
from ._validate_inputs import fill_builder, potentials_of, validate_validation
from .md import MolecularDynamicsWorkChain
from .neb import NebComparisonWorkChain
from .reference import one_line


class ValidateWorkChain(LimsmProtocolMixin, WorkChain):
    """Forces on held-out blocks, g(r) and barriers against DFT, and what to make of them.

    Everything is measured, and kept, before the potential is judged. What the MD or the NEB of the
    potential cannot do is a reason to reject it; what DFT or the comparison cannot do leaves the
    verdict incomplete.
    """

    PROTOCOL_NAME = "validate"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="The potential to judge.")
        spec.input(
            "foundation", valid_type=PotentialData, required=False, help="For comparison only."
        )
        spec.input("dataset", valid_type=ReferenceDatasetData, help="With held-out blocks.")
        spec.input("thresholds", valid_type=orm.Dict, validator=settings_validator(Thresholds))
        spec.expose_inputs(
            EvaluateCalculation, namespace="evaluate", exclude=("potential", "dataset", "committee")
        )
        spec.input_namespace(
            "aimd", valid_type=orm.TrajectoryData, dynamic=True, required=False, help="By label."
        )
        spec.input_namespace(
            "mlff",
            valid_type=MolecularDynamicsData,
            dynamic=True,
            required=False,
            help="MD of the potential to compare with, by the labels of `aimd`; else it is run.",
        )
        spec.input(
            "temperatures",
            valid_type=orm.Dict,
            required=False,
            help="Of the MD, K, by the labels of `aimd`; else the mean of the AIMD.",
        )
        spec.expose_inputs(
            MolecularDynamicsWorkChain,
            namespace="md",
            exclude=("md.structure", "md.potential", "md.committee"),
            namespace_options={"required": False, "populate_defaults": False},
        )
        spec.expose_inputs(
            CompareCalculation,
            namespace="compare",
            exclude=("trajectories",),
            namespace_options={"required": False, "populate_defaults": False},
        )
        spec.input_namespace(
            "jumps",
            valid_type=orm.TrajectoryData,
            dynamic=True,
            required=False,
            help="End points, or whole bands, by label.",
        )
        spec.expose_inputs(
            NebComparisonWorkChain,
            namespace="neb",
            exclude=("initial", "final", "images", "potentials"),
            namespace_options={"required": False, "populate_defaults": False},
        )
        # needs the images and the potentials: validate_validation calls it with them
        spec.inputs["neb"].validator = None
        spec.inputs.validator = validate_validation
        spec.outline(cls.run_all, cls.inspect_all, cls.compare, cls.inspect_comparisons, cls.judge)
        spec.output("verdict", valid_type=orm.Dict, required=False, help="Checks and reasons.")
        spec.output("errors", valid_type=orm.Dict, required=False)
        spec.output("errors_foundation", valid_type=orm.Dict, required=False)
        spec.output("parity", valid_type=orm.SinglefileData, required=False)
        for name, valid_type, text in (
            ("mlff", MolecularDynamicsData, "MD that was run: LABEL, foundation_LABEL."),
            ("rdf", orm.Dict, "g(r) and vibrations beside AIMD, by label."),
            ("curves", orm.SinglefileData, "Their curves (HDF5)."),
            ("barriers", orm.Dict, "Comparisons of limsm.neb by label."),
            ("figures", orm.SinglefileData, "Their figures (PNG)."),
        ):
            spec.output_namespace(name, valid_type=valid_type, dynamic=True, help=text)
        spec.exit_code(310, "ERROR_EVALUATION_FAILED", message="Nothing to judge by: {reason}")
        spec.exit_code(410, "ERROR_INCOMPLETE", message="Not accepted for want of: {reason}")
        spec.exit_code(420, "ERROR_REJECTED", message="Rejected because: {reason}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        potential: PotentialData,
        dataset: ReferenceDatasetData,
        foundation: PotentialData | None = None,
        *,
        aimd: Mapping[str, orm.TrajectoryData] | None = None,
        mlff: Mapping[str, MolecularDynamicsData] | None = None,
        jumps: Mapping[str, Sequence[orm.StructureData] | orm.TrajectoryData] | None = None,
        pw_code: orm.AbstractCode | str | None = None,
        neb_code: orm.AbstractCode | str | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        code
            The ``limsm`` code (node or label).
        potential, dataset, foundation
            The potential to judge, labelled frames, and a model to compare with.
        aimd, mlff
            Trajectories by label; without ``mlff`` the MD is run.
        jumps
            Initial and final structure, or a band, by label.
        pw_code, neb_code
            For the barriers of DFT.
        protocol, overrides, options
            As for the other workchains.

        Raises
        ------
        ValueError
            For an unknown protocol or wrong thresholds, and as limsm.neb.
        """
        return fill_builder(
            cls, code, potential, dataset, foundation, aimd=aimd or {}, mlff=mlff or {},
            jumps=jumps or {}, pw_code=pw_code, neb_code=neb_code, protocol=protocol,
            overrides=overrides, options=options,
        )  # fmt: skip

    def _start(self, process_class: Any, namespace: str, call: str, **nodes: Any) -> Any:
        inputs = AttributeDict({**self.exposed_inputs(process_class, namespace), **nodes})
        inputs.metadata = {**inputs.get("metadata", {}), "call_link_label": call}
        node = self.submit(process_class, **inputs)
        self.report(f"{call}: {node.process_label}<{node.pk}>")
        return node

    def run_all(self) -> dict[str, Any]:
        """Submit evaluations, MD and NEB at once."""
        # words: why the potential is bad, and what could not be measured
        self.ctx.bad, self.ctx.missing = [], []
        nodes: dict[str, Any] = {}
        potentials = potentials_of(self.inputs)
        for name, potential in potentials.items():
            call = f"evaluate_{name}"
            inputs = {"potential": potential, "dataset": self.inputs.dataset}
            if name == FOUNDATION:
                # another code's zero: it is judged by its interaction energy
                inputs["own_e0s"] = orm.Bool(False)
            nodes[call] = self._start(EvaluateCalculation, "evaluate", call, **inputs)
        for label, trajectory in sorted(self.inputs.get("aimd", {}).items()):
            if label not in self.inputs.get("mlff", {}):
                for name, node in self._run_md(label, trajectory, potentials).items():
                    nodes[f"md_{name}_{label}"] = node
        for label, images in sorted(self.inputs.get("jumps", {}).items()):
            call = f"neb_{label}"
            nodes[call] = self._start(
                NebComparisonWorkChain, "neb", call, images=images, potentials=potentials
            )
        return nodes

    def _run_md(
        self, label: str, trajectory: orm.TrajectoryData, potentials: Mapping[str, PotentialData]
    ) -> dict[str, Any]:
        md = self.exposed_inputs(MolecularDynamicsWorkChain, "md")["md"]
        temperatures = self.inputs.get("temperatures", None)
        more = {}
        if temperatures is not None and label in temperatures.get_dict():
            more["temperature"] = orm.Float(temperatures[label])
        start = run_calcfunction(
            md_start, f"md_start_{label}", trajectory, md["parameters"], **more
        )
        return {
            name: self._start(
                MolecularDynamicsWorkChain,
                "md",
                f"md_{name}_{label}",
                md=AttributeDict({**md, **start, "potential": potential}),
            )
            for name, potential in potentials.items()
        }

    def inspect_all(self) -> ExitCode | None:
        """Keep what there is, and note what failed."""
        for name in potentials_of(self.inputs):
            node = self.ctx[f"evaluate_{name}"]
            if not node.is_finished_ok:
                return self.exit_codes.ERROR_EVALUATION_FAILED.format(reason=one_line(node))
            if name == FINETUNED:
                self.out("errors", node.outputs.output_parameters)
                self.out("parity", node.outputs.parity)
            else:
                self.out("errors_foundation", node.outputs.output_parameters)
        for label in sorted(self.inputs.get("jumps", {})):
            node = self.ctx[f"neb_{label}"]
            found = node.outputs.comparison.get_dict() if "comparison" in node.outputs else {}
            if not node.is_finished_ok:
                text = f"NEB, {label}: {one_line(node)}"
                potential_known, dft_known = known_barriers(found)
                # where only the foundation model failed there is a barrier to judge by
                if not potential_known:
                    self.ctx.bad.append(text)
                elif not dft_known:
                    self.ctx.missing.append(text)
                self.report(text)
            for name, key in (("comparison", "barriers"), ("figure", "figures")):
                if name in node.outputs:
                    self.out(f"{key}.{label}", node.outputs[name])
        return None

    def compare(self) -> dict[str, Any]:
        """Submit g(r) and vibrations of AIMD beside those of the MD."""
        nodes: dict[str, Any] = {}
        for label, trajectory in sorted(self.inputs.get("aimd", {}).items()):
            found = {AIMD: trajectory}
            if label in self.inputs.get("mlff", {}):
                found[FINETUNED] = self.inputs.mlff[label]
            for name in potentials_of(self.inputs):
                node = self.ctx.get(f"md_{name}_{label}")
                if node is None:
                    continue
                if "trajectory" in node.outputs:
                    key = label if name == FINETUNED else f"{name}_{label}"
                    self.out(f"mlff.{key}", node.outputs.trajectory)
                if node.is_finished_ok or _only_wandered(node):
                    found[name] = node.outputs.trajectory
                if not node.is_finished_ok and name == FINETUNED:
                    self.ctx.bad.append(f"MD, {label}: {one_line(node)}")
            if FINETUNED in found:
                call = f"compare_{label}"
                nodes[call] = self._start(CompareCalculation, "compare", call, trajectories=found)
        self.ctx.compared = sorted(nodes)
        return nodes

    def inspect_comparisons(self) -> None:
        """Keep the overlaps."""
        for call in self.ctx.compared:
            node, label = self.ctx[call], call.removeprefix("compare_")
            if node.is_finished_ok:
                self.out(f"rdf.{label}", node.outputs.output_parameters)
                self.out(f"curves.{label}", node.outputs.curves)
            else:
                self.ctx.missing.append(f"g(r), {label}: {one_line(node)}")

    def judge(self) -> ExitCode | None:
        """Give the verdict."""
        results = {
            f"{kind}_{label}": node
            for kind, namespace in (("rdf", "rdf"), ("barrier", "barriers"))
            for label, node in self.outputs.get(namespace, {}).items()
        }
        if self.ctx.bad or self.ctx.missing:
            results["failures"] = orm.List([*self.ctx.bad, *self.ctx.missing])
        if "errors_foundation" in self.outputs:
            results["foundation"] = self.outputs["errors_foundation"]
        verdict = run_calcfunction(
            judge_potential,
            "judge_potential",
            self.inputs.thresholds,
            self.outputs["errors"],
            **results,
        )
        self.out("verdict", verdict)
        for line in verdict["not_checked"]:
            self.report(f"not checked: {line}")
        if verdict["accepted"]:
            return None
        reasons = [text for text in verdict["reasons"] if text not in self.ctx.missing]
        if reasons:
            return self.exit_codes.ERROR_REJECTED.format(reason="; ".join(verdict["reasons"]))
        return self.exit_codes.ERROR_INCOMPLETE.format(reason="; ".join(self.ctx.missing))


def _only_wandered(md: orm.WorkChainNode) -> bool:
    """Return whether MD ended because the framework moved: its frames up to there are a solid."""
    results = md.outputs.output_parameters if "output_parameters" in md.outputs else {}
    return bool(results.get("status") == Status.FRAMEWORK_UNSTABLE and "trajectory" in md.outputs)
