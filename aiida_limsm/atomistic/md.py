"""Molecular dynamics with ASE integrators: equilibration, production, checkpoints, guards.

The caller says what happens with a frame (``sink``) and when to stop (``should_stop``); this
module knows neither files nor AiiDA. A run continued from a checkpoint equals the uninterrupted
one bit for bit on the same device: the checkpoint holds positions, momenta, cell, thermostat,
barostat and random state exactly, and the place where the neighbour list was built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import gcd
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from numpy.typing import NDArray

from aiida_limsm.units import GPA_TO_EV_PER_ANGSTROM3

from .guards import (
    Committee,
    DistanceGuard,
    FrameworkGuard,
    Limits,
    check_forces,
    check_temperature,
)
from .integrators import Ensemble, make_integrator, temperature_k
from .md_state import Checkpoint, RunningStatistics

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MdSettings:
    """Physics, lengths, cadences and limits of a run; units in the names.

    All atoms are written every ``frame_interval_steps``, the mobile ones every
    ``mobile_interval_steps`` if given, thermodynamic data every ``thermo_interval_steps``.
    ``equilibration_thermostat`` None equilibrates as production runs.
    """

    ensemble: Ensemble
    limits: Limits
    steps: int
    equilibration_steps: int
    frame_interval_steps: int
    checkpoint_interval_steps: int
    seed: int
    mobile_species: str
    equilibration_thermostat: str | None = None
    mobile_interval_steps: int | None = None
    thermo_interval_steps: int | None = None
    committee_interval_steps: int = 100


@dataclass(frozen=True)
class Sample:
    """State of a run at one step.

    ``positions`` are unwrapped, (N, 3), Å; ``mobile`` are those of the mobile ions, the drift of
    the framework's centre of mass from its place in the start structure taken off.
    ``conserved_ev`` is what exact dynamics of the ensemble would keep. ``pressure_gpa`` (kinetic
    part included) is None where no stress is computed, the spread where no committee was asked at
    this step.
    """

    step: int
    positions: Array
    mobile: Array
    cell: Array
    temperature_k: float
    potential_energy_ev: float
    conserved_ev: float
    volume_angstrom3: float
    pressure_gpa: float | None
    spread_ev_per_angstrom: float | None


class Sink(Protocol):
    """Takes what a run produces."""

    def frame(self, sample: Sample) -> None:
        """Store all atoms."""

    def mobile(self, sample: Sample) -> None:
        """Store the mobile ions."""

    def thermo(self, sample: Sample) -> None:
        """Store thermodynamic data, of the equilibration as well."""


class MdRun:
    """One trajectory. Call :meth:`run`; it returns True when all steps are done.

    Parameters
    ----------
    atoms
        The start structure; not modified.
    calculator
        Any ASE calculator with forces; with ``barostat`` one with stress.
    settings
        Physics and limits.
    checkpoint
        State to continue from; None starts with Maxwell–Boltzmann velocities at the target
        temperature, without net momentum.
    committee
        Calculators of further potentials, whose forces are compared with the driving ones.
    """

    def __init__(
        self,
        atoms: Atoms,
        calculator: Calculator,
        settings: MdSettings,
        checkpoint: Checkpoint | None = None,
        committee: Sequence[Calculator] = (),
    ) -> None:
        if len(atoms) < 2:
            raise ValueError("one atom at rest has no dynamics: give a larger structure")
        self.settings = settings
        self.atoms: Any = atoms.copy()  # type: ignore[no-untyped-call]
        self.atoms.calc = calculator
        self._reference: Array
        self._reference_cell: Array
        self._rng = np.random.default_rng(settings.seed)
        limits = settings.limits
        self._framework = FrameworkGuard(self.atoms, settings.mobile_species, limits)
        self._distances = DistanceGuard(self.atoms, limits)
        self._committee = Committee(committee, limits) if committee else None
        self._origin = self._framework.centre(self.atoms.positions)
        self._mobile = np.setdiff1d(np.arange(len(atoms)), self._framework.indices)
        if checkpoint is None:
            self.step = -settings.equilibration_steps
            self.statistics = RunningStatistics()
            self._set_reference()
            MaxwellBoltzmannDistribution(
                self.atoms, temperature_K=settings.ensemble.temperature_k, rng=self._rng
            )
            Stationary(self.atoms)
            self._integrator = self._make_integrator()
        else:
            self.step = checkpoint.step
            self.statistics = checkpoint.statistics
            self._reference = checkpoint.reference
            self._reference_cell = checkpoint.reference_cell
            self.atoms.set_positions(checkpoint.positions)
            self.atoms.set_momenta(checkpoint.momenta)
            # A barostat counts from the cell in which it began, the reference cell.
            self.atoms.set_cell(checkpoint.reference_cell)
            self._integrator = self._make_integrator()
            self.atoms.set_cell(checkpoint.cell)
            self._integrator.restore(checkpoint.integrator)
            self._rng.bit_generator.state = checkpoint.random_state

    def _make_integrator(self) -> Any:
        settings = self.settings
        ensemble = settings.ensemble
        if self.step < 0 and settings.equilibration_thermostat is not None:
            ensemble = replace(ensemble, thermostat=settings.equilibration_thermostat)
        return make_integrator(self.atoms, ensemble, self._rng)

    def _set_reference(self) -> None:
        self._reference = self.atoms.get_positions()
        self._reference_cell = self.atoms.cell.array.copy()

    def checkpoint(self) -> Checkpoint:
        """Return the present state."""
        engine = getattr(self.atoms.calc, "engine", None)
        return Checkpoint(
            step=self.step,
            positions=self.atoms.get_positions(),
            momenta=self.atoms.get_momenta(),
            cell=self.atoms.cell.array.copy(),
            reference=self._reference,
            reference_cell=self._reference_cell,
            random_state=dict(self._rng.bit_generator.state),
            integrator=self._integrator.state(),
            statistics=deepcopy(self.statistics),
            anchor=engine.anchor(self.atoms.calc.key) if engine is not None else None,
        )

    @property
    def interval(self) -> int:
        """Steps between two looks at the run: the largest that meets every cadence."""
        settings = self.settings
        return gcd(
            settings.frame_interval_steps,
            settings.mobile_interval_steps or 0,
            settings.thermo_interval_steps or 0,
            settings.committee_interval_steps if self._committee else 0,
        )

    def run(
        self,
        sink: Sink,
        save: Callable[[Checkpoint], None],
        should_stop: Callable[[int], bool] = lambda step: False,
        progress: Callable[[int, float], None] | None = None,
    ) -> bool:
        """Run to the end, or until ``should_stop`` says so.

        Parameters
        ----------
        sink
            Gets production frames, the one of step 0 included, and thermodynamic data.
        save
            Called with a checkpoint every ``checkpoint_interval_steps`` and at the end.
        should_stop
            Asked with the step every :attr:`interval`; True saves a checkpoint and returns False.
        progress
            Called with the step and the temperature (K) after every checkpoint.

        Raises
        ------
        GuardTripped
            When forces, temperature, distances, the framework or the committee leave their
            limits. The last checkpoint and all earlier frames are kept.
        """
        settings = self.settings
        if self.step == 0 and self.statistics.frames == 0:
            self._record(sink)
        while self.step < settings.steps:
            before = self.step
            upto = min(self.interval * (before // self.interval + 1), settings.steps)
            for _ in range(upto - before):
                self._integrator.step()
            self.step = upto
            if self.step == 0:
                self._begin_production()
            temperature = self._record(sink)
            stopping = should_stop(self.step)
            period = settings.checkpoint_interval_steps
            if stopping or self.step == settings.steps or self.step // period > before // period:
                save(self.checkpoint())
                if progress is not None:
                    progress(self.step, temperature)
            if stopping and self.step < settings.steps:
                return False
        return True

    def _begin_production(self) -> None:
        """Start afresh: the displacement counts from here, and so does the conserved energy."""
        self._set_reference()
        self._integrator = self._make_integrator()

    def _record(self, sink: Sink) -> float:
        """Check the limits, hand out what is due at this step, and return the temperature."""
        settings, step = self.settings, self.step
        temperature = temperature_k(self.atoms)
        check_forces(step, self.atoms.get_forces(), settings.limits)
        check_temperature(step, temperature, settings.limits)
        whole = step % settings.frame_interval_steps == 0
        msd = self.framework_msd()
        if whole:
            self._distances.check(step, self.atoms)
            if step > 0:
                self._framework.check(step, msd)
        spread = None
        if self._committee and step % settings.committee_interval_steps == 0:
            spread = self._committee.spread(self.atoms)
            self._committee.check(step, spread)
        sample = self._sample(temperature, spread)
        thermo = settings.thermo_interval_steps or settings.frame_interval_steps
        if step % thermo == 0:
            sink.thermo(sample)
        if step >= 0:
            self._count(sample)
            if settings.mobile_interval_steps and step % settings.mobile_interval_steps == 0:
                sink.mobile(sample)
            if whole:
                self._count_frame(sample, msd)
                sink.frame(sample)
        return temperature

    def _sample(self, temperature: float, spread: float | None) -> Sample:
        atoms = self.atoms
        positions = atoms.get_positions()
        drift = self._framework.centre(positions) - self._origin
        pressure = None
        if "stress" in atoms.calc.results:
            stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
            pressure = float(-np.trace(stress) / 3.0 / GPA_TO_EV_PER_ANGSTROM3)
        return Sample(
            step=self.step,
            positions=positions,
            mobile=positions[self._mobile] - drift,
            cell=atoms.cell.array.copy(),
            temperature_k=temperature,
            potential_energy_ev=float(atoms.get_potential_energy()),
            conserved_ev=self._integrator.conserved_energy(),
            volume_angstrom3=float(atoms.get_volume()),
            pressure_gpa=pressure,
            spread_ev_per_angstrom=spread,
        )

    def _count(self, sample: Sample) -> None:
        statistics = self.statistics
        statistics.conserved_ev.add(float(sample.step), sample.conserved_ev)
        if sample.spread_ev_per_angstrom is not None:
            statistics.largest_spread_ev_per_angstrom = max(
                sample.spread_ev_per_angstrom, statistics.largest_spread_ev_per_angstrom or 0.0
            )

    def _count_frame(self, sample: Sample, msd: float) -> None:
        statistics = self.statistics
        statistics.frames += 1
        statistics.framework_msd_angstrom2 = msd
        statistics.temperature.add(sample.temperature_k)
        statistics.volume.add(sample.volume_angstrom3)
        if sample.pressure_gpa is not None:
            statistics.pressure_gpa.add(sample.pressure_gpa)
        statistics.cell_sum = (np.array(statistics.cell_sum) + sample.cell).tolist()

    def framework_msd(self) -> float:
        """Mean-square displacement of the immobile species since production began, Å².

        Relative to their centre of mass, so that a drift of the whole cell does not count.
        """
        return self._framework.msd(self.atoms, self._reference, self._reference_cell)
