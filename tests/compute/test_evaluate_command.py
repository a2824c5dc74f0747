"""The command `limsm evaluate`: a model and labelled frames, a summary and figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aiida_limsm.compute.base import read_model
from aiida_limsm.compute.cli import main
from aiida_limsm.compute.results import EvaluateResults


@pytest.fixture
def folder(tmp_path: Path, demo_model: Path, aimd_frames: list[Any]) -> Path:
    """Frames apart, the demo model, and one more whose weights differ a little."""
    import ase.io
    import torch

    from aiida_limsm.atomistic.potential import load_model

    ase.io.write(tmp_path / "train.xyz", aimd_frames[:2])
    ase.io.write(tmp_path / "test.xyz", aimd_frames[12:])
    shutil.copyfile(demo_model, tmp_path / "1.model")
    model = load_model(demo_model)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.02 * weight.std(unbiased=False) * torch.randn_like(weight)
    torch.save(model, tmp_path / "2.model")
    return tmp_path


def limsm(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["evaluate", *(str(word) for word in arguments)])


def refusal(*arguments: Any) -> str:
    done = limsm(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert line.startswith("limsm evaluate: ")
    return str(line.removeprefix("limsm evaluate: "))


def test_summary_and_files(folder: Path) -> None:
    output = folder / "out"
    done = limsm(
        folder / "1.model", folder / "train.xyz", folder / "test.xyz", "--committee",
        folder / "2.model", "--e0s", "Li=-12, Si=-132.5", "--force-bins", "0.5,1", "--dtype",
        "float32", "-o", output,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = read_model(EvaluateResults, output / "results.json")
    assert found.figures == ("parity_train.png", "parity_test.png")
    for name in found.figures:
        assert (output / name).read_bytes().startswith(b"\x89PNG")
    assert {label: errors.frames for label, errors in found.errors.items()} == {
        "train": 2,
        "test": 4,
    }
    assert found.committee["test"].members == 2
    assert [b.from_ev_per_angstrom for b in found.details["test"].forces_by_magnitude] == [
        0.0, 0.5, 1.0,
    ]  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0] == "train: 2 frames"
    assert "test: 4 frames" in lines
    rmse = f"{found.details['test'].forces.rmse_mev_per_angstrom:.1f} meV/Å"
    assert any(line.startswith("  force RMSE") and rmse in line for line in lines)
    assert sum("rank correlation" in line for line in lines) == 2
    assert lines[-1].startswith(f"{output}/results.json, {output}/parity.h5 and 2 figures written")


def test_one_potential(folder: Path) -> None:
    arguments = (folder / "1.model", folder / "train.xyz", "-o", folder / "out", "--quiet")
    done = limsm(*arguments)
    assert done.exit_code == 0, done.output
    assert "committee" not in done.stdout
    first = (folder / "out/parity_train.png").read_bytes()
    assert limsm(*arguments).exit_code == 0
    assert (folder / "out/parity_train.png").read_bytes() == first


def test_a_job_file(folder: Path) -> None:
    values = {"potential_file": "1.model", "dataset_files": {"held_out": "test.xyz"}}
    (folder / "input.json").write_text(json.dumps(values))
    done = limsm(folder / "input.json", "--set", "dtype=float32")
    assert done.exit_code == 0, done.output
    assert "4 frames evaluated; results in" in done.output
    assert list(read_model(EvaluateResults, folder / "results.json").errors) == ["held_out"]
    assert "--head has no effect" in refusal(folder / "input.json", "--head", "x")


def test_bad_input_is_one_line(folder: Path) -> None:
    model, frames, output = folder / "1.model", folder / "test.xyz", ("-o", folder / "out")
    assert refusal(*output).startswith("give a model and frames")
    assert refusal(model, *output).startswith("give a model and frames")
    assert "none.xyz does not exist" in refusal(model, folder / "none.xyz", *output)
    assert "write energies in eV as in" in refusal(model, frames, "--e0s", "Li:3", *output)
    assert "write numbers in eV/Å as in" in refusal(model, frames, "--force-bins", "a", *output)
    assert "must be ascending" in refusal(model, frames, "--force-bins", "1,0.5", *output)
    (folder / "sub").mkdir()
    shutil.copyfile(frames, folder / "sub/test.xyz")
    assert "have the same name" in refusal(model, frames, folder / "sub/test.xyz", *output)
    assert "is the same model as 1.model" in refusal(model, frames, "--committee", model, *output)
    (folder / "text.model").write_text("none")
    assert "text.model" in refusal(folder / "text.model", frames, *output)
