from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.orm import load_node
from ase import Atoms

from aiida_limsm.data.dataset import ReferenceDatasetData

E0S_EV = {"Li": -190.5, "Si": -110.25}
SETTINGS = {"functional": "PBE", "ecutwfc_ry": 30.0, "k_points": [2, 2, 2]}

Splits = Callable[..., dict[str, list[Any]]]
Frames = Callable[..., list[Any]]


def make(splits: dict[str, list[Any]], **changes: Any) -> ReferenceDatasetData:
    return ReferenceDatasetData(
        splits, changes.pop("e0s_ev", E0S_EV), changes.pop("dft_settings", SETTINGS), **changes
    )


def assert_same_frame(found: Any, given: Any) -> None:
    assert found.get_chemical_symbols() == given.get_chemical_symbols()
    np.testing.assert_array_equal(found.positions, given.positions)
    np.testing.assert_array_equal(found.cell.array, given.cell.array)
    np.testing.assert_array_equal(found.pbc, given.pbc)
    np.testing.assert_array_equal(found.arrays["REF_forces"], given.arrays["REF_forces"])
    np.testing.assert_array_equal(
        found.info["REF_stress"], np.asarray(given.info["REF_stress"]).reshape(9)
    )
    for key in ("REF_energy", "source_index", "frame_index"):
        assert found.info[key] == given.info[key]


def test_frames_round_trip_to_the_last_bit(make_splits: Splits) -> None:
    splits = make_splits()
    node = load_node(make(splits).store().pk)
    for split, frames in splits.items():
        found = node.read(split)
        assert len(found) == len(frames)
        for atoms, given in zip(found, frames, strict=True):
            assert_same_frame(atoms, given)
        assert node.frame_ids(split) == [(0, atoms.info["frame_index"]) for atoms in frames]
    assert_same_frame(node.to_ase("valid", -1), splits["valid"][-1])
    with pytest.raises(IndexError, match="'valid' has 2 frames, no frame 5"):
        node.to_ase("valid", 5)
    with pytest.raises(IndexError, match="'test' has 3 frames, no frame -4"):
        node.to_ase("test", -4)
    for read in (node.read, lambda split: next(node.iterate(split))):
        with pytest.raises(ValueError, match="no split 'validation'"):
            read("validation")
    everything = node.read()
    assert [atoms.info["frame_index"] for atoms in everything] == [0, 1, 2, 3, 6, 7, 10, 11, 12]


def test_extreme_numbers_and_single_atoms_survive() -> None:
    numbers = [1e-300, -1e22, 5e-324, 0.1 + 0.2, 1e16, 123456789.12345678, -0.0, 3.0, 2**53 + 2.0]
    splits = {}
    for index, split in enumerate(("train", "valid", "test")):
        atoms = Atoms("Li", [numbers[3 * index : 3 * index + 3]], cell=np.eye(3) * 1e3)
        atoms.pbc = (True, False, True)
        atoms.info.update(REF_energy=numbers[index], REF_stress=np.array(numbers))
        atoms.info.update(source_index=0, frame_index=index)
        atoms.arrays["REF_forces"] = np.array([numbers[::3]])
        splits[split] = [atoms]
    node = make(splits).store()
    for split, (atoms,) in splits.items():
        (found,) = node.read(split)
        assert_same_frame(found, atoms)


def test_attributes(make_splits: Splits) -> None:
    node = make(make_splits(), sources=["t600"])
    assert node.counts == {"train": 4, "valid": 2, "test": 3}
    assert node.splits == ("train", "valid", "test")
    assert node.elements == ("Li", "Si")
    assert node.formulas == {"Li3Si": 9}
    assert node.has_stress
    assert node.e0s_ev == E0S_EV
    assert node.dft_settings == SETTINGS
    assert node.sources == ("t600",)
    assert node.frames_per_source == {0: {"train": 4, "valid": 2, "test": 3}}
    assert "train 4, valid 2, test 3" in node.summary()
    assert node.headline() == "Li3Si: 4 train, 2 valid, 3 test frames"


def test_equal_content_is_equal_hash(make_splits: Splits) -> None:
    splits = make_splits()
    copies = make(splits).store(), make(make_splits()).store()
    read_back = {split: copies[0].read(split) for split in splits}
    again = make(read_back, e0s_ev=dict(reversed(E0S_EV.items()))).store()
    hashes = {node.base.caching.get_hash() for node in (*copies, again)}
    assert len(hashes) == 1
    splits["train"][0].positions[0, 0] = np.nextafter(splits["train"][0].positions[0, 0], 10.0)
    assert make(splits).store().base.caching.get_hash() not in hashes


