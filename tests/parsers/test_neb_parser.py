"""The parser of ``limsm neb`` on what the real job left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.calculations.neb_paths import ENERGIES, FORCES, images_of

FIXTURES = Path(__file__).parent / "fixtures" / "neb"
Parse = Callable[..., Any]


def recorded(case: str) -> dict[str, Any]:
    return json.loads((FIXTURES / case / "results.json").read_text())


def test_finished(parse: Parse) -> None:
    parsed = parse("neb/finished")
    assert parsed.exit_status == 0
    path = parsed.outputs["path"]
    assert path.get_array("positions").shape == (3, 15, 3)
    assert path.get_array(FORCES).shape == (3, 15, 3)
    profile = recorded("finished")["profile"]
    np.testing.assert_allclose(path.get_array(ENERGIES), profile["energy_ev"], atol=1e-6)
    assert images_of(path)[0].symbols.formula.count() == {"Li": 11, "Si": 4}


@pytest.mark.parametrize(
    ("case", "status", "images"),
    [
        ("out_of_walltime", 400, 3),
        ("not_converged", 420, 2),
        ("end_points_collapsed", 350, 2),
        ("atoms_too_close", 322, 2),
    ],
)
def test_the_path_is_kept(parse: Parse, case: str, status: int, images: int) -> None:
    parsed = parse(f"neb/{case}")
    assert parsed.exit_status == status
    path = parsed.outputs["path"]
    assert len(path.get_stepids()) == images
    # energies of a structure that the potential takes apart are no numbers to go on with
    assert (ENERGIES in path.get_arraynames()) == (case != "atoms_too_close")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"without": ("path.extxyz",)}, "path.extxyz does not exist"),
        ({"changed": {"path.extxyz": b"15\nno"}}, "path.extxyz cannot be read"),
    ],
)
def test_a_path_that_got_lost_or_damaged(parse: Parse, change: Any, reason: str) -> None:
    parsed = parse("neb/finished", **change)
    assert parsed.exit_status == 303
    assert reason in parsed.exit_message
    assert "\n" not in parsed.exit_message
    assert "output_parameters" in parsed.outputs


def test_a_path_with_images_missing(parse: Parse) -> None:
    lines = (FIXTURES / "finished" / "path.extxyz").read_bytes().splitlines(keepends=True)
    parsed = parse("neb/finished", changed={"path.extxyz": b"".join(lines[: 2 * 17])})
    assert parsed.exit_status == 303
    assert "holds 2 of 3 images" in parsed.exit_message


def test_invalid_input(parse: Parse) -> None:
    parsed = parse("neb/invalid_input")
    assert parsed.exit_status == 310
    assert "path" not in parsed.outputs
