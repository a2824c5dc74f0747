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
        if results.diffusion is not None:
            self._diffusion("diffusion", results, results.diffusion.markov, results.lag_time_ps)
            self._diffusion("diffusion_msd", results, results.diffusion.msd, None)

    def _diffusion(
        self,
        label: str,
        results: AnalyseResults,
        estimate: DiffusionEstimate,
        lag_time_ps: float | None,
    ) -> None:
        if results.temperature_k is None or results.cell_angstrom is None:
            self.logger.error(
                f"no {label}: the trajectories do not say their temperature; "
                "give temperature_k in the parameters"
            )
            return
        node = DiffusionData(
            estimate,
            temperature_k=results.temperature_k,
            cell_angstrom=results.cell_angstrom,
            n_ions=results.n_ions,
            species=results.species,
            duration_ps=results.duration_ps,
            lag_time_ps=lag_time_ps,
        )
        self.out(label, node)
