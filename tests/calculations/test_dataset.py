from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.manage.caching import enable_caching

from aiida_limsm.calculations.dataset import DatasetSettings, build_dataset, validate_dataset
from aiida_limsm.data.dataset import SPLITS, ReferenceDatasetData

SETTINGS = {
    "functional": "PBE",
    "ecutwfc_ry": 12.0,
    "k_points": {"mesh": [2, 2, 2]},
    "pseudopotentials": {
        "Li": {"file": "Li.upf", "md5": "1"},
        "Si": {"file": "Si.upf", "md5": "2"},
    },
}
E0S = {"Li": -12.0, "Si": -132.5}
SYMBOLS = ["Li", "Li", "Si"]
#: All frames, in blocks, as few as can be.
ALL = {"stride": 1, "gap_frames": 0, "train_fraction": 0.6, "valid_fraction": 0.2}


def aimd(
    frames: int,
    seed: int = 0,
    stress: bool = True,
    symbols: list[str] | None = None,
    **changes: Any,
) -> orm.TrajectoryData:
    """Make a trajectory as AimdWorkChain makes it."""
    symbols = symbols or SYMBOLS
    rng = np.random.default_rng(seed)
    shape = (frames, len(symbols), 3)
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=symbols,
        positions=rng.normal(size=shape),
        cells=np.tile(5.0 * np.eye(3), (frames, 1, 1)),
        pbc=changes.pop("pbc", (True, True, True)),
        times=np.arange(frames) * 0.002,
    )
    node.set_array("energies_ev", rng.normal(size=frames))
    node.set_array("forces_ev_per_angstrom", rng.normal(size=shape))
    if stress:
        node.set_array("stress_ev_per_angstrom3", rng.normal(size=(frames, 3, 3)))
    node.base.attributes.set("dft_settings", {**SETTINGS, **changes})
    return node


def batch(frames: int, seed: int = 99, **kwargs: Any) -> orm.TrajectoryData:
    """Make single points as the label workchain collects them."""
    node = aimd(frames, seed, **kwargs)
    node.delete_array("times")
    node.base.attributes.set("frames_are", "single points")
    return node


def set_array(node: orm.TrajectoryData, name: str, index: Any, value: Any) -> None:
    values = node.get_array(name).copy()
    values[index] = value
    node.set_array(name, values)


def build(
    parameters: dict[str, Any], e0s: dict[str, float] | None = E0S, **trajectories: Any
) -> ReferenceDatasetData:
    atoms = {} if e0s is None else {"isolated_atoms": orm.Dict(e0s)}
    return build_dataset(parameters=orm.Dict(parameters), **atoms, **trajectories)


pytestmark = pytest.mark.usefixtures("aiida_profile")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"train_fraction": 0.9, "valid_fraction": 0.1}, "must leave frames for the test"),
        ({"stride": 0}, "stride: give 'auto' or a whole number from 1, not 0"),
        ({"stride": 1.5}, "stride: give 'auto' or a whole number from 1, not 1.5"),
        ({"gap_frames": "all"}, "gap_frames: give 'auto' or a whole number from 0, not 'all'"),
        ({"shuffle": True}, "shuffle: Extra inputs are not permitted"),
        ({"e0s": "average"}, "e0s: Input should be 'isolated' or 'fitted'"),
        ({"max_force_ev_per_angstrom": 0}, "max_force_ev_per_angstrom: Input should be greater"),
        ({"duplicate_tolerance_angstrom": 0}, "duplicate_tolerance_angstrom: Input should be"),
    ],
)
def test_settings_are_checked(values: dict[str, Any], line: str) -> None:
    message = validate_dataset(orm.Dict(values), None)
    assert message is not None
    assert line in message
    assert message.startswith("dataset parameters: ")
    with pytest.raises(ValueError, match=r"^dataset parameters: "):
        build(values, a=aimd(30))


def test_validator_lets_good_and_missing_settings_pass() -> None:
    assert validate_dataset(None, None) is None
    assert validate_dataset(orm.Dict({"stride": 2, "gap_frames": "auto"}), None) is None
    assert (DatasetSettings().stride, DatasetSettings().gap_frames) == ("auto", "auto")


