from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aiida_limsm.calculations.dataset import (
    SplitSettings,
    build_dataset,
    labelled_frames,
    validate_split,
)

SETTINGS = {"functional": "PBE", "ecutwfc_ry": 12.0, "k_points": {"mesh": [2, 2, 2]}}
E0S = {"Li": -12.0, "Si": -132.5}


def aimd(frames: int, seed: int = 0, stress: bool = True, **settings: Any) -> orm.TrajectoryData:
    """Make a trajectory as `join_segments` makes it."""
    rng = np.random.default_rng(seed)
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=["Li", "Li", "Si"],
        positions=rng.normal(size=(frames, 3, 3)),
        cells=np.tile(5.0 * np.eye(3), (frames, 1, 1)),
        pbc=(True, True, True),
    )
    node.set_array("energies_ev", rng.normal(size=frames))
    node.set_array("forces_ev_per_angstrom", rng.normal(size=(frames, 3, 3)))
    if stress:
        node.set_array("stress_ev_per_angstrom3", rng.normal(size=(frames, 3, 3)))
    node.base.attributes.set("dft_settings", {**SETTINGS, **settings})
    return node


def build(parameters: dict[str, Any], **trajectories: orm.TrajectoryData) -> Any:
    return build_dataset(
        parameters=orm.Dict(parameters), isolated_atoms=orm.Dict(E0S), **trajectories
    )


pytestmark = pytest.mark.usefixtures("aiida_profile")


@given(
    frames=st.integers(0, 400),
    skip=st.integers(0, 50),
    stride=st.integers(1, 7),
    gap=st.integers(0, 6),
    train=st.floats(0.05, 0.9),
    valid=st.floats(0.02, 0.5),
)
def test_blocks_do_not_leak(
    frames: int, skip: int, stride: int, gap: int, train: float, valid: float
) -> None:
    if train + valid >= 0.99:
        return
    split = SplitSettings(
        skip_frames=skip, stride=stride, gap_frames=gap, train_fraction=train, valid_fraction=valid
    )
    kept = len(range(skip, frames, stride)) - 2 * gap
    try:
        blocks = split.blocks(frames)
    except ValueError:
        # only where a block would be empty
        assert (
            kept < 3
            or 0 in (round(kept * train), round(kept * valid))
            or (round(kept * train) + round(kept * valid) >= kept)
        )
        return
    assert list(blocks) == ["train", "valid", "test"]
    for indices in blocks.values():
        assert indices == list(range(indices[0], indices[-1] + 1, stride))
        assert skip <= indices[0] <= indices[-1] < frames
    assert blocks["train"][0] == skip
    # every kept frame is in one block or in a gap
    assert blocks["valid"][0] - blocks["train"][-1] == (gap + 1) * stride
    assert blocks["test"][0] - blocks["valid"][-1] == (gap + 1) * stride
    assert frames - blocks["test"][-1] <= stride
    usable = sum(map(len, blocks.values()))
    assert abs(len(blocks["train"]) - train * usable) <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"train_fraction": 0.9, "valid_fraction": 0.1}, "must leave frames for the test"),
        ({"stride": 0}, "stride: Input should be greater than 0"),
        ({"shuffle": True}, "shuffle: Extra inputs are not permitted"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError):
        SplitSettings(**values)
    message = validate_split(orm.Dict(values), None)
    assert message is not None
    assert line in message
    assert message.startswith("dataset parameters: ")


def test_validator_lets_good_and_missing_settings_pass() -> None:
    assert validate_split(None, None) is None
    assert validate_split(orm.Dict({"stride": 2}), None) is None


def test_a_dataset_of_two_trajectories() -> None:
    first, second = aimd(30), aimd(20, seed=1)
    dataset = build({"skip_frames": 2, "gap_frames": 1}, t700=second, t600=first)
    assert dataset.base.attributes.get("sources") == ["t600", "t700"]
    # 28 − 2 gaps → 18 + 3 + 5; 18 − 2 gaps → 11 + 2 + 3
    assert dataset.counts == {"train": 29, "valid": 5, "test": 8}
    ids = {split: dataset.frame_ids(split) for split in dataset.splits}
    assert ids["train"][:2] == [(0, 2), (0, 3)]
    assert [pair for pair in ids["valid"] if pair[0] == 0] == [(0, 21), (0, 22), (0, 23)]
    assert ids["test"][-1] == (1, 19)
    assert len({pair for pairs in ids.values() for pair in pairs}) == 42
    assert dataset.e0s_ev == E0S
    assert dataset.base.attributes.get("dft_settings") == SETTINGS
    atoms = dataset.get_frames("train")[0]
    np.testing.assert_array_equal(atoms.positions, first.get_array("positions")[2])
    assert atoms.info["REF_energy"] == first.get_array("energies_ev")[2]
    np.testing.assert_array_equal(
        atoms.arrays["REF_forces"], first.get_array("forces_ev_per_angstrom")[2]
    )
    stress = first.get_array("stress_ev_per_angstrom3")[2]
    np.testing.assert_array_equal(atoms.info["REF_stress"], (0.5 * (stress + stress.T)).reshape(9))
    # the way back to the DFT runs
    assert {link.link_label for link in dataset.creator.base.links.get_incoming().all()} >= {
        "t600",
        "t700",
        "isolated_atoms",
    }


def test_equal_inputs_are_equal_datasets() -> None:
    one, two, other = (build({}, a=aimd(30, seed=seed)) for seed in (3, 3, 4))
    assert one.base.caching.compute_hash() == two.base.caching.compute_hash()
    assert one.base.caching.compute_hash() != other.base.caching.compute_hash()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ecutwfc_ry": 30.0}, "ecutwfc_ry"),
        ({"functional": "PBEsol", "k_points": {"mesh": [1, 1, 1]}}, "functional, k_points"),
        ({"vdw": "d3"}, "vdw"),
    ],
)
def test_other_settings_are_no_reference(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^b and a differ in {name}: their energies cannot be"):
        build({}, a=aimd(30), b=aimd(30, seed=1, **changes))


def test_a_trajectory_that_does_not_say_its_settings() -> None:
    bare = aimd(30)
    bare.base.attributes.delete("dft_settings")
    with pytest.raises(ValueError, match=r"^a does not say its DFT settings: give trajectories"):
        build({}, a=bare)


def test_too_few_frames() -> None:
    with pytest.raises(ValueError, match=r"^6 frames are too few to split with skip_frames=0"):
        build({}, a=aimd(6))


def test_frames_without_stress() -> None:
    frames = labelled_frames(aimd(2, stress=False), source=3)
    assert all("REF_stress" not in atoms.info for atoms in frames)
    assert [(a.info["source_index"], a.info["frame_index"]) for a in frames] == [(3, 0), (3, 1)]
