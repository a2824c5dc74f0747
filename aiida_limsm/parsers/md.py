"""Parser of ``limsm.md``."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.results import MdResults
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import LimsmParser


class MolecularDynamicsParser(LimsmParser):
    """Makes a MolecularDynamicsData of every trajectory."""

    RESULTS_MODEL = MdResults

    def attach(self, results: MdResults, folder: Path | None) -> None:
        """Attach trajectories, also of a run that a guard stopped: its frames are good."""
        if folder is None:
            return
        several = len(results.runs) > 1
        for number, run in enumerate(results.runs):
            for name, file in (("trajectory", run.trajectory_file), ("mobile", run.mobile_file)):
                if file is None:
                    continue
                suffix = "" if name == "trajectory" else f"_{name}"
                label = f"runs.run_{number}{suffix}" if several else name
                self.out(label, MolecularDynamicsData.from_file(folder / file))
