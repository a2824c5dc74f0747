from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aiida_limsm.compute import cli, jobs
from aiida_limsm.compute.base import JobError, Status, read_model
from aiida_limsm.compute.results import MdResults

MD = {"temperature_k": 700, "steps": 100}


def limsm(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands in for the MD itself; what it was called with, and how it is to end."""
    calls: dict[str, Any] = {"end": MdResults(status=Status.FINISHED, message="100 steps done")}

    def run(job: Any, folder: Path, progress: Any) -> MdResults:
        calls.update(job=job, folder=folder)
        progress("step 1")
        if isinstance(calls["end"], BaseException):
            raise calls["end"]
        return calls["end"]

    monkeypatch.setattr(jobs.Job, "load_runner", lambda self: run)
    return calls


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    (tmp_path / "input.json").write_text(json.dumps(MD))
    return tmp_path


def results(folder: Path) -> MdResults:
    return read_model(MdResults, folder / "results.json")


def test_help_lists_the_jobs_with_examples() -> None:
    done = limsm("--help")
    assert done.exit_code == 0
    for word in (*jobs.JOBS, "inspect", "convert", "--structure LiSi.cif"):
        assert word in done.output
    assert "trajectory.h5" in limsm("md", "-h").output
    assert limsm("--version").output.startswith("limsm, version")


def test_fields_are_a_schema() -> None:
    for job in jobs.JOBS:
        schema = json.loads(limsm(job, "--fields").output)
        assert schema["additionalProperties"] is False
        assert schema["properties"]


def test_every_runner_exists() -> None:
    for job in jobs.JOBS.values():
        assert callable(job.load_runner())


def test_input_file_and_settings(folder: Path, runner: dict[str, Any]) -> None:
    done = limsm("md", folder / "input.json", "--set", "steps=200", "--set", "thermostat=nve")
    assert done.exit_code == 0, done.output
    assert (runner["job"].steps, runner["job"].thermostat) == (200, "nve")
    assert runner["folder"] == folder
    assert done.output.splitlines()[-1] == f"100 steps done; results in {folder}/results.json"
    assert results(folder).status is Status.FINISHED
    assert (folder / "limsm.log").read_text() == "step 1\n"


def test_default_input_is_that_of_the_folder(folder: Path, runner: dict[str, Any]) -> None:
    assert limsm("md", "--folder", folder).exit_code == 0
    assert runner["folder"] == folder
    other = folder / "new"
    settings = ("--set", "temperature_k=600", "--set", "steps=10")
    assert limsm("md", "--folder", other, *settings).exit_code == 0
    assert (runner["job"].temperature_k, runner["folder"]) == (600, other)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--set", "step=5"), "limsm md: step: Extra inputs are not permitted"),
        (("--set", "steps"), "limsm md: --set steps: write KEY=VALUE"),
        (("--set", "steps=many"), "limsm md: steps: Input should be a valid integer"),
    ],
)
def test_wrong_settings_are_one_line(
    folder: Path, runner: dict[str, Any], arguments: tuple[str, ...], line: str
) -> None:
    done = limsm("md", folder / "input.json", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1
    assert "job" not in runner
    assert results(folder).status is Status.INVALID_INPUT


@pytest.mark.parametrize("settings", [(), ("--set", "steps=10")])
def test_missing_input_file(tmp_path: Path, settings: tuple[str, ...]) -> None:
    done = limsm("md", tmp_path / "none.json", *settings)
    assert done.exit_code == 2
    assert done.stderr == f"limsm md: {tmp_path}/none.json does not exist\n"
    assert results(tmp_path).status is Status.INVALID_INPUT


def test_invalid_file_leaves_results_for_the_parser(folder: Path) -> None:
    (folder / "input.json").write_text('{"steps": 10}')
    done = limsm("md", folder / "input.json")
    assert done.exit_code == 2
    assert results(folder).message.endswith("temperature_k: Field required")
    (folder / "input.json").write_text("[1, 2]")
    done = limsm("md", folder / "input.json", "--set", "steps=10")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert results(folder).message.endswith("must hold one JSON object")


def test_job_error_is_one_line(folder: Path, runner: dict[str, Any]) -> None:
    runner["end"] = JobError(Status.INVALID_INPUT, "no potential")
    done = limsm("md", folder / "input.json")
    assert done.exit_code == 1
    assert done.stderr == "limsm: invalid_input: no potential\n"
    assert results(folder) == MdResults(status=Status.INVALID_INPUT, message="no potential")


def test_internal_error_goes_to_the_log(folder: Path, runner: dict[str, Any]) -> None:
    runner["end"] = ZeroDivisionError("by zero\nand more")
    done = limsm("md", folder / "input.json")
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1
    assert results(folder).status is Status.INTERNAL_ERROR
    assert results(folder).message == "ZeroDivisionError: by zero (traceback in limsm.log)"
    log = (folder / "limsm.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert "Traceback" not in done.output


def test_warnings_are_shown(folder: Path, runner: dict[str, Any]) -> None:
    runner["end"] = MdResults(status=Status.FINISHED, warnings=("hot",))
    done = limsm("md", folder / "input.json")
    assert done.stderr == "warning: hot\n"
    assert done.stdout.endswith(f"finished; results in {folder}/results.json\n")


def test_old_results_do_not_survive_a_kill(folder: Path, runner: dict[str, Any]) -> None:
    assert limsm("md", folder / "input.json").exit_code == 0
    runner["end"] = KeyboardInterrupt()
    limsm("md", folder / "input.json")
    assert not (folder / "results.json").exists()


def test_inspect(demo_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.model"
    done = limsm("inspect", demo_model, "--json", "--copy-to", copy)
    info = json.loads(done.stdout)
    assert info["elements"] == ["Li", "Si"]
    assert copy.read_bytes() == demo_model.read_bytes()
    text = limsm("inspect", demo_model).stdout
    assert "elements  Li, Si" in text
    assert info["sha256"] in text
    wrong = limsm("inspect", tmp_path / "none.model")
    assert wrong.exit_code == 2
    assert "is neither a file nor a published model" in wrong.stderr


def test_convert_a_trajectory_of_another_program(tmp_path: Path) -> None:
    from ase.build import bulk
    from ase.io import write

    frames = [bulk("Li", cubic=True).repeat(2) for _ in range(3)]
    frames[2].positions[0] += (0.1, 0.0, 0.0)
    write(tmp_path / "md.xyz", frames)
    source, target = tmp_path / "md.xyz", tmp_path / "md.h5"
    result = limsm("convert", source, target, "--frame-interval-fs", 20)
    assert result.exit_code == 0, result.output
    assert result.output == f"3 frames in {target}\n"
    other = tmp_path / "other.h5"
    untimed = limsm("convert", source, other)
    frames[2].set_cell(frames[2].cell * 1.01, scale_atoms=True)  # a varying cell is refused
    write(tmp_path / "md.xyz", frames)
    changing = limsm("convert", source, other, "--frame-interval-fs", 20)
    for result, reason in ((untimed, "holds no times"), (changing, "cell changes at frame 2")):
        assert result.exit_code == 2
        assert reason in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not other.exists()
