"""CalcJob ``limsm.evaluate``: errors of a potential, or a committee, on a reference dataset."""

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
    model of another code is judged by its interaction energy. With more potentials in
    ``committee``, the spread of all is compared with their error.
    """

    JOB_NAME = "evaluate"
    INPUT_MODEL = EvaluateInput
    NODES = ("potential", "dataset")
    CACHE_VERSION = 2

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and files."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="The model to judge.")
        spec.input_namespace(
            "committee",
            valid_type=PotentialData,
            required=False,
            help="More potentials, trained alike with other seeds; `potential` counts as one.",
        )
        spec.input("dataset", valid_type=ReferenceDatasetData, help="Labelled frames, split.")
        spec.input(
            "own_e0s",
            valid_type=orm.Bool,
            required=False,
            help="Keep the isolated-atom energies inside the potential: the labels have that zero.",
        )
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
        """Return the splits that have frames, the potentials' files, and the dataset's E0s."""
        dataset = inputs["dataset"]
        inputs["potential"].check_elements(dataset.elements)
        seen = {inputs["potential"].sha256: "potential"}
        for key, member in sorted((inputs.get("committee") or {}).items()):
            try:
                member.check_elements(dataset.elements)
            except ValueError as error:
                raise ValueError(f"committee.{key}: {error}") from None
            if member.sha256 in seen:
                raise ValueError(
                    f"committee.{key} is the same model as {seen[member.sha256]}: a committee "
                    "needs potentials of different seeds"
                )
            seen[member.sha256] = f"committee.{key}"
        return {
            "potential_file": "potential.model",
            "committee_files": tuple(
                f"committee_{key}.model" for key in sorted(inputs.get("committee") or {})
            ),
            "dataset_files": {
                split: f"{split}.xyz" for split, count in dataset.counts.items() if count > 0
            },
            "e0s_ev": None if inputs.get("own_e0s") else dataset.e0s_ev,
        }

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Copy the models and the frames."""
        potential = self.inputs.potential
        files.copy(potential, potential.filename, "potential.model")
        for key, member in sorted((self.inputs.get("committee") or {}).items()):
            files.copy(member, member.filename, f"committee_{key}.model")
        dataset = self.inputs.dataset
        for split, count in dataset.counts.items():
            if count > 0:
                files.copy(dataset, f"{split}.xyz", f"{split}.xyz")
        files.retrieve.append("parity.h5")
