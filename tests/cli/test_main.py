"""The console script: its help, its lazy sub-commands and its errors."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aiida_limsm import __version__
from aiida_limsm.cli.main import COMMANDS, main


def test_help_lists_every_command_and_examples() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name} " in result.output
        assert entry.short_help in result.output
    assert "Examples:" in result.output


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"aiida-limsm, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_exists(name: str) -> None:
    module, attribute = COMMANDS[name].target.split(":")
    assert importlib.util.find_spec(module) is not None, f"{module} is missing"
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name


def test_unknown_command_is_one_line() -> None:
    result = CliRunner().invoke(main, ["nonsense"])
    assert result.exit_code == 2
    assert "No such command 'nonsense'" in result.output


def test_help_and_setup_help_do_not_import_aiida() -> None:
    """What a user types first answers at once: AiiDA takes a second, torch several."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from aiida_limsm.cli.main import main\n"
        "for args in (['--help'], ['setup', '--help'], ['doctor', '--help']):\n"
        "    assert CliRunner().invoke(main, args).exit_code == 0\n"
        "print([name for name in ('aiida', 'torch', 'numpy') if name in sys.modules])\n"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.monotonic() - start < 10


def test_no_profile_anywhere_is_one_line(tmp_path: Path) -> None:
    """Nothing is made in the home directory just by asking."""
    home = tmp_path / "home"
    home.mkdir()
    env = {key: value for key, value in os.environ.items() if key != "AIIDA_PATH"}
    done = subprocess.run(
        [sys.executable, "-m", "aiida_limsm.cli.main", "-p", "mine", "doctor"],
        env={**env, "HOME": str(home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no AiiDA profile found" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(home.iterdir())
