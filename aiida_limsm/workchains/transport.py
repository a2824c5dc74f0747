"""LithiumTransportWorkChain: from a crystal structure to D(T), all in one provenance graph."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ToContext, WorkChain

from aiida_limsm.calculations.structures import make_supercell
from aiida_limsm.calculations.transport import summarise_transport
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.data.markov_model import MarkovModelData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from ._protocol import LimsmProtocolMixin, outputs_of, run_calcfunction
from ._reference_inputs import temperature_label
from ._seeds import run_seed
from ._transport_inputs import CELL, fill_builder, validate_transport
from .finetune import FineTuneWorkChain
from .markov import MarkovWorkChain
from .md import MolecularDynamicsWorkChain
from .reference import ReferenceWorkChain


class LithiumTransportWorkChain(LimsmProtocolMixin, WorkChain):
    """Ab initio MD → dataset → fine-tuned MACE → MLFF MD → Markov model → D(T).

    All DFT goes at once (ReferenceWorkChain), then the MLFF runs of all temperatures and replicas
    go at once. A temperature that fails (a framework that melts, say) does not take the
    others with it.
    """

    PROTOCOL_NAME = "transport"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="Cell of the ab initio MD.")
        spec.input(
            "sites",
            valid_type=orm.StructureData,
            required=False,
            help="Structure whose mobile atoms mark every site, vacant ones too; the structure "
            "itself where not given.",
        )
        spec.input("foundation", valid_type=PotentialData, help="The MACE model to fine-tune.")
        spec.input("temperatures", valid_type=orm.List, help="Of the MLFF MD, in K.")
        spec.input("supercell", valid_type=orm.List, help="Repetitions of `structure` for MLFF MD.")
        spec.input("replicas", valid_type=orm.Int, default=lambda: orm.Int(1))
        spec.input_namespace(
            "structures",
            valid_type=orm.StructureData,
            dynamic=True,
            help="Further start structures of the ab initio MD, by name.",
        )
        spec.expose_inputs(ReferenceWorkChain, namespace="reference", exclude=("structures",))
        spec.expose_inputs(
            FineTuneWorkChain, namespace="finetune", exclude=("dataset", "foundation")
        )
        spec.expose_inputs(
            MolecularDynamicsWorkChain, namespace="md", exclude=("md.structure", "md.potential")
        )
        spec.expose_inputs(
            MarkovWorkChain, namespace="markov", exclude=("analyse.sites", "analyse.trajectories")
        )
        spec.inputs.validator = validate_transport
        spec.outline(
            cls.run_reference,
            cls.inspect_reference,
            cls.run_finetune,
            cls.inspect_finetune,
            cls.run_md,
            cls.run_markov,
            cls.results,
        )
        spec.output("dataset", valid_type=ReferenceDatasetData, required=False)
        spec.output("potential", valid_type=PotentialData)
        spec.output("errors_before", valid_type=orm.Dict, required=False)
        spec.output("errors_after", valid_type=orm.Dict, required=False)
        spec.output_namespace("aimd", valid_type=orm.TrajectoryData, dynamic=True)
        spec.output_namespace("trajectories", valid_type=MolecularDynamicsData, dynamic=True)
        spec.output_namespace("markov_models", valid_type=MarkovModelData, dynamic=True)
        spec.output_namespace("diffusion", valid_type=DiffusionData, dynamic=True)
        spec.output_namespace("diffusion_msd", valid_type=DiffusionData, dynamic=True)
        spec.output("summary", valid_type=orm.Dict, help="D(T) and errors in one table.")
        spec.exit_code(310, "ERROR_REFERENCE_FAILED", message="{label}<{pk}> failed: {reason}")
        spec.exit_code(320, "ERROR_FINETUNE_FAILED", message="{label}<{pk}> failed: {reason}")
        spec.exit_code(330, "ERROR_NO_DIFFUSION", message="No temperature gave a result: {reason}")
        spec.exit_code(
            430,
            "ERROR_SOME_TEMPERATURES_FAILED",
            message="The other temperatures are in the outputs; failed: {reason}",
        )

    @classmethod
    def get_builder_from_protocol(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a builder filled from a protocol; see :func:`fill_builder`."""
        return fill_builder(cls, *args, **kwargs)

    def run_reference(self) -> ToContext[str, Any]:
        """Start all DFT."""
        inputs = AttributeDict(self.exposed_inputs(ReferenceWorkChain, "reference"))
        inputs.structures = {CELL: self.inputs.structure, **self.inputs.get("structures", {})}
        inputs.metadata = {"call_link_label": "reference"}
        node = self.submit(ReferenceWorkChain, **inputs)
        self.report(f"DFT: ReferenceWorkChain<{node.pk}>")
        return ToContext(reference=node)

    def inspect_reference(self) -> ExitCode | None:
        """Take the dataset, also one of runs that ended early: frames are frames."""
        node = self.ctx.reference
        for name, trajectory in outputs_of(node, "aimd").items():
            self.out(f"aimd.{name}", trajectory)
        if "dataset" not in node.outputs:
            return self.exit_codes.ERROR_REFERENCE_FAILED.format(
                label=node.process_label, pk=node.pk, reason=node.exit_message
            )
        if not node.is_finished_ok:
            self.report(f"{node.process_label}<{node.pk}>: {node.exit_message}")
        self.ctx.dataset = node.outputs.dataset
        self.out("dataset", self.ctx.dataset)
        return None

    def run_finetune(self) -> ToContext[str, Any]:
        """Fine-tune the foundation model."""
        inputs = self.exposed_inputs(FineTuneWorkChain, "finetune")
        inputs["metadata"] = {"call_link_label": "finetune"}
        node = self.submit(
            FineTuneWorkChain,
            dataset=self.ctx.dataset,
            foundation=self.inputs.foundation,
            **inputs,
        )
        self.report(f"fine-tuning: FineTuneWorkChain<{node.pk}>")
        return ToContext(finetune=node)

    def inspect_finetune(self) -> ExitCode | None:
        """Attach the potential and its errors."""
        node = self.ctx.finetune
        for name in ("potential", "errors_before", "errors_after"):
            if name in node.outputs:
                self.out(name, node.outputs[name])
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_FINETUNE_FAILED.format(
                label=node.process_label, pk=node.pk, reason=node.exit_message
            )
        self.ctx.potential = node.outputs.potential
        return None

    def run_md(self) -> ToContext[str, Any]:
        """Start the MLFF MD of every temperature and replica."""
        structure = run_calcfunction(
            make_supercell, "make_supercell", self.inputs.structure, self.inputs.supercell
        )
        awaited = {}
        self.ctx.md = {}
        for temperature in self.inputs.temperatures.get_list():
            for replica in range(self.inputs.replicas.value):
                name = temperature_label(temperature)
                label = f"md_{name}_r{replica}"
                inputs = AttributeDict(self.exposed_inputs(MolecularDynamicsWorkChain, "md"))
                parameters = inputs.md.parameters.get_dict()
                parameters["temperature_k"] = temperature
                parameters["seed"] = run_seed(parameters.get("seed", 0), name, replica)
                inputs.md = AttributeDict(inputs.md)
                inputs.md.parameters = orm.Dict(parameters)
                inputs.md.structure = structure
                inputs.md.potential = self.ctx.potential
                inputs.metadata = {"call_link_label": label}
                awaited[label] = self.submit(MolecularDynamicsWorkChain, **inputs)
                self.ctx.md.setdefault(name, []).append(label)
                self.report(
                    f"MD at {temperature:g} K, replica {replica}: "
                    f"MolecularDynamicsWorkChain<{awaited[label].pk}>"
                )
        return ToContext(**awaited)

    def run_markov(self) -> ToContext[str, Any]:
        """Start the analysis of every temperature that has a trajectory."""
        awaited = {}
        self.ctx.failed = []
        for name, labels in self.ctx.md.items():
            nodes = [self.ctx[label] for label in labels]
            if bad := [node for node in nodes if not node.is_finished_ok]:
                self.ctx.failed.append(f"{name} ({bad[0].exit_message})")
                continue
            inputs = AttributeDict(self.exposed_inputs(MarkovWorkChain, "markov"))
            trajectories = {f"r{i}": node.outputs.trajectory for i, node in enumerate(nodes)}
            inputs.analyse = AttributeDict(inputs.analyse)
            inputs.analyse.trajectories = trajectories
            if inputs.analyse.parameters.get_dict().get("sites") != "density":
                inputs.analyse.sites = self.inputs.get("sites", self.inputs.structure)
            inputs.metadata = {"call_link_label": f"markov_{name}"}
            for key, trajectory in trajectories.items():
                self.out(f"trajectories.{name}_{key}", trajectory)
            awaited[f"markov_{name}"] = self.submit(MarkovWorkChain, **inputs)
        self.ctx.markov = list(awaited)
        return ToContext(**awaited)

    def results(self) -> ExitCode | None:
        """Attach D(T), and say which temperatures failed."""
        nodes: dict[str, orm.Data] = {}
        for label in self.ctx.markov:
            name, node = label.removeprefix("markov_"), self.ctx[label]
            if not node.is_finished_ok:
                self.ctx.failed.append(f"{name} ({node.exit_message})")
                continue
            outputs = node.outputs
            self.out(f"markov_models.{name}", outputs.markov_model)
            self.out(f"diffusion.{name}", outputs.diffusion)
            self.out(f"diffusion_msd.{name}", outputs.diffusion_msd)
            nodes[f"diffusion_{name}"] = outputs.diffusion
            nodes[f"msd_{name}"] = outputs.diffusion_msd
            nodes[f"analysis_{name}"] = outputs.output_parameters
        reason = "; ".join(self.ctx.failed)
        if not nodes:
            return self.exit_codes.ERROR_NO_DIFFUSION.format(reason=reason)
        for when in ("before", "after"):
            if f"errors_{when}" in self.outputs:
                nodes[f"errors_{when}"] = self.outputs[f"errors_{when}"]
        self.out(
            "summary",
            run_calcfunction(summarise_transport, "summarise", **nodes),
        )
        if reason:
            return self.exit_codes.ERROR_SOME_TEMPERATURES_FAILED.format(reason=reason)
        return None
