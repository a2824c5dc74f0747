from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.evaluate import inspect_potential, run_evaluate
from aiida_limsm.compute.inputs import EvaluateInput
from aiida_limsm.compute.results import EvaluateResults

FACTOR_MEV = 1e3
#: Of the labels' own code, about; the demo model's are others.
E0S_EV = {"Li": -12.0, "Si": -132.5}


@pytest.fixture
def folder(tmp_path: Path, demo_model: Path) -> Path:
    shutil.copyfile(demo_model, tmp_path / "potential.model")
    return tmp_path


@pytest.fixture
def label(demo_model: Path, aimd_frames: list[Any]) -> Callable[..., list[Any]]:
    """Return a function that labels real geometries with the demo model itself."""
    from ase import Atoms

    from aiida_limsm.atomistic.potential import load_calculator

    def labelled(count: int, stress: bool = True) -> list[Any]:
        calculator = load_calculator(demo_model, dtype="float64")
        frames = []
        for frame in aimd_frames[:count]:
            atoms = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True)
            atoms.calc = calculator
            energy, forces = atoms.get_potential_energy(), atoms.get_forces()
            if stress:
                atoms.info["REF_stress"] = atoms.get_stress(voigt=False).reshape(9)
            atoms.calc = None
            atoms.info["REF_energy"] = energy
            atoms.arrays["REF_forces"] = forces
            frames.append(atoms)
        return frames

    return labelled


def evaluate(folder: Path, files: dict[str, str], **changes: Any) -> EvaluateResults:
    return run_evaluate(EvaluateInput(dataset_files=files, **changes), folder, lambda line: None)


def test_own_labels_give_no_errors(folder: Path, label: Callable[..., list[Any]]) -> None:
    import ase.io
    import h5py

    frames = label(4)
    ase.io.write(folder / "train.xyz", frames[:3])
    ase.io.write(folder / "test.xyz", frames[3:])
    results = evaluate(folder, {"train": "train.xyz", "test": "test.xyz"})
    assert results.status is Status.FINISHED
    assert results.message == "4 frames evaluated"
    assert {name: (e.frames, e.atoms) for name, e in results.errors.items()} == {
        "train": (3, 45),
        "test": (1, 15),
    }
    for errors in results.errors.values():
        # extxyz keeps eight decimals
        assert errors.rmse_forces_mev_per_angstrom < 1e-3
        assert errors.mae_forces_mev_per_angstrom < 1e-3
        assert errors.rmse_energy_mev_per_atom < 1e-3
        assert errors.rmse_stress_mev_per_angstrom3 < 1e-3
        assert errors.rms_forces_mev_per_angstrom > 100
        assert set(errors.rmse_forces_per_element_mev_per_angstrom) == {"Li", "Si"}
    with h5py.File(folder / "parity.h5") as file:
        assert sorted(file) == ["test", "train"]
        assert file["train/forces"].shape == (45, 2, 3)
        assert file["train/stress"].shape == (3, 2, 3, 3)
        np.testing.assert_array_equal(file["test/numbers"], frames[3].numbers)
        np.testing.assert_allclose(file["train/energy"][:, 0], file["train/energy"][:, 1])


def test_e0s_shift_energies_by_exactly_their_difference(
    folder: Path, label: Callable[..., list[Any]]
) -> None:
    import ase.io

    ase.io.write(folder / "test.xyz", label(2))
    own = inspect_potential(folder / "potential.model").e0s_ev
    shifted = {"Li": own["Li"] + 0.5, "Si": own["Si"] - 0.25}
    errors = evaluate(folder, {"test": "test.xyz"}, e0s_ev=shifted).errors["test"]
    expected = (11 * 0.5 - 4 * 0.25) / 15 * FACTOR_MEV
    assert errors.mean_energy_error_mev_per_atom == pytest.approx(expected, abs=1e-3)
    assert errors.rmse_energy_mev_per_atom == pytest.approx(expected, abs=1e-3)
    assert errors.rmse_forces_mev_per_angstrom < 1e-3


def test_real_labels(folder: Path, aimd_frames: list[Any]) -> None:
    import ase.io

    ase.io.write(folder / "test.xyz", aimd_frames[:3])
    errors = evaluate(folder, {"test": "test.xyz"}, e0s_ev=E0S_EV, dtype="float32").errors["test"]
    labels = np.concatenate([frame.arrays["REF_forces"] for frame in aimd_frames[:3]])
    size = FACTOR_MEV * np.sqrt(np.mean(labels**2))
    assert errors.rms_forces_mev_per_angstrom == pytest.approx(size)
    # a model of other labels: wrong by less than the forces themselves, but not right
    assert 20 < errors.rmse_forces_mev_per_angstrom < size
    assert errors.mae_forces_mev_per_angstrom < errors.rmse_forces_mev_per_angstrom


def test_labels_without_stress(folder: Path, label: Callable[..., list[Any]]) -> None:
    import ase.io
    import h5py

    ase.io.write(folder / "test.xyz", label(1, stress=False) + label(1))
    errors = evaluate(folder, {"test": "test.xyz"}).errors["test"]
    assert errors.rmse_stress_mev_per_angstrom3 is None
    with h5py.File(folder / "parity.h5") as file:
        assert "stress" not in file["test"]


def test_refusals(folder: Path, label: Callable[..., list[Any]]) -> None:
    import ase.io

    def refused(files: dict[str, str], **changes: Any) -> str:
        with pytest.raises(JobError) as caught:
            evaluate(folder, files, **changes)
        assert caught.value.status is Status.INVALID_INPUT
        assert "\n" not in caught.value.message
        assert not list(folder.glob("parity.h5*"))
        return caught.value.message

    frames = label(1)
    ase.io.write(folder / "test.xyz", frames)
    files = {"test": "test.xyz"}
    assert refused({"test": "none.xyz"}) == f"{folder}/none.xyz does not exist"
    assert "knows Li, Si but not Na" in refused(files, e0s_ev={"Na": -1.0})
    assert "has no head 'pbe'" in refused(files, head="pbe")
    (folder / "empty.xyz").write_text("")
    assert "empty.xyz cannot be read" in refused({"test": "empty.xyz"})
    del frames[0].arrays["REF_forces"]
    ase.io.write(folder / "test.xyz", frames)
    assert refused(files) == "frame 0 has no REF_energy and REF_forces labels"
    frames[0].symbols[0] = "Na"
    ase.io.write(folder / "test.xyz", frames)
    assert "the structure holds Na" in refused(files)
    (folder / "potential.model").write_bytes(b"x")
    assert "cannot be loaded as a MACE model" in refused(files)
