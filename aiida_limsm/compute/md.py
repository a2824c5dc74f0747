"""``limsm md``: one MLFF trajectory, restartable, written as H5MD."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path

from .base import JobError, Status
from .environment import StopSignal
from .inputs import MdInput
from .results import MdResults

CHECKPOINT_FILENAME = "checkpoint.npz"
SEGMENTS_FOLDER = "segments"
TRAJECTORY_FILENAME = "trajectory.h5"

_GUARD_STATUS = {
    "forces": Status.FORCES_EXPLODED,
    "temperature": Status.TEMPERATURE_RUNAWAY,
    "distance": Status.ATOMS_TOO_CLOSE,
    "framework": Status.FRAMEWORK_UNSTABLE,
}


def run_md(job: MdInput, folder: Path, progress: Callable[[str], None] = print) -> MdResults:
    """Run or continue a trajectory in ``folder``.

    A checkpoint in the folder is continued; frames written after it are dropped and redone. At
    the end, and when a guard stops the run, the segments become one ``trajectory.h5``.

    Raises
    ------
    JobError
        For input that cannot run: no potential, an element it lacks, a damaged checkpoint.
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
    atoms = ase.io.read(structure_path)
    try:
        require_elements(describe_model(potential_path).elements, set(atoms.symbols))
        calculator = load_calculator(
            potential_path, head=job.head, device=job.device, dtype=job.dtype
        )
        checkpoint_path = folder / CHECKPOINT_FILENAME
        checkpoint = Checkpoint.read(checkpoint_path) if checkpoint_path.exists() else None
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error
    if checkpoint is not None and checkpoint.positions.shape != (len(atoms), 3):
        raise JobError(
            Status.INVALID_INPUT,
            f"{checkpoint_path} belongs to {len(checkpoint.positions)} atoms, the structure has "
            f"{len(atoms)}: use another folder",
        )

    segments = folder / SEGMENTS_FOLDER
    segments.mkdir(exist_ok=True)
    if checkpoint is not None:
        checkpoint.statistics.restarts += 1
        progress(f"continuing from step {checkpoint.step}")
    # Frames after the checkpoint, or of a run that left none, belong to a killed past.
    truncate_segments(segments, last_step=checkpoint.step if checkpoint is not None else -1)
    writer = SegmentWriter(
        segments,
        numbers=atoms.numbers,
        cell=atoms.cell.array,
        frame_interval_ps=job.frame_interval_steps * job.time_step_fs / 1000.0,
        initial_step=0,
    )
    run = MdRun(atoms, calculator, _settings(job, MdSettings), checkpoint)

    def save(state: Checkpoint) -> None:
        writer.flush()  # frames first: a checkpoint must never be ahead of them
        state.write(checkpoint_path)

    total = job.steps + job.equilibration_steps
    first_step = run.step

    def report(step: int, temperature: float) -> None:
        done = step + job.equilibration_steps
        rate = (step - first_step) / (time.monotonic() - started)
        progress(f"step {done}/{total}  {temperature:.0f} K  {rate:.1f} steps/s")

    status, message = Status.FINISHED, f"{job.steps} steps done"
    with StopSignal() as signal:

        def should_stop() -> bool:
            elapsed = time.monotonic() - started
            late = job.max_seconds is not None and elapsed > job.max_seconds
            return late or signal.received is not None

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
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            status = Status.DISK_FULL
            message = f"no space left in {folder}: free some and run again, frames are kept"

    sha256 = None
    if status not in (Status.OUT_OF_WALLTIME, Status.DISK_FULL) and run.statistics.frames:
        sha256 = join_segments(segments, folder / TRAJECTORY_FILENAME)
    wall = time.monotonic() - started
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
        steps_per_second=(run.step - first_step) / wall,
        wall_seconds=wall,
    )


def _settings(job: MdInput, cls: type) -> object:
    fields = cls.__dataclass_fields__
    return cls(**{name: getattr(job, name) for name in fields})
