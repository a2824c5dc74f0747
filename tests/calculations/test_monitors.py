"""When a running pw.x MD is stopped; the outputs are recorded runs, cut as a monitor sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiida import orm

from aiida_limsm.calculations.monitors import RUNAWAY, SCF_STUCK, judge_pw_md, watch_pw_md

RECORDED = Path(__file__).parents[1] / "data_files" / "qe_md"


def text(case: str) -> str:
    return (RECORDED / case / "aiida.out").read_text()


def test_a_run_that_explodes() -> None:
    first_frames, _, _ = text("runaway").partition("381444")
    assert judge_pw_md(first_frames, 3100.0, 30) is None
    message = judge_pw_md(text("runaway"), 3100.0, 30)
    assert message is not None
    assert message.startswith(RUNAWAY)
    assert "32609822 K is above 3100 K" in message


def test_a_temperature_that_does_not_fit() -> None:
    changed = text("segment_0").replace("790.09593234 K", "************** K")
    message = judge_pw_md(changed, 3100.0, 30)
    assert message is not None
    assert "inf K is above" in message


def test_an_scf_without_progress() -> None:
    message = judge_pw_md(text("scf_stuck"), 3100.0, 15)
    assert message is not None
    assert message.startswith(SCF_STUCK)
    # it still makes progress in its first thirty cycles
    early = "estimated scf accuracy".join(text("scf_stuck").split("estimated scf accuracy")[:31])
    assert judge_pw_md(early, 3100.0, 15) is None


@pytest.mark.parametrize(
    "case", ["segment_0", "segment_1", "killed", "killed_midway", "out_of_time", "scf_failed"]
)
def test_runs_that_get_on_are_left_alone(case: str) -> None:
    assert judge_pw_md(text(case), 3100.0, 15) is None


def test_cycles_of_earlier_steps_do_not_count() -> None:
    """Twenty cycles in each of two steps are not forty without progress."""
    assert judge_pw_md(text("segment_0") * 3, 3100.0, 10) is None


def test_no_limit_of_temperature() -> None:
    assert judge_pw_md(text("runaway"), None, 30) is None


@pytest.mark.parametrize("case", ["runaway", "segment_0"])
def test_through_a_transport(case: str, aiida_localhost: Any) -> None:
    node = orm.CalcJobNode(computer=aiida_localhost)
    node.set_option("output_filename", "aiida.out")
    node.set_remote_workdir(str(RECORDED / case))
    with aiida_localhost.get_transport() as transport:
        message = watch_pw_md(node, transport, max_temperature_k=3100.0)
        assert (message is not None) == (case == "runaway")
        node.set_remote_workdir(str(RECORDED / "nowhere"))
        assert watch_pw_md(node, transport, max_temperature_k=3100.0) is None
