"""What docs/validate.md shows is what comes out."""

import re
from pathlib import Path

from click.testing import CliRunner

from aiida_limsm.compute.cli import main

ROOT = Path(__file__).parents[2]


def test_the_documented_comparison(tmp_path):
    text = (ROOT / "docs/validate.md").read_text()
    command, shown = re.search(r"\$ limsm (compare .*?)\n(.*?)\n  …", text, re.S).groups()
    words = command.replace("examples/", f"{ROOT}/examples/").split()
    words[words.index("-o") + 1] = str(tmp_path)
    done = CliRunner().invoke(main, [*words, "--quiet", "--no-figures"])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(shown)


def test_documented_options_exist():
    text = (ROOT / "docs/validate.md").read_text()
    for command in ("compare", "evaluate"):
        helped = CliRunner().invoke(main, [command, "--help"]).output
        (line,) = re.findall(rf"\$ limsm {command} .*", text)
        for option in re.findall(r"--[a-z0-9-]+", line):
            assert option in helped
