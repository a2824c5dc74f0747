"""The MD engine with ASE's effective-medium potential: cheap, and physics enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from aiida_limsm.atomistic.md import GuardTripped, MdRun, MdSettings
from aiida_limsm.atomistic.md_state import Checkpoint

SETTINGS = MdSettings(
    temperature_k=300.0,
    thermostat="langevin",
    friction_per_ps=5.0,
    time_step_fs=4.0,
    steps=20,
    equilibration_steps=0,
    frame_interval_steps=5,
    checkpoint_interval_steps=10,
    seed=7,
    mobile_species="Cu",
    max_framework_msd_angstrom2=None,
    max_force_ev_per_angstrom=50.0,
    max_temperature_factor=5.0,
    min_distance_angstrom=1.0,
)


@pytest.fixture(scope="module")
def alloy() -> Atoms:
    """Cu3Al, 32 atoms."""
    atoms = bulk("Cu", cubic=True).repeat((2, 2, 2))
    atoms.symbols[::4] = "Al"
    return atoms


class FreshEMT(EMT):
    """EMT whose forces depend on the positions alone: ASE's keeps an old neighbour list."""

    def calculate(self, atoms: Any = None, *arguments: Any, **options: Any) -> None:
        self.initialize(atoms)
        super().calculate(atoms, *arguments, **options)


class Springs(Calculator):
    """Every atom on a spring of its own: as cheap as a potential gets."""

    implemented_properties = ("energy", "forces")

    def __init__(self, centres: Any) -> None:
        super().__init__()
        self.centres = centres

    def calculate(self, atoms: Any = None, *arguments: Any) -> None:
        super().calculate(atoms, *arguments)
        moved = atoms.positions - self.centres
        self.results = {"energy": 1.5 * float(np.sum(moved**2)), "forces": -3.0 * moved}


