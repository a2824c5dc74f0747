from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from aiida_limsm.atomistic.evaluation import evaluate_frames, rms

Frames = Callable[..., list[Any]]


class Constant(Calculator):
    """Predicts the same numbers for everything; refuses labelled atoms."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        assert not atoms.info  # a prediction must not see its label
        self.results = {
            "energy": -600.0,
            "forces": np.full((len(atoms), 3), 0.5),
            "stress": np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        }


def test_pairs_are_label_then_prediction(make_frames: Frames) -> None:
    frames = make_frames(3)
    seen: list[tuple[int, int]] = []
    parity = evaluate_frames(frames, Constant(), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    np.testing.assert_array_equal(parity.n_atoms, [4, 4, 4])
    np.testing.assert_array_equal(parity.energy[:, 0], [f.info["REF_energy"] for f in frames])
    np.testing.assert_array_equal(parity.energy[:, 1], -600.0)
    assert parity.forces.shape == (12, 2, 3)
    np.testing.assert_array_equal(parity.forces[4:8, 0], frames[1].arrays["REF_forces"])
    np.testing.assert_array_equal(parity.numbers[:4], [3, 3, 14, 3])
    assert parity.stress.shape == (3, 2, 3, 3)
    np.testing.assert_array_equal(parity.stress[0, 0], frames[0].info["REF_stress"].reshape(3, 3))
    np.testing.assert_array_equal(parity.stress[0, 1], [[1, 6, 5], [6, 2, 4], [5, 4, 3]])


def test_stress_is_all_or_nothing(make_frames: Frames) -> None:
    frames = make_frames(2) + make_frames(1, start=2, stress=False)
    assert evaluate_frames(frames, Constant()).stress is None


def test_refusals(make_frames: Frames) -> None:
    with pytest.raises(ValueError, match="there are no frames"):
        evaluate_frames([], Constant())
    frames = make_frames(2)
    del frames[1].info["REF_energy"]
    with pytest.raises(ValueError, match="frame 1 has no REF_energy and REF_forces labels"):
        evaluate_frames(frames, Constant())


def test_rms() -> None:
    assert rms(np.array([[3.0, -4.0], [0.0, 0.0]])) == 2.5
