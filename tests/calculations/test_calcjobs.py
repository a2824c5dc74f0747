"""What the CalcJobs write, copy and fetch, and what they refuse before a job exists."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from aiida import orm

from aiida_limsm.calculations.base import EXIT_CODES
from aiida_limsm.calculations.evaluate import EvaluateCalculation
from aiida_limsm.calculations.markov import MarkovCalculation
from aiida_limsm.calculations.md import MolecularDynamicsCalculation
from aiida_limsm.calculations.spread import SpreadCalculation
from aiida_limsm.calculations.train import MaceTrainCalculation
from aiida_limsm.compute.base import Status
from aiida_limsm.compute.inputs import AnalyseInput, EvaluateInput, MdInput
from aiida_limsm.compute.spread_models import SpreadInput
from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

COMMON = ["results.json", "limsm.log", "stdout.txt", "stderr.txt"]
Prepare = Callable[..., Any]
Refuse = Callable[..., str]


@pytest.fixture
def md(code: orm.Code, potential: PotentialData, structure: orm.StructureData) -> dict[str, Any]:
    return {
        "code": code,
        "potential": potential,
        "structure": structure,
        "parameters": orm.Dict({"temperature_k": 700.0, "steps": 100}),
    }


@pytest.fixture
def train(code: orm.Code, potential: PotentialData, dataset: ReferenceDatasetData) -> Any:
    return {
        "code": code,
        "foundation": potential,
        "dataset": dataset,
        "parameters": orm.Dict({"max_epochs": 3}),
    }


@pytest.fixture
def evaluate(code: orm.Code, potential: PotentialData, dataset: ReferenceDatasetData) -> Any:
    return {"code": code, "potential": potential, "dataset": dataset}


@pytest.fixture
def trajectory(aiida_profile: Any, h5md_file: Path) -> MolecularDynamicsData:
    return MolecularDynamicsData.from_file(h5md_file).store()


@pytest.fixture
def analyse(
    code: orm.Code, trajectory: MolecularDynamicsData, structure: orm.StructureData
) -> dict[str, Any]:
    return {"code": code, "trajectories": {"b": trajectory, "a": trajectory}, "sites": structure}


def remote_trajectory(remote: orm.RemoteData) -> MolecularDynamicsData:
    return MolecularDynamicsData.from_remote(
        remote, "trajectory.h5", sha256="0" * 64, symbols=["Li"] * 3 + ["Si"], n_frames=1000,
        cell_angstrom=np.eye(3) * 6, frame_interval_ps=0.02, temperature_k=700.0,
    ).store()  # fmt: skip


def test_md(prepare: Prepare, md: dict[str, Any], structure: orm.StructureData) -> None:
    made = prepare(MolecularDynamicsCalculation, **md)
    assert sorted(made.files) == ["input.json", "structure.extxyz"]
    written = MdInput.model_validate_json(made.files["input.json"])
    assert written == MdInput(temperature_k=700.0, steps=100)
    atoms = ase.io.read(io.StringIO(made.files["structure.extxyz"]), format="extxyz")
    np.testing.assert_allclose(atoms.positions, structure.get_ase().positions, atol=1e-8)
    assert set(atoms.arrays) == {"numbers", "positions"}
    calcinfo = made.calcinfo
    (codeinfo,) = calcinfo.codes_info
    assert codeinfo.cmdline_params == ["md", "input.json"]
    assert (codeinfo.stdout_name, codeinfo.stderr_name) == ("stdout.txt", "stderr.txt")
    potential = md["potential"]
    assert calcinfo.local_copy_list == [(potential.uuid, "potential.model", "potential.model")]
    assert calcinfo.remote_copy_list == []
    assert calcinfo.retrieve_list == [*COMMON, "thermo.csv"]
    assert calcinfo.retrieve_temporary_list == ["trajectory.h5"]


def test_md_of_several_runs_with_a_committee(prepare: Prepare, md: dict[str, Any]) -> None:
    values = {**md["parameters"].get_dict(), "replicas": 2, "mobile_interval_steps": 5}
    inputs = {**md, "parameters": orm.Dict(values), "committee": {"other": md["potential"]}}
    made = prepare(MolecularDynamicsCalculation, **inputs)
    written = MdInput.model_validate_json(made.files["input.json"])
    assert written.committee_files == ("committee-other.model",)
    potential = md["potential"]
    assert made.calcinfo.local_copy_list == [
        (potential.uuid, "potential.model", "potential.model"),
        (potential.uuid, "potential.model", "committee-other.model"),
    ]
    assert made.calcinfo.retrieve_temporary_list == [
        (f"runs/700K-{replica}/{name}", ".", 3)
        for replica in (0, 1)
        for name in ("trajectory.h5", "mobile.h5")
    ]


def test_md_continued(prepare: Prepare, md: dict[str, Any], remote: orm.RemoteData) -> None:
    made = prepare(MolecularDynamicsCalculation, parent_folder=remote, **md)
    path, computer = remote.get_remote_path(), remote.computer.uuid
    assert made.calcinfo.remote_copy_list == [
        (computer, f"{path}/checkpoint.npz", "."),
        (computer, f"{path}/segments", "."),
        (computer, f"{path}/mobile_segments", "."),
        (computer, f"{path}/thermo.csv", "."),
        (computer, f"{path}/runs", "."),
    ]


def test_equal_inputs_are_equal_files(prepare: Prepare, md: dict[str, Any]) -> None:
    first = prepare(MolecularDynamicsCalculation, **md)
    assert prepare(MolecularDynamicsCalculation, **md).files == first.files


def test_the_walltime_is_known_to_the_job(prepare: Prepare, md: dict[str, Any]) -> None:
    options = {"metadata": {"options": {"max_wallclock_seconds": 3600}}}
    made = prepare(MolecularDynamicsCalculation, **md, **options)
    assert json.loads(made.files["input.json"])["max_seconds"] == pytest.approx(3420.0)
    md["parameters"] = orm.Dict({**md["parameters"].get_dict(), "max_seconds": 100})
    made = prepare(MolecularDynamicsCalculation, **md, **options)
    assert json.loads(made.files["input.json"])["max_seconds"] == 100
    options["metadata"]["options"]["max_wallclock_seconds"] = None
    md["parameters"] = orm.Dict({"temperature_k": 700.0, "steps": 100})
    made = prepare(MolecularDynamicsCalculation, **md)
    assert json.loads(made.files["input.json"])["max_seconds"] is None


def test_train(
    prepare: Prepare, train: dict[str, Any], remote: orm.RemoteData, dataset: Any
) -> None:
    made = prepare(MaceTrainCalculation, **train, parent_folder=remote)
    written = TrainInput.model_validate_json(made.files["input.json"])
    assert written == TrainInput(e0s_ev=dataset.e0s_ev, max_epochs=3)
    calcinfo = made.calcinfo
    # the test frames never come near a training
    assert [(source, target) for _, source, target in calcinfo.local_copy_list] == [
        ("train.xyz", "train.xyz"),
        ("valid.xyz", "valid.xyz"),
        ("potential.model", "foundation.model"),
    ]
    path = remote.get_remote_path()
    assert [source for _, source, _ in calcinfo.remote_copy_list] == [
        f"{path}/checkpoints", f"{path}/results", f"{path}/logs",
    ]  # fmt: skip
    assert calcinfo.retrieve_list == [*COMMON, "mace_run_train.log"]
    assert calcinfo.retrieve_temporary_list == ["potential.model", "potential_multihead.model"]


def test_train_with_replay(prepare: Prepare, train: dict[str, Any], dataset: Any) -> None:
    train["parameters"] = orm.Dict({"strategy": "multihead"})
    made = prepare(MaceTrainCalculation, **train, replay=dataset)
    written = TrainInput.model_validate_json(made.files["input.json"])
    assert written.replay_e0s_ev == dataset.e0s_ev
    copied = {target: (uuid, source) for uuid, source, target in made.calcinfo.local_copy_list}
    assert copied["replay_train.xyz"] == (dataset.uuid, "train.xyz")
    assert copied["replay_valid.xyz"] == (dataset.uuid, "valid.xyz")


def test_train_refusals(
    refuse: Refuse, train: dict[str, Any], dataset: Any, make_splits: Callable[..., Any]
) -> None:
    job = MaceTrainCalculation
    assert refuse(job, **train, replay=dataset) == (
        "train: input: strategy 'naive' would not use the replay set: take 'multihead'"
    )
    few = {**train, "parameters": orm.Dict({"batch_size": 5})}
    assert refuse(job, **few) == ("train: batch_size 5 exceeds the 4 training frames: lower it")
    splits = {**make_splits(), "valid": []}
    none = ReferenceDatasetData(splits, dataset.e0s_ev, {}, allow_empty=("valid",))
    assert refuse(job, **{**train, "dataset": none}) == (
        "train: dataset: has no validation frames: split it with some"
    )
    far = {symbol: energy + 2 for symbol, energy in dataset.e0s_ev.items()}
    far = ReferenceDatasetData(make_splits(), far, {})
    shifted = {**train, "dataset": far, "parameters": orm.Dict({"e0s": "foundation"})}
    line = refuse(job, **shifted)
    assert line.startswith("train: e0s 'foundation': its Li atom has -190.50 eV, the dataset's DFT")


def test_a_head_of_the_foundation_has_to_be_chosen(
    prepare: Prepare,
    refuse: Refuse,
    train: dict[str, Any],
    potential_file: Path,
    potential_info: dict[str, Any],
) -> None:
    info = {**potential_info, "heads": ["pt_head", "Default"]}
    train["foundation"] = PotentialData(potential_file, info).store()
    assert refuse(MaceTrainCalculation, **train) == (
        "train: foundation_head: the foundation has the heads pt_head, Default: choose one"
    )
    train["parameters"] = orm.Dict({"foundation_head": "pt_head"})
    made = prepare(MaceTrainCalculation, **train)
    assert json.loads(made.files["input.json"])["foundation_head"] == "pt_head"


def test_energy_zero_of_the_foundation(
    prepare: Prepare, train: dict[str, Any], dataset: Any
) -> None:
    train["parameters"] = orm.Dict({"e0s": "foundation"})
    written = json.loads(prepare(MaceTrainCalculation, **train).files["input.json"])
    assert (written["e0s"], written["e0s_ev"]) == ("foundation", None)


def test_train_from_scratch(prepare: Prepare, refuse: Refuse, train: dict[str, Any]) -> None:
    del train["foundation"]
    assert refuse(MaceTrainCalculation, **train) == (
        "train: input: strategy 'naive' needs a foundation model"
    )
    train["parameters"] = orm.Dict({"strategy": "scratch", "architecture": {"num_channels": 8}})
    made = prepare(MaceTrainCalculation, **train)
    assert TrainInput.model_validate_json(made.files["input.json"]).foundation_file is None
    assert len(made.calcinfo.local_copy_list) == 2


def test_evaluate(prepare: Prepare, evaluate: dict[str, Any], make_splits: Any) -> None:
    made = prepare(EvaluateCalculation, **evaluate)
    files = {split: f"{split}.xyz" for split in ("train", "valid", "test")}
    expected = EvaluateInput(dataset_files=files, e0s_ev=evaluate["dataset"].e0s_ev)
    assert EvaluateInput.model_validate_json(made.files["input.json"]) == expected
    assert len(made.calcinfo.local_copy_list) == 4
    assert made.calcinfo.retrieve_list == [*COMMON, "parity.h5"]
    # a split without frames is left out
    splits = {**make_splits(), "valid": []}
    evaluate["dataset"] = ReferenceDatasetData(
        splits, {"Li": -1.0, "Si": -2.0}, {"functional": "PBE"}, allow_empty=["valid"]
    )
    made = prepare(EvaluateCalculation, **evaluate)
    assert sorted(json.loads(made.files["input.json"])["dataset_files"]) == ["test", "train"]
    assert len(made.calcinfo.local_copy_list) == 3


def test_evaluate_a_committee(
    prepare: Prepare,
    refuse: Refuse,
    evaluate: dict[str, Any],
    tmp_path: Path,
    potential_info: dict[str, Any],
) -> None:
    import hashlib

    def member(content: bytes, **changes: Any) -> PotentialData:
        path = tmp_path / "member.model"
        path.write_bytes(content)
        info = {**potential_info, "sha256": hashlib.sha256(content).hexdigest(), **changes}
        return PotentialData(path, info).store()

    committee = {"seed_2": member(b"two"), "seed_1": member(b"one")}
    made = prepare(EvaluateCalculation, **evaluate, committee=committee)
    written = EvaluateInput.model_validate_json(made.files["input.json"])
    assert written.committee_files == ("committee_seed_1.model", "committee_seed_2.model")
    assert [(uuid, target) for uuid, _, target in made.calcinfo.local_copy_list][1:3] == [
        (committee["seed_1"].uuid, "committee_seed_1.model"),
        (committee["seed_2"].uuid, "committee_seed_2.model"),
    ]
    committee["seed_3"] = member(b"one")
    assert refuse(EvaluateCalculation, **evaluate, committee=committee) == (
        "evaluate: committee.seed_3 is the same model as committee.seed_1: a committee needs "
        "potentials of different seeds"
    )
    committee["seed_3"] = member(b"three", elements=["Li"], e0s_ev={"Li": -1.0})
    assert refuse(EvaluateCalculation, **evaluate, committee=committee).startswith(
        "evaluate: committee.seed_3: the potential knows Li; the structure has Si"
    )


def test_analyse(prepare: Prepare, analyse: dict[str, Any]) -> None:
    made = prepare(MarkovCalculation, **analyse)
    written = AnalyseInput.model_validate_json(made.files["input.json"])
    assert written == AnalyseInput(trajectory_files=("a.h5", "b.h5"))
    assert written.structure_file == "structure.extxyz"
    assert sorted(made.files) == ["input.json", "structure.extxyz"]
    assert [target for *_, target in made.calcinfo.local_copy_list] == ["a.h5", "b.h5"]
    assert made.calcinfo.remote_symlink_list == []
    assert made.calcinfo.retrieve_temporary_list == ["model.h5"]
    assert made.calcinfo.codes_info[0].cmdline_params == ["analyse", "input.json"]


def test_a_trajectory_that_stayed_is_linked(
    prepare: Prepare, analyse: dict[str, Any], remote: orm.RemoteData
) -> None:
    analyse["trajectories"]["b"] = remote_trajectory(remote)
    made = prepare(MarkovCalculation, **analyse)
    path = f"{remote.get_remote_path()}/trajectory.h5"
    assert made.calcinfo.remote_symlink_list == [(remote.computer.uuid, path, "b.h5")]
    assert [target for *_, target in made.calcinfo.local_copy_list] == ["a.h5"]


def test_a_trajectory_of_another_computer(
    refuse: Refuse, analyse: dict[str, Any], aiida_computer_local: Any, tmp_path: Path
) -> None:
    other = aiida_computer_local(label="other-cluster")
    remote = orm.RemoteData(computer=other, remote_path=str(tmp_path))
    analyse["trajectories"]["b"] = remote_trajectory(remote)
    assert refuse(MarkovCalculation, **analyse) == (
        "analyse: trajectories.b lies on other-cluster: use a limsm code of that computer"
    )


def test_wrong_and_owned_fields(
    refuse: Refuse, md: dict[str, Any], train: dict[str, Any], analyse: dict[str, Any]
) -> None:
    def changed(inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
        old = inputs["parameters"].get_dict() if "parameters" in inputs else {}
        return {**inputs, "parameters": orm.Dict({**old, **fields})}

    job = MolecularDynamicsCalculation
    assert refuse(job, **changed(md, stepz=1)) == "md: stepz: Extra inputs are not permitted"
    assert refuse(job, **changed(md, steps=-1)) == "md: steps: Input should be greater than 0"
    assert refuse(job, **changed(md, potential_file="x", structure_file="y")) == (
        "md: potential_file, structure_file come from other inputs: remove them"
    )
    assert refuse(MaceTrainCalculation, **changed(train, e0s_ev={"Li": 1.0})) == (
        "train: e0s_ev come from other inputs: remove them"
    )
    assert refuse(MarkovCalculation, **changed(analyse, structure_file="x")) == (
        "analyse: structure_file come from other inputs: remove them"
    )
    assert refuse(MarkovCalculation, **changed(analyse, lag_ps=0)) == (
        "analyse: lag_ps: Input should be greater than 0"
    )


def test_spread(
    prepare: Prepare,
    refuse: Refuse,
    code: orm.Code,
    potential: PotentialData,
    trajectory: MolecularDynamicsData,
    tmp_path: Path,
    potential_info: dict[str, Any],
) -> None:
    import hashlib

    content = b"another member"
    (tmp_path / "member.model").write_bytes(content)
    info = {**potential_info, "sha256": hashlib.sha256(content).hexdigest()}
    other = PotentialData(tmp_path / "member.model", info).store()
    spread = {"code": code, "potential": potential, "trajectory": trajectory}
    made = prepare(SpreadCalculation, **spread, committee={"seed_2": other})
    files = ("potential.model", "committee_seed_2.model")
    assert SpreadInput.model_validate_json(made.files["input.json"]) == SpreadInput(
        potential_files=files
    )
    targets = [(uuid, target) for uuid, _, target in made.calcinfo.local_copy_list]
    assert targets == [
        (potential.uuid, files[0]), (other.uuid, files[1]), (trajectory.uuid, "trajectory.h5"),
    ]  # fmt: skip
    assert made.calcinfo.retrieve_list == [*COMMON, "spread.h5"]
    assert refuse(SpreadCalculation, **spread, committee={"seed_2": potential}).startswith(
        "spread: committee.seed_2 is the same model as potential"
    )
    remote = orm.RemoteData(computer=code.computer, remote_path="/scratch/md").store()
    spread["trajectory"] = remote_trajectory(remote)
    assert refuse(SpreadCalculation, **spread, committee={"seed_2": other}).startswith(
        "spread: trajectory: the trajectory stays at "
    )


def test_elements_that_the_potential_lacks(
    refuse: Refuse,
    md: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    potential_file: Path,
    potential_info: dict[str, Any],
) -> None:
    potential_info["elements"] = ["Li"]
    lithium = PotentialData(potential_file, potential_info)
    for job, inputs, name in (
        (MolecularDynamicsCalculation, md, "potential"),
        (MaceTrainCalculation, train, "foundation"),
        (EvaluateCalculation, evaluate, "potential"),
    ):
        line = refuse(job, **{**inputs, name: lithium})
        assert line.startswith(f"{job.JOB_NAME}: the potential knows Li; the structure has Si")


def test_sites_and_trajectories(refuse: Refuse, analyse: dict[str, Any]) -> None:
    from ase.build import bulk

    silicon = orm.StructureData(ase=bulk("Si"))
    assert refuse(MarkovCalculation, **{**analyse, "sites": silicon}) == (
        "analyse: sites: the structure has no Li, so it marks no site for it"
    )
    assert "give at least one" in refuse(MarkovCalculation, **{**analyse, "trajectories": {}})
    sodium = orm.Dict({"species": "Na"})
    assert "has no Na" in refuse(MarkovCalculation, **analyse, parameters=sodium)


def test_sites_from_the_density_need_no_structure(
    prepare: Prepare, refuse: Refuse, analyse: dict[str, Any]
) -> None:
    density = orm.Dict({"sites": "density", "pool": "none"})
    assert refuse(MarkovCalculation, **analyse, parameters=density) == (
        "analyse: sites: the parameters ask for sites 'density': give no structure"
    )
    del analyse["sites"]
    assert refuse(MarkovCalculation, **analyse) == (
        "analyse: sites: give a structure that marks the sites, or set sites to 'density'"
    )
    made = prepare(MarkovCalculation, **analyse, parameters=density)
    written = AnalyseInput.model_validate_json(made.files["input.json"])
    assert (written.sites, written.structure_file, written.pool) == ("density", None, "none")
    assert sorted(made.files) == ["input.json"]


def test_every_status_has_its_exit_code() -> None:
    assert set(EXIT_CODES) == set(Status) - {Status.FINISHED}
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    codes = MolecularDynamicsCalculation.exit_codes
    for status, number in EXIT_CODES.items():
        assert getattr(codes, f"ERROR_{status.name}").status == number
    # a later run may succeed where these failed, so they are no cached answer
    for label in ("NO_RESULTS", "OUTPUT_FILE", "INTERNAL_ERROR", "OUT_OF_WALLTIME", "DISK_FULL"):
        assert getattr(codes, f"ERROR_{label}").invalidates_cache
    assert not codes.ERROR_INVALID_INPUT.invalidates_cache


def test_evaluate_with_the_potential_s_own_zero(prepare: Prepare, evaluate: dict[str, Any]) -> None:
    made = prepare(EvaluateCalculation, **evaluate, own_e0s=orm.Bool(True))
    assert json.loads(made.files["input.json"])["e0s_ev"] is None
    made = prepare(EvaluateCalculation, **evaluate, own_e0s=orm.Bool(False))
    assert json.loads(made.files["input.json"])["e0s_ev"] is not None
