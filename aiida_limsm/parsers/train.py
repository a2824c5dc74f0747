"""Parser of ``limsm.train``."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.results import PotentialInfo
from aiida_limsm.compute.train_results import TrainResults
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.files import sha256_of

from .base import LimsmParser


class MaceTrainParser(LimsmParser):
    """Makes a PotentialData of the trained model, and one of it with the replay head."""

    RESULTS_MODEL = TrainResults

    def attach(self, results: TrainResults, folder: Path | None) -> None:
        """Attach ``potential`` and ``multihead``; licence and citation are the foundation's."""
        for label, name, info in (
            ("potential", results.potential_file, results.potential),
            ("multihead", results.multihead_file, results.multihead),
        ):
            if name is not None and info is not None and folder is not None:
                self.out(label, self._potential(folder / name, info))

    def _potential(self, path: Path, info: PotentialInfo) -> PotentialData:
        if sha256_of(path) != info.sha256:
            raise ValueError(f"{path.name} is not the file that the training wrote")
        foundation = getattr(self.node.inputs, "foundation", None)
        return PotentialData(
            path,
            info,
            license=foundation.license if foundation is not None else None,
            citation=foundation.citation if foundation is not None else None,
        )
