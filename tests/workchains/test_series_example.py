"""The example of docs/series.md: its inputs hold, and what is shown follows from its numbers."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aiida_limsm.calculations.series import fit_rows
from aiida_limsm.report.series import series_text
from aiida_limsm.workchains._series_inputs import members_of

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/series"


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return json.loads((EXAMPLE / "summary.json").read_text())


def test_the_fits_are_those_of_the_rows(summary: dict[str, Any]) -> None:
    found = json.loads(json.dumps(fit_rows(summary["rows"], summary["length_axis"])))
    for kind in ("size", "arrhenius"):
        for entry, kept in zip(found[kind], summary[kind], strict=True):
            for part, shown in [(entry, kept), (entry["along"], kept["along"])]:
                assert part.keys() == shown.keys()
            assert entry["verdict"] == kept["verdict"]
            assert entry["resolved"] == kept["resolved"]
            for name in ("infinite_cm2_s", "energy_ev"):
                if name in kept:
                    assert entry[name] == pytest.approx(kept[name], rel=1e-9)


def test_the_documentation_shows_them(summary: dict[str, Any]) -> None:
    text = series_text(summary)
    assert text in (EXAMPLE / "series.txt").read_text()
    page = (ROOT / "docs/series.md").read_text()
    shown = re.search(r"\$ aiida-limsm series PK\n\S+ PK \d+\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert shown.group(1).rstrip() == text


def test_the_script_asks_for_what_the_rows_are(limsm_code: object, summary: dict[str, Any]) -> None:
    spec = importlib.util.spec_from_file_location("li11si4", EXAMPLE / "li11si4.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    builder = script.series(limsm_code, 25.0, 2)
    assert builder.process_class.spec().inputs.validate(builder._inputs(prune=True)) is None
    asked = members_of(
        builder.supercells.get_list(),
        builder.temperatures.get_list(),
        builder.size_temperatures.get_list(),
    )
    assert sorted(asked) == sorted(row["label"] for row in summary["rows"])
