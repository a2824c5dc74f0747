"""MD of a crystal of springs: cheap, and physics enough."""

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
from matscipy.neighbours import neighbour_list

from aiida_limsm.atomistic.guards import GuardTripped, Limits
from aiida_limsm.atomistic.integrators import Ensemble
from aiida_limsm.atomistic.md import MdRun, MdSettings, Sample
from aiida_limsm.atomistic.md_state import Checkpoint, read_checkpoints, write_checkpoints

SETTINGS = MdSettings(
    ensemble=Ensemble(
        thermostat="langevin",
        temperature_k=300.0,
        time_step_fs=4.0,
        friction_per_ps=5.0,
    ),
    limits=Limits(
        max_force_ev_per_angstrom=50.0,
        temperature_band_k=(0.0, 1500.0),
        min_distance_angstrom=0.0,
        min_distance_fraction=0.5,
        max_framework_msd_angstrom2=None,
    ),
    steps=20,
    equilibration_steps=0,
    frame_interval_steps=5,
    checkpoint_interval_steps=10,
    seed=7,
    mobile_species="Cu",
)
ENSEMBLES = {
    "nve": {"thermostat": "nve"},
    "langevin": {},
    "csvr": {"thermostat": "csvr"},
    "nose_hoover_chain": {"thermostat": "nose_hoover_chain"},
    "isotropic": {"thermostat": "nose_hoover_chain", "barostat": "isotropic"},
    "flexible": {"thermostat": "nose_hoover_chain", "barostat": "flexible"},
}


@pytest.fixture(scope="module")
def alloy() -> Atoms:
    """Cu3Al, 32 atoms."""
    atoms = bulk("Cu", cubic=True).repeat((2, 2, 2))
    atoms.symbols[::4] = "Al"
    return atoms


class Springs(Calculator):
    """Nearest neighbours on springs: cheap, and with the invariances of a real potential."""

    implemented_properties = ("energy", "free_energy", "forces", "stress")
    constant = 2.0  # eV/Å²

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        i, j, images, lengths = neighbour_list("ijSd", atoms, 2.8)
        half = i < j
        self.pairs, self.images, self.lengths = (i[half], j[half]), images[half], lengths[half]

    def calculate(self, atoms: Any = None, *arguments: Any) -> None:
        super().calculate(atoms, *arguments)
        i, j = self.pairs
        vectors = atoms.positions[j] - atoms.positions[i] + self.images @ atoms.cell.array
        distances = np.linalg.norm(vectors, axis=1)
        stretch = distances - self.lengths
        pull = (self.constant * stretch / distances)[:, None] * vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, i, pull)
        np.subtract.at(forces, j, pull)
        stress = vectors.T @ pull / atoms.get_volume()
        energy = 0.5 * self.constant * float(stretch @ stretch)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


