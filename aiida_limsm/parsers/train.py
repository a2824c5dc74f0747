"""Parser of ``limsm.train``."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.train_results import TrainResults
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.files import sha256_of

from .base import LimsmParser


class MaceTrainParser(LimsmParser):
    """Makes a PotentialData of the trained model."""

    RESULTS_MODEL = TrainResults

    def attach(self, results: TrainResults, folder: Path | None) -> None:
        """Attach ``potential``; licence and citation are the foundation's."""
        if results.potential_file is None or results.potential is None or folder is None:
            return
        path = folder / results.potential_file
        if sha256_of(path) != results.potential.sha256:
            raise ValueError(f"{path.name} is not the file that the training wrote")
        foundation = getattr(self.node.inputs, "foundation", None)
        self.out(
            "potential",
            PotentialData(
                path,
                results.potential,
                license=foundation.license if foundation is not None else None,
                citation=foundation.citation if foundation is not None else None,
            ),
        )
