"""FineTuneWorkChain: dataset and foundation model → potential, judged before and after."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ToContext, if_, while_

from aiida_limsm.calculations.evaluate import EvaluateCalculation
from aiida_limsm.calculations.train import MaceTrainCalculation
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from ._restart import LimsmRestartWorkChain, fill_job


class FineTuneWorkChain(LimsmRestartWorkChain):
    """Trains with ``mace_run_train``, restarts it, and measures errors on held-out blocks.

    The foundation model is evaluated on the same frames while the training runs, so that what
    the fine-tuning brought is part of the provenance.
    """

    PROTOCOL_NAME = "finetune"
    JOB_NAMESPACE = "train"
    _process_class = MaceTrainCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.input("dataset", valid_type=ReferenceDatasetData)
        spec.input("foundation", valid_type=PotentialData, required=False)
        spec.expose_inputs(
            MaceTrainCalculation,
            namespace="train",
            exclude=("dataset", "foundation", "parent_folder"),
        )
        spec.expose_inputs(
            EvaluateCalculation, namespace="evaluate", exclude=("dataset", "potential")
        )
        spec.outline(
            cls.setup,
            if_(cls.has_foundation)(cls.evaluate_foundation),
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
            cls.evaluate_potential,
            cls.inspect_evaluations,
        )
        spec.expose_outputs(MaceTrainCalculation, include=("potential", "output_parameters"))
        spec.output("errors_before", valid_type=orm.Dict, required=False)
        spec.output("errors_after", valid_type=orm.Dict, required=False)
        spec.output("parity", valid_type=orm.SinglefileData, required=False)
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
        protocol, overrides, options
            As for the other workchains.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.start_builder(code, inputs, options)
        fill_job(builder.evaluate, code, inputs["evaluate"], inputs, options)
        if dataset is not None:
            builder.dataset = dataset
        if foundation is not None:
            builder.foundation = foundation
        return builder

    def setup(self) -> None:
        """Collect the inputs of the training."""
        super().setup()
        self.ctx.inputs.dataset = self.inputs.dataset
        if self.has_foundation():
            self.ctx.inputs.foundation = self.inputs.foundation

    def has_foundation(self) -> bool:
        """Return whether this is a fine-tuning."""
        return "foundation" in self.inputs

    def _submit_evaluation(self, potential: PotentialData, label: str) -> orm.ProcessNode:
        inputs = self.exposed_inputs(EvaluateCalculation, "evaluate")
        inputs["metadata"]["call_link_label"] = label
        node = self.submit(
            EvaluateCalculation, potential=potential, dataset=self.inputs.dataset, **inputs
        )
        self.report(f"{label}: EvaluateCalculation<{node.pk}>")
        return node

    def evaluate_foundation(self) -> None:
        """Start the evaluation of the foundation model; the training does not wait for it."""
        node = self._submit_evaluation(self.inputs.foundation, "evaluate_before")
        self.ctx.evaluate_before_pk = node.pk

    def evaluate_potential(self) -> ToContext[str, Any] | ExitCode:
        """Evaluate the new potential."""
        if "potential" not in self.outputs:
            return self.exit_codes.ERROR_EVALUATION_FAILED
        node = self._submit_evaluation(self.outputs["potential"], "evaluate_after")
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
