"""Preparing a profile: what is made, what is kept, and what is replaced."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiida_limsm.cli import profile, resources
from aiida_limsm.cli.setup import default_work_dir

BANNERS = {"pw.x": "Program PWSCF v.7.2 starts", "neb.x": "Program NEB v.7.2 starts"}


def make_program(path: Path, text: str = "Program PWSCF v.7.2 starts") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho ' {text}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on PATH with programs that only print a banner."""
    folder = tmp_path / "bin"
    for name, banner in BANNERS.items():
        make_program(folder / name, banner)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def write_config(path: Path, *names: str) -> None:
    (path / ".aiida").mkdir(parents=True)
    content = json.dumps({"profiles": {name: {} for name in names}})
    (path / ".aiida" / "config.json").write_text(content)


class TestSelectAiidaPath:
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # AiiDA is loaded in this process, and must stay with the profile of the tests.
        monkeypatch.setattr(profile, "_redirect_loaded_aiida", lambda path: None)
        monkeypatch.setenv("AIIDA_PATH", "")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)

    def test_environment_goes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_config(tmp_path / ".limsm" / "aiida", "limsm")
        monkeypatch.setenv("AIIDA_PATH", "/elsewhere")
        assert profile.select_aiida_path() == Path("/elsewhere")

    def test_checkout_that_was_set_up(self, tmp_path: Path) -> None:
        write_config(tmp_path / ".limsm" / "aiida", "limsm")
        assert profile.select_aiida_path() == tmp_path / ".limsm" / "aiida"
        assert os.environ["AIIDA_PATH"] == str(tmp_path / ".limsm" / "aiida")

    def test_nothing_leaves_aiida_its_default(self) -> None:
        assert profile.select_aiida_path() is None
        assert not os.environ["AIIDA_PATH"]

    def test_own_profile_from_inside_a_checkout(self, tmp_path: Path) -> None:
        write_config(tmp_path / ".limsm" / "aiida", "limsm")
        write_config(tmp_path / "home", "mine")
        assert profile.select_aiida_path(profile="mine") is None
        assert profile.select_aiida_path(profile="limsm") == tmp_path / ".limsm" / "aiida"


def test_work_dir_is_beside_the_data_in_a_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / ".limsm" / "aiida"
    assert default_work_dir(checkout) == tmp_path / ".limsm" / "work"
    assert default_work_dir(tmp_path) == tmp_path / "work"


