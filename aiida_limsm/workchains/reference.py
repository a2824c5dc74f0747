"""ReferenceWorkChain: ab initio MD of structures × temperatures, single points → one dataset."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ToContext, WorkChain, if_

from aiida_limsm.calculations.dataset import build_dataset, validate_dataset
from aiida_limsm.data.dataset import ReferenceDatasetData

from ._label_inputs import own_pseudos
from ._protocol import LimsmProtocolMixin, outputs_of, run_calcfunction
from ._reference_inputs import fill_builder, temperature_label, validate_reference
from .aimd import AimdWorkChain
from .isolated_atoms import IsolatedAtomsWorkChain
from .label import LabelWorkChain


class ReferenceWorkChain(LimsmProtocolMixin, WorkChain):
    """All DFT of a potential: every start structure at every temperature, and single points.

    All runs go at once. One that ends early gives the frames that it has; one that exploded
    gives none.
    """

    PROTOCOL_NAME = "reference"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input_namespace(
            "structures",
            valid_type=orm.StructureData,
            dynamic=True,
            help="Start structures by name: supercells, with vacancies, displaced.",
        )
        spec.input("temperatures", valid_type=orm.List, help="Of the MD, in K.")
        spec.input(
            "seed",
            valid_type=orm.Int,
            default=lambda: orm.Int(0),
            help="Of the start velocities of the first run; each following run has the next one.",
        )
        spec.input("dataset_parameters", valid_type=orm.Dict, validator=validate_dataset)
        spec.expose_inputs(
            AimdWorkChain, namespace="aimd", exclude=("structure", "temperature", "seed")
        )
        for process_class, namespace in (
            (IsolatedAtomsWorkChain, "isolated_atoms"),
            (LabelWorkChain, "label"),
        ):
            spec.expose_inputs(
                process_class,
                namespace=namespace,
                namespace_options={"required": False, "populate_defaults": False},
            )
        spec.inputs.validator = validate_reference
        spec.outline(
            cls.setup,
            cls.run_all,
            cls.inspect_all,
            if_(cls.has_frames)(cls.build_dataset),
            cls.results,
        )
        spec.output("dataset", valid_type=ReferenceDatasetData, required=False)
        spec.output_namespace("aimd", valid_type=orm.TrajectoryData, dynamic=True)
        spec.output_namespace("labels", valid_type=orm.TrajectoryData, dynamic=True)
        spec.output("isolated_atoms", valid_type=orm.Dict, required=False)
        spec.exit_code(201, "ERROR_NO_STRUCTURES", message="structures: give at least one.")
        spec.exit_code(300, "ERROR_NO_FRAMES", message="No labelled frame: {reason}")
        spec.exit_code(310, "ERROR_ISOLATED_ATOMS_FAILED", message="No energy zero: {reason}")
        spec.exit_code(320, "ERROR_NO_DATASET", message="The frames make no dataset: {reason}")
        spec.exit_code(
            410,
            "ERROR_SOME_RUNS_INCOMPLETE",
            message="The dataset holds what there is; incomplete: {reason}",
            invalidates_cache=True,
        )

    @classmethod
    def get_builder_from_protocol(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a builder filled from a protocol; see :func:`fill_builder`."""
        return fill_builder(cls, *args, **kwargs)

    def setup(self) -> ExitCode | None:
        """Refuse to run nothing."""
        return None if self.inputs.structures else self.exit_codes.ERROR_NO_STRUCTURES

    def run_all(self) -> ToContext[str, Any]:
        """Start every MD run, the single points and the isolated atoms."""
        awaited: dict[str, Any] = {}
        self.ctx.runs = []
        for name, structure in sorted(self.inputs.structures.items()):
            for temperature in self.inputs.temperatures.get_list():
                run = temperature_label(temperature)
                if len(self.inputs.structures) > 1:
                    run = f"{name}_{run}"
                inputs = AttributeDict(self.exposed_inputs(AimdWorkChain, "aimd"))
                inputs.pw = AttributeDict(inputs.pw)
                inputs.pw.pseudos = own_pseudos(structure, inputs.pw.pseudos)
                inputs.metadata = {"call_link_label": f"aimd_{run}"}
                awaited[f"aimd_{run}"] = self.submit(
                    AimdWorkChain,
                    structure=structure,
                    temperature=orm.Float(temperature),
                    seed=orm.Int(self.inputs.seed.value + len(self.ctx.runs)),
                    **inputs,
                )
                self.ctx.runs.append(run)
                self.report(f"{name} at {temperature:g} K: {awaited[f'aimd_{run}']}")
        for process_class, namespace in (
            (IsolatedAtomsWorkChain, "isolated_atoms"),
            (LabelWorkChain, "label"),
        ):
            if namespace in self.inputs:
                inputs = self.exposed_inputs(process_class, namespace)
                inputs["metadata"] = {"call_link_label": namespace}
                awaited[namespace] = self.submit(process_class, **inputs)
                self.report(f"{namespace}: {awaited[namespace]}")
        return ToContext(**awaited)

    def inspect_all(self) -> ExitCode | None:
        """Collect what the runs gave."""
        self.ctx.sources, self.ctx.incomplete = {}, []
        runaway = AimdWorkChain.exit_codes.ERROR_RUNAWAY.status
        for run in self.ctx.runs:
            node = self.ctx[f"aimd_{run}"]
            self._note(run, node)
            if "trajectory" in node.outputs:
                self.out(f"aimd.{run}", node.outputs.trajectory)
                if node.exit_status != runaway:
                    self.ctx.sources[f"aimd_{run}"] = node.outputs.trajectory
        if "label" in self.inputs:
            node = self.ctx.label
            self._note("label", node)
            for formula, labels in outputs_of(node, "labels").items():
                self.out(f"labels.{formula}", labels)
                self.ctx.sources[f"label_{formula}"] = labels
        if "isolated_atoms" in self.inputs:
            node = self.ctx.isolated_atoms
            if not node.is_finished_ok:
                return self.exit_codes.ERROR_ISOLATED_ATOMS_FAILED.format(reason=one_line(node))
            self.out("isolated_atoms", node.outputs.energies)
        return None

    def _note(self, name: str, node: orm.WorkChainNode) -> None:
        if not node.is_finished_ok:
            self.ctx.incomplete.append(f"{name} ({one_line(node)})")
            self.report(f"incomplete: {self.ctx.incomplete[-1]}")

    def has_frames(self) -> bool:
        """Return whether there is anything to make a dataset of."""
        return bool(self.ctx.sources)

    def build_dataset(self) -> ExitCode | None:
        """Make one dataset of all frames."""
        nodes = dict(self.ctx.sources)
        if "isolated_atoms" in self.outputs:
            nodes["isolated_atoms"] = self.outputs["isolated_atoms"]
        try:
            dataset = run_calcfunction(
                build_dataset, "build_dataset", parameters=self.inputs.dataset_parameters, **nodes
            )
        except ValueError as error:
            return self.exit_codes.ERROR_NO_DATASET.format(reason=error)
        self.out("dataset", dataset)
        return None

    def results(self) -> ExitCode | None:
        """Say what is missing."""
        reason = "; ".join(self.ctx.incomplete)
        if "dataset" not in self.outputs:
            return self.exit_codes.ERROR_NO_FRAMES.format(reason=reason)
        if reason:
            return self.exit_codes.ERROR_SOME_RUNS_INCOMPLETE.format(reason=reason)
        return None


def one_line(node: orm.ProcessNode) -> str:
    """Return how a process ended, for a message: ``AimdWorkChain<12>: reason``."""
    reason = node.exit_message or f"ended in state {node.process_state}"
    return f"{node.process_label}<{node.pk}>: {reason.rstrip('.')}"
