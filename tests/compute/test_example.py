"""The example that the documentation goes through does what the documentation shows."""

import json
import re
from pathlib import Path

from click.testing import CliRunner

from aiida_limsm.compute.cli import main

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/li3si"


def test_the_documented_output_is_what_comes_out(tmp_path):
    result = CliRunner().invoke(
        main,
        [
            "analyse", str(EXAMPLE / "md.h5"), "--structure", str(EXAMPLE / "Li3Si.cif"),
            "--temperature-k", "700", "-o", str(tmp_path), "--no-figures", "--quiet",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    shown = re.search(r"-o analysis\n(.*?)\n  …", (ROOT / "docs/analyse.md").read_text(), re.S)
    assert result.stdout.startswith(shown.group(1))
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["n_jumps"] == 36
    assert found["diffusion"]["markov"]["resolved"]
    assert found["haven_ratio"]["error"] > 0.2  # a ratio of a run so short comes with it
