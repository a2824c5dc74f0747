"""CalcJob ``limsm.evaluate``: errors of a potential on a reference dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.folders import Folder

from aiida_limsm.compute.inputs import EvaluateInput
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from .base import JobFiles, LimsmCalculation


class EvaluateCalculation(LimsmCalculation):
    """Runs ``limsm evaluate`` on the splits of a dataset.

    Energies are compared with the dataset's E0s written into the model, so that a foundation
    model of another code is judged by its interaction energy.
    """

    JOB_NAME = "evaluate"
    INPUT_MODEL = EvaluateInput
    NODES = ("potential", "dataset")

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="The model to judge.")
        spec.input("dataset", valid_type=ReferenceDatasetData, help="Labelled frames, split.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            help="Fields of the job's input model.",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.evaluate"
        spec.output("parity", valid_type=orm.SinglefileData, help="Labels and predictions (HDF5).")

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the splits that have frames, and the dataset's E0s."""
        dataset = inputs["dataset"]
        inputs["potential"].check_elements(dataset.elements)
        return {
            "potential_file": "potential.model",
            "dataset_files": {
                split: f"{split}.xyz" for split, count in dataset.counts.items() if count > 0
            },
            "e0s_ev": dataset.e0s_ev,
        }

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Copy the model and the frames."""
        potential = self.inputs.potential
        files.copy(potential, potential.filename, "potential.model")
        dataset = self.inputs.dataset
        for split, count in dataset.counts.items():
            if count > 0:
                files.copy(dataset, f"{split}.xyz", f"{split}.xyz")
        files.retrieve.append("parity.h5")