class Record:
    """A sink and a place for checkpoints."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.positions: list[Any] = []
        self.temperatures: list[float] = []
        self.energies: list[float] = []
        self.saved: list[Checkpoint] = []

    def sink(self, step: int, positions: Any, temperature_k: float, energy_ev: float) -> None:
        self.steps.append(step)
        self.positions.append(positions)
        self.temperatures.append(temperature_k)
        self.energies.append(energy_ev)

    def save(self, checkpoint: Checkpoint) -> None:
        self.saved.append(checkpoint)


def make(
    atoms: Atoms, checkpoint: Checkpoint | None = None, **changes: Any
) -> tuple[MdRun, Record]:
    return MdRun(atoms, FreshEMT(), replace(SETTINGS, **changes), checkpoint), Record()


def test_frames_and_steps(alloy: Atoms) -> None:
    start = alloy.get_positions()
    run, record = make(alloy)
    seen: list[int] = []
    done = run.run(record.sink, record.save, progress=lambda step, temperature: seen.append(step))
    assert done
    assert record.steps == [0, 5, 10, 15, 20]  # steps / interval + 1
    np.testing.assert_array_equal(record.positions[0], start)
    assert [checkpoint.step for checkpoint in record.saved] == [10, 20] == seen
    assert run.statistics.frames == 5
    assert run.statistics.mean_temperature_k == pytest.approx(np.mean(record.temperatures))
    assert run.statistics.std_temperature_k == pytest.approx(np.std(record.temperatures))
    assert run.run(record.sink, record.save)  # nothing is left to do
    assert len(record.steps) == 5
    np.testing.assert_array_equal(alloy.get_positions(), start)


@pytest.mark.parametrize("equilibration", [1, 7, 10, 13])
def test_equilibration_need_not_be_a_multiple(alloy: Atoms, equilibration: int) -> None:
    run, record = make(alloy, equilibration_steps=equilibration, steps=10)
    start = run.atoms.get_positions()
    assert run.run(record.sink, record.save)
    assert record.steps == [0, 5, 10]
    assert run.step == 10
    assert np.abs(record.positions[0] - start).max() > 1e-4
    # the framework's displacement counts from the first frame, not from the start
    np.testing.assert_array_equal(run.checkpoint().reference, record.positions[0])


def test_momentum_and_start_temperature(alloy: Atoms) -> None:
    big = alloy.repeat((4, 4, 4))
    run, _ = make(big, temperature_k=600.0)
    np.testing.assert_allclose(run.atoms.get_momenta().sum(axis=0), 0, atol=1e-9)
    degrees = 3 * len(big)
    error = 600.0 * np.sqrt(2 / degrees)
    assert abs(run.atoms.get_temperature() - 600.0) < 4 * error


def test_nve_conserves_energy(alloy: Atoms) -> None:
    run, record = make(alloy, thermostat="nve", steps=500, time_step_fs=2.0, temperature_k=600.0)
    assert run.run(record.sink, record.save)
    kinetic = 1.5 * len(alloy) * units.kB * np.array(record.temperatures)
    total = kinetic + np.array(record.energies)
    assert np.ptp(kinetic) > 0.3  # it does move
    assert np.ptp(total) / len(alloy) < 2e-4
    slope = np.polyfit(np.arange(len(total)) * 0.01, total, 1)[0]  # eV/ps
    assert abs(slope) / len(alloy) < 1e-4


def test_nve_follows_the_seed_only(alloy: Atoms) -> None:
    ends = []
    for seed in (1, 1, 2):
        run, record = make(alloy, thermostat="nve", seed=seed)
        run.run(record.sink, record.save)
        ends.append(record.positions[-1])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[0] - ends[2]).max() > 1e-3


def test_langevin_holds_the_temperature(alloy: Atoms) -> None:
    record = Record()
    settings = replace(SETTINGS, steps=20000, equilibration_steps=500, friction_per_ps=20.0)
    run = MdRun(alloy, Springs(alloy.get_positions()), settings)
    assert run.run(record.sink, record.save)
    values = np.array(record.temperatures)
    blocks = values[1:].reshape(20, -1).mean(axis=1)  # 4 ps each: independent
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert error < 5
    assert abs(values.mean() - 300.0) < 4 * error
    # canonical fluctuations, not those of a scaled or frozen system
    expected = 300.0 * np.sqrt(2 / (3 * len(alloy)))
    assert values.std() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("thermostat", ["langevin", "nve"])
@pytest.mark.parametrize("equilibration", [0, 7])
def test_restart_bit_for_bit(
    alloy: Atoms, tmp_path: Path, thermostat: str, equilibration: int
) -> None:
    changes = {"thermostat": thermostat, "equilibration_steps": equilibration, "steps": 30}
    whole, whole_record = make(alloy, **changes)
    assert whole.run(whole_record.sink, whole_record.save)

    record, checkpoint, parts = Record(), None, 0
    path = tmp_path / "checkpoint.npz"
    while True:
        run, _ = make(alloy, checkpoint, **changes)
        finished = run.run(record.sink, lambda state: state.write(path), lambda: True)
        checkpoint = Checkpoint.read(path)
        parts += 1
        if finished:
            break
    assert parts > 5
    assert record.steps == whole_record.steps
    np.testing.assert_array_equal(record.positions, whole_record.positions)
    np.testing.assert_array_equal(record.energies, whole_record.energies)
    np.testing.assert_array_equal(record.temperatures, whole_record.temperatures)
    last = whole_record.saved[-1]
    np.testing.assert_array_equal(checkpoint.momenta, last.momenta)
    assert checkpoint.random_state == last.random_state
    assert checkpoint.statistics == last.statistics


def test_stopping_at_the_last_frame_is_finishing(alloy: Atoms) -> None:
    run, record = make(alloy, steps=5)
    assert run.run(record.sink, record.save, lambda: True)


def explode(run: MdRun, record: Record) -> GuardTripped:
    with pytest.raises(GuardTripped) as caught:
        run.run(record.sink, record.save)
    assert "\n" not in str(caught.value)
    return caught.value


def squeezed(alloy: Atoms) -> Atoms:
    atoms = alloy.copy()
    atoms.positions[0] = atoms.positions[1] + [0.9, 0.0, 0.0]
    return atoms


@pytest.mark.parametrize(
    ("prepare", "changes", "kind", "words"),
    [
        (Atoms.copy, {"max_force_ev_per_angstrom": 0.01}, "forces",
         "exceeds 0.01: the potential is outside its training data, or the time step is too long"),
        (Atoms.copy, {"max_temperature_factor": 1.05, "time_step_fs": 10.0, "seed": 5,
                      "friction_per_ps": 50.0, "steps": 1000}, "temperature",
         "K exceeds 315 K: shorten the time step or improve the potential"),
        (squeezed, {"max_force_ev_per_angstrom": 1e9, "max_temperature_factor": 1e9,
                    "min_distance_angstrom": 2.2, "frame_interval_steps": 1, "time_step_fs": 0.1},
         "distance", "Å apart, less than 2.2: the potential has collapsed"),
        (Atoms.copy, {"max_framework_msd_angstrom2": 1e-5}, "framework",
         "(limit 1e-05): it melts or amorphises, and lattice sites lose their meaning"),
    ],
)  # fmt: skip
def test_guards(
    alloy: Atoms,
    prepare: Callable[[Atoms], Atoms],
    changes: dict[str, Any],
    kind: str,
    words: str,
) -> None:
    run, record = make(prepare(alloy), **changes)
    guard = explode(run, record)
    assert guard.kind == kind
    assert str(guard).startswith(f"step {run.step}: ")
    assert words in str(guard)
    assert record.steps[0] == 0  # what came before is kept


def test_forces_that_are_no_numbers(alloy: Atoms) -> None:
    run, record = make(alloy)
    run.atoms.calc.calculate = lambda *_: run.atoms.calc.results.update(
        energy=0.0, free_energy=0.0, forces=np.full((32, 3), np.nan)
    )
    assert explode(run, record).kind == "forces"


def test_framework_msd_ignores_a_drift(alloy: Atoms) -> None:
    run, _ = make(alloy)
    run.atoms.positions += [1.0, -2.0, 3.0]
    assert run.framework_msd() == pytest.approx(0.0, abs=1e-20)
    aluminium = np.flatnonzero(run.atoms.symbols == "Al")
    run.atoms.positions[aluminium[0]] += [0.8, 0.0, 0.0]
    # one of eight equal masses moved by 0.8 Å: 0.8² / 8 × (1 − 1/8)
    assert run.framework_msd() == pytest.approx(0.64 / 8 * 7 / 8)


def test_without_a_framework(alloy: Atoms) -> None:
    copper = bulk("Cu", cubic=True)
    run, record = make(copper, max_framework_msd_angstrom2=1e-9, steps=5)
    assert run.run(record.sink, record.save)
    assert run.statistics.framework_msd_angstrom2 == 0.0
