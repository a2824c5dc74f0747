"""Parser of ``limsm.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida_limsm.calculations.md import stays_remote
from aiida_limsm.compute.base import INPUT_FILENAME, Status
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.results import MdResults, MdRunResults
from aiida_limsm.data.trajectory import MolecularDynamicsData

from .base import LimsmParser


class MolecularDynamicsParser(LimsmParser):
    """Makes a MolecularDynamicsData of every trajectory."""

    RESULTS_MODEL = MdResults

    def attach(self, results: MdResults, folder: Path | None) -> None:
        """Attach trajectories, also of a run that a guard stopped: its frames are good."""
        remote = stays_remote(self.node.inputs)
        if folder is None and not remote:
            return
        several = len(results.runs) > 1
        for number, run in enumerate(results.runs):
            for name, file in (("trajectory", run.trajectory_file), ("mobile", run.mobile_file)):
                if file is None:
                    continue
                suffix = "" if name == "trajectory" else f"_{name}"
                label = f"runs.run_{number}{suffix}" if several else name
                if remote:
                    self.out(label, self._in_place(results, run, name == "mobile"))
                else:
                    assert folder is not None
                    self.out(label, MolecularDynamicsData.from_file(folder / file))

    def _in_place(
        self, results: MdResults, run: MdRunResults, mobile: bool
    ) -> MolecularDynamicsData:
        """Return a node that points to a file in the job's folder."""
        text = self.node.base.repository.get_object_content(INPUT_FILENAME, "r")
        job = MdInput.model_validate_json(text)
        structure = self.node.inputs.structure
        symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
        frames, interval = run.frames, results.frame_interval_ps
        path, digest = run.trajectory_file, run.trajectory_sha256
        if mobile:
            symbols = [symbol for symbol in symbols if symbol == job.mobile_species]
            frames, interval = mobile_frames(run, job), results.mobile_interval_ps or 0.0
            path, digest = run.mobile_file, run.mobile_sha256
        cell: Any = structure.cell if job.barostat is None else run.mean_cell_angstrom
        return MolecularDynamicsData.from_remote(
            self.node.outputs.remote_folder,
            str(path),
            sha256=str(digest),
            symbols=symbols,
            n_frames=frames,
            cell_angstrom=cell,
            frame_interval_ps=interval,
            temperature_k=run.mean_temperature_k,
        )


def mobile_frames(run: MdRunResults, job: MdInput) -> int:
    """Return how many frames of the mobile ions a run has written."""
    assert job.mobile_interval_steps is not None
    # a guard looks before a step is written, so the one at which it stopped is missing
    went_on = run.status in (Status.FINISHED, Status.OUT_OF_WALLTIME)
    last = run.steps_done if went_on else run.steps_done - 1
    return last // job.mobile_interval_steps + 1
