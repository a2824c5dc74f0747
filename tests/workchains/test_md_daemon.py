"""An MD run under a real daemon that is killed three times, and is whole in the end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

SCENARIO = Path(__file__).with_name("md_daemon_scenario.py")


def under(folder: Path) -> list[psutil.Process]:
    """Return all processes that work in a folder, jobs and daemon alike."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = Path(process.cwd()).is_relative_to(folder)
            if inside or process.environ().get("AIIDA_PATH") == str(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Return a function that runs a program with a profile of its own; its daemon goes at last."""
    folder = tmp_path / "aiida"
    programs = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "AIIDA_PATH": str(folder),
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join((programs, os.environ["PATH"])),
        "OMP_NUM_THREADS": "1",
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    yield run
    run("verdi", "-p", "limsm", "daemon", "stop", "--timeout", "60")
    for process in under(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_killed_three_times_and_complete(call: Callable[..., object], tmp_path: Path) -> None:
    made = call("aiida-limsm", "setup", "--path", str(tmp_path / "aiida"), "--daemon")
    assert "daemon" in made.stdout, made.stderr
    ended = call(sys.executable, str(SCENARIO))
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["exit_status"] == 0, found["exit_message"]
    # killed, out of walltime, done; a slow machine may run out of time more often
    statuses = found["job_exit_statuses"]
    assert (statuses[0], statuses[1], statuses[-1]) == (302, 400, 0), statuses
    assert set(statuses[1:-1]) == {400}
    assert found["killed_workers"] == 1
    # every frame once, at its step, and the asked length
    assert found["steps"] == list(range(0, 601, 20))
    assert found["n_frames"] == found["results"]["frames"] == 31
    assert found["duration_ps"] == pytest.approx(600 * 2.5e-3)
    assert found["results"]["steps_done"] == 600
    assert found["results"]["restarts"] == len(statuses) - 1