class Record:
    """A sink and a place for checkpoints."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.mobiles: list[Sample] = []
        self.series: list[Sample] = []
        self.saved: list[Checkpoint] = []

    def frame(self, sample: Sample) -> None:
        self.samples.append(sample)

    def mobile(self, sample: Sample) -> None:
        self.mobiles.append(sample)

    def thermo(self, sample: Sample) -> None:
        self.series.append(sample)

    def save(self, checkpoint: Checkpoint) -> None:
        self.saved.append(checkpoint)

    @property
    def steps(self) -> list[int]:
        return [sample.step for sample in self.samples]

    @property
    def positions(self) -> list[Any]:
        return [sample.positions for sample in self.samples]

    @property
    def temperatures(self) -> Any:
        return np.array([sample.temperature_k for sample in self.samples])

    @property
    def conserved(self) -> Any:
        return np.array([sample.conserved_ev for sample in self.samples])


def settings_with(**changes: Any) -> MdSettings:
    """Change fields of the settings, of the ensemble or of the limits."""
    parts = {"ensemble": SETTINGS.ensemble, "limits": SETTINGS.limits}
    for name, part in parts.items():
        own = {key: changes.pop(key) for key in list(changes) if hasattr(part, key)}
        parts[name] = replace(part, **own)
    return replace(SETTINGS, **parts, **changes)  # type: ignore[arg-type]


def make(
    atoms: Atoms, checkpoint: Checkpoint | None = None, **changes: Any
) -> tuple[MdRun, Record]:
    settings = settings_with(**changes)
    return MdRun(atoms, Springs(perfect(atoms)), settings, checkpoint), Record()


def perfect(atoms: Atoms) -> Atoms:
    """Return the crystal of springs at rest of which ``atoms`` is a repetition or a distortion."""
    repeats = round((len(atoms) / 32) ** (1 / 3))
    return bulk("Cu", cubic=True).repeat(2).repeat(max(repeats, 1))


def test_frames_and_steps(alloy: Atoms) -> None:
    start = alloy.get_positions()
    run, record = make(alloy)
    seen: list[int] = []
    done = run.run(record, record.save, progress=lambda step, temperature: seen.append(step))
    assert done
    assert record.steps == [0, 5, 10, 15, 20]  # steps / interval + 1
    np.testing.assert_array_equal(record.positions[0], start)
    assert [checkpoint.step for checkpoint in record.saved] == [10, 20] == seen
    assert run.statistics.frames == 5
    assert run.statistics.temperature.mean == pytest.approx(np.mean(record.temperatures))
    assert run.statistics.temperature.std == pytest.approx(np.std(record.temperatures))
    assert run.run(record, record.save)  # nothing is left to do
    assert len(record.steps) == 5
    np.testing.assert_array_equal(alloy.get_positions(), start)


@pytest.mark.parametrize("equilibration", [1, 7, 10, 13])
def test_equilibration_need_not_be_a_multiple(alloy: Atoms, equilibration: int) -> None:
    run, record = make(alloy, equilibration_steps=equilibration, steps=10)
    start = run.atoms.get_positions()
    assert run.run(record, record.save)
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


@pytest.mark.parametrize("name", ENSEMBLES)
def test_energy_is_conserved(alloy: Atoms, name: str) -> None:
    run, record = make(alloy, **ENSEMBLES[name], steps=500, time_step_fs=2.0, temperature_k=600.0)
    assert run.run(record, record.save)
    total = [sample.potential_energy_ev for sample in record.samples]
    kinetic = 1.5 * (len(alloy) - 1) * units.kB * record.temperatures
    assert np.ptp(kinetic) > 0.3  # it does move
    if name != "nve":
        assert np.ptp(kinetic + total) > 0.3  # and takes heat from its bath
    # the time step's own error of the energy is the same with a bath and without
    assert np.ptp(record.conserved) / len(alloy) < 3e-4
    slope = np.polyfit(np.arange(len(total)) * 0.01, record.conserved, 1)[0]  # eV/ps
    assert abs(slope) / len(alloy) < 2e-4


@pytest.mark.parametrize("name", ENSEMBLES)
def test_the_centre_of_mass_stays(alloy: Atoms, name: str) -> None:
    run, record = make(alloy, **ENSEMBLES[name], steps=100)
    assert run.run(record, record.save)
    np.testing.assert_allclose(run.atoms.get_momenta().sum(axis=0), 0.0, atol=1e-9)
    if name in ("isotropic", "flexible"):
        return  # positions scale with the cell
    weights = run.atoms.get_masses() / run.atoms.get_masses().sum()
    np.testing.assert_allclose(
        weights @ record.positions[-1], weights @ record.positions[0], atol=1e-9
    )


def test_nve_follows_the_seed_only(alloy: Atoms) -> None:
    ends = []
    for seed in (1, 1, 2):
        run, record = make(alloy, thermostat="nve", seed=seed)
        run.run(record, record.save)
        ends.append(record.positions[-1])
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(ends[0] - ends[2]).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", ["langevin", "csvr", "nose_hoover_chain"])
def test_temperature_and_its_fluctuations(alloy: Atoms, thermostat: str) -> None:
    """Canonical: mean T, variance 2 T² / (3N − 3), as of a system at rest as a whole.

    The chain must be as fast as the phonons to be ergodic in so harmonic a crystal.
    """
    run, record = make(
        alloy, thermostat=thermostat, equilibration_thermostat="csvr", steps=6000,
        equilibration_steps=500, friction_per_ps=10.0, thermostat_time_fs=20.0,
    )  # fmt: skip
    assert run.run(record, record.save)
    blocks = record.temperatures[1:].reshape(12, -1).mean(axis=1)  # 2 ps each: independent
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert error < 5
    assert abs(blocks.mean() - 300.0) < 4 * error
    expected = 300.0 * np.sqrt(2 / (3 * len(alloy) - 3))
    assert record.temperatures.std() == pytest.approx(expected, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("barostat", ["isotropic", "flexible"])
def test_pressure_and_its_work(alloy: Atoms, barostat: str) -> None:
    """The mean of the pressure is the one asked for, and compression is that of the springs.

    Nearest neighbours of an fcc crystal at distance a/√2 on springs k: B = 4 k / (3 a). Pressures
    of finite systems are defined up to kT/V.
    """
    volumes = []
    for pressure in (0.0, 4.0):
        run, record = make(
            alloy, thermostat="nose_hoover_chain", equilibration_thermostat="csvr",
            barostat=barostat, steps=3000, equilibration_steps=500, pressure_gpa=pressure,
            thermostat_time_fs=50.0, barostat_time_fs=150.0,
        )  # fmt: skip
        assert run.run(record, record.save)
        samples = record.samples[101:]  # 2 ps to find the volume
        blocks = np.array([sample.pressure_gpa for sample in samples]).reshape(10, -1).mean(axis=1)
        error = blocks.std(ddof=1) / np.sqrt(len(blocks))
        small = units.kB * 300.0 / alloy.get_volume() / units.GPa
        assert error < 0.2
        assert abs(blocks.mean() - pressure) < 4 * error + 3 * small
        volumes.append(np.mean([sample.volume_angstrom3 for sample in samples]))
    modulus = 4 * Springs.constant / (3 * 3.61) / units.GPa
    assert volumes[1] / volumes[0] == pytest.approx(1 - 4.0 / modulus, abs=0.01)


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.parametrize("equilibration", [0, 7])
def test_restart_bit_for_bit(alloy: Atoms, tmp_path: Path, name: str, equilibration: int) -> None:
    changes = {**ENSEMBLES[name], "equilibration_steps": equilibration, "steps": 30}
    if equilibration and name != "langevin":
        changes["equilibration_thermostat"] = "csvr"
    whole, whole_record = make(alloy, **changes)
    assert whole.run(whole_record, whole_record.save)

    record, checkpoint, parts = Record(), None, 0
    path = tmp_path / "checkpoint.npz"
    while True:
        run, _ = make(alloy, checkpoint, **changes)
        finished = run.run(
            record, lambda state: write_checkpoints(path, {0: state}, {}), lambda step: True
        )
        checkpoint = read_checkpoints(path)[0][0]
        parts += 1
        if finished:
            break
    assert parts > 5
    assert record.steps == whole_record.steps
    np.testing.assert_array_equal(record.positions, whole_record.positions)
    np.testing.assert_array_equal(record.conserved, whole_record.conserved)
    np.testing.assert_array_equal(record.temperatures, whole_record.temperatures)
    for one, two in zip(record.samples, whole_record.samples, strict=True):
        np.testing.assert_array_equal(one.cell, two.cell)
    last = whole_record.saved[-1]
    np.testing.assert_array_equal(checkpoint.momenta, last.momenta)
    assert checkpoint.random_state == last.random_state
    assert checkpoint.integrator == last.integrator
    assert checkpoint.statistics == last.statistics


def test_cadences(alloy: Atoms) -> None:
    run, record = make(
        alloy, frame_interval_steps=10, mobile_interval_steps=5, thermo_interval_steps=2,
        equilibration_steps=3,
    )  # fmt: skip
    assert run.interval == 1
    assert run.run(record, record.save)
    assert record.steps == [0, 10, 20]
    assert [sample.step for sample in record.mobiles] == [0, 5, 10, 15, 20]
    assert [sample.step for sample in record.series] == [-2, *range(0, 21, 2)]
    for sample in record.mobiles:
        assert sample.mobile.shape == (24, 3)


def test_mobile_ions_are_relative_to_the_framework(alloy: Atoms) -> None:
    run, record = make(alloy, mobile_interval_steps=5, equilibration_steps=20)
    assert run.run(record, record.save)
    framework = alloy.symbols == "Al"
    for sample in record.mobiles:
        drift = (sample.positions - alloy.positions)[framework].mean(axis=0)
        np.testing.assert_allclose(sample.mobile, sample.positions[~framework] - drift, atol=1e-12)


def test_equilibration_with_another_thermostat(alloy: Atoms) -> None:
    run, record = make(
        alloy, thermostat="nve", equilibration_thermostat="csvr", equilibration_steps=400,
        steps=400, thermo_interval_steps=5, thermostat_time_fs=20.0,
    )  # fmt: skip
    assert run.run(record, record.save)
    kinetic = 1.5 * (len(alloy) - 1) * units.kB
    total = {
        sample.step: sample.potential_energy_ev + kinetic * sample.temperature_k
        for sample in record.series
    }
    before = np.array([energy for step, energy in total.items() if step < 0])
    after = np.array([energy for step, energy in total.items() if step >= 0])
    assert np.ptp(before) > 0.5 > 20 * np.ptp(after)
    # half of what a crystal at rest was given would have gone into its potential energy
    assert record.temperatures.mean() > 200.0


def test_stopping_at_the_last_frame_is_finishing(alloy: Atoms) -> None:
    run, record = make(alloy, steps=5)
    assert run.run(record, record.save, lambda step: True)


def explode(run: MdRun, record: Record) -> GuardTripped:
    with pytest.raises(GuardTripped) as caught:
        run.run(record, record.save)
    assert "\n" not in str(caught.value)
    return caught.value


def squeezed(alloy: Atoms) -> Atoms:
    atoms = alloy.copy()
    atoms.positions[0] = atoms.positions[1] + [0.9, 0.0, 0.0]
    return atoms


LOOSE = {"max_force_ev_per_angstrom": 1e9, "temperature_band_k": (0.0, 1e12)}


@pytest.mark.parametrize(
    ("prepare", "changes", "kind", "words"),
    [
        (Atoms.copy, {"max_force_ev_per_angstrom": 0.01}, "forces",
         "exceeds 0.01: the potential is outside its training data, or the time step is too long"),
        (Atoms.copy, {"temperature_band_k": (0.0, 305.0), "seed": 5, "steps": 1000,
                      "friction_per_ps": 50.0}, "temperature",
         "K exceeds 305 K: shorten the time step or improve the potential"),
        (Atoms.copy, {"thermostat": "nve", "temperature_band_k": (200.0, 1e3), "steps": 1000},
         "temperature", "K is below 200 K: equilibrate longer"),
        (squeezed, LOOSE, "distance",
         "Al and Cu are 0.90 Å apart, less than 1.27: the potential has collapsed"),
        (squeezed, {**LOOSE, "min_distance_fraction": 0.0, "min_distance_angstrom": 1.0},
         "distance", "are 0.90 Å apart, less than 1: "),
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
    # what came before is kept, and nothing of the step at which it stopped
    assert record.steps == list(range(0, run.step, 5))


def test_a_committee(alloy: Atoms) -> None:
    class Stronger(Springs):
        constant = 1.5 * Springs.constant

    settings = settings_with(committee_interval_steps=5, max_committee_spread_ev_per_angstrom=0.2)
    run, record = MdRun(alloy, Springs(alloy), settings, committee=[Stronger(alloy)]), Record()
    guard = explode(run, record)
    assert guard.kind == "committee"
    assert "label this structure and train on it" in str(guard)
    spreads = [sample.spread_ev_per_angstrom for sample in record.series]
    assert len(spreads) >= 1
    # forces F and 1.5 F lie 0.25 F from their mean
    largest = np.linalg.norm(run.atoms.get_forces(), axis=1).max()
    assert 0.25 * largest > 0.2
    assert run.statistics.largest_spread_ev_per_angstrom == max(spreads)


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
    copper = bulk("Cu", cubic=True).repeat(2)
    run, record = make(copper, max_framework_msd_angstrom2=1e-9, steps=5)
    assert run.run(record, record.save)
    assert run.statistics.framework_msd_angstrom2 == 0.0
