from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from aiida_limsm.atomistic.energy_zero import (
    energy_zero_error,
    estimate_e0s,
    few_of,
    predicted_energies,
)

ZERO = {"Cu": 0.0, "Ag": 0.0}


def frames(*formulas: str, shift: dict[str, float]) -> list[Atoms]:
    """Frames labelled by EMT with another energy zero."""
    found = []
    for index, formula in enumerate(formulas):
        atoms = Atoms(formula, cell=np.eye(3) * 8, pbc=True)
        rng = np.random.default_rng(index)
        atoms.positions = 2.4 * np.arange(len(atoms))[:, None] * [1, 0.3, 0] + rng.normal(
            scale=0.05, size=(len(atoms), 3)
        )
        atoms.info["REF_energy"] = float(predicted_energies([atoms], EMT())[0]) + sum(
            shift[symbol] for symbol in atoms.symbols
        )
        found.append(atoms)
    return found


def test_error_is_per_atom_and_relative_to_the_atoms() -> None:
    shift = {"Cu": -100.0, "Ag": -250.0}
    labelled = frames("Cu2Ag", "CuAg", "Cu3", shift=shift)
    predicted = predicted_energies(labelled, EMT())
    assert energy_zero_error(labelled, predicted, ZERO, shift) == pytest.approx(0.0, abs=1e-10)
    wrong = {"Cu": -103.0, "Ag": -253.0}
    assert energy_zero_error(labelled, predicted, ZERO, wrong) == pytest.approx(3.0)
    assert energy_zero_error(labelled, predicted, ZERO, ZERO) == pytest.approx(
        np.mean([-450 / 3, -350 / 2, -100])
    )


def test_estimate_finds_the_shift_again() -> None:
    shift = {"Cu": -100.0, "Ag": -250.0}
    labelled = frames("Cu2Ag", "CuAg", "Cu3", "Ag2", shift=shift)
    predicted = predicted_energies(labelled, EMT())
    found = estimate_e0s(labelled, predicted, ZERO)
    assert found.unique
    assert found.e0s_ev == pytest.approx(shift)
    # with atoms of its own in the model they are what is changed
    moved = estimate_e0s(labelled, predicted + 5.0 * np.array([3, 2, 3, 2]), {"Cu": 5.0, "Ag": 5.0})
    assert moved.e0s_ev == pytest.approx(shift)


def test_one_composition_fixes_the_sum_only() -> None:
    shift = {"Cu": -100.0, "Ag": -250.0}
    labelled = frames("Cu2Ag", "Cu2Ag", shift=shift)
    found = estimate_e0s(labelled, predicted_energies(labelled, EMT()), ZERO)
    assert not found.unique
    assert 2 * found.e0s_ev["Cu"] + found.e0s_ev["Ag"] == pytest.approx(-450.0)


def test_a_few_frames_span_the_set() -> None:
    many = [Atoms("Cu", info={"index": index}) for index in range(1000)]
    picked = [atoms.info["index"] for atoms in few_of(many)]
    assert (len(picked), picked[0], picked[-1]) == (32, 0, 999)
    assert len(few_of(many[:3])) == 3