def test_a_dataset_of_two_trajectories() -> None:
    first, second = aimd(30), aimd(20, seed=1)
    dataset = build({"skip_frames": 2, "stride": 1, "gap_frames": 1}, t700=second, t600=first)
    assert dataset.sources == ("t600", "t700")
    # 28 − 2 gaps → 18 + 3 + 5; 18 − 2 gaps → 11 + 2 + 3
    assert dataset.counts == {"train": 29, "valid": 5, "test": 8}
    ids = {split: dataset.frame_ids(split) for split in dataset.splits}
    assert ids["train"][:2] == [(0, 2), (0, 3)]
    assert [pair for pair in ids["valid"] if pair[0] == 0] == [(0, 21), (0, 22), (0, 23)]
    assert ids["test"][-1] == (1, 19)
    assert len({pair for pairs in ids.values() for pair in pairs}) == 42
    assert (dataset.e0s_ev, dataset.e0s_are) == (E0S, "isolated")
    assert dataset.dft_settings == SETTINGS
    atoms = dataset.read("train")[0]
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


def slow_run(frames: int, memory: float, seed: int = 0) -> orm.TrajectoryData:
    """Forces that remember, an energy that remembers twice as long."""
    node = aimd(frames, seed)
    rng = np.random.default_rng(seed)
    for name, length in (("forces_ev_per_angstrom", memory), ("energies_ev", 2 * memory)):
        values = rng.normal(size=node.get_array(name).shape)
        keep = np.exp(-1 / length)
        for t in range(1, frames):
            values[t] = keep * values[t - 1] + np.sqrt(1 - keep**2) * values[t]
        node.set_array(name, values)
    return node


def test_stride_and_gap_are_measured() -> None:
    dataset = build({}, run=slow_run(6000, 5.0), other=aimd(60, 3))
    report = dataset.selection["sources"]["run"]
    # (1 + φ) / (1 − φ) of φ = exp(−1/5) and exp(−1/10)
    assert report["force_inefficiency_frames"] == pytest.approx(10.03, rel=0.15)
    assert report["energy_inefficiency_frames"] == pytest.approx(20.02, rel=0.3)
    assert report["force_autocorrelation_time_fs"] == pytest.approx(
        (report["force_inefficiency_frames"] - 1) / 2 * 2.0
    )
    assert report["stride"] == np.ceil(report["force_inefficiency_frames"])
    decay = max(report["force_decay_frames"], report["energy_decay_frames"])
    assert decay >= report["energy_decay_frames"] >= 8
    ids = {
        split: [frame for source, frame in dataset.frame_ids(split) if source == 1]
        for split in SPLITS
    }
    assert np.unique(np.diff(ids["train"])).tolist() == [report["stride"]]
    for before, after in (("train", "valid"), ("valid", "test")):
        distance = ids[after][0] - ids[before][-1]
        assert distance == (report["gap_frames"] + 1) * report["stride"]
        assert decay <= distance < decay + report["stride"]
    # each source has its own: the other one forgets at once
    assert dataset.selection["sources"]["other"]["stride"] in (1, 2)
    given = build({"stride": 7}, run=slow_run(6000, 5.0))
    assert given.selection["sources"]["run"]["stride"] == 7


def test_what_does_not_vary_cannot_be_measured() -> None:
    still = aimd(40)
    still.set_array("energies_ev", np.full(40, -3.0))
    with pytest.raises(ValueError, match=r"^a: its forces or its energy do not vary: stride and"):
        build({"stride": 2}, a=still)
    report = build({"stride": 2, "gap_frames": 1}, a=still).selection["sources"]["a"]
    assert "force_inefficiency_frames" not in report


