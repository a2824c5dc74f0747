"""Strategies of fine-tuning with the real mace_run_train, on DFT frames and replay frames."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.train import run_train
from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.compute.train_results import TrainResults

pytestmark = pytest.mark.slow
MakeFolder = Callable[..., Path]
REPLAY = {
    "strategy": "multihead",
    "replay_train_file": "replay_train.xyz",
    "replay_valid_file": "replay_valid.xyz",
}


def run(folder: Path, **values: Any) -> TrainResults:
    job = TrainInput(
        e0s_ev={"Li": -12.0, "Si": -132.5}, test_file="test.xyz", learning_rate=5e-3, **values
    )
    results = run_train(job, folder, lambda line: None)
    assert results.status is Status.FINISHED, results.message
    return results


def force_errors(model: Path, *names: str) -> list[float]:
    """Force RMSE of a model on the frames of some files beside it, meV/Å."""
    import ase.io

    from aiida_limsm.atomistic.evaluation import evaluate_frames, rms
    from aiida_limsm.atomistic.potential import load_calculator

    calculator = load_calculator(model, dtype="float64")
    found = []
    for name in names:
        points = evaluate_frames(ase.io.read(model.parent / name, ":"), calculator)
        found.append(1e3 * rms(points.forces[:, 1] - points.forces[:, 0]))
    return found


def test_replay_keeps_what_naive_fine_tuning_forgets(make_train_folder: MakeFolder) -> None:
    naive_folder = make_train_folder("naive", replay=True)
    files = ("test.xyz", "replay_valid.xyz")
    test, replay = force_errors(naive_folder / "foundation.model", *files)

    naive = run(naive_folder, max_epochs=12)
    assert naive.history[-1].loss < 0.5 * naive.initial.loss
    after = force_errors(naive_folder / "potential.model", *files)
    assert after[0] == pytest.approx(
        naive.errors["Default"]["test"].rmse_forces_mev_per_angstrom, rel=1e-3
    )
    assert after[0] < test / 2  # better on frames that it has not seen
    assert after[1] > 1.2 * replay  # and worse on what the foundation was made for

    folder = make_train_folder("multihead", replay=True)
    both = run(folder, **REPLAY, max_epochs=12)
    assert both.initial.replay_rmse_forces_mev_per_angstrom == pytest.approx(replay, rel=1e-3)
    assert both.errors["pt_head"]["valid"].rmse_forces_mev_per_angstrom < 1.2 * replay
    assert both.errors["Default"]["test"].rmse_forces_mev_per_angstrom < test / 2
    assert both.potential.heads == ("Default",)
    assert both.multihead.heads == ("pt_head", "Default")
    assert both.multihead.e0s_ev == pytest.approx(both.foundation_e0s_ev)
    # the model of one head is that head
    (alone,) = force_errors(folder / "potential.model", "test.xyz")
    assert alone == pytest.approx(
        both.errors["Default"]["test"].rmse_forces_mev_per_angstrom, rel=1e-3
    )

    # Active learning goes on from it: the head of the old labels, as good as it was
    again = make_train_folder("again", replay=True)
    shutil.copyfile(folder / "potential_multihead.model", again / "foundation.model")
    for split in ("train", "valid"):
        (again / f"replay_{split}.xyz").replace(again / f"{split}.xyz")
    job = TrainInput(foundation_head="pt_head", e0s="foundation", max_epochs=1)
    chosen = run_train(job, again, lambda line: None)
    assert chosen.status is Status.FINISHED, chosen.message
    assert chosen.initial.rmse_forces_mev_per_angstrom == pytest.approx(
        both.errors["pt_head"]["valid"].rmse_forces_mev_per_angstrom, rel=1e-3
    )
    assert chosen.foundation_e0s_ev == pytest.approx(both.foundation_e0s_ev)
    assert chosen.potential.heads == ("Default",)
    for head in (None, "hse"):
        with pytest.raises(JobError, match="foundation_head: the foundation has "):
            run_train(job.model_copy(update={"foundation_head": head}), again, print)


GROUPS = ("node_embedding", "interactions", "products", "readouts")


def changed(folder: Path) -> set[str]:
    """Groups of weights that are not the foundation's any more."""
    from aiida_limsm.atomistic.potential import load_model

    old, new = (
        load_model(folder / name).state_dict() for name in ("foundation.model", "potential.model")
    )
    assert set(old) == set(new)
    groups = {name: name.split(".")[0] for name in old}
    return {
        group for name, group in groups.items()
        if group in GROUPS and not old[name].equal(new[name])
    }  # fmt: skip


def test_frozen_layers_stay(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder(train=4)
    run(folder, strategy="frozen", max_epochs=2)
    assert changed(folder) == {"products", "readouts"}


def test_lora_is_merged(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder(train=4)
    results = run(folder, strategy="lora", lora_rank=2, max_epochs=2)
    assert {"interactions", "products"} <= changed(folder)
    assert results.history[-1].loss < results.initial.loss
