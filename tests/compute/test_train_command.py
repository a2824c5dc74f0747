from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aiida_limsm.compute import cli, jobs
from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import ErrorSummary
from aiida_limsm.compute.train_results import EpochRecord, TrainResults

ERRORS = ErrorSummary(
    frames=2, atoms=30, rmse_forces_mev_per_angstrom=41.3, mae_forces_mev_per_angstrom=30.0,
    rms_forces_mev_per_angstrom=500.0, rmse_forces_per_element_mev_per_angstrom={"Li": 40.0},
    rmse_energy_mev_per_atom=1.5, mean_energy_error_mev_per_atom=0.1,
)  # fmt: skip
EPOCH = EpochRecord(
    epoch=0, loss=1.0, rmse_forces_mev_per_angstrom=50.0, rmse_energy_mev_per_atom=2.0
)


def limsm(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, ["train", *map(str, arguments)])


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How the training is to end."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    end: dict[str, Any] = {}
    monkeypatch.setattr(jobs.Job, "load_runner", lambda self: lambda *_: TrainResults(**end))
    return end


def test_errors_and_figure(ends: dict[str, Any], tmp_path: Path) -> None:
    ends.update(
        status=Status.FINISHED, message="1 epochs done", history=(EPOCH,),
        errors={"Default": {"valid": ERRORS}},
    )  # fmt: skip
    done = limsm("--folder", tmp_path, "--set", 'e0s_ev={"Li": -1.0}')
    assert done.exit_code == 0, done.output
    assert "1 epochs done; results in" in done.output
    assert "Default     valid         2                 41.3" in done.output
    assert (tmp_path / "training.png").stat().st_size > 1000


def test_a_failed_training_has_its_figure_too(ends: dict[str, Any], tmp_path: Path) -> None:
    ends.update(status=Status.LOSS_EXPLODED, message="lower learning_rate", history=(EPOCH,))
    (tmp_path / "input.json").write_text(json.dumps({"e0s_ev": {"Li": -1.0}}))
    done = limsm(tmp_path / "input.json")
    assert done.exit_code == 1
    assert "limsm: loss_exploded: lower learning_rate" in done.output
    assert (tmp_path / "training.png").exists()


def test_no_figure_where_none_is_wanted(ends: dict[str, Any], tmp_path: Path) -> None:
    ends.update(status=Status.FINISHED, history=(EPOCH,))
    limsm("--folder", tmp_path, "--set", 'e0s_ev={"Li": -1.0}', "--no-figure")
    assert not (tmp_path / "training.png").exists()


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    done = limsm("--folder", tmp_path, "--set", "strategy=multihead", "--set", 'e0s_ev={"Li": 1}')
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
    assert "strategy 'multihead' needs replay frames" in done.output
    assert json.loads(limsm("--fields").output)["title"] == "TrainInput"
