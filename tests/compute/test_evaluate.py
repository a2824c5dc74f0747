from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.evaluate import inspect_potential, run_evaluate
from aiida_limsm.compute.evaluate_file import read_points
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


def test_refusals(
    folder: Path, label: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert refused(files) == (
        "test.xyz: frame 0 has no REF_energy and REF_forces labels: write the energies and forces "
        "of DFT under these names"
    )
    bad = label(2)
    bad[1].arrays["REF_forces"][0, 0] = np.inf
    ase.io.write(folder / "bad.xyz", bad)
    assert refused({"test": "bad.xyz"}) == (
        "bad.xyz: frame 1 has labels that are not finite: leave it out"
    )
    frames = label(1)
    ase.io.write(folder / "test.xyz", frames)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "device 'cuda' was asked for but torch sees no GPU" in refused(files, device="cuda")
    frames[0].symbols[0] = "Na"
    ase.io.write(folder / "test.xyz", frames)
    assert "the structure holds Na" in refused(files)
    (folder / "potential.model").write_bytes(b"x")
    assert "cannot be loaded as a MACE model" in refused(files)


def vary(source: Path, target: Path, seed: int, size: float) -> None:
    """Write a model whose weights differ by a little noise: one more member of a committee."""
    import torch

    from aiida_limsm.atomistic.potential import load_model

    model = load_model(source)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += size * parameter.std(unbiased=False) * torch.randn_like(parameter)
    torch.save(model, target)


def test_details(folder: Path, aimd_frames: list[Any]) -> None:
    import ase.io

    ase.io.write(folder / "test.xyz", aimd_frames[:4])
    results = evaluate(
        folder, {"test": "test.xyz"}, e0s_ev=E0S_EV, force_bins_ev_per_angstrom=(0.5, 1.0)
    )
    errors, found = results.errors["test"], results.details["test"]
    assert found.forces.rmse_mev_per_angstrom == errors.rmse_forces_mev_per_angstrom
    assert found.forces.relative_percent == pytest.approx(
        100 * errors.rmse_forces_mev_per_angstrom / errors.rms_forces_mev_per_angstrom
    )
    assert 0.5 < found.forces.cosine < 1
    assert {key: value.atoms for key, value in found.forces_per_element.items()} == {
        "Li": 44,
        "Si": 16,
    }
    bins = found.forces_by_magnitude
    assert [(b.from_ev_per_angstrom, b.to_ev_per_angstrom) for b in bins] == [
        (0.0, 0.5), (0.5, 1.0), (1.0, None),
    ]  # fmt: skip
    assert sum(b.atoms for b in bins) == 60
    # all squares together are those of the whole
    total = sum(b.atoms * b.rmse_mev_per_angstrom**2 for b in bins) / 60
    assert np.sqrt(total) == pytest.approx(found.forces.rmse_mev_per_angstrom)
    energy = found.energy
    assert energy.rmse_mev_per_atom**2 == pytest.approx(
        energy.std_mev_per_atom**2 + energy.mean_mev_per_atom**2
    )
    assert found.stress is not None
    assert found.stress.rmse_mev_per_angstrom3 == errors.rmse_stress_mev_per_angstrom3
    points = read_points(folder / "parity.h5", "test")
    pressure = -np.trace(points["stress"], axis1=2, axis2=3) / 3 * 160.21766208
    assert found.stress.mean_pressure_error_gpa == pytest.approx(
        (pressure[:, 1] - pressure[:, 0]).mean()
    )
    assert results.committee == {}
    with pytest.raises(ValueError, match="holds no points of train"):
        read_points(folder / "parity.h5", "train")


def test_a_committee(folder: Path, aimd_frames: list[Any]) -> None:
    import ase.io

    ase.io.write(folder / "test.xyz", aimd_frames[:8])
    for seed in (1, 2):
        vary(folder / "potential.model", folder / f"{seed}.model", seed, 0.02)
    results = evaluate(
        folder, {"test": "test.xyz"}, committee_files=("1.model", "2.model"), e0s_ev=E0S_EV
    )
    found = results.committee["test"]
    assert found.members == 3
    points = read_points(folder / "parity.h5", "test")
    assert points["committee_mean"].shape == (120, 3)
    single = evaluate(folder, {"test": "test.xyz"}, potential_file="1.model", e0s_ev=E0S_EV)
    assert single.errors["test"] != results.errors["test"]  # the errors are of the first potential
    other = read_points(folder / "parity.h5", "test")["forces"][:, 1]
    spread = points["committee_spread"]
    assert (np.abs(other - points["committee_mean"]).max(axis=1) <= 3 * spread).all()
    assert found.rms_spread_mev_per_angstrom == pytest.approx(1e3 * np.sqrt(np.mean(spread**2)))
    assert 1 < found.rms_spread_mev_per_angstrom < found.rmse_mean_forces_mev_per_angstrom
    assert found.scaling_factor == pytest.approx(
        found.rmse_mean_forces_mev_per_angstrom / found.rms_spread_mev_per_angstrom
    )
    assert -1 <= found.rank_correlation_atoms <= 1
    # members that differ by noise alone are too sure of themselves, and that is said
    (warning,) = results.warnings
    assert warning.startswith(f"test: the error is {found.scaling_factor:.0f} times the spread")
    assert single.warnings == ()
    assert sum(entry.atoms for entry in found.calibration) == 120
    assert len(found.calibration) == 10


def test_members_that_do_not_fit(folder: Path, label: Callable[..., list[Any]]) -> None:
    import ase.io

    ase.io.write(folder / "test.xyz", label(1))
    shutil.copyfile(folder / "potential.model", folder / "same.model")
    (folder / "broken.model").write_bytes(b"x")

    def refused(name: str) -> str:
        with pytest.raises(JobError) as caught:
            evaluate(folder, {"test": "test.xyz"}, committee_files=(name,))
        assert not list(folder.glob("parity.h5*"))
        return caught.value.message

    assert refused("none.model") == f"{folder}/none.model does not exist"
    assert refused("same.model").startswith("same.model: is the same model as potential.model")
    assert "broken.model" in refused("broken.model")
