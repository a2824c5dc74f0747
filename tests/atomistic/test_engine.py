"""Engines against MACE's own calculator; neighbour lists with a skin; runs in step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones
from matscipy.neighbours import neighbour_list

from aiida_limsm import resources
from aiida_limsm.atomistic.crystals import li11si4, lithium_silicide
from aiida_limsm.atomistic.engine import AseEngine, MaceEngine
from aiida_limsm.atomistic.lockstep import EngineCalculator, run_in_step
from aiida_limsm.atomistic.neighbours import SkinList
from aiida_limsm.atomistic.potential import load_calculator

MODEL = Path(resources.__file__).parent / "demo_foundation" / "demo_foundation.model"


def shaken(atoms: Atoms, seed: int, far: bool = False) -> Atoms:
    """Displace atoms; ``far`` also takes them some cells away, as diffusion does."""
    rng = np.random.default_rng(seed)
    made = atoms.copy()
    made.positions += rng.normal(scale=0.1, size=made.positions.shape)
    if far:
        made.positions += rng.integers(-30, 30, size=made.positions.shape) @ made.cell.array
    return made


@pytest.fixture(scope="module")
def systems() -> dict[int, Atoms]:
    """Cells of different size, smaller and larger than the cut-off of 4.5 Å."""
    sheared = shaken(lithium_silicide("LiSi", primitive=True), 2)
    sheared.set_cell(sheared.cell.array @ [[1, 0.05, 0], [0, 1, 0.02], [0, 0, 1]], scale_atoms=True)
    return {3: shaken(li11si4(), 0), 5: shaken(lithium_silicide("Li13Si4"), 1), 8: sheared}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-12)])
def test_one_graph_gives_the_forces_of_mace(
    systems: dict[int, Atoms], dtype: str, tolerance: float
) -> None:
    calculator = load_calculator(MODEL, dtype=dtype)
    expected = AseEngine(calculator).evaluate(systems, stress=True)
    engine = MaceEngine(calculator)
    for stress in (True, False):
        found = engine.evaluate(systems, stress)
        assert list(found) == [3, 5, 8]
        for key, one in found.items():
            reference = expected[key]
            assert np.abs(reference.forces).max() > 0.3
            np.testing.assert_allclose(one.forces, reference.forces, atol=tolerance)
            assert one.energy_ev == pytest.approx(reference.energy_ev, abs=20 * tolerance)
            assert (one.stress is None) == (not stress)
            if one.stress is not None:
                np.testing.assert_allclose(one.stress, reference.stress, atol=tolerance)
    assert MaceEngine(calculator).evaluate({5: systems[5]}, False)[5].forces == pytest.approx(
        expected[5].forces, abs=tolerance
    )


def test_atoms_that_have_gone_far_lose_no_digits(systems: dict[int, Atoms]) -> None:
    single = MaceEngine(load_calculator(MODEL, dtype="float32"))
    double = MaceEngine(load_calculator(MODEL, dtype="float64"))
    away = {0: shaken(li11si4(), 0, far=True)}
    assert np.abs(away[0].positions).max() > 150.0
    found, expected = (engine.evaluate(away, True)[0] for engine in (single, double))
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-5)


def test_a_model_with_embeddings_is_refused() -> None:
    calculator: Any = load_calculator(MODEL)
    calculator.models[0].joint_embedding = calculator.models[0].node_embedding
    with pytest.raises(ValueError, match="use engine 'ase'"):
        MaceEngine(calculator)


def skin_list() -> SkinList:
    return SkinList(4.5, 0.5, "cpu", torch.float64)


def pairs(first: Any, second: Any, vectors: Any) -> set[tuple[Any, ...]]:
    rounded = np.round(np.asarray(vectors), 6) + 0.0
    return {(int(i), int(j), *v) for i, j, v in zip(first, second, rounded.tolist(), strict=True)}


@pytest.mark.parametrize("strained", [False, True])
def test_a_skin_list_misses_no_pair(strained: bool) -> None:
    rng = np.random.default_rng(3)
    atoms = shaken(li11si4(), 4, far=True)
    cutoff, kept = 4.5, skin_list()
    for _ in range(60):
        atoms.positions += rng.normal(scale=0.02, size=atoms.positions.shape)
        if strained:
            strain = np.eye(3) + rng.normal(scale=0.003, size=(3, 3))
            atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        found = kept.edges(atoms.positions, atoms.cell.array)
        first, second = found.pairs
        vectors = found.positions[second] - found.positions[first] + found.shifts
        np.testing.assert_allclose(found.shifts, found.images.numpy() @ atoms.cell.array)
        expected = pairs(*neighbour_list("ijD", atoms, cutoff))
        assert pairs(first, second, vectors) == expected
    assert 1 < kept.builds < 40


def test_a_list_built_at_its_anchor_is_the_same() -> None:
    rng = np.random.default_rng(5)
    atoms, one = li11si4(), skin_list()
    one.edges(atoms.positions, atoms.cell.array)
    for _ in range(4):
        atoms.positions += rng.normal(scale=0.02, size=atoms.positions.shape)
        one.edges(atoms.positions, atoms.cell.array)
    assert one.builds == 1
    again, fresh = skin_list(), skin_list()
    assert one.anchor is not None
    again.build(*one.anchor)
    found = [item.edges(atoms.positions, atoms.cell.array) for item in (one, again, fresh)]
    np.testing.assert_array_equal(found[0].pairs, found[1].pairs)
    np.testing.assert_array_equal(found[0].images, found[1].images)
    assert found[2].pairs.shape == found[0].pairs.shape


class Counting(AseEngine):
    """Remembers which systems were evaluated together."""

    def __init__(self) -> None:
        super().__init__(LennardJones(sigma=2.5, epsilon=0.1, rc=5.0))
        self.asked: list[list[int]] = []

    def evaluate(self, systems: Any, stress: bool) -> Any:
        self.asked.append(sorted(systems))
        return super().evaluate(systems, stress)


def pair_of_atoms(distance: float) -> Atoms:
    return Atoms("Cu2", [[0, 0, 0], [0, 0, distance]], cell=[12.0] * 3, pbc=True)


def test_runs_in_step_share_their_evaluations() -> None:
    engine, energies = Counting(), {}

    def run(key: int, steps: int) -> None:
        atoms = pair_of_atoms(2.4 + 0.1 * key)
        atoms.calc = EngineCalculator(engine, key)
        for step in range(steps):
            atoms.positions[1, 2] += 0.01 * step
            energies[key, step] = atoms.get_potential_energy()

    run_in_step(engine, {key: lambda key=key: run(key, 2 + key) for key in (0, 1, 2)}, False)
    assert engine.asked == [[0, 1, 2], [0, 1, 2], [1, 2], [2]]
    alone = Counting()
    atoms = pair_of_atoms(2.5)
    atoms.calc = EngineCalculator(alone, 1)
    assert energies[1, 0] == atoms.get_potential_energy()
    assert alone.asked == [[1]]


def test_an_error_in_a_run_comes_out() -> None:
    def fail() -> None:
        raise RuntimeError("of this run")

    with pytest.raises(RuntimeError, match="of this run"):
        run_in_step(Counting(), {0: fail}, False)


def test_net_forces_are_taken_off() -> None:
    class Pushed(Counting):
        def evaluate(self, systems: Any, stress: bool) -> Any:
            found = super().evaluate(systems, stress)
            for one in found.values():
                one.forces[:, 0] += 0.3
            return found

    atoms = pair_of_atoms(2.4)
    atoms.calc = EngineCalculator(Pushed(), 0)
    np.testing.assert_allclose(atoms.get_forces().sum(axis=0), 0.0, atol=1e-15)
