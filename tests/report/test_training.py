from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.train_results import EpochRecord, TrainResults, ValidationErrors
from aiida_limsm.report.figures.training import history_figure
from aiida_limsm.report.training import draw_history, training_text

ERRORS = {
    "frames": 2, "atoms": 30, "rmse_forces_mev_per_angstrom": 41.26,
    "mae_forces_mev_per_angstrom": 30.0, "rms_forces_mev_per_angstrom": 500.0,
    "rmse_forces_per_element_mev_per_angstrom": {"Li": 40.0}, "rmse_energy_mev_per_atom": 1.5,
    "mean_energy_error_mev_per_atom": 0.1,
}  # fmt: skip


def results(replay: bool = False, **changes: Any) -> TrainResults:
    other = {"replay_rmse_forces_mev_per_angstrom": 200.0} if replay else {}
    history = tuple(
        EpochRecord(
            epoch=k, loss=1 / (k + 1), train_loss=1.2 / (k + 1),
            rmse_forces_mev_per_angstrom=90 - k, rmse_energy_mev_per_atom=2.0, **other,
        )
        for k in range(6)
    )  # fmt: skip
    initial = ValidationErrors(
        loss=2.0, rmse_forces_mev_per_angstrom=160.0, rmse_energy_mev_per_atom=500.0, **other
    )
    values = {"status": Status.FINISHED, "history": history, "initial": initial, **changes}
    return TrainResults(**values)


@pytest.mark.parametrize("replay", [False, True])
def test_curves(replay: bool) -> None:
    loss, forces = history_figure(results(replay)).axes
    assert [line.get_label() for line in loss.get_lines()] == ["training", "validation"]
    validation = forces.get_lines()[0]
    assert validation.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert validation.get_ydata().tolist() == [90, 89, 88, 87, 86, 85]
    assert forces.get_lines()[1].get_ydata() == [160, 160]
    assert len(forces.get_lines()) == (4 if replay else 2)


def test_figure_is_written_and_repeats(tmp_path: Path) -> None:
    assert draw_history(results(history=()), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []
    assert draw_history(results(), tmp_path) == ("training.png",)
    first = (tmp_path / "training.png").read_bytes()
    draw_history(results(), tmp_path)
    assert (tmp_path / "training.png").read_bytes() == first


def test_text() -> None:
    assert training_text(results()) == ""
    errors = {"Default": {"valid": ERRORS}, "pt_head": {"valid": ERRORS}}
    text = training_text(results(True, errors=errors, foundation_e0s_ev={"Li": -1.0}))
    lines = text.splitlines()
    assert lines[1].split() == ["Default", "valid", "2", "41.3", "1.50"]
    assert lines[2].split()[0] == "pt_head"
    assert lines[3] == "the foundation on valid: 160.0 meV/Å, on the replay frames 200.0 meV/Å"
