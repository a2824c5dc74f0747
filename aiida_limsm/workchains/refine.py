"""RefineWorkChain: active learning, from a first set of labels to a potential that is sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChain, if_, while_

from aiida_limsm.calculations._refine_settings import RefineTargets, SelectionSettings
from aiida_limsm.calculations._settings import settings_validator
from aiida_limsm.calculations.dataset import build_dataset, validate_dataset
from aiida_limsm.calculations.refine import collect_rounds, judge_round, select_frames
from aiida_limsm.calculations.spread import SpreadCalculation
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from ._protocol import LimsmProtocolMixin, outputs_of, run_calcfunction
from ._refine_inputs import ROUND, fill_builder, validate_refine
from .finetune import FineTuneWorkChain
from .label import LabelWorkChain
from .md import MolecularDynamicsWorkChain
from .reference import one_line


class RefineWorkChain(LimsmProtocolMixin, WorkChain):
    """Rounds of training, MD and labels, until the committee agrees on the frames of its own MD.

    A round trains a committee on all labels so far, runs MD with its first member, and compares the
    forces of all members on the frames. Unless a target is reached, frames with a large spread are
    labelled by DFT, for the next round. The MD of round n has the seed of its
    parameters plus n − 1.
    """

    PROTOCOL_NAME = "refine"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="With which each MD begins.")
        spec.input_namespace(
            "sources",
            valid_type=orm.TrajectoryData,
            dynamic=True,
            help="Labelled frames of limsm.aimd and limsm.label to begin with, by name.",
        )
        spec.input("isolated_atoms", valid_type=orm.Dict, required=False, help="Energies, eV.")
        spec.input("dataset_parameters", valid_type=orm.Dict, validator=validate_dataset)
        spec.input("max_rounds", valid_type=orm.Int, default=lambda: orm.Int(5))
        spec.input("targets", valid_type=orm.Dict, validator=settings_validator(RefineTargets))
        spec.input(
            "selection",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            validator=settings_validator(SelectionSettings),
        )
        spec.expose_inputs(FineTuneWorkChain, namespace="finetune", exclude=("dataset",))
        spec.expose_inputs(
            MolecularDynamicsWorkChain,
            namespace="md",
            exclude=("md.structure", "md.potential", "md.committee"),
        )
        spec.expose_inputs(
            SpreadCalculation, namespace="spread", exclude=("potential", "committee", "trajectory")
        )
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("structures",))
        spec.inputs.validator = validate_refine
        spec.outline(
            cls.setup,
            while_(cls.has_rounds_left)(
                cls.train,
                cls.inspect_training,
                cls.explore,
                cls.inspect_md,
                cls.measure_spread,
                cls.judge,
                if_(cls.wants_labels)(cls.select, cls.label, cls.inspect_labels),
            ),
            cls.results,
        )
        spec.output("potential", valid_type=PotentialData, required=False, help="First member.")
        spec.output_namespace("committee", valid_type=PotentialData, dynamic=True)
        spec.output("dataset", valid_type=ReferenceDatasetData, required=False, help="Its labels.")
        spec.output("errors", valid_type=orm.Dict, required=False, help="On held-out blocks.")
        spec.output_namespace(
            "labels", valid_type=orm.TrajectoryData, dynamic=True, help="New, by round and formula."
        )
        spec.output("history", valid_type=orm.Dict, required=False, help="What each round found.")
        spec.exit_code(300, "ERROR_NO_DATASET", message="Round {round}: no dataset: {reason}")
        spec.exit_code(310, "ERROR_TRAINING_FAILED", message="Round {round}: {reason}")
        spec.exit_code(320, "ERROR_MD_FAILED", message="Round {round}: no MD frames: {reason}")
        spec.exit_code(330, "ERROR_SPREAD_FAILED", message="Round {round}: {reason}")
        spec.exit_code(340, "ERROR_NO_LABELS", message="Round {round}: {reason}")
        spec.exit_code(
            410, "ERROR_NOT_CONVERGED", message="No target was reached in {round} rounds: {reason}"
        )
        spec.exit_code(
            411,
            "ERROR_NOTHING_TO_LABEL",
            message="Round {round}: no frame is fit for a label ({reason}): change `selection`, "
            "or run longer or hotter MD.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        pw_code: orm.AbstractCode | str,
        limsm_code: orm.AbstractCode | str,
        structure: orm.StructureData,
        sources: Mapping[str, orm.TrajectoryData],
        foundation: PotentialData | None = None,
        *,
        isolated_atoms: orm.Dict | None = None,
        temperature_k: float | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        pw_code, limsm_code
            Codes (nodes or labels).
        structure
            With which each MD begins.
        sources
            Labelled frames by name, such as ``reference.outputs.aimd`` of ReferenceWorkChain.
        foundation
            The model to fine-tune; without it potentials are trained from scratch.
        isolated_atoms
            Energies of isolated atoms, eV; without them the energy zero is fitted.
        temperature_k
            Of the MD; the protocol's where None.
        protocol, overrides, options
            As for the other workchains; protocol that of the sources, for labels alike.

        Raises
        ------
        ValueError
            For an unknown protocol or a pseudopotential family that is not installed.
        """
        return fill_builder(
            cls, pw_code, limsm_code, structure, sources, foundation,
            isolated_atoms=isolated_atoms, temperature_k=temperature_k, protocol=protocol,
            overrides=overrides, options=options,
        )  # fmt: skip

    def setup(self) -> None:
        """Begin with the given labels."""
        self.ctx.round = 0
        self.ctx.converged = False
        # pks, not nodes: AiiDA writes all of the context down at every step
        self.ctx.sources = {name: node.pk for name, node in self.inputs.sources.items()}
        self.ctx.history = {}
        self.ctx.new_labels = {}

    def has_rounds_left(self) -> bool:
        """Return whether to train once more."""
        return not self.ctx.converged and self.ctx.round < self.inputs.max_rounds.value

    def _number(self) -> str:
        return f"{self.ctx.round:02d}"

    def _start(self, process_class: Any, namespace: str, reason: str, **nodes: Any) -> Any:
        """Submit a round's process, or end where its inputs are refused."""
        inputs = AttributeDict(self.exposed_inputs(process_class, namespace))
        for key, value in nodes.items():
            inputs[key] = value
        label = f"{namespace}_{self._number()}"
        inputs.metadata = {**inputs.get("metadata", {}), "call_link_label": label}
        try:
            node = self.submit(process_class, **inputs)
        except ValueError as error:
            return self._end(reason, str(error).splitlines()[-1])
        self.report(f"round {self.ctx.round}: {namespace}: {node.process_label}<{node.pk}>")
        return {namespace: node}

    def _end(self, name: str, reason: str) -> ExitCode:
        """End with what there is."""
        self._attach()
        return self.exit_codes[name].format(round=self.ctx.round, reason=reason)

    def train(self) -> Any:
        """Train a committee on all labels so far."""
        self.ctx.round += 1
        nodes = {name: orm.load_node(pk) for name, pk in self.ctx.sources.items()}
        if "isolated_atoms" in self.inputs:
            nodes["isolated_atoms"] = self.inputs.isolated_atoms
        try:
            dataset = run_calcfunction(
                build_dataset,
                f"build_dataset_{self._number()}",
                parameters=self.inputs.dataset_parameters,
                **nodes,
            )
        except ValueError as error:
            return self._end("ERROR_NO_DATASET", str(error))
        return self._start(FineTuneWorkChain, "finetune", "ERROR_TRAINING_FAILED", dataset=dataset)

    def inspect_training(self) -> ExitCode | None:
        """Take the new committee over."""
        node = self.ctx.finetune
        if not node.is_finished_ok:
            return self._end("ERROR_TRAINING_FAILED", one_line(node))
        self.ctx.trained_pk = node.pk
        return None

    def _trained(self) -> Any:
        return orm.load_node(self.ctx.trained_pk).outputs

    def _others(self) -> dict[str, PotentialData]:
        """Return the committee without the first member."""
        outputs = self._trained()
        return {
            label: member
            for label, member in sorted(outputs.committee.items())
            if member.uuid != outputs.potential.uuid
        }

    def explore(self) -> Any:
        """Run MD with the first member."""
        md = AttributeDict(self.exposed_inputs(MolecularDynamicsWorkChain, "md").md)
        fields = md.parameters.get_dict()
        fields["seed"] = fields.get("seed", 0) + self.ctx.round - 1
        md.parameters = orm.Dict(fields)
        md.structure = self.inputs.structure
        md.potential = self._trained().potential
        if "max_committee_spread_ev_per_angstrom" in fields:
            md.committee = self._others()
        return self._start(MolecularDynamicsWorkChain, "md", "ERROR_MD_FAILED", md=md)

    def inspect_md(self) -> ExitCode | None:
        """Go on with the frames that there are: those of a run gone astray teach the most."""
        node = self.ctx.md
        if not node.is_finished_ok:
            self.report(f"round {self.ctx.round}: {one_line(node)}")
        if {"trajectory", "output_parameters"} <= set(node.outputs):
            return None
        return self._end("ERROR_MD_FAILED", one_line(node))

    def measure_spread(self) -> Any:
        """Compare the forces of all members on the frames."""
        return self._start(
            SpreadCalculation,
            "spread",
            "ERROR_SPREAD_FAILED",
            trajectory=self.ctx.md.outputs.trajectory,
            potential=self._trained().potential,
            committee=self._others(),
        )

    def judge(self) -> ExitCode | None:
        """Compare spread and errors with the targets."""
        node = self.ctx.spread
        if not node.is_finished_ok:
            return self._end("ERROR_SPREAD_FAILED", one_line(node))
        judged = run_calcfunction(
            judge_round,
            f"judge_round_{self._number()}",
            self.inputs.targets,
            self._trained().errors_after,
            node.outputs.spread,
            self.ctx.md.outputs.output_parameters,
        )
        self.ctx.history[f"judged_{self._number()}"] = judged.pk
        self.ctx.converged = judged["converged"]
        self.ctx.reason = judged["reason"]
        self.report(f"round {self.ctx.round}: {judged['reason']}")
        return None

    def wants_labels(self) -> bool:
        """Return whether there is a round that would use new labels."""
        return self.has_rounds_left()

    def select(self) -> ExitCode | None:
        """Pick frames to label."""
        chosen = run_calcfunction(
            select_frames,
            f"select_frames_{self._number()}",
            self.inputs.selection,
            self.inputs.structure,
            self.ctx.spread.outputs.spread,
            orm.load_node(self.ctx.history[f"judged_{self._number()}"]),
        )
        selection = chosen.pop("selection")
        self.ctx.history[f"selection_{self._number()}"] = selection.pk
        self.ctx.chosen = {label: node.pk for label, node in chosen.items()}
        if chosen:
            return None
        found = selection.get_dict()
        return self._end(
            "ERROR_NOTHING_TO_LABEL",
            f"{found['frames']} frames, {found['with_large_spread']} of large spread, of which "
            f"{found['not_physical']} are no crystal",
        )

    def label(self) -> Any:
        """Compute energy, forces and stress of the chosen frames by DFT."""
        structures = {label: orm.load_node(pk) for label, pk in self.ctx.chosen.items()}
        return self._start(LabelWorkChain, "label", "ERROR_NO_LABELS", structures=structures)

    def inspect_labels(self) -> ExitCode | None:
        """Add the new labels to the sources; some may have failed."""
        node = self.ctx.label
        labels = outputs_of(node, "labels")
        if "summary" in node.outputs:
            self.ctx.history[f"labelled_{self._number()}"] = node.outputs.summary.pk
        if not node.is_finished_ok:
            self.report(f"round {self.ctx.round}: {one_line(node)}")
        for formula, trajectory in labels.items():
            name = f"{ROUND}{self._number()}_{formula}"
            self.ctx.new_labels[name] = self.ctx.sources[name] = trajectory.pk
        return None if labels else self._end("ERROR_NO_LABELS", one_line(node))

    def _attach(self) -> None:
        """Attach the last committee, all labels and the history."""
        if "trained_pk" in self.ctx:
            node = orm.load_node(self.ctx.trained_pk)
            self.out("potential", node.outputs.potential)
            self.out("committee", outputs_of(node, "committee"))
            self.out("errors", node.outputs.errors_after)
            self.out("dataset", node.inputs.dataset)
        if self.ctx.new_labels:
            labels = {name: orm.load_node(pk) for name, pk in self.ctx.new_labels.items()}
            self.out("labels", labels)
        if self.ctx.history:
            rounds = {name: orm.load_node(pk) for name, pk in self.ctx.history.items()}
            self.out("history", run_calcfunction(collect_rounds, "collect_rounds", **rounds))

    def results(self) -> ExitCode | None:
        """Attach the outputs, and say if no target was reached."""
        if self.ctx.converged:
            self._attach()
            return None
        return self._end("ERROR_NOT_CONVERGED", self.ctx.reason)
