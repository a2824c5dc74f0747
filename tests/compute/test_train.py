"""`limsm train` with the real mace_run_train on a few DFT frames of 15 atoms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_limsm.compute import train
from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.mace_command import DRAWN_FRAMES
from aiida_limsm.compute.train import run_train
from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.compute.train_results import TrainResults

MakeFolder = Callable[..., Path]
INPUT = {"e0s_ev": {"Li": -12.0, "Si": -132.5}, "max_epochs": 2, "batch_size": 4}


def run(folder: Path, **changes: Any) -> TrainResults:
    return run_train(TrainInput(**{**INPUT, **changes}), folder, lambda line: None)


def refused(folder: Path, **changes: Any) -> str:
    with pytest.raises(JobError) as caught:
        run(folder, **changes)
    assert caught.value.status is Status.INVALID_INPUT
    assert "\n" not in caught.value.message
    return caught.value.message


def test_refusals(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder(train=3)
    assert refused(folder) == "batch_size 4 exceeds the 3 training frames: lower it"
    assert refused(folder, batch_size=2, e0s_ev={"Li": -12.0}) == (
        "e0s_ev: no isolated-atom energy of Si"
    )
    text = (folder / "valid.xyz").read_text()
    (folder / "valid.xyz").write_text(text.replace("REF_energy", "energy"))
    assert refused(folder, batch_size=2) == (
        "valid.xyz: frame 0 has no REF_energy and REF_forces labels (it has energy, REF_forces: "
        "rename them); every frame needs both"
    )
    (folder / "valid.xyz").write_text("")
    assert "valid.xyz cannot be read" in refused(folder, batch_size=2)
    (folder / "valid.xyz").unlink()
    assert refused(folder) == f"{folder}/valid.xyz does not exist"
    other = make_train_folder("other")
    (other / "foundation.model").write_bytes(b"x")
    assert "cannot be loaded as a MACE model" in refused(other)


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Put a small program in the place of mace_run_train."""
    popen = subprocess.Popen

    def start(command: list[str], **kwargs: Any) -> subprocess.Popen[bytes]:
        return popen([sys.executable, "-c", code], **kwargs)

    monkeypatch.setattr(train.subprocess, "Popen", start)
    monkeypatch.setattr(train, "_POLL_SECONDS", 0.02)


def test_a_failed_training_says_its_last_line(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "print('started'); raise SystemExit('ValueError: no such thing')")
    results = run(make_train_folder())
    assert (results.status, results.potential) == (Status.TRAINING_FAILED, None)
    assert results.message == (
        "mace_run_train ended with 1: ValueError: no such thing (whole log: mace_run_train.log)"
    )


def test_a_training_without_a_model_is_no_success(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "pass")
    results = run(make_train_folder())
    assert results.status is Status.TRAINING_FAILED
    assert results.message == "mace_run_train wrote no mace.model: see mace_run_train.log"


def lines(*records: dict[str, Any], then: str = "import time; time.sleep(60)") -> str:
    """Program that writes what mace_run_train would, then waits."""
    text = "".join(
        json.dumps({"mode": "eval", "loss": 1.0, "rmse_e_per_atom": 0.1, **record}) + "\n"
        for record in records
    )
    return (
        "import pathlib; pathlib.Path('results').mkdir()\n"
        f"pathlib.Path('results/mace_run-0_train.txt').write_text({text!r})\n{then}"
    )


