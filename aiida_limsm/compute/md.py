"""``limsm md``: one MLFF trajectory, restartable, written as H5MD."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import JobError, Status
from .environment import StopSignal
from .inputs import MdInput
from .results import MdResults

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_limsm.atomistic.md import MdSettings
    from aiida_limsm.atomistic.md_state import Checkpoint

CHECKPOINT_FILENAME = "checkpoint.npz"
SEGMENTS_FOLDER = "segments"
TRAJECTORY_FILENAME = "trajectory.h5"

_GUARD_STATUS = {
    "forces": Status.FORCES_EXPLODED,
    "temperature": Status.TEMPERATURE_RUNAWAY,
    "distance": Status.ATOMS_TOO_CLOSE,
    "framework": Status.FRAMEWORK_UNSTABLE,
}
#: Physics and bookkeeping that a continued run cannot change; lengths and limits it can.
_IDENTITY_FIELDS = (
    "temperature_k",
    "thermostat",
    "friction_per_ps",
    "time_step_fs",
    "equilibration_steps",
    "frame_interval_steps",
    "seed",
    "mobile_species",
    "dtype",
    "head",
)


def run_md(job: MdInput, folder: Path, progress: Callable[[str], None] = print) -> MdResults:
    """Run or continue a trajectory in ``folder``.

    A checkpoint in the folder is continued; frames written after it are dropped and redone. At
    the end, and when a guard stops the run, the segments become one ``trajectory.h5``.

    Raises
    ------
    JobError
        For input that cannot run: no potential, an element it lacks, a checkpoint that is
        damaged or of another run.
    """
    # Heavy imports stay inside: reading the contract must not load torch.
    import ase.io

    from aiida_limsm.atomistic.md import GuardTripped, MdRun, MdSettings
    from aiida_limsm.atomistic.md_state import Checkpoint
    from aiida_limsm.atomistic.potential import describe_model, load_calculator, require_elements
    from aiida_limsm.trajectory.segments import SegmentWriter, join_segments, truncate_segments

    started = time.monotonic()
    potential_path = folder / job.potential_file
    structure_path = folder / job.structure_file
    for path in (potential_path, structure_path):
        if not path.is_file():
            raise JobError(Status.INVALID_INPUT, f"{path} does not exist")
    try:
        atoms: Any = ase.io.read(structure_path)
    except Exception as error:  # ASE's readers raise anything
        raise JobError(
            Status.INVALID_INPUT, f"structure_file: {structure_path} cannot be read: {error}"
        ) from error
    checkpoint_path = folder / CHECKPOINT_FILENAME
    segments = folder / SEGMENTS_FOLDER
    try:
        potential = describe_model(potential_path)
        require_elements(potential.elements, set(atoms.symbols))
        identity = _identity(job, atoms, potential.sha256)
        checkpoint = Checkpoint.read(checkpoint_path) if checkpoint_path.exists() else None
        if checkpoint is not None:
            _check_identity(checkpoint, identity)
        calculator = load_calculator(
            potential_path, head=job.head, device=job.device, dtype=job.dtype
        )
        # Frames after the checkpoint, or of a run that left none, belong to a killed past.
        truncate_segments(segments, last_step=checkpoint.step if checkpoint is not None else -1)
        writer = SegmentWriter(
            segments,
            numbers=atoms.numbers,
            cell=atoms.cell.array,
            frame_interval_ps=job.frame_interval_steps * job.time_step_fs / 1000.0,
            initial_step=max(checkpoint.step, 0) if checkpoint is not None else 0,
        )
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error
    if checkpoint is not None:
        checkpoint.statistics.restarts += 1
        progress(f"continuing from step {checkpoint.step}")
    run = MdRun(atoms, calculator, _settings(job, MdSettings), checkpoint)

    def save(state: Checkpoint) -> None:
        writer.flush()  # frames first: a checkpoint must never be ahead of them
        replace(state, identity=identity).write(checkpoint_path)

    total = job.steps + job.equilibration_steps
    first_step = run.step
    run_started = time.monotonic()

    def steps_per_second() -> float:
        return (run.step - first_step) / max(time.monotonic() - run_started, 1e-9)

    def report(step: int, temperature: float) -> None:
        done = step + job.equilibration_steps
        progress(f"step {done}/{total}  {temperature:.0f} K  {steps_per_second():.1f} steps/s")

    status, message = Status.FINISHED, f"{job.steps} steps done"
    sha256 = None
    rate = 0.0
    with StopSignal() as signal:

        def should_stop() -> bool:
            elapsed = time.monotonic() - started
            late = job.max_seconds is not None and elapsed > job.max_seconds
            return late or signal.received is not None

        try:
            try:
                finished = run.run(
                    lambda step, positions, temperature, energy: writer.append(
                        positions, step, temperature, energy
                    ),
                    save,
                    should_stop,
                    report,
                )
                if not finished:
                    reason = signal.received or f"max_seconds ({job.max_seconds:g} s)"
                    status = Status.OUT_OF_WALLTIME
                    message = f"stopped by {reason} at step {run.step} of {job.steps}: run it again"
            except GuardTripped as guard:
                status, message = _GUARD_STATUS[guard.kind], str(guard)
                writer.flush()
            rate = steps_per_second()
            if status is not Status.OUT_OF_WALLTIME and run.statistics.frames:
                sha256 = join_segments(segments, folder / TRAJECTORY_FILENAME)
        except OSError as error:
            if not _is_disk_full(error):
                raise
            status = Status.DISK_FULL
            message = (
                f"no space left in {folder}: free some and run again, frames up to the last "
                "checkpoint are kept"
            )
    return MdResults(
        status=status,
        message=message,
        trajectory_file=TRAJECTORY_FILENAME if sha256 else None,
        trajectory_sha256=sha256,
        frames=run.statistics.frames,
        steps_done=max(run.step, 0),
        frame_interval_ps=job.frame_interval_steps * job.time_step_fs / 1000.0,
        mean_temperature_k=run.statistics.mean_temperature_k,
        std_temperature_k=run.statistics.std_temperature_k,
        framework_msd_angstrom2=run.statistics.framework_msd_angstrom2,
        restarts=run.statistics.restarts,
        steps_per_second=rate,
        wall_seconds=time.monotonic() - started,
    )


def _settings(job: MdInput, cls: type[MdSettings]) -> MdSettings:
    return cls(**{field.name: getattr(job, field.name) for field in fields(cls)})


def _identity(job: MdInput, atoms: Atoms, potential_sha256: str) -> dict[str, Any]:
    """Return what two parts of one trajectory must have in common."""
    return {
        **{name: getattr(job, name) for name in _IDENTITY_FIELDS},
        "structure": [str(atoms.symbols), atoms.cell.array.tolist()],
        "potential": potential_sha256,
    }


def _check_identity(checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    for name, value in identity.items():
        if checkpoint.identity.get(name) != value:
            raise ValueError(
                f"{CHECKPOINT_FILENAME} is of a run with another {name}: use another folder, or "
                f"remove it and '{SEGMENTS_FOLDER}' to start anew"
            )


def _is_disk_full(error: OSError) -> bool:
    # h5py reports the failed write in words and does not always set errno
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