def test_immutable_after_store(make_splits: Splits) -> None:
    node = make(make_splits()).store()
    with pytest.raises(ModificationNotAllowed):
        node.base.repository.put_object_from_bytes(b"", "train.xyz")


def test_ase_and_mace_read_the_files(make_splits: Splits) -> None:
    splits = make_splits()
    node = make(splits)
    with node.open_split("train") as handle:
        text = handle.read()
    atoms = ase.io.read(io.StringIO(text), index=0, format="extxyz")
    given = splits["train"][0]
    assert atoms.calc is None
    # As mace.data.utils.config_from_atoms picks them (MACE's default keys):
    assert atoms.info["REF_energy"] == given.info["REF_energy"]
    assert atoms.info["REF_stress"].shape == (9,)
    np.testing.assert_array_equal(atoms.arrays["REF_forces"], given.arrays["REF_forces"])


def test_mace_reads_the_exported_frames(make_splits: Splits, tmp_path: Path) -> None:
    """With the keys that the training gives to ``mace_run_train``."""
    import mace.data
    import torch
    from mace.tools.torch_tools import voigt_to_matrix

    splits = make_splits()
    splits["train"][1].pbc = (True, True, False)
    path = tmp_path / "train.xyz"
    with make(splits).open_split("train") as handle:
        path.write_text(handle.read())
    keys = {"energy_key": "REF_energy", "forces_key": "REF_forces", "stress_key": "REF_stress"}
    specification = mace.data.update_keyspec_from_kwargs(
        mace.data.KeySpecification.from_defaults(), keys
    )
    isolated, configs = mace.data.load_from_xyz(str(path), specification)
    assert isolated == {}
    assert len(configs) == 4
    for config, given in zip(configs, splits["train"], strict=True):
        assert config.properties["energy"] == given.info["REF_energy"]
        np.testing.assert_array_equal(config.properties["forces"], given.arrays["REF_forces"])
        stress = voigt_to_matrix(torch.tensor(config.properties["stress"]))
        np.testing.assert_array_equal(stress, np.reshape(given.info["REF_stress"], (3, 3)))
        assert config.property_weights["stress"] == 1.0
        assert tuple(config.pbc) == tuple(given.pbc)
        np.testing.assert_array_equal(config.cell, given.cell.array)
        np.testing.assert_array_equal(config.positions, given.positions)


def test_stress_may_be_a_matrix_or_missing(make_splits: Splits) -> None:
    splits = make_splits()
    matrix = np.reshape(splits["train"][0].info["REF_stress"], (3, 3))
    splits["train"][0].info["REF_stress"] = matrix
    assert_same_frame(make(splits).to_ase("train", 0), splits["train"][0])
    del splits["test"][0].info["REF_stress"]
    node = make(splits)
    assert not node.has_stress
    assert "REF_stress" not in node.to_ase("test", 0).info


def test_known_text_keys_are_kept_and_others_dropped(make_splits: Splits) -> None:
    splits = make_splits()
    splits["train"][0].info.update(config_type="aimd", head="pbe", note="made on a Monday")
    found = make(splits).to_ase("train", 0).info
    assert (found["config_type"], found["head"]) == ("aimd", "pbe")
    assert "note" not in found


def test_empty_splits_only_when_said(make_splits: Splits) -> None:
    splits = make_splits()
    splits["test"] = []
    with pytest.raises(ValueError, match=r"test: has no frames: give some, or say allow_empty"):
        make(splits)
    node = make(splits, allow_empty=("test",)).store()
    assert node.splits == ("train", "valid")
    assert node.read("test") == []
    assert node.statistics()["test"].frames == 0
    with pytest.raises(ValueError, match="train: has no frames"):
        make({"valid": splits["valid"]}, allow_empty=("test", "train"))
    with pytest.raises(ValueError, match="no split 'validation'"):
        make({**splits, "validation": []})


def _no_energy(atoms: Any) -> None:
    del atoms.info["REF_energy"]


def _energy_nan(atoms: Any) -> None:
    atoms.info["REF_energy"] = float("nan")


def _no_forces(atoms: Any) -> None:
    del atoms.arrays["REF_forces"]


def _forces_inf(atoms: Any) -> None:
    atoms.arrays["REF_forces"][2, 1] = np.inf


def _forces_shape(atoms: Any) -> None:
    atoms.arrays["REF_forces"] = np.zeros((4, 2))


def _stress_voigt(atoms: Any) -> None:
    atoms.info["REF_stress"] = np.zeros(6)


