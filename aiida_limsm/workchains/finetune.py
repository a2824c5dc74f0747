"""FineTuneWorkChain: dataset and foundation model → potentials, judged before and after."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ToContext, WorkChain, if_

from aiida_limsm.calculations.evaluate import EvaluateCalculation
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from ._protocol import LimsmProtocolMixin
from ._restart import fill_job
from .train import TrainWorkChain


def _validate_committee(node: orm.Int, _: Any) -> str | None:
    return None if 1 <= node.value <= 64 else "committee: give 1 to 64 trainings"


class FineTuneWorkChain(LimsmProtocolMixin, WorkChain):
    """Trains one potential or a committee, and measures errors on held-out blocks.

    The members of a committee differ in their seed, which counts up from that in the parameters,
    and in their frames: the first, which is `potential`, is trained on all of them, the others on
    as many drawn with replacement, unless the parameters say `resample_frames` for all. They train
    at the same time, and meanwhile the foundation model is evaluated on the same frames, so that
    what the fine-tuning brought is part of the provenance.
    """

    PROTOCOL_NAME = "finetune"

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(TrainWorkChain, exclude=("metadata",))
        spec.expose_inputs(
            EvaluateCalculation,
            namespace="evaluate",
            exclude=("dataset", "potential", "committee", "own_e0s"),
        )
        spec.input(
            "committee",
            valid_type=orm.Int,
            default=lambda: orm.Int(1),
            validator=_validate_committee,
            help="Number of trainings, with seeds counting up from that in the parameters; all but "
            "the first draw their frames, unless `resample_frames` is among the parameters.",
        )
        spec.inputs.validator = TrainWorkChain.validate_inputs
        spec.outline(
            if_(cls.has_foundation)(cls.evaluate_foundation),
            cls.run_trainings,
            cls.inspect_trainings,
            cls.evaluate_potential,
            cls.inspect_evaluations,
        )
        spec.expose_outputs(TrainWorkChain)
        spec.output_namespace(
            "committee",
            valid_type=PotentialData,
            dynamic=True,
            help="All members, `potential` the first of them.",
        )
        spec.output_namespace(
            "committee_parameters", valid_type=orm.Dict, dynamic=True, help="Results per member."
        )
        spec.output("errors_before", valid_type=orm.Dict, required=False)
        spec.output("errors_after", valid_type=orm.Dict, required=False)
        spec.output("parity", valid_type=orm.SinglefileData, required=False)
        spec.exit_code(310, "ERROR_TRAINING_FAILED", message="{label}<{pk}>: {reason}")
        spec.exit_code(
            320, "ERROR_EVALUATION_FAILED", message="The potential was trained but not evaluated."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        dataset: ReferenceDatasetData | None = None,
        foundation: PotentialData | None = None,
        *,
        replay: ReferenceDatasetData | None = None,
        committee: int | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        code
            The ``limsm`` code (node or label).
        dataset, foundation
            Labelled frames and the model to fine-tune; may be set on the builder later.
        replay
            Frames with labels like the foundation's. Where given, and no strategy is named in the
            overrides, the strategy is ``multihead``.
        committee
            Number of potentials; the protocol's where None.
        protocol, overrides, options
            As for the other workchains.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        if replay is not None and "strategy" not in (overrides or {}).get("train", {}):
            inputs["train"]["strategy"] = "multihead"
        builder: Any = cls.get_builder()
        fill_job(builder.train, code, inputs["train"], inputs, options)
        fill_job(builder.evaluate, code, inputs["evaluate"], inputs, options)
        builder.max_iterations = orm.Int(inputs["max_iterations"])
        builder.committee = orm.Int(committee or inputs["committee"])
        for name, node in (("dataset", dataset), ("foundation", foundation), ("replay", replay)):
            if node is not None:
                builder[name] = node
        return builder

    def _e0s(self) -> str:
        """Return where the isolated-atom energies of the training come from."""
        e0s: str = self.inputs.train.parameters.get_dict().get("e0s", "isolated")
        return e0s

    def has_foundation(self) -> bool:
        """Return whether this is a fine-tuning."""
        return "foundation" in self.inputs

    def run_trainings(self) -> ToContext[str, Any]:
        """Start the trainings of all seeds."""
        fields = self.inputs.train.parameters.get_dict()
        first = fields.get("seed", 0)
        awaited = {}
        for seed in range(first, first + self.inputs.committee.value):
            inputs = AttributeDict(self.exposed_inputs(TrainWorkChain))
            if seed != first:
                inputs.train = AttributeDict(inputs.train)
                # Seeds alone hardly move a fine-tuned potential; the first one has all the data.
                inputs.train.parameters = orm.Dict(
                    {"resample_frames": True, **fields, "seed": seed}
                )
            label = f"seed_{seed}"
            inputs.metadata = {"call_link_label": label}
            awaited[label] = self.submit(TrainWorkChain, **inputs)
            self.report(f"training with seed {seed}: TrainWorkChain<{awaited[label].pk}>")
        self.ctx.members = list(awaited)
        return ToContext(**awaited)

    def inspect_trainings(self) -> ExitCode | None:
        """Attach what the trainings made; all of them must have ended well."""
        failed = None
        for label in self.ctx.members:
            node = self.ctx[label]
            outputs = self.exposed_outputs(node, TrainWorkChain)
            if label == self.ctx.members[0]:
                self.out_many(outputs)
            if len(self.ctx.members) > 1:
                for name, namespace in (
                    ("potential", "committee"),
                    ("output_parameters", "committee_parameters"),
                ):
                    if name in outputs:
                        self.out(f"{namespace}.{label}", outputs[name])
            if not node.is_finished_ok:
                failed = failed or node
                self.report(f"{label}: TrainWorkChain<{node.pk}>: {node.exit_message}")
        if failed is not None:
            return self.exit_codes.ERROR_TRAINING_FAILED.format(
                label=failed.process_label, pk=failed.pk, reason=failed.exit_message
            )
        return None

    def _submit_evaluation(
        self, potential: PotentialData, label: str, own_e0s: bool, **more: Any
    ) -> orm.ProcessNode:
        inputs = {**self.exposed_inputs(EvaluateCalculation, "evaluate"), **more}
        if own_e0s:
            inputs["own_e0s"] = orm.Bool(True)
        inputs["metadata"]["call_link_label"] = label
        node = self.submit(
            EvaluateCalculation, potential=potential, dataset=self.inputs.dataset, **inputs
        )
        self.report(f"{label}: EvaluateCalculation<{node.pk}>")
        return node

    def evaluate_foundation(self) -> None:
        """Start the evaluation of the foundation model; the training does not wait for it."""
        more: dict[str, Any] = {}
        head = self.inputs.train.parameters.get_dict().get("foundation_head")
        if head is not None:
            fields = self.inputs.evaluate.parameters.get_dict()
            more["parameters"] = orm.Dict({**fields, "head": head})
        node = self._submit_evaluation(
            self.inputs.foundation, "evaluate_before", self._e0s() == "foundation", **more
        )
        self.ctx.evaluate_before_pk = node.pk

    def evaluate_potential(self) -> ToContext[str, Any]:
        """Evaluate the new potential, and the spread of a committee."""
        others = {label: self.ctx[label].outputs.potential for label in self.ctx.members[1:]}
        node = self._submit_evaluation(
            self.outputs["potential"],
            "evaluate_after",
            self._e0s() != "isolated",
            **({"committee": others} if others else {}),
        )
        awaited: dict[str, Any] = {"evaluate_after": node}
        if self.has_foundation():
            awaited["evaluate_before"] = orm.load_node(self.ctx.evaluate_before_pk)
        return ToContext(**awaited)

    def inspect_evaluations(self) -> ExitCode | None:
        """Attach the errors before and after."""
        for when in ("before", "after"):
            node = self.ctx.get(f"evaluate_{when}")
            if node is None:
                continue
            if not node.is_finished_ok:
                self.report(f"EvaluateCalculation<{node.pk}>: {node.exit_message}")
                return self.exit_codes.ERROR_EVALUATION_FAILED
            self.out(f"errors_{when}", node.outputs.output_parameters)
            if when == "after":
                self.out("parity", node.outputs.parity)
        return None
