"""CalcJob ``limsm.train``: fine-tune or train a MACE potential on a reference dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida.common.folders import Folder

from aiida_limsm.compute.base import LimsmModel
from aiida_limsm.compute.train_inputs import TrainInput, check_head
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

from .base import JobFiles, LimsmCalculation


class MaceTrainCalculation(LimsmCalculation):
    """Runs ``limsm train``, which drives ``mace_run_train``."""

    JOB_NAME = "train"
    INPUT_MODEL = TrainInput
    NODES = ("dataset",)
    RESTART_FILES = ("checkpoints", "results", "logs")
    CACHE_VERSION = 2

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
        spec.input(
            "replay",
            valid_type=ReferenceDatasetData,
            required=False,
            help="Frames with labels like the foundation's, for strategy `multihead`.",
        )
        spec.inputs["metadata"]["options"]["parser_name"].default = "limsm.train"
        spec.output("potential", valid_type=PotentialData, help="The trained model.")
        spec.output(
            "multihead",
            valid_type=PotentialData,
            required=False,
            help="The trained model with the replay head too.",
        )

    @classmethod
    def owned_fields(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return file names and E0s; check that the foundation knows every element."""
        dataset, replay = inputs["dataset"], inputs.get("replay")
        foundation = inputs.get("foundation")
        for name, frames in (("dataset", dataset), ("replay", replay)):
            if frames is not None and not frames.counts["valid"]:
                raise ValueError(f"{name}: has no validation frames: split it with some")
            if frames is not None and foundation is not None:
                foundation.check_elements(frames.elements)
        fields: dict[str, Any] = {
            "foundation_file": "foundation.model" if foundation is not None else None,
            "train_file": "train.xyz",
            "valid_file": "valid.xyz",
        }
        if inputs["parameters"].get_dict().get("e0s", "isolated") == "isolated":
            fields["e0s_ev"] = dataset.e0s_ev
        if replay is not None:
            fields |= {
                "replay_train_file": "replay_train.xyz",
                "replay_valid_file": "replay_valid.xyz",
                "replay_e0s_ev": replay.e0s_ev,
            }
        return fields

    @classmethod
    def build_input(cls, inputs: Mapping[str, Any]) -> LimsmModel:
        """Return the validated input; refuse what the nodes show to be wrong before a job runs."""
        job = super().build_input(inputs)
        assert isinstance(job, TrainInput)
        dataset, foundation = inputs["dataset"], inputs.get("foundation")
        if job.batch_size > (frames := dataset.counts["train"]):
            raise ValueError(
                f"batch_size {job.batch_size} exceeds the {frames} training frames: lower it"
            )
        if foundation is not None:
            check_head(job.foundation_head, foundation.heads)
        if job.e0s == "foundation" and foundation is not None and len(foundation.heads) == 1:
            for symbol, energy in dataset.e0s_ev.items():
                other = foundation.e0s_ev.get(symbol, energy)
                if abs(other - energy) > job.max_energy_zero_error_ev_per_atom:
                    raise ValueError(
                        f"e0s 'foundation': its {symbol} atom has {other:.2f} eV, the dataset's "
                        f"DFT {energy:.2f} eV: take e0s 'isolated'"
                    )
        return job

    def prepare_files(self, folder: Folder, files: JobFiles) -> None:
        """Copy training and validation frames and the foundation; never the test frames."""
        for split in ("train", "valid"):
            files.copy(self.inputs.dataset, f"{split}.xyz", f"{split}.xyz")
            if (replay := self.inputs.get("replay")) is not None:
                files.copy(replay, f"{split}.xyz", f"replay_{split}.xyz")
        if (foundation := self.inputs.get("foundation")) is not None:
            files.copy(foundation, foundation.filename, "foundation.model")
        files.retrieve_temporary += ["potential.model", "potential_multihead.model"]
        files.retrieve.append("mace_run_train.log")