def test_an_exploding_loss_is_stopped(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [{"epoch": None, "rmse_f": 0.2}, *({"epoch": k, "rmse_f": 0.9} for k in range(2))]
    stand_in(monkeypatch, lines(*records, {"epoch": 2, "rmse_f": 4.4}))
    results = run(make_train_folder())
    assert results.status is Status.LOSS_EXPLODED
    assert results.message == (
        "the validation force RMSE grew to 22 times that before training: lower learning_rate"
    )
    assert (results.epochs, results.potential) == (3, None)


@pytest.mark.parametrize("end", ["noticed at once", "noticed at the end"])
def test_naive_fine_tuning_in_the_place_of_replay(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """MACE does it silently where it does not like the replay file."""
    code = lines({"epoch": None, "rmse_f": 0.2, "head": "Default"})
    if end == "noticed at the end":
        code = "import shutil; shutil.copyfile('foundation.model', 'mace.model')"
    stand_in(monkeypatch, code)
    results = run(
        make_train_folder(replay=True),
        strategy="multihead",
        replay_train_file="replay_train.xyz",
        replay_valid_file="replay_valid.xyz",
    )
    assert results.status is Status.REPLAY_IGNORED
    assert results.message.startswith("mace_run_train fell back to naive fine-tuning")
    assert (results.potential, results.multihead) == (None, None)


@pytest.mark.parametrize("child", ["import time; time.sleep(60)", "import os; os.kill(0, 0)"])
def test_a_stop_is_no_failure(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, child: str
) -> None:
    # a scheduler signals both: the child may be gone before its parent looks
    code = f"import os, signal; os.kill(os.getppid(), signal.SIGTERM); {child}; os.abort()"
    stand_in(monkeypatch, code)
    results = run(make_train_folder())
    assert results.status is Status.OUT_OF_WALLTIME
    assert results.message == "stopped by SIGTERM after 0 of 2 epochs: run it again"


def test_walltime_and_damaged_checkpoint(
    make_train_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_train_folder()
    damaged = folder / "checkpoints" / "mace_run-0_epoch-1.pt"
    damaged.parent.mkdir()
    damaged.write_bytes(b"PK\x03\x04 half a checkpoint")
    stand_in(monkeypatch, "import time; time.sleep(60)")
    results = run(folder, max_seconds=0.1)
    assert results.status is Status.OUT_OF_WALLTIME
    assert results.message == "stopped by max_seconds (0.1 s) after 0 of 2 epochs: run it again"
    assert not damaged.exists()


@pytest.mark.slow
def test_fine_tuning_with_two_stages(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder()
    lines: list[str] = []
    job = TrainInput(**{**INPUT, "max_epochs": 3, "stage_two_epoch": 2})
    results = run_train(job, folder, lines.append)
    assert (results.status, results.message) == (Status.FINISHED, "3 epochs done")
    assert results.epochs == 3
    assert [record.epoch for record in results.history] == [0, 1, 2]
    assert len(lines) == 3
    assert lines[-1].startswith("epoch 3/3  validation force RMSE ")
    # the reference code's energies are in the model, the foundation's were others
    assert results.potential.e0s_ev == pytest.approx(INPUT["e0s_ev"])
    assert results.foundation_e0s_ev == pytest.approx({"Li": -0.358102, "Si": -0.711752}, abs=1e-5)
    assert (folder / "potential.model").is_file()

    written = (folder / "potential.model").stat().st_mtime_ns
    again = run(folder, max_epochs=3, stage_two_epoch=2)
    assert again.status is Status.FINISHED
    assert again.message == "already trained: remove potential.model to train on"
    assert (again.potential, again.history) == (results.potential, results.history)
    assert (folder / "potential.model").stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_loss_that_is_not_finite(make_train_folder: MakeFolder) -> None:
    results = run(make_train_folder(), learning_rate=1e6, max_epochs=4)
    assert results.status is Status.LOSS_NOT_FINITE
    assert results.message == "the loss is not finite: lower learning_rate"
    assert results.potential_file is None


def running(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() == folder.resolve() and (entry / "stat").read_text().split(
                ") "
            )[1][0] != "Z":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_killed_and_run_again(make_train_folder: MakeFolder) -> None:
    folder = make_train_folder()
    values = {
        **INPUT, "strategy": "scratch", "foundation_file": None, "architecture": {},
        "max_epochs": 400, "resample_frames": True,
    }  # fmt: skip
    (folder / "input.json").write_text(json.dumps(values))
    command = [sys.executable, "-m", "aiida_limsm.compute.cli", "train", str(folder / "input.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if len(list(folder.glob("checkpoints/*.pt"))) >= 1:
                break
            assert process.poll() is None
            time.sleep(0.1)
        if sys.platform == "linux":
            assert len(running(folder)) == 1
    finally:
        process.kill()
        process.wait()
    if sys.platform == "linux":  # the training dies with the command that started it
        for _ in range(50):
            if not running(folder):
                break
            time.sleep(0.1)
        assert not running(folder)
    assert not (folder / "potential.model").exists()
    drawn = (folder / DRAWN_FRAMES).read_bytes()
    epochs = 1 + max(int(path.stem.split("-")[-1]) for path in folder.glob("checkpoints/*.pt"))
    values["max_epochs"] = epochs + 2
    results = run_train(TrainInput(**values), folder, lambda line: None)
    assert results.status is Status.FINISHED
    assert results.epochs == epochs + 2
    assert (folder / DRAWN_FRAMES).read_bytes() == drawn
    (log,) = (folder / "logs").glob("*_debug.log")
    assert log.read_text().count(f"train_file='{DRAWN_FRAMES}'") == 2
    assert results.potential.e0s_ev == pytest.approx(INPUT["e0s_ev"])
    assert results.foundation_e0s_ev is None
