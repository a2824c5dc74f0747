"""CalcJob ``limsm.train``: fine-tune or train a MACE potential on a reference dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida.common.folders import Folder

from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from .base import JobFiles, LimsmCalculation


class MaceTrainCalculation(LimsmCalculation):
    """Runs ``limsm train``, which drives ``mace_run_train``."""

    JOB_NAME = "train"
    INPUT_MODEL = TrainInput
    NODES = ("dataset",)
    RESTART_FILES = ("checkpoints", "results", "logs")

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("dataset", valid_type=ReferenceDatasetData, help="Labelled frames, split.")
        spec.input(
            "foundation",
            valid_type=PotentialData,
            required=False,
            help="The model to fine-tune; without it a model is trained from scratch.",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.train"
        spec.output("potential", valid_type=PotentialData, help="The trained model.")

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return file names and E0s; check that the foundation knows every element."""
        dataset = inputs["dataset"]
        foundation = inputs.get("foundation")
        if foundation is not None:
            foundation.check_elements(dataset.elements)
        return {
            "foundation_file": "foundation.model" if foundation is not None else None,
            "train_file": "train.xyz",
            "valid_file": "valid.xyz",
            "e0s_ev": dataset.e0s_ev,
        }

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Copy the training and validation frames and the foundation; never the test frames."""
        for split in ("train", "valid"):
            files.copy(self.inputs.dataset, f"{split}.xyz", f"{split}.xyz")
        if (foundation := self.inputs.get("foundation")) is not None:
            files.copy(foundation, foundation.filename, "foundation.model")
        files.retrieve_temporary.append("potential.model")
        files.retrieve.append("mace_run_train.log")
