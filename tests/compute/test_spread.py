"""``limsm spread`` with real models: forces of all members on frames without labels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from click.testing import CliRunner

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.cli import main
from aiida_limsm.compute.spread import run_spread
from aiida_limsm.compute.spread_models import SpreadInput


def scaled(source: Path, target: Path, factor: float) -> None:
    """Write a model whose interaction energies, and so its forces, are larger by a factor."""
    import torch

    from aiida_limsm.atomistic.potential import load_model

    model: Any = load_model(source, "cpu")
    with torch.no_grad():
        model.scale_shift.scale *= factor
        model.scale_shift.shift *= factor
    torch.save(model, target)


@pytest.fixture
def folder(tmp_path: Path, demo_model: Path, aimd_frames: list[Any]) -> Path:
    shutil.copyfile(demo_model, tmp_path / "one.model")
    scaled(demo_model, tmp_path / "two.model", 1.2)
    frames = [Atoms(a.numbers, a.positions, cell=a.cell, pbc=True) for a in aimd_frames]
    ase.io.write(tmp_path / "frames.xyz", frames)
    return tmp_path


JOB = {"potential_files": ("one.model", "two.model"), "trajectory_file": "frames.xyz"}


def test_members_that_differ_by_a_factor(folder: Path, aimd_frames: list[Any]) -> None:
    job = SpreadInput(**JOB, skip_frames=2, frame_stride=6)
    results = run_spread(job, folder, lambda line: None)
    assert (results.status, results.frames, results.members) == (Status.FINISHED, 3, 2)
    with h5py.File(folder / "spread.h5") as file:
        data = {name: file[name][()] for name in file}
    assert data["frame"].tolist() == [2, 8, 14]
    np.testing.assert_allclose(data["positions"][1], aimd_frames[8].positions, atol=1e-7)
    np.testing.assert_array_equal(data["numbers"], aimd_frames[0].numbers)
    # forces F and 1.2 F: mean 1.1 F, standard deviation 0.2 F / √2, per component
    np.testing.assert_allclose(
        data["spread"], data["force"] / 1.1 * 0.2 / np.sqrt(2) / np.sqrt(3), rtol=1e-4
    )
    assert results.max_largest_spread_mev_per_angstrom == pytest.approx(1e3 * data["spread"].max())
    assert data["force"].max() > 0.1


def test_from_the_command_line(folder: Path) -> None:
    (folder / "input.json").write_text(json.dumps({**JOB, "frame_stride": 15}))
    done = CliRunner().invoke(main, ["spread", str(folder / "input.json")])
    assert done.exit_code == 0, done.output
    assert "2 frames, 2 potentials" in done.output
    assert json.loads((folder / "results.json").read_text())["spread_file"] == "spread.h5"


@pytest.mark.parametrize(
    ("changes", "status", "line"),
    [
        ({"potential_files": ("one.model", "no.model")}, "invalid_input", "does not exist"),
        ({"potential_files": ("one.model", "same.model")}, "invalid_input", "is the same model"),
        ({"trajectory_file": "no.h5"}, "invalid_input", "no.h5 does not exist"),
        ({"trajectory_file": "one.model"}, "trajectory_unusable", "one.model cannot be read"),
        ({"skip_frames": 16}, "trajectory_unusable", "no frame from number 16 on: lower skip"),
        ({"trajectory_file": "sodium.xyz"}, "invalid_input", "the structure holds Na"),
    ],
)
def test_what_is_refused(folder: Path, changes: Any, status: str, line: str) -> None:
    shutil.copyfile(folder / "one.model", folder / "same.model")
    ase.io.write(folder / "sodium.xyz", Atoms("Na", cell=np.eye(3) * 4, pbc=True))
    with pytest.raises(JobError) as caught:
        run_spread(SpreadInput(**{**JOB, **changes}), folder, lambda line: None)
    assert caught.value.status.value == status
    assert line in caught.value.message
    assert "\n" not in caught.value.message


def test_one_potential_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least 2 items"):
        SpreadInput(potential_files=("one.model",))