@pytest.mark.usefixtures("aiida_profile_clean")
class TestResources:
    def test_computer_is_made_once(self, tmp_path: Path) -> None:
        from aiida.orm import Computer

        label = resources.COMPUTER_LABEL
        for existing in Computer.collection.find({"label": label}):
            Computer.collection.delete(existing.pk)
        first = resources.ensure_computer(tmp_path / "work")
        second = resources.ensure_computer(tmp_path / "other")
        assert (first.state, second.state) == (profile.CREATED, profile.THERE)
        computer = Computer.collection.get(label=label)
        assert computer.get_workdir() == str(tmp_path / "work")
        assert computer.get_minimum_job_poll_interval() == 1
        assert computer.get_configuration()["safe_interval"] == 0
        assert "OMP_NUM_THREADS=1" in computer.get_prepend_text()

    def test_remote_computer_of_that_name_is_refused(self, tmp_path: Path) -> None:
        from aiida.orm import Computer

        Computer(
            label="far",
            hostname="far.example.org",
            transport_type="core.ssh_async",
            scheduler_type="core.slurm",
            workdir="/scratch",
        ).store()
        with pytest.raises(profile.PreparationError, match="not local"):
            resources.ensure_computer(tmp_path, "far")

    def test_codes_are_made_once(self, tmp_path: Path, programs: Path) -> None:
        from aiida.orm import load_code

        resources.ensure_computer(tmp_path / "work")
        first = resources.ensure_codes()
        second = resources.ensure_codes()
        assert [each.state for each in first] == [profile.CREATED] * 3
        assert [each.state for each in second] == [profile.THERE] * 3
        pw = load_code("pw@localhost")
        assert pw.default_calc_job_plugin == "quantumespresso.pw"
        assert pw.filepath_executable == programs / "pw.x"
        # What is in a code's own text is part of its hash: the environment is the computer's.
        assert not pw.prepend_text
        limsm = load_code("limsm@localhost")
        assert limsm.filepath_executable == Path(sys.prefix) / "bin" / "limsm"
        assert limsm.with_mpi is False

    def test_stale_code_is_replaced_and_kept(self, tmp_path: Path, programs: Path) -> None:
        from aiida.orm import load_code

        resources.ensure_computer(tmp_path / "work")
        resources.ensure_codes()
        old = load_code("pw@localhost")
        (programs / "pw.x").unlink()
        new_program = make_program(tmp_path / "new" / "pw.x")
        outcomes = resources.ensure_codes(folders=[tmp_path / "new"])
        assert load_code("pw@localhost").filepath_executable == new_program
        assert [each.state for each in outcomes] == [
            profile.REPLACED,
            profile.THERE,
            profile.THERE,
        ]
        assert load_code("pw@localhost").pk != old.pk
        assert load_code(pk=old.pk).label == f"pw-old-{old.pk}"

    def test_limsm_of_another_environment_is_replaced(self, tmp_path: Path) -> None:
        from aiida.orm import Computer, InstalledCode, load_code

        resources.ensure_computer(tmp_path / "work")
        other = make_program(tmp_path / "other-venv" / "limsm")
        InstalledCode(
            label="limsm",
            computer=Computer.collection.get(label="localhost"),
            filepath_executable=str(other),
            default_calc_job_plugin="limsm.md",
        ).store()
        spec = [each for each in resources.CODES if each.label == "limsm"]
        assert resources.ensure_codes(specs=spec)[0].state == profile.REPLACED
        assert load_code("limsm@localhost").filepath_executable != other

    def test_missing_program_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        resources.ensure_computer(tmp_path / "work")
        monkeypatch.setenv("PATH", str(tmp_path))
        outcomes = resources.ensure_codes()
        assert [each.ok for each in outcomes] == [False, False, True]
        assert "pw.x is not on PATH" in outcomes[0].line()

    def test_serial_build_is_never_started_by_mpirun(
        self, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from aiida.orm import load_code

        make_program(programs / "mpirun")
        make_program(programs / "pw.x", "exec python -I -m qepy --pw.x")
        resources.ensure_computer(tmp_path / "work")
        resources.ensure_codes()
        assert load_code("pw@localhost").with_mpi is False
        assert load_code("neb@localhost").with_mpi is None

    def test_pseudopotentials_with_cutoffs(self) -> None:
        from aiida.orm import load_group

        assert resources.ensure_pseudo_family().state == profile.CREATED
        family = load_group(resources.FAMILY_LABEL)
        assert sorted(family.elements) == ["Li", "Si"]
        cutoffs = family.get_recommended_cutoffs(elements=("Li", "Si"), unit="Ry")
        assert cutoffs == pytest.approx((20, 80))
        # An installation that was cut off before its cutoffs were stored is finished.
        family.delete_cutoffs(resources.STRINGENCY)
        assert resources.ensure_pseudo_family().state == profile.THERE
        assert load_group(resources.FAMILY_LABEL).get_cutoff_stringencies() == ("normal",)

    def test_changed_pseudopotentials_replace_the_family(self, tmp_path: Path) -> None:
        from aiida.orm import load_group

        resources.ensure_pseudo_family()
        old = load_group(resources.FAMILY_LABEL)
        for path in resources.pseudo_folder().glob("*.UPF"):
            (tmp_path / path.name).write_text(path.read_text().replace("limsm", "other"))
        assert resources.ensure_pseudo_family(folder=tmp_path).state == profile.REPLACED
        assert load_group(pk=old.pk).label == f"limsm/demo-old-{old.pk}"
        assert load_group(resources.FAMILY_LABEL).pk != old.pk


Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Config:
    """What of AiiDA's configuration the storage mode depends on."""

    def __init__(self, folder: Path) -> None:
        self.storage_config = {"filepath": str(folder)}

    def get_profile(self, name: str) -> Config:
        return self


def journal_mode(database: Path) -> str:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_readers_do_not_wait_for_the_daemon(tmp_path: Path) -> None:
    database = tmp_path / "database.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.commit()
    profile._let_readers_read(Config(tmp_path), "limsm")
    assert journal_mode(database) == "wal"
    with contextlib.closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with contextlib.closing(sqlite3.connect(database, timeout=0)) as reader:
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    profile._let_readers_read(Config(tmp_path / "elsewhere"), "limsm")  # nothing there: no harm


@pytest.mark.slow
class TestEmbeddedProfile:
    """The command itself, on a profile of its own, with its daemon."""

    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
        base = tmp_path_factory.mktemp("embedded")
        for name, banner in BANNERS.items():
            make_program(base / "bin" / name, banner)
        (base / "home").mkdir()
        environment = os.environ | {
            "HOME": str(base / "home"),
            "AIIDA_PATH": str(base / "aiida"),
            "PATH": os.pathsep.join(
                [str(base / "bin"), str(Path(sys.prefix) / "bin"), os.environ["PATH"]]
            ),
        }

        def call(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, env=environment, cwd=base, capture_output=True, text=True, check=False
            )

        yield call
        call("verdi", "-p", "limsm", "daemon", "stop", "--timeout", "60")
        assert not list((base / "home").iterdir()), "something was written to the home directory"

    def test_twice_then_daemon_then_doctor(self, run: Run) -> None:
        first = run("aiida-limsm", "setup")
        assert first.returncode == 0, first.stdout + first.stderr
        assert len(re.findall(r"✓ .* created", first.stdout)) == 6

        second = run("aiida-limsm", "setup")
        assert second.returncode == 0
        assert len(re.findall(r"✓ .* already there", second.stdout)) == 6
        assert "created" not in second.stdout
        assert run("aiida-limsm", "setup", "--quiet").stdout == ""

        with_daemon = run("aiida-limsm", "setup", "--daemon", "--quiet")
        assert with_daemon.returncode == 0, with_daemon.stdout + with_daemon.stderr
        assert "started" in with_daemon.stdout

        doctor = run("aiida-limsm", "doctor", "--json")
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        checks = {check["name"]: check for check in json.loads(doctor.stdout)}
        assert checks["daemon"]["detail"] == "running, 1 worker"
        assert checks["caching"]["detail"].startswith("on")
        assert checks["code pw@localhost"]["detail"].startswith("version 7.2")
        assert checks["threads on localhost"]["status"] == "ok"
