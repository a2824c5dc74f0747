"""What `limsm train` refuses before it trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.mace_command import DRAWN_FRAMES
from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.compute.train_prepare import CURRENT_FOUNDATION, prepare

MakeFolder = Callable[..., Path]
E0S = {"Li": -12.0, "Si": -132.5}
REPLAY = {
    "strategy": "multihead",
    "replay_train_file": "replay_train.xyz",
    "replay_valid_file": "replay_valid.xyz",
}


def prepared(folder: Path, **values: Any) -> Any:
    values.setdefault("e0s_ev", E0S)
    return prepare(TrainInput(**values), folder)


def refused(folder: Path, **values: Any) -> str:
    with pytest.raises(JobError) as caught:
        prepared(folder, **values)
    assert caught.value.status is Status.INVALID_INPUT
    assert "\n" not in caught.value.message
    return caught.value.message


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_energies_of_the_labels_go_into_a_copy(make_train_folder: MakeFolder) -> None:
    from aiida_limsm.atomistic.potential import describe_model

    folder = make_train_folder()
    found = prepared(folder, e0s_ev={**E0S, "Na": -1.0})
    assert describe_model(folder / CURRENT_FOUNDATION).e0s_ev == pytest.approx(E0S)
    assert found.e0s_ev == E0S
    # relative to atoms labels and foundation are half an eV apart: not our isolated atoms, but near
    assert found.energy_zero_error == pytest.approx(-0.586, abs=2e-3)
    assert found.foundation_info.e0s_ev["Li"] == pytest.approx(-0.358102)


def test_another_energy_zero_is_noticed(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder()
    line = refused(folder, e0s_ev={"Li": -7.0, "Si": -132.5})
    assert line.startswith("labels and foundation differ by -4.25 eV per atom relative to isolated")
    assert line.endswith("compute the atoms with its settings, or take e0s 'estimated'")
    line = refused(folder, e0s="foundation", e0s_ev=None)
    assert "differ by -44.27 eV per atom" in line
    assert line.endswith("their code has another energy zero: take e0s 'isolated' or 'estimated'")
    assert prepared(
        folder, e0s_ev={"Li": -7.0, "Si": -132.5}, max_energy_zero_error_ev_per_atom=5.0
    ).energy_zero_error == pytest.approx(-4.25, abs=0.01)


def test_estimated_energies(make_train_folder: MakeFolder) -> None:
    found = prepared(make_train_folder(), e0s="estimated", e0s_ev=None)
    assert found.energy_zero_error == pytest.approx(0.0, abs=1e-3)
    (warning,) = found.warnings
    assert "too few compositions" in warning
    atoms = found.frames["train"][0]
    total = 11 * found.e0s_ev["Li"] + 4 * found.e0s_ev["Si"]
    assert total == pytest.approx(atoms.info["REF_energy"], abs=60.0)


def test_from_scratch(make_train_folder: MakeFolder) -> None:
    values: dict[str, Any] = {"strategy": "scratch", "foundation_file": None, "architecture": {}}
    found = prepared(make_train_folder(), **values, e0s="estimated", e0s_ev=None)
    total = 11 * found.e0s_ev["Li"] + 4 * found.e0s_ev["Si"]
    energies = [atoms.info["REF_energy"] for atoms in found.frames["train"]]
    assert total == pytest.approx(sum(energies) / len(energies))
    assert (found.foundation, found.energy_zero_error) == (None, None)


def energies(frames: list[Any]) -> list[float]:
    return [float(atoms.info["REF_energy"]) for atoms in frames]


def test_frames_are_drawn_with_replacement_by_the_seed(make_train_folder: MakeFolder) -> None:
    import ase.io

    folder = make_train_folder()
    whole = {name: (folder / f"{name}.xyz").read_bytes() for name in ("train", "valid", "test")}

    def drawn(seed: int) -> list[Any]:
        found = prepared(folder, resample_frames=True, seed=seed, test_file="test.xyz")
        # errors are those of the frames as they were given
        assert [len(found.frames[label]) for label in ("train", "valid", "test")] == [8, 2, 2]
        return ase.io.read(folder / DRAWN_FRAMES, ":")

    given = ase.io.read(folder / "train.xyz", ":")
    known = dict(zip(energies(given), given, strict=True))
    sets = []
    for seed in range(6):
        frames = drawn(seed)
        assert len(frames) == len(given)
        for atoms in frames:
            same = known[atoms.info["REF_energy"]]
            assert atoms.positions == pytest.approx(same.positions, abs=1e-8)
            assert atoms.arrays["REF_forces"] == pytest.approx(same.arrays["REF_forces"], abs=1e-8)
            assert atoms.info["REF_stress"] == pytest.approx(same.info["REF_stress"])
        sets.append(energies(frames))
        assert len(set(sets[-1])) < len(given)  # with replacement
    assert len({tuple(sorted(found)) for found in sets}) == len(sets)
    text = (folder / DRAWN_FRAMES).read_bytes()
    assert energies(drawn(3)) == sets[3]
    drawn(5)
    assert (folder / DRAWN_FRAMES).read_bytes() == text  # a restart trains on the same file
    assert all((folder / f"{name}.xyz").read_bytes() == text for name, text in whole.items())
    # every frame has its turn
    assert set().union(*sets) == set(known)


@pytest.mark.parametrize("strategy", ["scratch", "naive"])
def test_the_energy_zero_of_drawn_frames_is_that_of_all(
    make_train_folder: MakeFolder, strategy: str
) -> None:
    folder = make_train_folder()
    values: dict[str, Any] = {"strategy": strategy, "e0s": "estimated", "e0s_ev": None}
    if strategy == "scratch":
        values |= {"foundation_file": None, "architecture": {}}
    one, other, everything = (
        prepared(folder, **values, seed=seed, resample_frames=resample).e0s_ev
        for seed, resample in ((1, True), (2, True), (1, False))
    )
    assert one == other == everything


def test_replay_keeps_the_energy_zero_of_its_labels(make_train_folder: MakeFolder) -> None:
    from aiida_limsm.atomistic.potential import describe_model

    folder = make_train_folder(replay=True)
    own = describe_model(folder / "foundation.model").e0s_ev
    found = prepared(folder, **REPLAY)
    assert describe_model(folder / CURRENT_FOUNDATION).e0s_ev == own
    assert found.e0s_ev == E0S
    shifted = {"Li": own["Li"] - 5, "Si": own["Si"] - 5}
    line = refused(folder, **REPLAY, replay_e0s_ev=shifted)
    assert line.startswith(
        "replay_train.xyz: replay labels and foundation differ by 5.00 eV per atom: give frames"
    )
    line = refused(folder, **REPLAY, replay_e0s_ev={"Na": -1.0})
    assert line == "replay_e0s_ev: the foundation does not know Na"


def test_replay_frames_with_other_keys(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder(replay=True)
    swap(folder / "replay_valid.xyz", "REF_forces:R:3", "forces:R:3")
    assert refused(folder, **REPLAY) == (
        "replay_valid.xyz: frame 0 has no REF_energy and REF_forces labels (it has forces, "
        "REF_energy: rename them); every frame needs both"
    )


def test_frames_without_forces(make_train_folder: MakeFolder) -> None:
    import ase.io

    folder = make_train_folder()
    frames = ase.io.read(folder / "train.xyz", ":")
    for atoms in frames:
        del atoms.arrays["REF_forces"]
    ase.io.write(folder / "train.xyz", frames)
    assert refused(folder).startswith("train.xyz: frame 0 has no REF_energy and REF_forces labels")


def test_elements_that_the_foundation_lacks(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder(replay=True)
    for name in ("valid.xyz", "replay_train.xyz"):
        whole = (folder / name).read_text()
        swap(folder / name, "\nSi", "\nNa")
        assert refused(folder, **REPLAY, e0s_ev={**E0S, "Na": -1.0}) == (
            f"{name}: the foundation knows Li, Si but not Na: take a foundation model trained with "
            "Na"
        )
        (folder / name).write_text(whole)


def test_a_device_that_is_not_there(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refused(make_train_folder(), device="cuda") == (
        "device 'cuda' was asked for but torch sees no GPU: use device 'cpu'"
    )


def test_a_head_has_to_be_chosen(make_train_folder: MakeFolder) -> None:
    import torch

    from aiida_limsm.atomistic.potential import load_model

    folder = make_train_folder()
    model: Any = load_model(folder / "foundation.model")
    model.heads = ["pbe", "r2scan"]
    torch.save(model, folder / "foundation.model")
    assert refused(folder) == (
        "foundation_head: the foundation has the heads pbe, r2scan: choose one"
    )
    assert refused(folder, foundation_head="hse") == (
        "foundation_head: the foundation has no head 'hse', only pbe, r2scan"
    )
