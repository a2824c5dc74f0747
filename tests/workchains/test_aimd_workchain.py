"""AimdWorkChain with the real pw.x."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.workchains.aimd import AimdWorkChain

from .conftest import make_code

pytestmark = pytest.mark.usefixtures("pseudo_family")


def builder(code: orm.Code, crystal: orm.StructureData, steps: int, **kwargs: Any) -> Any:
    """An NVE run: it must come out the same whatever cuts it."""
    overrides: dict[str, Any] = {
        "monitor": {"enabled": False},
        "pw": {"parameters": {"ELECTRONS": {"conv_thr": 1e-8}}},
        **kwargs.pop("overrides", {}),
    }
    return AimdWorkChain.get_builder_from_protocol(
        code,
        crystal,
        temperature_k=700,
        steps=steps,
        protocol="fast",
        **{"thermostat": "nve", "overrides": overrides, **kwargs},
    )


def jobs(node: orm.WorkChainNode) -> list[orm.CalcJobNode]:
    found = [n for n in node.called_descendants if isinstance(n, orm.CalcJobNode)]
    return sorted(found, key=lambda job: job.pk)


def kill_when(folder: Path, ready: Callable[[str], bool], sent: list[int]) -> threading.Thread:
    """Kill the first pw.x below a folder whose output satisfies a condition, with SIGKILL."""

    def watch() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for output in folder.rglob("aiida.out"):
                if ready(output.read_text()):
                    here = output.parent.resolve()
                    for process in Path("/proc").glob("[0-9]*"):
                        try:
                            program = (process / "cmdline").read_bytes()
                            if (process / "cwd").resolve() == here and b"pw.x" in program:
                                os.kill(int(process.name), signal.SIGKILL)
                                sent.append(int(process.name))
                        except OSError:
                            continue
                    if sent:
                        return
            time.sleep(0.02)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def uncut(pw_code: orm.Code, crystal: orm.StructureData) -> orm.TrajectoryData:
    outputs, node = run_get_node(builder(pw_code, crystal, 14))
    assert node.is_finished_ok, node.exit_message
    assert len(jobs(node)) == 1
    return outputs["trajectory"]


def check_equal(trajectory: orm.TrajectoryData, uncut: orm.TrajectoryData) -> None:
    """The same motion, as far as an SCF converged to 1e-8 Ry can tell."""
    assert trajectory.get_array("positions").shape == uncut.get_array("positions").shape
    np.testing.assert_allclose(trajectory.get_times(), uncut.get_times(), rtol=1e-12)
    np.testing.assert_allclose(
        trajectory.get_array("positions"), uncut.get_array("positions"), atol=1e-4
    )
    np.testing.assert_allclose(
        trajectory.get_array("velocities"), uncut.get_array("velocities"), atol=0.05
    )
    for name in ("energies_ev", "conserved_energy_ev"):
        np.testing.assert_allclose(trajectory.get_array(name), uncut.get_array(name), atol=2e-3)
    np.testing.assert_allclose(
        trajectory.get_array("forces_ev_per_angstrom"),
        uncut.get_array("forces_ev_per_angstrom"),
        atol=5e-3,
    )


@pytest.mark.slow
def test_cut_and_killed_runs_are_the_uncut_run(
    pw_code: orm.Code, crystal: orm.StructureData, uncut: orm.TrajectoryData
) -> None:
    """Cut three times and more by max_seconds, and killed in the middle: every frame, once."""
    # pw.x needs about 2 s to start and 0.4 s a step here, so that each job gets a few steps
    seconds = {"pw": {"parameters": {"CONTROL": {"max_seconds": 4.0}}}}
    cut = builder(pw_code, crystal, 14, overrides=seconds)
    parameters = cut.pw.parameters.get_dict()
    parameters["ELECTRONS"]["conv_thr"] = 1e-8
    cut.pw.parameters = orm.Dict(parameters)
    outputs, node = run_get_node(cut)
    assert node.is_finished_ok, node.exit_message
    segments = [s for s in outputs["summary"].get_dict()["segments"] if s["frames"]]
    assert len(segments) >= 3
    assert {s["start"] for s in segments[1:]} == {"restart"}
    assert {s["ending"] for s in segments[:-1]} == {"out of time"}
    check_equal(outputs["trajectory"], uncut)


@pytest.mark.slow
def test_a_killed_run_ends_with_every_frame(
    pw_code: orm.Code, crystal: orm.StructureData, uncut: orm.TrajectoryData, computer: orm.Computer
) -> None:
    sent: list[int] = []
    thread = kill_when(
        Path(computer.get_workdir()), lambda text: text.count("Ekin + Etot") >= 5, sent
    )
    # another number of steps per job, so that no job of the uncut run is asked for again
    killed = builder(pw_code, crystal, 14, overrides={"steps_per_segment": 13})
    parameters = killed.pw.parameters.get_dict()
    parameters["ELECTRONS"]["conv_thr"] = 1e-8
    killed.pw.parameters = orm.Dict(parameters)
    outputs, node = run_get_node(killed)
    thread.join()
    assert sent, "nothing was killed"
    assert node.is_finished_ok, node.exit_message
    summary = outputs["summary"].get_dict()
    first, second = summary["segments"][:2]
    assert first["ending"] == "interrupted"
    assert first["frames"] >= 5
    assert second["start"] == "velocities"
    assert abs(second["repeated_energy_difference_ev"]) < 1e-4
    assert sum(s["frames"] for s in summary["segments"]) == 14
    check_equal(outputs["trajectory"], uncut)
