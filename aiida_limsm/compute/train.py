"""``limsm train``: drives MACE's own ``mace_run_train``, watches it, and describes what it made."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from .base import JobError, Status
from .environment import StopSignal, die_with_parent
from .evaluate import inspect_potential, read_frames
from .inputs import TrainInput
from .mace_progress import TrainingProgress
from .results import PotentialInfo, TrainResults

#: MACE's name for the run: its files are not ours until it has ended well.
NAME = "mace"
FINAL_MODEL = "potential.model"
CURRENT_FOUNDATION = "foundation_e0.model"
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
    for name in (job.train_file, job.valid_file, job.foundation_file):
        if name is not None and not (folder / name).is_file():
            raise JobError(Status.INVALID_INPUT, f"{folder / name} does not exist")
    _check_dataset(job, folder)
    foundation = _prepare_foundation(job, folder)
    final = folder / FINAL_MODEL
    status, message = Status.FINISHED, f"already trained: remove {FINAL_MODEL} to train on"
    if not final.is_file():
        status, message = _train(job, folder, started, progress)
        if status is Status.FINISHED:
            produced = folder / _model_name(job)
            if produced.is_file():
                produced.replace(final)
            else:
                status = Status.TRAINING_FAILED
                message = f"mace_run_train wrote no {produced.name}: see {TRAIN_LOG}"
    potential = inspect_potential(final) if status is Status.FINISHED else None
    progressed = TrainingProgress(folder)
    progressed.update()
    history = progressed.history
    return TrainResults(
        status=status,
        message=message,
        potential_file=FINAL_MODEL if potential else None,
        potential=potential,
        epochs=max((record.epoch + 1 for record in history), default=0),
        history=history,
        foundation_e0s_ev=foundation.e0s_ev if foundation else None,
        wall_seconds=time.monotonic() - started,
    )


def _check_dataset(job: TrainInput, folder: Path) -> None:
    """Refuse what MACE would fail on late or silently: too few frames, missing labels or E0s."""
    train = read_frames(folder / job.train_file)
    valid = read_frames(folder / job.valid_file)
    if job.batch_size > len(train):
        raise JobError(
            Status.INVALID_INPUT,
            f"batch_size {job.batch_size} exceeds the {len(train)} training frames: lower it",
        )
    for atoms in [*train, *valid]:
        if "REF_energy" not in atoms.info or "REF_forces" not in atoms.arrays:
            raise JobError(
                Status.INVALID_INPUT, "every frame needs REF_energy and REF_forces labels"
            )
        missing = set(atoms.symbols) - set(job.e0s_ev)
        if missing:
            raise JobError(
                Status.INVALID_INPUT,
                f"e0s_ev: no isolated-atom energy of {', '.join(sorted(missing))}",
            )


def _prepare_foundation(job: TrainInput, folder: Path) -> PotentialInfo | None:
    """Write the copy of the foundation model that carries the reference code's E0s."""
    if job.foundation_file is None:
        return None
    from aiida_limsm.atomistic.potential import write_with_e0s

    info = inspect_potential(folder / job.foundation_file)
    try:
        write_with_e0s(folder / job.foundation_file, folder / CURRENT_FOUNDATION, job.e0s_ev)
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, f"foundation_file: {error}") from error
    return info


def _model_name(job: TrainInput) -> str:
    return f"{NAME}_stagetwo.model" if job.stage_two_epoch is not None else f"{NAME}.model"


def command_line(job: TrainInput, restart: bool) -> list[str]:
    """Return the ``mace_run_train`` arguments of a job."""
    from ase.data import atomic_numbers

    arguments: dict[str, str | int | float | bool] = {
        "name": NAME,
        "model": "ScaleShiftMACE",
        "train_file": job.train_file,
        "valid_file": job.valid_file,
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "compute_stress": True,
        "loss": "stress",
        "energy_weight": job.weights.energy,
        "forces_weight": job.weights.forces,
        "stress_weight": job.weights.stress,
        "error_table": "PerAtomRMSE",
        "max_num_epochs": job.max_epochs,
        "batch_size": job.batch_size,
        "valid_batch_size": max(job.batch_size, 8),
        "lr": job.learning_rate,
        "seed": job.seed,
        "device": job.device,
        "default_dtype": job.dtype,
        "num_workers": 0,
        "pin_memory": False,
        "plot": False,
        "eval_interval": 1,
        "work_dir": ".",
    }
    if job.foundation_file is not None:
        arguments |= {
            "foundation_model": CURRENT_FOUNDATION,
            "E0s": "foundation",
            "multiheads_finetuning": False,
        }
    else:
        energies = {atomic_numbers[symbol]: e for symbol, e in sorted(job.e0s_ev.items())}
        arguments["E0s"] = repr(energies)
    if (shape := job.architecture) is not None and job.foundation_file is None:
        arguments |= {
            "r_max": shape.r_max_angstrom,
            "num_channels": shape.num_channels,
            "max_L": shape.max_l,
            "max_ell": shape.max_ell,
            "correlation": shape.correlation,
            "num_interactions": shape.num_interactions,
        }
    arguments |= job.extra_arguments
    line = [f"--{key}={value}" for key, value in arguments.items()]
    if job.ema_decay is not None:
        line += ["--ema", f"--ema_decay={job.ema_decay}"]
    if job.stage_two_epoch is not None:
        line += ["--stage_two", f"--start_stage_two={job.stage_two_epoch}"]
    if restart:
        line.append("--restart_latest")
    return line


def _train(
    job: TrainInput, folder: Path, started: float, progress: Callable[[str], None]
) -> tuple[Status, str]:
    """Run ``mace_run_train`` as a child, reporting epochs and stopping it when it must stop."""
    _drop_damaged_checkpoints(folder, progress)
    restart = any((folder / "checkpoints").glob("*.pt"))
    command = [sys.executable, "-m", "mace.cli.run_train", *command_line(job, restart)]
    done = TrainingProgress(folder)
    done.update()
    # A loss that went wrong in an earlier run is no verdict on this one.
    done.diverged = False

    def report() -> None:
        for record in done.update():
            progress(
                f"epoch {record.epoch + 1}/{job.max_epochs}  validation force RMSE "
                f"{record.rmse_forces_mev_per_angstrom:.1f} meV/Å"
            )

    late = False
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
            elapsed = time.monotonic() - started
            late = job.max_seconds is not None and elapsed > job.max_seconds
            if done.diverged or stop.received or late:
                child.kill()
                child.wait()
                break
        report()
    if done.diverged:
        return Status.LOSS_NOT_FINITE, "the loss is not finite: lower learning_rate"
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
