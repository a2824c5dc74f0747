"""Parser of ``limsm.md``."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.results import MdResults
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import LimsmParser


class MolecularDynamicsParser(LimsmParser):
    """Makes a MolecularDynamicsData of the trajectory."""

    RESULTS_MODEL = MdResults

    def attach(self, results: MdResults, folder: Path | None) -> None:
        """Attach ``trajectory``, also of a run that a guard stopped: its frames are good."""
        if results.trajectory_file is not None and folder is not None:
            self.out(
                "trajectory", MolecularDynamicsData.from_file(folder / results.trajectory_file)
            )
