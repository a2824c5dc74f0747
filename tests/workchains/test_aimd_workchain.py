"""AimdWorkChain with the real pw.x."""

from __future__ import annotations

import os
import re
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

from aiida_limsm.workchains._protocol import recursive_merge
from aiida_limsm.workchains.aimd import AimdWorkChain

from .conftest import make_code

pytestmark = pytest.mark.usefixtures("pseudo_family")


STEPS = 14
PK_OF_UNCUT: list[int] = []


def builder(code: orm.Code, crystal: orm.StructureData, steps: int, **kwargs: Any) -> Any:
    """An NVE run: it must come out the same whatever cuts it."""
    overrides: dict[str, Any] = {
        "monitor": {"enabled": False},
        "pw": {"parameters": {"ELECTRONS": {"conv_thr": 1e-8}}},
    }
    overrides = recursive_merge(overrides, kwargs.pop("overrides", {}))
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
def uncut(pw_code: orm.Code, crystal: orm.StructureData) -> orm.WorkChainNode:
    """The run that the others are compared with, made once."""
    if not PK_OF_UNCUT:
        _, node = run_get_node(builder(pw_code, crystal, STEPS))
        assert node.is_finished_ok, node.exit_message
        assert len(jobs(node)) == 1
        PK_OF_UNCUT.append(node.pk)
    return orm.load_node(PK_OF_UNCUT[0])


def seconds_to_frame(node: orm.WorkChainNode, frame: int) -> float:
    """pw.x's own clock at the end of the SCF of a frame."""
    text = jobs(node)[0].outputs.retrieved.base.repository.get_object_content("aiida.out")
    before = text.split("Ekin + Etot")[frame]
    return float(re.findall(r"cpu time spent up to now is\s+(\S+) secs", before)[-1])


def check_equal(trajectory: orm.TrajectoryData, node: orm.WorkChainNode) -> None:
    """The same motion, as far as an SCF converged to 1e-8 Ry can tell."""
    uncut = node.outputs.trajectory
    for name, tolerance in {
        "positions": 1e-4,
        "velocities": 0.05,
        "energies_ev": 2e-3,
        "conserved_energy_ev": 2e-3,
        "forces_ev_per_angstrom": 5e-3,
        "times": 1e-12,
    }.items():
        np.testing.assert_allclose(
            trajectory.get_array(name), uncut.get_array(name), atol=tolerance, err_msg=name
        )
    assert (np.diff(trajectory.get_times()) > 0).all()
    # continuous: no step of the conserved energy is like a lost velocity, which costs 1 eV
    assert np.abs(np.diff(trajectory.get_array("conserved_energy_ev"))).max() < 5e-3


@pytest.mark.slow
def test_a_run_cut_by_the_clock_is_the_uncut_run(
    pw_code: orm.Code, crystal: orm.StructureData, uncut: orm.WorkChainNode
) -> None:
    """Jobs that stop themselves after three frames or so: every frame, once."""
    seconds = {"CONTROL": {"max_seconds": seconds_to_frame(uncut, 3)}}
    outputs, node = run_get_node(
        builder(pw_code, crystal, STEPS, overrides={"pw": {"parameters": seconds}})
    )
    assert node.is_finished_ok, node.exit_message
    segments = [s for s in outputs["summary"].get_dict()["segments"] if s["frames"]]
    assert len(segments) >= 3
    assert {s["start"] for s in segments[1:]} == {"restart"}
    assert {s["ending"] for s in segments[:-1]} == {"out of time"}
    check_equal(outputs["trajectory"], uncut)


@pytest.mark.slow
def test_a_killed_run_ends_with_every_frame(
    pw_code: orm.Code, crystal: orm.StructureData, uncut: orm.WorkChainNode, computer: orm.Computer
) -> None:
    sent: list[int] = []
    thread = kill_when(
        Path(computer.get_workdir()), lambda text: text.count("Ekin + Etot") >= 5, sent
    )
    # equilibration is a part of the run: the same frames, in two outputs
    outputs, node = run_get_node(
        builder(pw_code, crystal, STEPS - 12, equilibration_steps=12, thermostat=None,
                overrides={"pw": {"parameters": {"IONS": {"ion_temperature": "not_controlled"}}}})
    )  # fmt: skip
    thread.join()
    assert sent, "nothing was killed"
    assert node.is_finished_ok, node.exit_message
    summary = outputs["summary"].get_dict()
    first, second = summary["segments"][:2]
    assert first["ending"] == "interrupted"
    assert first["frames"] >= 5
    assert second["start"] == "velocities"
    assert abs(second["repeated_energy_difference_ev"]) < 1e-4
    assert (summary["equilibration_frames"], summary["frames"]) == (12, STEPS - 12)
    both = [outputs[name] for name in ("equilibration", "trajectory")]
    whole = orm.TrajectoryData()
    joined = {
        name: np.concatenate([part.get_array(name) for part in both])
        for name in both[0].get_arraynames()
    }
    whole.set_trajectory(
        symbols=both[0].symbols,
        **{key: joined.pop(key) for key in ("positions", "cells", "times", "velocities")},
    )
    for name in ("energies_ev", "conserved_energy_ev", "forces_ev_per_angstrom"):
        whole.set_array(name, joined[name])
    check_equal(whole, uncut)


