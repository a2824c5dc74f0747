"""The command `limsm compare`: from trajectories to a summary and a figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aiida_limsm.compute.base import read_model
from aiida_limsm.compute.cli import main
from aiida_limsm.compute.compare_models import CompareResults

EXAMPLE = Path(__file__).parents[2] / "examples/li3si/md.h5"
AIMD = Path(__file__).parents[1] / "data_files/li11si4_aimd_16.xyz"


def limsm(*arguments: Any) -> Any:
    return CliRunner().invoke(main, ["compare", *(str(word) for word in arguments)])


def refusal(*arguments: Any) -> str:
    done = limsm(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert line.startswith("limsm compare: ")
    return str(line.removeprefix("limsm compare: "))


def test_summary_and_files(tmp_path: Path) -> None:
    done = limsm(AIMD, EXAMPLE, "--labels", "AIMD, MLFF", "-o", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    found = read_model(CompareResults, tmp_path / "results.json")
    assert found.figures == ("comparison.png",)
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    lines = done.stdout.splitlines()
    assert lines[0] == "AIMD  Li11Si4, 16 frames"
    assert lines[1].startswith("MLFF  Li44Si16, 1001 frames of 20 fs, 20 ps")
    assert lines[1].endswith("vibrations from positions")
    assert "overlap of g(r) up to 8 Å" in lines
    (row,) = [line for line in lines if line.startswith("  AIMD / MLFF")]
    assert row.count(" ± ") == 3
    assert any(line.startswith("warning: no vibrational density of states") for line in lines)
    assert lines[-1].startswith(f"{tmp_path}/results.json, {tmp_path}/comparison.h5 and 1 figure")


def test_options_reach_the_job(tmp_path: Path) -> None:
    done = limsm(
        AIMD, EXAMPLE, "--frame-interval-fs", "2.4,-", "--r-max", 5, "--bin-width", 0.25,
        "--max-frequency", 20, "--time-blocks", 4, "--vdos", "off", "-o", tmp_path, "--no-figures",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "li11si4_aimd_16: Li11Si4, 16 frames of 2.4 fs" in done.stderr
    found = read_model(CompareResults, tmp_path / "results.json")
    assert [source.frame_interval_fs for source in found.sources] == pytest.approx([2.4, 20.0])
    assert (found.r_max_angstrom, found.bin_width_angstrom) == (5.0, 0.25)
    assert (found.figures, found.resolution_thz) == ((), None)


def test_figure_of_one_trajectory_with_vibrations(tmp_path: Path) -> None:
    done = limsm(EXAMPLE, "-o", tmp_path, "--quiet")
    assert done.exit_code == 0, done.output
    assert "overlap of g(r)" not in done.stdout
    assert "md  Li-Li 0.9" in done.stdout
    assert (tmp_path / "comparison.png").stat().st_size > 20_000
    first = (tmp_path / "comparison.png").read_bytes()
    assert limsm(EXAMPLE, "-o", tmp_path, "--quiet").exit_code == 0
    assert (tmp_path / "comparison.png").read_bytes() == first


def test_a_job_file(tmp_path: Path) -> None:
    values = {"trajectory_files": [str(EXAMPLE)], "vdos": "off"}
    (tmp_path / "input.json").write_text(json.dumps(values))
    done = limsm(tmp_path / "input.json", "--set", "r_max_angstrom=4")
    assert done.exit_code == 0, done.output
    assert "1 trajectory, 0 comparisons; results in" in done.output
    assert read_model(CompareResults, tmp_path / "results.json").r_max_angstrom == 4.0
    assert "--r-max has no effect" in refusal(tmp_path / "input.json", "--r-max", 5)


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    output = ("-o", tmp_path)
    assert refusal(*output).startswith("give a trajectory")
    assert "nothing.h5 does not exist" in refusal(tmp_path / "nothing.h5", *output)
    assert "write numbers as in 2.4,20" in refusal(EXAMPLE, "--frame-interval-fs", "2;4", *output)
    assert "one per trajectory, not 2" in refusal(EXAMPLE, "--labels", "a,b", *output)
    assert "give its frame interval" in refusal(AIMD, "--vdos", "required", *output)
    text = tmp_path / "notes.txt"
    text.write_text("not a trajectory")
    assert "is in no format that ASE knows" in refusal(text, *output)
    (tmp_path / "comparison.h5").write_bytes(EXAMPLE.read_bytes())
    assert "would overwrite a trajectory" in refusal(tmp_path / "comparison.h5", *output)
