"""Parser of ``limsm.markov``."""

from __future__ import annotations

from pathlib import Path

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
        self.out("markov_model", MarkovModelData(folder / results.model_file, results))
        if results.temperature_k is None or results.cell_angstrom is None:
            self.logger.error("the trajectories carry no temperature: D belongs to one, see H5MD")
            return
        if results.markov is not None:
            self.out("diffusion", self._diffusion(results, results.markov, results.lag_ps))
        if results.msd is not None:
            self.out("diffusion_msd", self._diffusion(results, results.msd, None))

    def _diffusion(
        self, results: AnalyseResults, estimate: DiffusionEstimate, lag_ps: float | None
    ) -> DiffusionData:
        parameters = self.node.inputs.parameters.get_dict()
        return DiffusionData(
            estimate,
            temperature_k=results.temperature_k,
            cell_angstrom=results.cell_angstrom,
            ions=results.ions,
            species=parameters.get("mobile_species", "Li"),
            duration_ps=results.duration_ps,
            lag_ps=lag_ps,
        )
