"""FineTuneWorkChain with real trainings: committees, walltime, kills, cache."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import ase.io
import pytest
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.workchains.finetune import FineTuneWorkChain
from aiida_limsm.workchains.train import TrainWorkChain

DATA_FILES = Path(__file__).parents[1] / "data_files"
E0S_EV = {"Li": -12.0, "Si": -132.5}


def make_dataset(frames, e0s_ev, split):
    splits = {"train": [], "valid": [], "test": []}
    for index, atoms in enumerate(frames):
        atoms.info.update(source_index=0, frame_index=index)
        atoms.info["REF_stress"] = atoms.info["REF_stress"].reshape(9)
        splits[split(index, atoms)].append(atoms)
    return ReferenceDatasetData(splits, e0s_ev, {"functional": "PBE"}, allow_empty=("test",))


@pytest.fixture
def dataset(aiida_profile):
    frames = ase.io.read(DATA_FILES / "li11si4_aimd_16.xyz", index=":")
    return make_dataset(
        frames,
        E0S_EV,
        lambda index, _: "train" if index < 10 else "valid" if index < 12 else "test",
    )


@pytest.fixture
def replay(aiida_profile, foundation):
    frames = ase.io.read(DATA_FILES / "li_si_replay.xyz", index=":")
    return make_dataset(frames, foundation.e0s_ev, lambda _, atoms: atoms.info["split"])


def builder(limsm_code, dataset, foundation, train=None, **inputs):
    return FineTuneWorkChain.get_builder_from_protocol(
        limsm_code,
        dataset,
        foundation,
        protocol="fast",
        overrides={"train": {"max_epochs": 2, **(train or {})}},
        **inputs,
    )


def training(limsm_code, dataset, foundation, **train):
    return TrainWorkChain.get_builder_from_protocol(
        limsm_code, dataset, foundation, protocol="fast", overrides={"train": train}
    )


def jobs(node, label="MaceTrainCalculation"):
    return [n for n in node.called_descendants if n.process_label == label]


def test_a_replay_set_asks_for_replay(limsm_code, dataset, foundation, replay):
    made = builder(limsm_code, dataset, foundation, replay=replay)
    assert made.train.parameters["strategy"] == "multihead"
    assert builder(limsm_code, dataset, foundation).train.parameters["strategy"] == "naive"


@pytest.mark.parametrize(
    ("train", "line"),
    [
        ({"batch_size": 11}, "batch_size 11 exceeds the 10 training frames: lower it"),
        ({"strategy": "multihead"}, "strategy 'multihead' needs replay frames"),
        ({"e0s": "foundation"}, "e0s 'foundation': its Li atom has -0.36 eV, the dataset's DFT"),
        ({"e0s_ev": {"Li": -1.0}}, "e0s_ev come from other inputs: remove them"),
        ({"device": "gpu"}, "device: Input should be 'cpu' or 'cuda'"),
        ({"foundation_head": "pbe"}, "foundation_head: the foundation has no head 'pbe', only D"),
    ],
)
def test_refused_at_submission(limsm_code, dataset, foundation, train, line):
    with pytest.raises(ValueError, match="train: ") as caught:
        run_get_node(builder(limsm_code, dataset, foundation, train))
    assert line in str(caught.value)


def test_an_empty_committee(limsm_code, dataset, foundation):
    with pytest.raises(ValueError, match="give 1 to 64 trainings"):
        builder(limsm_code, dataset, foundation, committee=-1)


@pytest.mark.slow
def test_a_committee_from_the_cache(limsm_code, dataset, foundation):
    train = {"foundation_head": "Default"}
    outputs, node = run_get_node(builder(limsm_code, dataset, foundation, train))
    assert node.is_finished_ok, node.exit_message
    assert "committee" not in outputs
    before, after = jobs(node, "EvaluateCalculation")
    if before.inputs.potential.uuid != foundation.uuid:
        before, after = after, before
    assert before.inputs.parameters["head"] == "Default"
    assert "head" not in after.inputs.parameters.get_dict()
    first = outputs["potential"]
    for when in ("before", "after"):
        assert outputs[f"errors_{when}"]["errors"]["test"]["frames"] == 4
    # one more member costs one training
    with enable_caching():
        made = builder(limsm_code, dataset, foundation, train, committee=2)
        more, again = run_get_node(made)
    assert again.is_finished_ok, again.exit_message
    cached = [job.base.caching.is_created_from_cache for job in jobs(again)]
    assert sorted(cached) == [False, True]
    assert sorted(more["committee"]) == ["seed_1", "seed_2"]
    assert more["potential"].uuid == more["committee"]["seed_1"].uuid
    assert more["potential"].sha256 == first.sha256 != more["committee"]["seed_2"].sha256
    assert len(more["committee_parameters"]["seed_2"]["history"]) == 2
    # the first has all frames, the other draws
    assert {
        job.inputs.parameters["seed"]: job.inputs.parameters.get_dict().get("resample_frames")
        for job in jobs(again)
    } == {1: None, 2: True}
    (evaluation,) = [n for n in again.called if "committee" in n.inputs]
    assert evaluation.inputs.committee.seed_2.uuid == more["committee"]["seed_2"].uuid


@pytest.mark.slow
def test_a_walltime_that_holds_no_epoch(limsm_code, dataset, foundation):
    """It is tried once, and the reason is said."""
    made = training(limsm_code, dataset, foundation, max_seconds=0.1)
    _, node = run_get_node(made)
    assert node.exit_status == 311
    assert node.exit_message.endswith("before one more epoch was done: ask for a longer one.")
    assert len(jobs(node)) == 1


def kill_when_it_has_trained(folder, killed):
    """Kill the job in a folder as the kernel does where memory runs out."""
    for _ in range(900):
        for log in folder.rglob("limsm.log"):
            if "epoch 2/" in log.read_text():
                for entry in Path("/proc").glob("[0-9]*"):
                    try:
                        inside = (entry / "cwd").resolve() == log.parent.resolve()
                        if inside and b"aiida_limsm" in (entry / "cmdline").read_bytes().replace(
                            b"bin/limsm", b"aiida_limsm"
                        ):
                            os.kill(int(entry.name), signal.SIGKILL)
                            killed.append(int(entry.name))
                    except (OSError, ProcessLookupError):
                        continue
                if killed:
                    return
        time.sleep(0.1)


@pytest.mark.slow
def test_killed_in_the_middle(limsm_code, dataset, foundation, aiida_localhost):
    killed = []
    folder = Path(aiida_localhost.get_workdir())
    thread = threading.Thread(target=kill_when_it_has_trained, args=(folder, killed))
    made = training(limsm_code, dataset, foundation, max_epochs=5)
    thread.start()
    outputs, node = run_get_node(made)
    thread.join()
    assert killed
    assert node.is_finished_ok, node.exit_message
    first, second = jobs(node)
    assert first.exit_status == 302
    assert "parent_folder" in second.inputs
    history = outputs["output_parameters"]["history"]
    assert [record["epoch"] for record in history] == list(range(5))
