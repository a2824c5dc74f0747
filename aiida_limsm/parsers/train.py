"""Parser of ``limsm.train``."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.results import TrainResults
from aiida_limsm.data.potential import PotentialData

from .base import LimsmParser


class MaceTrainParser(LimsmParser):
    """Makes a PotentialData of the trained model."""

    RESULTS_MODEL = TrainResults

    def attach(self, results: TrainResults, folder: Path | None) -> None:
        """Attach ``potential``; licence and citation are the foundation's."""
        if results.potential_file is None or results.potential is None or folder is None:
            return
        foundation = getattr(self.node.inputs, "foundation", None)
        self.out(
            "potential",
            PotentialData(
                folder / results.potential_file,
                results.potential,
                license=foundation.license if foundation is not None else None,
                citation=foundation.citation if foundation is not None else None,
            ),
        )
