"""One group of MD runs: their forces come from one graph, their state is in one checkpoint."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator

from aiida_limsm.atomistic.engine import Engine, Evaluation
from aiida_limsm.atomistic.guards import GuardTripped, Limits
from aiida_limsm.atomistic.integrators import Ensemble
from aiida_limsm.atomistic.lockstep import EngineCalculator, run_in_step
from aiida_limsm.atomistic.md import MdRun, MdSettings
from aiida_limsm.atomistic.md_state import (
    Checkpoint,
    RunningStatistics,
    read_checkpoints,
    write_checkpoints,
)

from .base import Status
from .inputs import MdInput
from .md_output import MOBILE_FILENAME, THERMO_FILENAME, TRAJECTORY_FILENAME, RunOutput
from .md_plan import GroupPlan, RunPlan
from .results import MdRunResults

GUARD_STATUS = {
    "forces": Status.FORCES_EXPLODED,
    "temperature": Status.TEMPERATURE_RUNAWAY,
    "distance": Status.ATOMS_TOO_CLOSE,
    "framework": Status.FRAMEWORK_UNSTABLE,
    "committee": Status.COMMITTEE_DISAGREES,
}

#: Physics and bookkeeping that a continued run cannot change; lengths and limits it can.
_IDENTITY_FIELDS = (
    "temperature_k", "more_temperatures_k", "replicas", "thermostat", "friction_per_ps",
    "thermostat_time_fs", "equilibration_thermostat", "barostat", "pressure_gpa",
    "barostat_time_fs", "time_step_fs", "equilibration_steps", "frame_interval_steps",
    "mobile_interval_steps", "thermo_interval_steps", "seed", "mobile_species", "dtype", "head",
    "engine", "compile_model", "committee_files", "committee_interval_steps",
)  # fmt: skip


def identity_of(job: MdInput, atoms: Any, sha256: list[str], batch_size: int) -> dict[str, Any]:
    """Return what two parts of one trajectory must have in common, as JSON has it."""
    return {
        **job.model_dump(mode="json", include=set(_IDENTITY_FIELDS)),
        "structure": [str(atoms.symbols), atoms.cell.array.tolist()],
        "potential": sha256,
        "batch_size": batch_size,
    }


def read_group(folder: Path, group: GroupPlan, identity: dict[str, Any]) -> dict[int, Checkpoint]:
    """Return the states to go on from, none for a new group.

    Raises
    ------
    ValueError
        The checkpoint is damaged or of another run.
    """
    path = group.path(folder)
    if not path.exists():
        return {}
    states, found = read_checkpoints(path)
    found.setdefault("compile_model", False)  # checkpoints before 0.1 lack it
    for name, value in identity.items():
        if name == "batch_size" and found.get(name) != value:
            raise ValueError(
                f"{path.name} is of runs of which {found.get(name)} shared a graph, not {value}: "
                f"set batch_size to {found.get(name)}"
            )
        if found.get(name) != value:
            raise ValueError(
                f"{path.name} is of a run with another {name}: use another folder, or remove "
                f"{group.restart_paths} to start anew"
            )
    return states


@dataclass
class GroupResult:
    """What became of a group, and where the time went: steps are of all its runs together."""

    runs: list[MdRunResults]
    steps: int
    seconds: float
    force_seconds: float


class TimedEngine:
    """An engine whose time is taken."""

    def __init__(self, engine: Engine) -> None:
        self.seconds = 0.0
        self.calls = 0
        self.anchor = engine.anchor
        self.restore = engine.restore
        self._engine = engine

    def evaluate(self, systems: Mapping[int, Atoms], stress: bool) -> dict[int, Evaluation]:
        """Evaluate, and take the time."""
        began = time.perf_counter()
        found = self._engine.evaluate(systems, stress)
        self.calls += 1
        self.seconds += time.perf_counter() - began
        return found


class Group:
    """Runs that share a graph and a checkpoint.

    Parameters
    ----------
    job, folder, plan
        What to compute, and where.
    atoms
        The start structure.
    identity
        See :func:`identity_of`.
    states
        Where to go on from; empty for a new group.
    should_stop
        Returns the reason to stop, or None.
    progress
        Gets lines for people.
    """

    def __init__(
        self,
        job: MdInput,
        folder: Path,
        plan: GroupPlan,
        atoms: Atoms,
        identity: dict[str, Any],
        states: Mapping[int, Checkpoint],
        should_stop: Callable[[], str | None],
        progress: Callable[[str], None],
    ) -> None:
        self._job = job
        self._folder = folder
        self._plan = plan
        self._atoms = atoms
        self._identity = identity
        self._states = dict(states)
        self._should_stop = should_stop
        self._progress = progress
        self._engine: TimedEngine
        self._committee: Sequence[Calculator] = ()
        self._guards = {key: state.ended for key, state in states.items() if state.ended}
        self._runs: dict[int, MdRun] = {}
        self._outputs: dict[int, RunOutput] = {}
        self._pending: dict[int, Checkpoint] = {}
        self._asked_at: int | None = None
        self._reason: str | None = None
        self._began = time.perf_counter()

    def skip(self, reason: str) -> GroupResult:
        """Return what there is without taking a step."""
        self._reason = reason
        return GroupResult([self._result(run, {}, None) for run in self._plan.runs], 0, 0.0, 0.0)

    def run(self, engine: Engine, committee: Sequence[Calculator] = ()) -> GroupResult:
        """Run to the end, to a guard or until told to stop; a full disk is among the results.

        Parameters
        ----------
        engine
            Gives the forces of all runs.
        committee
            Calculators of further potentials.
        """
        self._engine, self._committee = TimedEngine(engine), committee
        self._began = time.perf_counter()
        first = {key: state.step for key, state in self._states.items()}
        full: str | None = None
        sums: dict[int, dict[str, str]] = {}
        try:
            if first:
                self._progress(f"continuing from step {min(first.values())}")
            for state in self._states.values():
                state.statistics.restarts += 1
            for run in self._plan.runs:
                folder = self._folder / run.folder
                last = first.get(run.key)
                self._outputs[run.key] = RunOutput(folder, self._job, self._atoms, last)
            active = [run for run in self._plan.runs if run.key not in self._guards]
            run_in_step(
                self._engine,
                {run.key: partial(self._drive, run) for run in active},
                self._job.barostat is not None,
            )
            if self._reason is None or all(self._is_done(run.key) for run in active):
                sums = {key: output.finish() for key, output in self._outputs.items()}
        except OSError as error:
            if not is_disk_full(error):
                raise
            full = (
                f"no space left in {self._folder}: free some and run again, frames up to the last "
                "checkpoint are kept"
            )
        seconds = time.perf_counter() - self._began
        for output in self._outputs.values():
            output.close()
        begun = -self._job.equilibration_steps
        steps = sum(run.step - first.get(key, begun) for key, run in self._runs.items())
        return GroupResult(
            [self._result(run, sums.get(run.key, {}), full) for run in self._plan.runs],
            steps, seconds, self._engine.seconds,
        )  # fmt: skip

    def _is_done(self, key: int) -> bool:
        return key in self._guards or self._runs[key].step == self._job.steps

    def _drive(self, run: RunPlan) -> None:
        """Compute one run; called in step with the others."""
        job, key = self._job, run.key
        state = self._states.get(key)
        if state is not None:
            self._engine.restore(key, state.anchor)
        calculator = EngineCalculator(self._engine, key, stress=job.barostat is not None)
        settings = settings_of(job, run)
        try:
            self._runs[key] = MdRun(self._atoms, calculator, settings, state, self._committee)
            self._runs[key].run(
                self._outputs[key], partial(self._save, key), self._stop, partial(self._say, run)
            )
        except GuardTripped as guard:
            self._guards[key] = (guard.kind, str(guard))
            self._outputs[key].flush()
            if len(self._plan.runs) > 1:
                # The others go on without it, and after a restart as well: one run more in the
                # graph would change their last digits.
                self._states[key] = replace(self._runs[key].checkpoint(), ended=self._guards[key])
                self._write_if_complete()

    def _stop(self, step: int) -> bool:
        """Decide once for every step, so that all runs stop at the same one."""
        if self._reason is None and step != self._asked_at:
            self._asked_at = step
            self._reason = self._should_stop()
        return self._reason is not None

    def _save(self, key: int, state: Checkpoint) -> None:
        self._outputs[key].flush()  # frames first: a checkpoint must never be ahead of them
        self._pending[key] = state
        self._write_if_complete()

    def _write_if_complete(self) -> None:
        """Write the checkpoint once all runs that go on have given their state of this step."""
        going_on = {run.key for run in self._plan.runs} - set(self._guards)
        if self._pending and set(self._pending) >= going_on:
            self._states.update(self._pending)
            self._pending.clear()
            write_checkpoints(self._plan.path(self._folder), self._states, self._identity)

    def _say(self, run: RunPlan, step: int, temperature: float) -> None:
        done = step + self._job.equilibration_steps
        total = self._job.steps + self._job.equilibration_steps
        name = f"{Path(run.folder).name}  " if run.folder else ""
        rate = self._engine.calls / (time.perf_counter() - self._began)
        self._progress(f"{name}step {done}/{total}  {temperature:.0f} K  {rate:.1f} steps/s")

    def _result(self, run: RunPlan, sums: Mapping[str, str], full: str | None) -> MdRunResults:
        key = run.key
        live, state = self._runs.get(key), self._states.get(key)
        step = live.step if live else state.step if state else -self._job.equilibration_steps
        known = live.statistics if live else state.statistics if state else RunningStatistics()
        status, message = Status.FINISHED, f"{self._job.steps} steps done"
        if full is not None:
            status, message = Status.DISK_FULL, full
        elif key in self._guards:
            kind, message = self._guards[key]
            status = GUARD_STATUS[kind]
        elif self._reason is not None and step < self._job.steps:
            status = Status.OUT_OF_WALLTIME
            message = f"stopped by {self._reason} at step {step} of {self._job.steps}: run it again"
        prefix = f"{run.folder}/" if run.folder else ""
        return MdRunResults(
            status=status,
            message=message,
            temperature_k=run.temperature_k,
            seed=run.seed,
            trajectory_file=prefix + TRAJECTORY_FILENAME if TRAJECTORY_FILENAME in sums else None,
            trajectory_sha256=sums.get(TRAJECTORY_FILENAME),
            mobile_file=prefix + MOBILE_FILENAME if MOBILE_FILENAME in sums else None,
            mobile_sha256=sums.get(MOBILE_FILENAME),
            thermo_file=prefix + THERMO_FILENAME,
            frames=known.frames,
            steps_done=max(step, 0),
            mean_temperature_k=known.temperature.mean,
            std_temperature_k=known.temperature.std,
            mean_volume_angstrom3=known.volume.mean,
            std_volume_angstrom3=known.volume.std,
            mean_pressure_gpa=known.pressure_gpa.mean,
            mean_cell_angstrom=known.mean_cell,  # type: ignore[arg-type]
            conserved_drift_ev_per_atom_ns=self._drift(known),
            framework_msd_angstrom2=known.framework_msd_angstrom2,
            largest_committee_spread_ev_per_angstrom=known.largest_spread_ev_per_angstrom,
            restarts=known.restarts,
        )

    def _drift(self, known: RunningStatistics) -> float | None:
        slope = known.conserved_ev.slope
        if slope is None or not math.isfinite(slope):
            return None
        return slope / len(self._atoms) / (self._job.time_step_fs * 1e-6)


def settings_of(job: MdInput, run: RunPlan) -> MdSettings:
    """Return physics and limits of one run."""
    temperature = run.temperature_k
    return MdSettings(
        ensemble=Ensemble(
            thermostat=job.thermostat,
            temperature_k=temperature,
            time_step_fs=job.time_step_fs,
            friction_per_ps=job.friction_per_ps,
            thermostat_time_fs=job.thermostat_time_fs,
            barostat=job.barostat,
            pressure_gpa=job.pressure_gpa,
            barostat_time_fs=job.barostat_time_fs,
        ),
        limits=Limits(
            max_force_ev_per_angstrom=job.max_force_ev_per_angstrom,
            temperature_band_k=(
                job.min_temperature_factor * temperature,
                job.max_temperature_factor * temperature,
            ),
            min_distance_angstrom=job.min_distance_angstrom,
            min_distance_fraction=job.min_distance_fraction,
            max_framework_msd_angstrom2=job.max_framework_msd_angstrom2,
            max_committee_spread_ev_per_angstrom=job.max_committee_spread_ev_per_angstrom,
        ),
        seed=run.seed,
        **{
            name: getattr(job, name)
            for name in (
                "steps", "equilibration_steps", "equilibration_thermostat", "mobile_species",
                "frame_interval_steps", "mobile_interval_steps", "thermo_interval_steps",
                "checkpoint_interval_steps", "committee_interval_steps",
            )
        },
    )  # fmt: skip


def is_disk_full(error: OSError) -> bool:
    """Tell a full disk from other failures: h5py has words for it, not always a number."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