def test_equal_inputs_are_equal_bytes_and_hit_the_cache() -> None:
    parameters = {"max_force_ev_per_angstrom": 4.0}
    one, two, other = (build(parameters, a=slow_run(300, 2.0, seed)) for seed in (3, 3, 4))
    assert one.base.caching.compute_hash() == two.base.caching.compute_hash()
    assert one.base.caching.compute_hash() != other.base.caching.compute_hash()
    assert one.base.attributes.all == two.base.attributes.all
    inputs = {"parameters": orm.Dict(parameters), "isolated_atoms": orm.Dict(E0S)}
    with enable_caching(identifier="aiida.calculations:limsm.build_dataset"):
        _, first = build_dataset.run_get_node(**inputs, run=slow_run(300, 2.0, 5))
        again, second = build_dataset.run_get_node(**inputs, run=slow_run(300, 2.0, 5))
    assert not first.base.caching.is_created_from_cache
    assert second.base.caching.is_created_from_cache
    assert (
        again.read("test")[0].info["REF_energy"]
        == first.outputs.result.read("test")[0].info["REF_energy"]
    )


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"ecutwfc_ry": 30.0}, "ecutwfc_ry"),
        ({"functional": "PBEsol", "k_points": {"mesh": [1, 1, 1]}}, "functional, k_points"),
        ({"vdw": "d3"}, "vdw"),
        (
            {"pseudopotentials": {"Li": {"file": "Li.upf", "md5": "3"}}},
            "pseudopotential of Li",
        ),
    ],
)
def test_other_settings_are_no_reference(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^c and b differ in {name}: their energies cannot be"):
        build({}, b=aimd(30), c=batch(3, **changes))


def test_pseudopotentials_are_compared_where_both_have_the_element() -> None:
    li, si = ({name: SETTINGS["pseudopotentials"][name]} for name in ("Li", "Si"))
    metal = aimd(30, 1, symbols=["Li", "Li"], pseudopotentials=li)
    silicon = aimd(30, 2, symbols=["Si"], pseudopotentials=si)
    dataset = build(ALL, a=metal, b=silicon)
    assert dataset.dft_settings == SETTINGS
    other = aimd(30, 3, pseudopotentials={**li, "Si": {"file": "Si.upf", "md5": "9"}})
    with pytest.raises(ValueError, match=r"^c and b differ in pseudopotential of Si:"):
        build(ALL, a=metal, b=silicon, c=other)


@pytest.mark.parametrize(
    ("array", "index", "value", "line"),
    [
        ("energies_ev", 3, np.nan, "a: 'energies_ev' of frame 3 is not finite"),
        ("forces_ev_per_angstrom", (7, 1, 2), np.inf, "'forces_ev_per_angstrom' of frame 7 is not"),
        ("cells", 2, 0.0, "a: the cell of frame 2 has no volume"),
        ("times", 5, 0.0105, "a: its frames are not equal steps in time: time blocks need that"),
    ],
)
def test_spoilt_trajectories(array: str, index: Any, value: float, line: str) -> None:
    node = aimd(30)
    set_array(node, array, index, value)
    with pytest.raises(ValueError, match=line) as error:
        build(ALL, a=node)
    assert "\n" not in str(error.value)


def test_missing_labels_are_named() -> None:
    bare = aimd(30)
    bare.base.attributes.delete("dft_settings")
    with pytest.raises(ValueError, match=r"^a does not say its DFT settings: give trajectories"):
        build({}, a=bare)
    without = aimd(30)
    without.delete_array("forces_ev_per_angstrom")
    with pytest.raises(ValueError, match=r"^a has no 'forces_ev_per_angstrom': give trajectories"):
        build({}, a=without)
    cut = aimd(30)
    cut.set_array("energies_ev", np.zeros(29))
    with pytest.raises(ValueError, match=r"^a: 'energies_ev' has shape \(29,\), not \(30,\)"):
        build({}, a=cut)
    with pytest.raises(ValueError, match=r"^a: Li1 is no chemical symbol"):
        build({}, a=aimd(30, symbols=["Li1", "Si"]))
    with pytest.raises(ValueError, match=r"^no frames: give at least one trajectory"):
        build({})


def test_too_few_frames() -> None:
    with pytest.raises(ValueError, match=r"^a: 6 frames are too few to split with skip_frames=0"):
        build({"stride": 1, "gap_frames": 2}, a=aimd(6))
    with pytest.raises(ValueError, match=r"^a: 6 frames are too few to split with skip_frames=9,"):
        build({"skip_frames": 9}, a=aimd(6))
    with pytest.raises(ValueError, match=r"^a: 1 frames are too few to split with skip_frames=0,"):
        build({}, a=aimd(1))


def test_a_run_that_ended_early_is_not_lost() -> None:
    """Too short to be cut; the others are, so it can serve the training."""
    parameters = {"stride": 1, "gap_frames": 2, "skip_frames": 2}
    dataset = build(parameters, early=aimd(7), gone=aimd(1, 2), run=aimd(30, 1))
    assert dataset.frames_per_source[0] == {"train": 5, "valid": 0, "test": 0}
    assert set(dataset.frames_per_source) == {0, 2}
    report = dataset.selection["sources"]["early"]
    assert report["training_only"].startswith("7 frames are too few to split with skip_frames=2")
    assert "every 1 kept, too short to split: all for the training" in dataset.summary()
    assert "training_only" not in dataset.selection["sources"]["run"]


def test_frames_without_stress_and_with_open_boundaries() -> None:
    dataset = build(ALL, a=aimd(10, stress=False, pbc=(True, True, False)))
    assert not dataset.has_stress
    for atoms in dataset.read():
        assert "REF_stress" not in atoms.info
        assert atoms.pbc.tolist() == [True, True, False]


def test_label_batches_go_to_the_training() -> None:
    dataset = build({**ALL, "skip_frames": 5}, labels=batch(4), run=aimd(30))
    assert dataset.frames_per_source[0] == {"train": 4, "valid": 0, "test": 0}
    assert dataset.selection["sources"]["labels"] == {"kind": "single points", "frames": 4}
    assert dataset.frame_ids("train")[:5] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 5)]
    blocks = build({**ALL, "stride": 3, "label_split": "blocks"}, labels=batch(10))
    assert blocks.counts == {"train": 6, "valid": 2, "test": 2}
    with pytest.raises(ValueError, match=r"^no frames are left in valid, test: give an MD traj"):
        build(ALL, labels=batch(10))


