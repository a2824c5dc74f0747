"""Which trajectories an ``limsm md`` job holds, and which of them are computed together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .inputs import MdInput

CHECKPOINT_FILENAME = "checkpoint.npz"
RUNS_FOLDER = "runs"

#: Atoms in a graph. On a CPU larger ones gain nothing: with the demo model 2.4 ms an evaluation of
#: 34 atoms in a batch of 4 or 8, 4.3 ms alone; at 272 atoms 13 ms in a batch of 4, 15.5 ms alone,
#: 16.4 ms in one of 8. A GPU needs thousands to be busy; its number is a guess.
BATCH_ATOMS = {"cpu": 300, "cuda": 3000}


@dataclass(frozen=True)
class RunPlan:
    """One trajectory: its number, its folder relative to the job's, temperature and seed."""

    key: int
    folder: str
    temperature_k: float
    seed: int


@dataclass(frozen=True)
class GroupPlan:
    """Runs that share a graph and a checkpoint file (relative to the job's folder)."""

    number: int
    runs: tuple[RunPlan, ...]
    checkpoint: str

    def path(self, folder: Path) -> Path:
        """Return where the checkpoint lies."""
        return folder / self.checkpoint

    @property
    def restart_paths(self) -> str:
        """What to remove to start anew, in words."""
        if self.checkpoint == CHECKPOINT_FILENAME:
            return "it and 'segments'"
        return f"the folder '{RUNS_FOLDER}'"


def plan_groups(job: MdInput, n_atoms: int) -> list[GroupPlan]:
    """Return the groups of a job.

    A single run lies in the job's folder itself; several lie in ``runs/<temperature>K-<replica>``.
    """
    temperatures = (job.temperature_k, *job.more_temperatures_k)
    runs = [
        RunPlan(0, "", temperature, job.seed)
        if len(temperatures) * job.replicas == 1
        else RunPlan(
            row * job.replicas + replica,
            f"{RUNS_FOLDER}/{temperature:g}K-{replica}",
            temperature,
            (job.seed + row * job.replicas + replica) % 2**31,
        )
        for row, temperature in enumerate(temperatures)
        for replica in range(job.replicas)
    ]
    size = batch_size(job, n_atoms, len(runs))
    groups = []
    for number, first in enumerate(range(0, len(runs), size)):
        several = len(runs) > 1
        name = f"{RUNS_FOLDER}/checkpoint-{number}.npz" if several else CHECKPOINT_FILENAME
        groups.append(GroupPlan(number, tuple(runs[first : first + size]), name))
    return groups


def batch_size(job: MdInput, n_atoms: int, n_runs: int) -> int:
    """Return how many runs share a graph: as asked, else what is fastest on the device."""
    if job.batch_size is not None:
        return min(job.batch_size, n_runs)
    if job.engine == "ase":
        return 1
    fair_share = -(-n_runs // job.workers)
    return max(1, min(fair_share, BATCH_ATOMS[job.device] // n_atoms))
