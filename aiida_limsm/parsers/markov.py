"""Parser of ``limsm.markov``."""

from __future__ import annotations

from pathlib import Path

import h5py

from aiida_limsm.compute.results import AnalyseResults, DiffusionEstimate
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.data.markov_model import MarkovModelData

from .base import LimsmParser


class MarkovParser(LimsmParser):
    """Makes the model node and the two diffusion nodes."""

    RESULTS_MODEL = AnalyseResults

    def attach(self, results: AnalyseResults, folder: Path | None) -> None:
        """Attach ``markov_model``, ``diffusion`` and ``diffusion_msd``."""
        if results.model_file is None or folder is None:
            return
        with h5py.File(folder / results.model_file, "r"):
            pass  # an OSError tells that it was cut short
        self.out("markov_model", MarkovModelData(folder / results.model_file, results))
        if results.markov is not None:
            self._diffusion("diffusion", results, results.markov, results.lag_ps)
        if results.msd is not None:
            self._diffusion("diffusion_msd", results, results.msd, None)

    def _diffusion(
        self, label: str, results: AnalyseResults, estimate: DiffusionEstimate, lag_ps: float | None
    ) -> None:
        if results.temperature_k is None or results.cell_angstrom is None:
            self.logger.error(f"no {label}: the trajectories do not say their temperature")
            return
        parameters = self.node.inputs.parameters.get_dict()
        node = DiffusionData(
            estimate,
            temperature_k=results.temperature_k,
            cell_angstrom=results.cell_angstrom,
            ions=results.ions,
            species=parameters.get("mobile_species", "Li"),
            duration_ps=results.duration_ps,
            lag_ps=lag_ps,
        )
        self.out(label, node)
