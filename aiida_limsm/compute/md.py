"""``limsm md``: MLFF trajectories, restartable, written as H5MD.

One run, or several seeds and temperatures: as one process or as several side by side.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import Status
from .environment import StopSignal
from .inputs import MdInput
from .md_prepare import Prepared, prepare, run_groups
from .md_workers import run_side_by_side
from .results import MdResults, MdRunResults

if TYPE_CHECKING:
    from .md_group import GroupResult

#: Which status of the runs is the job's: what a restart can help comes first.
_ORDER = (Status.DISK_FULL, Status.OUT_OF_WALLTIME)


def run_md(job: MdInput, folder: Path, progress: Callable[[str], None] = print) -> MdResults:
    """Run or continue the trajectories of a job in ``folder``.

    Checkpoints in the folder are continued; frames written after them are dropped and redone. At
    the end, and when a guard stops a run, its segments become one ``trajectory.h5``.

    Raises
    ------
    JobError
        For input that cannot run: no potential, an element it lacks, no GPU, a checkpoint that is
        damaged or of another run.
    """
    started = time.monotonic()
    prepared = prepare(job, folder)
    with StopSignal() as signal:

        def should_stop() -> str | None:
            if signal.received is None and job.max_seconds is not None:
                late = time.monotonic() - started > job.max_seconds
                return f"max_seconds ({job.max_seconds:g} s)" if late else None
            return signal.received

        if job.workers > 1 and len(prepared.groups) > 1:
            spent = time.monotonic() - started
            left = None if job.max_seconds is None else job.max_seconds - spent
            results = run_side_by_side(
                job, folder, prepared, left, lambda: signal.received, progress
            )
        else:
            results = run_groups(job, folder, prepared, None, should_stop, progress)
    return _collect(job, prepared, results, time.monotonic() - started)


def _collect(job: MdInput, prepared: Prepared, groups: list[GroupResult], wall: float) -> MdResults:
    runs = tuple(run for group in groups for run in group.runs)
    one = runs[0] if len(runs) == 1 else None
    steps = sum(group.steps for group in groups)
    seconds = max(sum(group.seconds for group in groups), 1e-9)
    at_once = min(job.workers, len(groups))
    status, message = _verdict(runs, job)
    means: dict[str, Any] = {}
    if one is not None:
        names = (
            "trajectory_file", "trajectory_sha256", "mean_temperature_k", "std_temperature_k",
            "framework_msd_angstrom2",
        )  # fmt: skip
        means = {name: getattr(one, name) for name in names}
    interval = job.time_step_fs / 1000.0
    mobile = job.mobile_interval_steps
    return MdResults(
        status=status,
        message=message,
        frames=sum(run.frames for run in runs),
        steps_done=min(run.steps_done for run in runs),
        frame_interval_ps=job.frame_interval_steps * interval,
        mobile_interval_ps=None if mobile is None else mobile * interval,
        restarts=sum(run.restarts for run in runs),
        runs=runs,
        batch_size=len(prepared.groups[0].runs),
        steps_per_second=steps * at_once / seconds,
        force_share=sum(group.force_seconds for group in groups) / seconds,
        wall_seconds=wall,
        **means,
    )


def _verdict(runs: tuple[MdRunResults, ...], job: MdInput) -> tuple[Status, str]:
    """Return the job's status: the worst of its runs, those first that a restart can help."""
    counts = Counter(run.status for run in runs)
    bad = [run for run in runs if run.status is not Status.FINISHED]
    if not bad:
        more = f" in each of {len(runs)} runs" if len(runs) > 1 else ""
        return Status.FINISHED, f"{job.steps} steps done{more}"
    order = (*_ORDER, *(status for status in counts if status not in _ORDER))
    worst = next(run for status in order for run in bad if run.status is status)
    if len(runs) == 1:
        return worst.status, worst.message
    return worst.status, f"{counts[worst.status]} of {len(runs)} runs: {worst.message}"
