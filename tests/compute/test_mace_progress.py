from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiida_limsm.compute.mace_progress import TrainingProgress


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results" / "mace_run-0_train.txt"


def line(epoch: int | None, loss: float = 1.0, mode: str = "eval") -> str:
    record = {"mode": mode, "epoch": epoch, "loss": loss, "rmse_f": 0.05, "rmse_e_per_atom": 0.002}
    return json.dumps(record) + "\n"


def add(path: Path, text: str) -> None:
    with path.open("a") as handle:
        handle.write(text)


def test_only_what_is_new_is_read(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    assert progress.update() == []
    add(log, line(None) + line(0, mode="opt") + line(0))
    (first,) = progress.update()
    assert (first.epoch, first.loss, first.rmse_forces_mev_per_angstrom) == (0, 1.0, 50.0)
    assert first.rmse_energy_mev_per_atom == 2.0
    assert progress.update() == []
    # what has been read is not read again
    log.write_text("x" * log.stat().st_size)
    add(log, line(1))
    assert [record.epoch for record in progress.update()] == [1]
    assert [record.epoch for record in progress.history] == [0, 1]


def test_half_a_line_waits_for_its_other_half(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    whole = line(0)
    add(log, whole[:20])
    assert progress.update() == []
    add(log, whole[20:-1])
    assert progress.update() == []
    add(log, "\n")
    assert [record.epoch for record in progress.update()] == [0]


def test_half_a_line_of_a_killed_training_is_skipped(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    add(log, line(0) + line(1)[:30])
    progress.update()
    add(log, line(1, loss=2.0) + line(2))
    assert [record.epoch for record in progress.update()] == [2]


def test_a_redone_epoch_counts_once(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    add(log, line(0) + line(1) + line(1, loss=0.5) + line(2))
    assert len(progress.update()) == 4
    assert [(r.epoch, r.loss) for r in progress.history] == [(0, 1.0), (1, 0.5), (2, 1.0)]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_divergence(log: Path, loss: float) -> None:
    progress = TrainingProgress(log.parents[1])
    add(log, line(0))
    progress.update()
    assert not progress.diverged
    add(log, line(1, loss=loss, mode="opt"))
    assert progress.update() == []
    assert progress.diverged
    assert len(progress.history) == 1


def test_heads_are_told_apart(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    for epoch in (None, 0):
        for head, force in (("pt_head", 0.2), ("Default", 0.1)):
            record = json.loads(line(epoch)) | {"head": head, "rmse_f": force}
            add(log, json.dumps(record) + "\n")
    (record,) = progress.update()
    assert progress.heads == {"pt_head", "Default"}
    for errors in (record, progress.initial):
        assert errors.rmse_forces_mev_per_angstrom == 100.0
        assert errors.replay_rmse_forces_mev_per_angstrom == 200.0


def test_training_loss_is_the_mean_of_the_batches(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    add(log, line(None) + line(0, 3.0, "opt") + line(0, 1.0, "opt") + line(0))
    # killed in the middle of an epoch, which is done again
    add(log, line(1, 9.0, "opt") + line(None) + line(1, 2.0, "opt") + line(1))
    assert [record.train_loss for record in progress.update()] == [2.0, 2.0]


def test_growth_is_relative_to_the_errors_before_training(log: Path) -> None:
    progress = TrainingProgress(log.parents[1])
    assert progress.growth() == 0.0
    add(log, line(None))
    add(log, json.dumps(json.loads(line(0)) | {"rmse_f": 0.4}) + "\n")
    progress.update()
    assert progress.growth() == pytest.approx(8.0)
