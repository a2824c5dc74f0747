"""The report on the installation: every fault has a line, a mark and a remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from aiida_limsm.cli import _checks, doctor, resources
from aiida_limsm.cli._checks import Check


def make_program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_environment_is_complete_here() -> None:
    checks = {check.name: check for check in _checks.check_environment()}
    assert list(checks) == ["Python", "packages", "PyTorch", "memory"]
    assert checks["Python"].status == "ok"
    assert checks["packages"].status == "ok", checks["packages"].detail
    assert "aiida-core" in checks["packages"].detail


@pytest.mark.parametrize(
    ("plugin", "body", "status", "detail"),
    [
        ("quantumespresso.pw", "echo ' Program PWSCF v.7.2 starts'", "ok", "version 7.2"),
        # Debian's 6.7 says `v.6.7MaX`.
        ("quantumespresso.pw", "echo ' Program PWSCF v.6.7MaX starts'", "ok", "version 6.7MaX"),
        ("quantumespresso.pw", "echo ' Program PWSCF v.5.4.0 starts'", "warning", "version 5.4.0"),
        ("quantumespresso.neb", "echo ' Program NEB v.7.2 starts'; exit 1", "ok", "version 7.2"),
        ("quantumespresso.pw", "echo 'libmpi.so: not found' >&2; exit 127", "error", "libmpi.so"),
        ("quantumespresso.pw", "exit 1", "error", "no output"),
        ("limsm.md", "echo 'limsm, version 0.1.0'", "ok", "version 0.1.0"),
    ],
)
def test_program(tmp_path: Path, plugin: str, body: str, status: str, detail: str) -> None:
    program = make_program(tmp_path / "program", body)
    check = _checks.check_program("code x", program, plugin, "install it")
    assert check.status == status
    assert detail in check.detail
    assert bool(check.remedy) == (status != "ok")


def test_program_that_is_gone(tmp_path: Path) -> None:
    check = _checks.check_program("code x", tmp_path / "pw.x", "quantumespresso.pw", "install it")
    assert check == Check(
        "code x", "error", f"{tmp_path}/pw.x does not exist or is not executable", "install it"
    )


def test_program_leaves_nothing_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    program = make_program(tmp_path / "pw.x", "touch CRASH; echo 'Program PWSCF v.7.2'")
    assert _checks.check_program("x", program, "quantumespresso.pw", "").status == "ok"
    assert not list(place.iterdir())


def test_program_runs_with_the_import_path_of_a_job(tmp_path: Path) -> None:
    """A Python program that only works without AiiDA's PYTHONPATH is found out."""
    program = make_program(tmp_path / "pw.x", '[ -z "$PYTHONPATH" ] && echo "Program PWSCF v.7.2"')
    assert _checks.check_program("x", program, "quantumespresso.pw", "y").status == "error"


@pytest.mark.parametrize(("free", "status"), [(0.5, "error"), (5.0, "warning"), (50.0, "ok")])
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, status: str) -> None:
    usage = (0, 0, int(free * _checks.GIB))
    monkeypatch.setattr(_checks.shutil, "disk_usage", lambda path: _Usage(*usage))
    assert _checks.check_disk(tmp_path / "not" / "there" / "yet").status == status


class _Usage:
    def __init__(self, total: int, used: int, free: int) -> None:
        self.total, self.used, self.free = total, used, free


@pytest.mark.usefixtures("aiida_profile_clean")
def test_empty_profile_names_what_to_do() -> None:
    checks = {check.name: check for check in doctor.examine()}
    assert checks["profile"].status == "ok"
    for name in ("code pw.x", "code neb.x", "code limsm", "pseudopotentials"):
        assert checks[name].status == "error"
        assert checks[name].remedy == "aiida-limsm setup"
    assert checks["caching"].detail.startswith("off")


@pytest.mark.usefixtures("aiida_profile_clean")
def test_exit_code_and_json_follow_the_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CliRunner()
    assert runner.invoke(doctor.doctor_command, []).exit_code == 1

    make_program(tmp_path / "pw.x", "echo ' Program PWSCF v.7.2 starts'")
    make_program(tmp_path / "neb.x", "echo ' Program NEB v.7.2 starts'")
    resources.ensure_computer(tmp_path / "work")
    # Found before a pw.x of this machine.
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    resources.ensure_codes()
    resources.ensure_pseudo_family()
    result = runner.invoke(doctor.doctor_command, ["--json"])
    checks = json.loads(result.output)
    assert [check for check in checks if check["status"] == "error"] == []
    assert result.exit_code == 0
    assert all(check["remedy"] for check in checks if check["status"] != "ok")


@pytest.mark.usefixtures("aiida_profile_clean")
def test_code_whose_program_vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = make_program(tmp_path / "pw.x", "echo ' Program PWSCF v.7.2 starts'")
    resources.ensure_computer(tmp_path / "work")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    resources.ensure_codes(specs=resources.CODES[:1])
    program.unlink()
    checks = {check.name: check for check in doctor.examine()}
    assert checks["code pw@localhost"].status == "error"
    assert "does not exist" in checks["code pw@localhost"].detail