@pytest.mark.slow
def test_an_scf_that_fails_is_tried_with_other_mixing(
    pw_code: orm.Code, crystal: orm.StructureData
) -> None:
    """Five cycles are too few for the first frame, and the first remedy allows more."""
    few = {"pw": {"parameters": {"ELECTRONS": {"electron_maxstep": 5}}}}
    outputs, node = run_get_node(builder(pw_code, crystal, 3, overrides=few))
    assert node.is_finished_ok, node.exit_message
    failed, worked = outputs["summary"]["segments"]
    assert (failed["frames"], failed["ending"]) == (0, "SCF not converged")
    assert (worked["frames"], worked["start"]) == (3, "start")
    assert jobs(node)[1].inputs.parameters["ELECTRONS"]["mixing_beta"] == 0.2
    # the same start, whatever became of the first job
    first, second = (job.inputs.settings for job in jobs(node))
    assert first.pk == second.pk


@pytest.mark.slow
def test_the_monitor_stops_an_explosion(pw_code: orm.Code, crystal: orm.StructureData) -> None:
    """Two atoms half an ångström apart: stopped long before its 300 steps, frames kept."""
    atoms = crystal.get_ase()
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.0, 0.55]
    outputs, node = run_get_node(
        builder(
            pw_code,
            orm.StructureData(ase=atoms),
            300,
            thermostat="svr",
            overrides={"monitor": {"enabled": True, "interval_s": 1}},
        )
    )
    assert node.exit_status == 313, node.exit_message
    assert len(jobs(node)) == 1
    assert jobs(node)[0].exit_status == 150
    assert jobs(node)[0].exit_message.startswith("the MD runs away: ")
    summary = outputs["summary"].get_dict()
    assert 0 < summary["frames"] < 100
    assert any("the last frames are no reference" in text for text in summary["warnings"])


def test_a_broken_code_is_named(computer: orm.Computer, crystal: orm.StructureData) -> None:
    """A program that fails at once: one clear message, no endless restarts."""
    code = make_code(computer, "/bin/false", "quantumespresso.pw")
    _, node = run_get_node(builder(code, crystal, 3))
    assert node.exit_status == 300
    assert node.exit_message.startswith("No frame: ")
    assert "pw.x did not start: it printed nothing" in node.exit_message
    assert len(jobs(node)) == 1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"steps": 0}, "steps: 0 asked; ask for at least one MD step"),
        ({"steps": -3}, "steps: -3 asked"),
        ({"temperature": -10.0}, "-10 K is not between 0 and 5000 K"),
        ({"mobile_species": "Na"}, "there is no Na in Li11Si4"),
        ({"equilibration_steps": -1}, "equilibration_steps: give 0 or more"),
        ({"max_temperature": 600.0}, "600 K is not above the 700 K asked for"),
        ({"monitor": {"interval_s": 0}}, "monitor: interval_s: "),
        ({"kpoints_distance": None}, "give either kpoints or kpoints_distance"),
    ],
)
def test_bad_input_is_refused(
    pw_code: orm.Code, crystal: orm.StructureData, change: dict[str, Any], line: str
) -> None:
    assert line in refusal(builder(pw_code, crystal, 3), change)


@pytest.mark.parametrize(
    ("namelist", "value", "line"),
    [
        ("CONTROL", {"calculation": "scf"}, "must be 'md'"),
        ("CONTROL", {"dt": 250.0}, "far too long"),
        ("ELECTRONS", {"scf_must_converge": False}, "is no label"),
        ("SYSTEM", {"nosym": False}, "nosym must be true"),
        ("SYSTEM", {"ecutwfc": 5.0}, "below"),
    ],
)
def test_bad_parameters_are_refused(
    pw_code: orm.Code,
    crystal: orm.StructureData,
    namelist: str,
    value: dict[str, Any],
    line: str,
) -> None:
    wrong = builder(pw_code, crystal, 3)
    wrong.pw.parameters = orm.Dict(
        recursive_merge(wrong.pw.parameters.get_dict(), {namelist: value})
    )
    assert line in refusal(wrong, {})


def test_a_code_that_is_not_pw_and_a_missing_pseudopotential(
    pw_code: orm.Code, limsm_code: orm.Code, crystal: orm.StructureData
) -> None:
    wrong = builder(pw_code, crystal, 3)
    wrong.pw.code = limsm_code
    assert "not for pw.x" in refusal(wrong, {})
    wrong = builder(pw_code, crystal, 3)
    wrong.pw.pseudos.pop("Si")
    assert "pseudos: none for kind 'Si'" in refusal(wrong, {})


def refusal(wrong: Any, change: dict[str, Any]) -> str:
    """Return the one line with which inputs are refused before anything is submitted."""
    inputs = {**wrong._inputs(prune=True)}
    for name, value in change.items():
        inputs.pop(name, None)
        if value is not None:
            inputs[name] = orm.to_aiida_type(value)
    error = AimdWorkChain.spec().inputs.validate(inputs)
    assert error is not None
    assert "\n" not in error.message
    return str(error.message)