def _no_source(atoms: Any) -> None:
    del atoms.info["source_index"]


def _frame_index_text(atoms: Any) -> None:
    atoms.info["frame_index"] = "first"


def _head_is_a_number(atoms: Any) -> None:
    atoms.info["head"] = "12"


def _head_is_a_number_in_words(atoms: Any) -> None:
    atoms.info["head"] = "1e5"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_no_energy, r"no number in info\['REF_energy'\]"),
        (_energy_nan, r"info\['REF_energy'\] is nan"),
        (_no_forces, r"no arrays\['REF_forces'\]"),
        (_forces_inf, "not finite"),
        (_forces_shape, r"has shape \(4, 2\), not \(4, 3\)"),
        (_stress_voigt, r"has shape \(6,\)"),
        (_no_source, r"info\['source_index'\] must be a whole number"),
        (_frame_index_text, r"info\['frame_index'\] must be a whole number"),
        (_head_is_a_number, r"info\['head'\] must be one word"),
        (_head_is_a_number_in_words, r"info\['head'\] must be one word"),
    ],
)
def test_wrong_frame_is_refused(make_splits: Splits, spoil: Any, message: str) -> None:
    splits = make_splits()
    spoil(splits["valid"][1])
    with pytest.raises(ValueError, match=rf"^valid, frame 1: .*{message}") as error:
        make(splits)
    assert "\n" not in str(error.value)


def test_a_frame_in_two_splits_is_refused(make_splits: Splits) -> None:
    splits = make_splits()
    splits["test"][2] = splits["train"][1]
    with pytest.raises(ValueError, match=r"^test, frame 2: frame 1 of source 0 is already in 'tr"):
        make(splits)


def test_missing_e0_is_refused(make_splits: Splits) -> None:
    with pytest.raises(ValueError, match="e0s_ev: no energy for Si"):
        make(make_splits(), e0s_ev={"Li": -1.0})
    with pytest.raises(ValueError, match="not a finite number for Si"):
        make(make_splits(), e0s_ev={"Li": -1.0, "Si": float("inf")})


def test_unnamed_source_is_refused(make_splits: Splits) -> None:
    with pytest.raises(ValueError, match="source_index 2, but only 1 sources"):
        make(make_splits(source=2), sources=["t600"])


def test_changed_file_is_refused(make_splits: Splits) -> None:
    node = make(make_splits())
    node.base.repository.put_object_from_bytes(b"", "valid.xyz")
    with pytest.raises(ValidationError, match=r"'valid\.xyz' has sha256"):
        node.store()
    node = make(make_splits())
    node.base.repository.put_object_from_bytes(b"", "notes.txt")
    with pytest.raises(ValidationError, match="the repository must hold"):
        node.store()


def test_statistics(make_splits: Splits) -> None:
    splits = make_splits()
    found = make(splits).statistics()["train"]
    forces = np.concatenate([atoms.arrays["REF_forces"] for atoms in splits["train"]])
    energies = [
        (atoms.info["REF_energy"] - 3 * E0S_EV["Li"] - E0S_EV["Si"]) / 4
        for atoms in splits["train"]
    ]
    assert (found.frames, found.atoms) == (4, 16)
    assert found.rms_force_ev_per_angstrom == pytest.approx(np.sqrt((forces**2).mean()))
    assert found.max_force_ev_per_angstrom == pytest.approx(np.linalg.norm(forces, axis=1).max())
    assert found.mean_energy_ev_per_atom == pytest.approx(np.mean(energies))
    assert found.std_energy_ev_per_atom == pytest.approx(np.std(energies))
    assert list(found.elements) == ["Li", "Si"]
    for element, statistics in found.elements.items():
        chosen = np.concatenate(
            [atoms.arrays["REF_forces"][atoms.symbols == element] for atoms in splits["train"]]
        )
        assert statistics.atoms == {"Li": 12, "Si": 4}[element]
        assert statistics.rms_ev_per_angstrom == pytest.approx(np.sqrt((chosen**2).mean()))
        longest = np.linalg.norm(chosen, axis=1).max()
        assert statistics.max_ev_per_angstrom == pytest.approx(longest)
    pressures = [
        -160.21766208 * np.trace(atoms.info["REF_stress"].reshape(3, 3)) / 3
        for atoms in splits["train"]
    ]
    assert found.frames_with_stress == 4
    assert found.min_pressure_gpa == pytest.approx(min(pressures))
    assert found.max_pressure_gpa == pytest.approx(max(pressures))


