"""MACE model files, with the demo model that ships with the package."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm import resources
from aiida_limsm.atomistic.crystals import li11si4
from aiida_limsm.atomistic.potential import (
    describe_model,
    load_calculator,
    load_model,
    locate_model,
    replace_e0s,
    require_elements,
    write_with_e0s,
)

MODEL = Path(resources.__file__).parent / "demo_foundation" / "demo_foundation.model"


@pytest.fixture(scope="module")
def rattled() -> Any:
    atoms = li11si4()
    atoms.rattle(0.1, seed=4)
    return atoms


def test_description() -> None:
    found = describe_model(MODEL)
    assert found.architecture == "ScaleShiftMACE"
    assert found.elements == ("Li", "Si")
    assert (found.r_max_angstrom, found.dtype, found.heads) == (4.5, "float32", ("Default",))
    assert found.num_params == 6464
    assert found.e0s_ev == pytest.approx({"Li": -0.358102, "Si": -0.711752}, abs=1e-5)
    assert found.sha256 == hashlib.sha256(MODEL.read_bytes()).hexdigest()


def test_forces_are_a_function_of_the_positions(rattled: Any) -> None:
    atoms = rattled.copy()
    atoms.calc = load_calculator(MODEL)
    first = atoms.get_forces()
    for _ in range(4):  # kernels that are fused after the first call would round otherwise
        atoms.positions += 0.01
        atoms.get_forces()
        atoms.positions[:] = rattled.positions
        np.testing.assert_array_equal(atoms.get_forces(), first)


def test_forces_are_the_energy_s_gradient(rattled: Any) -> None:
    atoms = rattled.copy()
    atoms.calc = load_calculator(MODEL, dtype="float64")
    forces = atoms.get_forces()
    for atom, axis in ((0, 0), (12, 2)):
        energies = []
        for shift in (1e-4, -1e-4):
            atoms.positions[atom, axis] = rattled.positions[atom, axis] + shift
            energies.append(atoms.get_potential_energy())
        atoms.positions[atom, axis] = rattled.positions[atom, axis]
        assert -(energies[0] - energies[1]) / 2e-4 == pytest.approx(forces[atom, axis], abs=1e-5)


def test_write_with_e0s(tmp_path: Path, rattled: Any) -> None:
    target = tmp_path / "shifted.model"
    write_with_e0s(MODEL, target, {"Si": -132.5})
    assert [entry.name for entry in tmp_path.iterdir()] == ["shifted.model"]
    old, new = describe_model(MODEL), describe_model(target)
    assert new.e0s_ev == {"Li": old.e0s_ev["Li"], "Si": -132.5}
    energies, forces = [], []
    for path in (MODEL, target):
        atoms = rattled.copy()
        atoms.calc = load_calculator(path, dtype="float64")
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    assert energies[1] - energies[0] == pytest.approx(4 * (-132.5 - old.e0s_ev["Si"]), abs=1e-6)
    np.testing.assert_array_equal(forces[0], forces[1])


def test_calculator_with_other_e0s_leaves_the_file(rattled: Any) -> None:
    before = MODEL.read_bytes()
    atoms = rattled.copy()
    atoms.calc = load_calculator(MODEL, dtype="float64", e0s_ev={"Li": 0.0, "Si": 0.0})
    interaction = atoms.get_potential_energy()
    atoms.calc = load_calculator(MODEL, dtype="float64")
    e0s = describe_model(MODEL).e0s_ev
    shift = 11 * e0s["Li"] + 4 * e0s["Si"]
    assert atoms.get_potential_energy() - interaction == pytest.approx(shift, abs=1e-6)
    assert MODEL.read_bytes() == before


def test_an_element_the_model_lacks() -> None:
    model = load_model(MODEL)
    with pytest.raises(ValueError, match="knows Li, Si but not Na: take a foundation model"):
        replace_e0s(model, {"Na": -1.0})
    require_elements(("Li", "Si"), {"Li"})
    with pytest.raises(ValueError, match="the structure holds Cl, Na: use a potential"):
        require_elements(("Li", "Si"), {"Li", "Na", "Cl"})


def test_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="has no head 'dft', only Default"):
        load_calculator(MODEL, head="dft")
    assert load_calculator(MODEL, head="Default") is not None
    model = load_model(MODEL)
    model.heads = ["pt_head", "Default"]
    monkeypatch.setattr("aiida_limsm.atomistic.potential.load_model", lambda *_: model)
    with pytest.raises(ValueError, match="has the heads pt_head, Default: choose one with 'head'"):
        load_calculator(MODEL)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="torch sees no GPU: use device 'cpu'"):
        load_model(MODEL, "cuda")


def test_locate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate_model(str(MODEL)) == MODEL
    with pytest.raises(ValueError, match="is neither a file nor a published model") as caught:
        locate_model("nonesuch.model")
    assert "medium-mpa-0" in str(caught.value)

    def offline(name: str) -> str:
        raise RuntimeError("no network")

    monkeypatch.setattr("mace.calculators.foundations_models.download_mace_mp_checkpoint", offline)
    with pytest.raises(ValueError, match=r"small cannot be downloaded here \(RuntimeError\)"):
        locate_model("small")
