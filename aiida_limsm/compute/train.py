"""``limsm train``: drives MACE's own ``mace_run_train``, watches it, and describes what it made."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from .base import Status
from .environment import StopSignal, die_with_parent
from .evaluate import inspect_potential, summarise
from .mace_command import REPLAY_HEAD, TRAINED_HEAD, command_line, model_name
from .mace_progress import TrainingProgress
from .results import ErrorSummary
from .train_inputs import TrainInput
from .train_prepare import Prepared, prepare
from .train_results import TrainResults

FINAL_MODEL = "potential.model"
MULTIHEAD_MODEL = "potential_multihead.model"
TRAIN_LOG = "mace_run_train.log"
_POLL_SECONDS = 0.5


def run_train(
    job: TrainInput, folder: Path, progress: Callable[[str], None] = print
) -> TrainResults:
    """Train in ``folder``; checkpoints there are continued, a finished training is not repeated.

    Raises
    ------
    JobError
        For input that cannot be trained on.
    """
    started = time.monotonic()
    prepared = prepare(job, folder)
    final = folder / FINAL_MODEL
    status, message = Status.FINISHED, f"already trained: remove {FINAL_MODEL} to train on"
    mace_seconds = 0.0
    if not final.is_file():
        before = time.monotonic()
        status, message = _train(job, prepared, folder, started, progress)
        mace_seconds = time.monotonic() - before
        if status is Status.FINISHED:
            status, message = _take_models(job, folder, message)
    done = status is Status.FINISHED
    progressed = TrainingProgress(folder)
    progressed.update()
    history = progressed.history
    several = done and job.strategy == "multihead"
    return TrainResults(
        status=status,
        message=message,
        warnings=prepared.warnings,
        potential_file=FINAL_MODEL if done else None,
        potential=inspect_potential(final) if done else None,
        multihead_file=MULTIHEAD_MODEL if several else None,
        multihead=inspect_potential(folder / MULTIHEAD_MODEL) if several else None,
        epochs=max((record.epoch + 1 for record in history), default=0),
        initial=progressed.initial,
        history=history,
        errors=_final_errors(job, prepared, folder) if done else {},
        e0s_ev=prepared.e0s_ev,
        energy_zero_error_ev_per_atom=prepared.energy_zero_error,
        foundation_e0s_ev=prepared.foundation_info.e0s_ev if prepared.foundation_info else None,
        mace_seconds=mace_seconds,
        wall_seconds=time.monotonic() - started,
    )


def _take_models(job: TrainInput, folder: Path, message: str) -> tuple[Status, str]:
    """Give what MACE wrote our names, the file that says "trained" last."""
    produced = folder / model_name(job)
    if not produced.is_file():
        return Status.TRAINING_FAILED, f"mace_run_train wrote no {produced.name}: see {TRAIN_LOG}"
    if job.strategy != "multihead":
        produced.replace(folder / FINAL_MODEL)
        return Status.FINISHED, message
    if REPLAY_HEAD not in inspect_potential(produced).heads:
        return _replay_ignored()
    from aiida_limsm.atomistic.potential import write_head

    write_head(produced, folder / FINAL_MODEL, TRAINED_HEAD)
    produced.replace(folder / MULTIHEAD_MODEL)
    return Status.FINISHED, message


def _replay_ignored() -> tuple[Status, str]:
    return (
        Status.REPLAY_IGNORED,
        "mace_run_train fell back to naive fine-tuning and did not use the replay set: see "
        f"{TRAIN_LOG}",
    )


def _final_errors(
    job: TrainInput, prepared: Prepared, folder: Path
) -> dict[str, dict[str, ErrorSummary]]:
    """Evaluate the finished model on every split, each head on its own frames."""
    from aiida_limsm.atomistic.evaluation import evaluate_frames
    from aiida_limsm.atomistic.potential import load_calculator

    heads = {TRAINED_HEAD: FINAL_MODEL}
    if job.strategy == "multihead":
        heads[REPLAY_HEAD] = MULTIHEAD_MODEL
    errors: dict[str, dict[str, ErrorSummary]] = {head: {} for head in heads}
    for head, name in heads.items():
        chosen = head if name == MULTIHEAD_MODEL else None
        calculator = load_calculator(folder / name, head=chosen, device=job.device, dtype=job.dtype)
        for label, frames in prepared.frames.items():
            if label.startswith("replay ") == (head == REPLAY_HEAD):
                points = evaluate_frames(frames, calculator)
                errors[head][label.removeprefix("replay ")] = summarise(points)
    return errors


def _train(
    job: TrainInput,
    prepared: Prepared,
    folder: Path,
    started: float,
    progress: Callable[[str], None],
) -> tuple[Status, str]:
    """Run ``mace_run_train`` as a child, reporting epochs and stopping it when it must stop."""
    _drop_damaged_checkpoints(folder, progress)
    restart = any((folder / "checkpoints").glob("*.pt"))
    arguments = command_line(job, prepared.foundation, prepared.e0s_ev, restart)
    command = [sys.executable, "-m", "mace.cli.run_train", *arguments]
    done = TrainingProgress(folder)
    done.update()
    # A loss that went wrong in an earlier run is no verdict on this one.
    done.diverged = False
    exploded = False

    def report() -> None:
        nonlocal exploded
        for record in done.update():
            replay = record.replay_rmse_forces_mev_per_angstrom
            progress(
                f"epoch {record.epoch + 1}/{job.max_epochs}  validation force RMSE "
                f"{record.rmse_forces_mev_per_angstrom:.1f} meV/Å"
                + (f", replay {replay:.1f}" if replay is not None else "")
            )
            exploded = done.growth() > job.max_error_growth

    late = fell_back = False
    with (folder / TRAIN_LOG).open("ab") as log, StopSignal() as stop:
        child = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(),
        )
        while child.poll() is None:
            time.sleep(_POLL_SECONDS)
            report()
            fell_back = (
                job.strategy == "multihead"
                and done.initial is not None
                and REPLAY_HEAD not in done.heads
            )
            elapsed = time.monotonic() - started
            late = job.max_seconds is not None and elapsed > job.max_seconds
            if done.diverged or exploded or fell_back or stop.received or late:
                child.kill()
                child.wait()
                break
        report()
    if fell_back:
        return _replay_ignored()
    if done.diverged:
        return Status.LOSS_NOT_FINITE, "the loss is not finite: lower learning_rate"
    if exploded:
        return (
            Status.LOSS_EXPLODED,
            f"the validation force RMSE grew to {done.growth():.0f} times that before training: "
            "lower learning_rate",
        )
    if child.returncode == 0:
        return Status.FINISHED, f"{job.max_epochs} epochs done"
    if stop.received or late:
        # A scheduler signals every process of a job: the child may be gone before we asked.
        reason = stop.received or f"max_seconds ({job.max_seconds:g} s)"
        return (
            Status.OUT_OF_WALLTIME,
            f"stopped by {reason} after {len(done.history)} of {job.max_epochs} epochs: "
            "run it again",
        )
    return Status.TRAINING_FAILED, _last_error(folder / TRAIN_LOG, child.returncode)


def _drop_damaged_checkpoints(folder: Path, progress: Callable[[str], None]) -> None:
    """Remove checkpoints that a kill left half written: MACE would fail on them."""
    for path in (folder / "checkpoints").glob("*.pt"):
        if not zipfile.is_zipfile(path):
            progress(f"{path.name} is cut short: removed")
            path.unlink()


def _last_error(log: Path, returncode: int) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    tail = lines[-1] if lines else "no output"
    return f"mace_run_train ended with {returncode}: {tail} (whole log: {TRAIN_LOG})"