def test_statistics_per_composition(make_splits: Splits) -> None:
    splits = make_splits(stress=False)
    splits["train"][0] = small = splits["train"][0][[0, 2]]
    small.info["REF_energy"] = E0S_EV["Li"] + E0S_EV["Si"] + 4.0
    found = make(splits).statistics()["train"]
    assert (found.frames_with_stress, found.min_pressure_gpa) == (0, None)
    assert list(found.compositions) == ["Li3Si", "LiSi"]
    assert found.compositions["LiSi"].frames == 1
    assert found.compositions["LiSi"].mean_ev_per_atom == pytest.approx(2.0)
    assert found.compositions["LiSi"].std_ev_per_atom == 0.0
    energies = [
        (atoms.info["REF_energy"] - 3 * E0S_EV["Li"] - E0S_EV["Si"]) / 4
        for atoms in splits["train"][1:]
    ]
    assert found.compositions["Li3Si"].frames == 3
    assert found.compositions["Li3Si"].mean_ev_per_atom == pytest.approx(np.mean(energies))
    assert found.mean_energy_ev_per_atom == pytest.approx(np.mean([*energies, 2.0]))


def test_summary_says_how_frames_were_chosen(make_splits: Splits) -> None:
    trajectory = {
        "kind": "trajectory", "frames": 500, "skip_frames": 20, "stride": 12, "gap_frames": 3,
        "frame_interval_fs": 2.0, "force_autocorrelation_time_fs": 11.4567,
        "energy_autocorrelation_time_fs": 40.0,
    }  # fmt: skip
    selection = {
        "sources": {"t600": trajectory, "edge": {"kind": "single points", "frames": 7}},
        "removed": {"duplicates": 2, "beside_duplicates": 0, "above_max_force": 0},
        "outlier_threshold_ev_per_angstrom": 8.25,
    }
    outliers = [
        {"source": "edge", "frame": n, "split": "train", "max_force_ev_per_angstrom": 9.0 + n,
         "kept": True}
        for n in range(12)
    ]  # fmt: skip
    settings = {
        "k_points": {"list": [[0, 0, 0.5]]},
        "smearing": None,
        "pseudopotentials": {"Li": {"file": "Li.upf", "md5": "9a"}},
    }
    node = make(
        make_splits(), e0s_are="fitted", selection=selection, outliers=outliers,
        dft_settings=settings,
    )  # fmt: skip
    assert node.store().outliers == outliers
    assert (node.e0s_are, node.selection) == ("fitted", selection)
    lines = [" ".join(line.split()) for line in node.summary().splitlines()]
    assert "E0s Li -190.5000 eV, Si -110.2500 eV (fitted to the training frames)" in lines
    assert "k_points list 0 0 0.5" in lines
    assert "smearing –" in lines
    assert "pseudopotential Li Li.upf (9a)" in lines
    assert (
        "source t600 500 frames, first 20 skipped, every 12 kept, 3 between blocks; "
        "autocorrelation times: force 11.5 fs, energy 40 fs"
    ) in lines
    assert "source edge 7 single points" in lines
    assert "removed 2 duplicates" in lines
    assert "outliers 12 above 8.25 eV/Å" in lines
    assert "edge, frame 9: 18 eV/Å, in train" in lines
    assert lines[-1] == "…"
    assert not any("frame 10" in line for line in lines)


def test_summary_of_few_frames_has_no_outliers(make_splits: Splits) -> None:
    selection = {
        "sources": {},
        "removed": {"duplicates": 0},
        "outlier_threshold_ev_per_angstrom": None,
    }
    lines = make(make_splits(), selection=selection).summary().splitlines()
    assert lines[-1].split() == ["removed", "none"]


def test_statistics_as_a_table(make_splits: Splits) -> None:
    splits = make_splits(stress=False)
    splits["train"][0] = splits["train"][0][[0, 1]]
    lines = make(splits).statistics_text().splitlines()
    assert lines[0].split() == ["train", "valid", "test"]
    assert lines[1].split() == ["frames", "4", "2", "3"]
    assert lines[6].split()[-3:] == ["–", "–", "–"]
    statistics = make(splits).statistics()
    (row,) = [line for line in lines if line.startswith("force on Si, max (eV/Å)")]
    assert row.split()[-3:] == [
        f"{statistics[split].elements['Si'].max_ev_per_angstrom:.3f}" for split in splits
    ]
    (row,) = [line for line in lines if line.startswith("Li2, frames")]
    assert row.split()[-3:] == ["1", "–", "–"]
    assert len({len(line) for line in lines}) == 1
