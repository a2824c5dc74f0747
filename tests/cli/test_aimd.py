"""``aiida-limsm aimd``: what a run was, in words and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common import LinkType
from click.testing import CliRunner

from aiida_limsm.calculations.aimd import join_segments
from aiida_limsm.cli.aimd import aimd_command


@pytest.fixture
def run(pw_job: Callable[..., Any]) -> Callable[..., orm.WorkChainNode]:
    """Return a function that stores a finished AimdWorkChain of recorded jobs."""

    def make(*cases: str, equilibration: int = 0, exit_status: int = 0) -> orm.WorkChainNode:
        jobs = [pw_job(case) for case in cases]
        inputs = {
            "structure": jobs[0].inputs.structure,
            "temperature": orm.Float(700.0).store(),
            "steps": orm.Int(6).store(),
        }
        node = orm.WorkChainNode()
        node.set_process_label("AimdWorkChain")
        for label, value in inputs.items():
            node.base.links.add_incoming(value, LinkType.INPUT_WORK, label)
        node.store()
        joined = join_segments(
            structure=inputs["structure"],
            parameters=jobs[0].inputs.parameters,
            kpoints=jobs[0].inputs.kpoints,
            equilibration_steps=orm.Int(equilibration),
            remarks=orm.List(["the queue was slow"]),
            **{f"retrieved_{index:03d}": job.outputs.retrieved for index, job in enumerate(jobs)},
        )
        for label, value in joined.items():
            value.base.links.add_incoming(node, LinkType.RETURN, label)
        node.set_exit_status(exit_status)
        node.set_exit_message("no luck" if exit_status else "")
        node.set_process_state("finished")
        return node

    return make


def test_words(run: Callable[..., Any]) -> None:
    node = run("segment_0", "segment_1", equilibration=2)
    result = CliRunner().invoke(aimd_command, [str(node.pk)])
    assert result.exit_code == 0, result.output
    assert "4 of 6, 0.00968 ps, after 2 of equilibration" in result.output
    assert "job 1             3 frames from 3, continued; all steps done" in result.output
    assert "warning: the queue was slow" in result.output
    assert "drift " in result.output
    assert "ended with" not in result.output


def test_a_run_that_failed(run: Callable[..., Any]) -> None:
    node = run("segment_0", "scf_failed", exit_status=311)
    result = CliRunner().invoke(aimd_command, [str(node.pk)])
    assert "ended with 311: no luck" in result.output
    assert "convergence NOT achieved after   7 iterations" in result.output


@pytest.mark.parametrize("equilibration", [0, 2])
def test_picture(run: Callable[..., Any], tmp_path: Path, equilibration: int) -> None:
    node = run("segment_0", "segment_1", equilibration=equilibration)
    picture = tmp_path / "aimd.png"
    arguments = [str(node.pk), "-o", str(picture)]
    result = CliRunner().invoke(aimd_command, arguments)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes()[:4] == b"\x89PNG"
    again = CliRunner().invoke(aimd_command, arguments)
    assert again.exit_code == 1
    assert "exists: choose another name, or add --force" in again.output
    assert CliRunner().invoke(aimd_command, [*arguments, "--force"]).exit_code == 0


def test_another_ending_of_the_name(run: Callable[..., Any], tmp_path: Path) -> None:
    node = run("segment_0")
    result = CliRunner().invoke(aimd_command, [str(node.pk), "-o", str(tmp_path / "aimd.doc")])
    assert result.exit_code == 1
    assert "aimd.doc cannot be written" in result.output
    assert not list(tmp_path.iterdir())


def test_another_node(aiida_profile: Any) -> None:
    node = orm.Int(1).store()
    result = CliRunner().invoke(aimd_command, [str(node.pk)])
    assert result.exit_code == 1
    assert f"PK {node.pk} is no AimdWorkChain" in result.output