def test_frames_of_a_batch_that_are_also_in_a_trajectory_are_dropped() -> None:
    """Wherever they are there: next to test frames, a label in the training would leak."""
    run, labels = aimd(50), batch(3)
    for frame, origin in ((0, 47), (2, 12)):
        shift = np.array([5.0, -10.0, 0.0]) * (frame + 1)
        set_array(labels, "positions", frame, run.get_array("positions")[origin] + shift)
    dataset = build({**ALL, "stride": 5}, a_labels=labels, run=run)
    assert [pair for pair in dataset.frame_ids("train") if pair[0] == 0] == [(0, 1)]
    assert dataset.selection["removed"] == {
        "duplicates": 2, "beside_duplicates": 0, "above_max_force": 0,
    }  # fmt: skip


def test_outliers_are_reported_or_removed() -> None:
    run, labels = aimd(60), batch(5)
    set_array(run, "forces_ev_per_angstrom", (4, 0), [30.0, 40.0, 0.0])
    set_array(labels, "forces_ev_per_angstrom", (2, 1), [0.0, 0.0, -90.0])
    dataset = build(ALL, labels=labels, run=run)
    assert dataset.outliers == [
        {"source": "labels", "frame": 2, "split": "train", "max_force_ev_per_angstrom": 90.0,
         "kept": True},
        {"source": "run", "frame": 4, "split": "train", "max_force_ev_per_angstrom": 50.0,
         "kept": True},
    ]  # fmt: skip
    assert 3.0 < dataset.selection["outlier_threshold_ev_per_angstrom"] < 50.0
    cut = build({**ALL, "max_force_ev_per_angstrom": 60.0}, labels=labels, run=run)
    assert [(each["frame"], each["kept"]) for each in cut.outliers] == [(2, False)]
    assert cut.selection["removed"]["above_max_force"] == 1
    assert set(dataset.frame_ids("train")) - set(cut.frame_ids("train")) == {(0, 2)}
    with pytest.raises(
        ValueError,
        match=r"^no frames are left in train, valid, test: removed were 65 above max force; give",
    ):
        build({**ALL, "max_force_ev_per_angstrom": 1e-6}, labels=labels, run=run)


def test_fitted_energy_zero() -> None:
    run, metal = aimd(30), aimd(30, 1, symbols=["Li", "Li"])
    for node, energy in ((run, 2 * E0S["Li"] + E0S["Si"]), (metal, 2 * E0S["Li"])):
        node.set_array("energies_ev", np.where(np.arange(30) % 2, energy + 0.2, energy - 0.2))
    dataset = build({**ALL, "e0s": "fitted"}, e0s=None, run=run, metal=metal)
    assert dataset.e0s_ev == pytest.approx(E0S)
    assert dataset.e0s_are == "fitted"
    # only what is trained on is fitted
    changed = metal.clone()
    set_array(changed, "energies_ev", slice(20, 30), 1e3)
    again = build({**ALL, "e0s": "fitted"}, e0s=None, run=run, metal=changed)
    assert again.e0s_ev == dataset.e0s_ev


def test_an_element_that_is_not_trained_on_cannot_be_fitted() -> None:
    run, metal = aimd(30), aimd(30, 1, symbols=["Li", "Li"])
    set_array(run, "forces_ev_per_angstrom", slice(0, 18), 100.0)
    with pytest.raises(ValueError, match=r"^e0s='fitted': no training frame holds Si: use"):
        build(
            {**ALL, "e0s": "fitted", "max_force_ev_per_angstrom": 50.0},
            e0s=None,
            run=run,
            metal=metal,
        )


def test_the_choice_of_the_energy_zero_must_be_possible() -> None:
    with pytest.raises(ValueError, match=r"^e0s='isolated' needs isolated_atoms: give their"):
        build(ALL, e0s=None, a=aimd(30))
    with pytest.raises(ValueError, match=r"^e0s='fitted' does not use isolated_atoms: leave"):
        build({**ALL, "e0s": "fitted"}, a=aimd(30))
    with pytest.raises(ValueError, match=r"^e0s='fitted': Li, Si cannot be told apart by the"):
        build({**ALL, "e0s": "fitted"}, e0s=None, a=aimd(30))
    with pytest.raises(ValueError, match=r"^e0s_ev: no energy for Si; the frames hold Li, Si"):
        build(ALL, e0s={"Li": -12.0}, a=aimd(30))
