"""Molecular dynamics with ASE integrators: equilibration, production, checkpoints, guards.

The caller says what happens with a frame (``sink``) and when to stop (``should_stop``); this
module knows neither files nor AiiDA. A run continued from a checkpoint equals the uninterrupted
one bit for bit on the same device: positions, momenta and the generator's state are all float64
or exact, and forces are a function of the positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from .md_state import Checkpoint, RunningStatistics

Array = NDArray[np.float64]


class GuardTripped(Exception):
    """The run left physical ground; ``kind`` names the guard."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class MdSettings:
    """Physics and guards of a run; units in the names."""

    temperature_k: float
    thermostat: str
    friction_per_ps: float
    time_step_fs: float
    steps: int
    equilibration_steps: int
    frame_interval_steps: int
    checkpoint_interval_steps: int
    seed: int
    mobile_species: str
    max_framework_msd_angstrom2: float | None
    max_force_ev_per_angstrom: float
    max_temperature_factor: float
    min_distance_angstrom: float


class FrameSink(Protocol):
    """Takes production frames; ``positions`` are unwrapped, shape (N, 3), Å."""

    def __call__(
        self, step: int, positions: Array, temperature_k: float, potential_energy_ev: float
    ) -> None:
        """Store one frame."""


class MdRun:
    """One trajectory. Call :meth:`run`; it returns True when all steps are done.

    Parameters
    ----------
    atoms
        The start structure; not modified.
    calculator
        Any ASE calculator with forces.
    settings
        Physics and guards.
    checkpoint
        State to continue from; None starts with Maxwell–Boltzmann velocities at the target
        temperature, without net momentum.
    """

    def __init__(
        self,
        atoms: Atoms,
        calculator: Calculator,
        settings: MdSettings,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.settings = settings
        self.atoms: Any = atoms.copy()  # type: ignore[no-untyped-call]
        self.atoms.calc = calculator
        self._rng = np.random.default_rng(settings.seed)
        symbols = np.array(self.atoms.get_chemical_symbols())
        self._framework = np.flatnonzero(symbols != settings.mobile_species)
        if checkpoint is None:
            self.step = -settings.equilibration_steps
            self.statistics = RunningStatistics()
            self._reference: Array = self.atoms.get_positions()
            MaxwellBoltzmannDistribution(
                self.atoms, temperature_K=settings.temperature_k, rng=self._rng
            )
            Stationary(self.atoms)
        else:
            self.step = checkpoint.step
            self.statistics = checkpoint.statistics
            self._reference = checkpoint.reference
            self.atoms.set_positions(checkpoint.positions)
            self.atoms.set_momenta(checkpoint.momenta)
            self._rng.bit_generator.state = checkpoint.random_state
        self._integrator = self._make_integrator()

    def _make_integrator(self) -> Any:
        settings = self.settings
        time_step = settings.time_step_fs * units.fs
        if settings.thermostat == "nve":
            return VelocityVerlet(self.atoms, timestep=time_step)
        return Langevin(
            self.atoms,
            timestep=time_step,
            temperature_K=settings.temperature_k,
            friction=settings.friction_per_ps / (1000.0 * units.fs),
            # ASE's fixcm does not sample the canonical ensemble; the drift is removed from the
            # trajectory by the analysis instead.
            fixcm=False,
            rng=self._rng,
        )

    def checkpoint(self) -> Checkpoint:
        """Return the present state."""
        return Checkpoint(
            step=self.step,
            positions=self.atoms.get_positions(),
            momenta=self.atoms.get_momenta(),
            reference=self._reference,
            random_state=dict(self._rng.bit_generator.state),
            statistics=self.statistics,
        )

    def run(
        self,
        sink: FrameSink,
        save: Callable[[Checkpoint], None],
        should_stop: Callable[[], bool] = lambda: False,
        progress: Callable[[int, float], None] | None = None,
    ) -> bool:
        """Run to the end, or until ``should_stop`` says so.

        Parameters
        ----------
        sink
            Called with every production frame, the one of step 0 included.
        save
            Called with a checkpoint every ``checkpoint_interval_steps`` and at the end.
        should_stop
            Asked after every frame; True saves a checkpoint and returns False.
        progress
            Called with the step and the temperature (K) after every checkpoint.

        Raises
        ------
        GuardTripped
            When forces, temperature, distances or the framework leave their limits. The last
            checkpoint and all earlier frames are kept.
        """
        settings = self.settings
        interval = settings.frame_interval_steps
        if self.step == 0 and self.statistics.frames == 0:
            self._begin_production(sink)
        while self.step < settings.steps:
            count = min(interval, -self.step) if self.step < 0 else interval
            for _ in range(count):
                self._integrator.step()
            self.step += count
            temperature = self._check_guards()
            if self.step == 0:
                self._begin_production(sink)
            elif self.step > 0:
                self._frame(sink, temperature)
            stopping = should_stop()
            if (
                stopping
                or self.step == settings.steps
                or self.step % settings.checkpoint_interval_steps < count
            ):
                save(self.checkpoint())
                if progress is not None:
                    progress(self.step, temperature)
            if stopping and self.step < settings.steps:
                return False
        return True

    def _begin_production(self, sink: FrameSink) -> None:
        self._reference = self.atoms.get_positions()
        self._frame(sink, float(self.atoms.get_temperature()))

    def _frame(self, sink: FrameSink, temperature_k: float) -> None:
        sink(
            self.step,
            self.atoms.get_positions(),
            temperature_k,
            float(self.atoms.get_potential_energy()),
        )
        self.statistics.add(temperature_k, self.framework_msd())

    def framework_msd(self) -> float:
        """Mean-square displacement of the immobile species since production began, in Å².

        Relative to their centre of mass, so that a drift of the whole cell does not count.
        """
        if self._framework.size == 0:
            return 0.0
        moved = (self.atoms.positions - self._reference)[self._framework]
        masses = self.atoms.get_masses()[self._framework]
        moved = moved - np.average(moved, axis=0, weights=masses)
        return float(np.mean(np.sum(moved**2, axis=1)))

    def _check_guards(self) -> float:
        settings = self.settings
        forces = self.atoms.get_forces()
        largest = float(np.abs(forces).max())
        if not np.isfinite(largest) or largest > settings.max_force_ev_per_angstrom:
            raise GuardTripped(
                "forces",
                f"step {self.step}: a force of {largest:.3g} eV/Å exceeds "
                f"{settings.max_force_ev_per_angstrom:g}: the potential is outside its training "
                "data, or the time step is too long",
            )
        temperature = float(self.atoms.get_temperature())
        limit = settings.max_temperature_factor * settings.temperature_k
        if temperature > limit:
            raise GuardTripped(
                "temperature",
                f"step {self.step}: temperature {temperature:.0f} K exceeds {limit:.0f} K: "
                "shorten the time step or improve the potential",
            )
        distances = neighbour_list("d", self.atoms, settings.min_distance_angstrom)
        if len(distances):
            raise GuardTripped(
                "distance",
                f"step {self.step}: two atoms are {distances.min():.2f} Å apart, less than "
                f"{settings.min_distance_angstrom:g}: the potential has collapsed",
            )
        if self.step > 0 and settings.max_framework_msd_angstrom2 is not None:
            moved = self.framework_msd()
            if moved > settings.max_framework_msd_angstrom2:
                raise GuardTripped(
                    "framework",
                    f"step {self.step}: the framework moved {moved:.2f} Å² "
                    f"(limit {settings.max_framework_msd_angstrom2:g}): it melts or "
                    "amorphises, and lattice sites lose their meaning; lower the temperature",
                )
        return temperature
