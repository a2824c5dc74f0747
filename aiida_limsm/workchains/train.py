"""TrainWorkChain: one training, continued until the asked number of epochs."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_limsm.calculations.base import EXIT_CODES
from aiida_limsm.calculations.train import MaceTrainCalculation
from aiida_limsm.compute.base import Status
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from ._restart import LimsmRestartWorkChain


class TrainWorkChain(LimsmRestartWorkChain):
    """Trains with ``mace_run_train`` on one seed, whatever the queue's walltime."""

    PROTOCOL_NAME = "finetune"
    JOB_NAMESPACE = "train"
    CHECKPOINT_LINE = r"epoch "
    _process_class = MaceTrainCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs and outputs."""
        super().define(spec)
        spec.input("dataset", valid_type=ReferenceDatasetData, help="Labelled frames, split.")
        spec.input(
            "foundation", valid_type=PotentialData, required=False, help="The model to fine-tune."
        )
        spec.input(
            "replay",
            valid_type=ReferenceDatasetData,
            required=False,
            help="Frames with labels like the foundation's, for strategy `multihead`.",
        )
        spec.expose_inputs(
            MaceTrainCalculation,
            namespace="train",
            exclude=("dataset", "foundation", "replay", "parent_folder"),
        )
        spec.inputs.validator = cls.validate_inputs
        spec.exit_code(
            311,
            "ERROR_NO_EPOCH_FITS",
            message="The walltime ended before one more epoch was done: ask for a longer one.",
        )
        spec.expose_outputs(
            MaceTrainCalculation, include=("potential", "multihead", "output_parameters")
        )

    @classmethod
    def validate_inputs(cls, inputs: Any, namespace: Any) -> str | None:
        """Refuse what the job would refuse, at submission."""
        # A workchain that exposes this one may provide the nodes itself.
        if "dataset" not in namespace or "dataset" not in inputs:
            return None
        nodes = {key: inputs[key] for key in ("dataset", "foundation", "replay") if key in inputs}
        try:
            MaceTrainCalculation.build_input({**inputs["train"], **nodes})
        except ValueError as error:
            return f"train: {error}"
        return None

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        dataset: ReferenceDatasetData | None = None,
        foundation: PotentialData | None = None,
        *,
        replay: ReferenceDatasetData | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        code
            The ``limsm`` code (node or label).
        dataset, foundation, replay
            Labelled frames, the model to fine-tune, and the replay set; may be set later.
        protocol, overrides, options
            As for the other workchains.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.start_builder(code, inputs, options)
        for name, node in (("dataset", dataset), ("foundation", foundation), ("replay", replay)):
            if node is not None:
                builder[name] = node
        return builder

    def setup(self) -> None:
        """Collect the inputs of the first job."""
        super().setup()
        for name in ("dataset", "foundation", "replay"):
            if name in self.inputs:
                self.ctx.inputs[name] = self.inputs[name]

    @process_handler(priority=550)
    def handle_no_progress(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Give up where the walltime does not hold a single epoch, instead of trying for ever."""
        if calculation.exit_status != EXIT_CODES[Status.OUT_OF_WALLTIME]:
            return None
        epochs = calculation.outputs.output_parameters.get_dict()["epochs"]
        if epochs > self.ctx.get("epochs", 0):
            self.ctx.epochs = epochs
            return None
        return ProcessHandlerReport(True, self.exit_codes.ERROR_NO_EPOCH_FITS)
