"""`limsm md` killed at any time goes on to the very run that it would have been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_limsm.atomistic.md_state import read_checkpoints
from aiida_limsm.compute.base import Status, read_model
from aiida_limsm.compute.environment import die_with_parent
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md
from aiida_limsm.compute.results import MdResults

MakeFolder = Callable[..., Path]
Compare = Callable[[Path, Path], None]
LONG = {
    "temperature_k": 700.0,
    "steps": 4000,
    "equilibration_steps": 5,
    "frame_interval_steps": 5,
    "checkpoint_interval_steps": 10,
    "seed": 3,
}


def run(folder: Path, **changes: Any) -> MdResults:
    return run_md(MdInput(**{**LONG, **changes}), folder, lambda line: None)


def start(folder: Path, **changes: Any) -> subprocess.Popen[bytes]:
    (folder / "input.json").write_text(json.dumps({**LONG, **changes}))
    command = [sys.executable, "-m", "aiida_limsm.compute.cli", "md", str(folder / "input.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )


def wait_for_frames(folder: Path, process: subprocess.Popen[bytes], count: int) -> None:
    for _ in range(3600):
        if len(list(folder.glob("**/segments/segment-*.h5"))) >= count:
            return
        assert process.poll() is None
        time.sleep(0.05)
    pytest.fail("no frames within three minutes")


@pytest.mark.slow
def test_killed_and_terminated_runs_go_on(
    make_md_folder: MakeFolder, assert_same_run: Compare
) -> None:
    killed, whole = make_md_folder("killed"), make_md_folder("whole")
    process = start(killed)
    wait_for_frames(killed, process, 2)
    process.kill()
    process.wait()
    assert not (killed / "results.json").exists()

    process = start(killed)
    wait_for_frames(killed, process, len(list(killed.glob("segments/*.h5"))) + 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 1
    results = read_model(MdResults, killed / "results.json")
    assert results.status is Status.OUT_OF_WALLTIME
    assert results.message.startswith("stopped by SIGTERM at step ")
    assert results.restarts == 1

    steps = 10 * (results.steps_done // 10) + 20
    assert run(killed, steps=steps).restarts == 2
    assert run(whole, steps=steps).status is Status.FINISHED
    assert_same_run(killed, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ensemble",
    [
        {"thermostat": "nve"},
        {"thermostat": "csvr"},
        {"thermostat": "nose_hoover_chain"},
        {"thermostat": "nose_hoover_chain", "barostat": "isotropic"},
        {"thermostat": "nose_hoover_chain", "barostat": "flexible"},
        {"replicas": 2, "more_temperatures_k": [500.0], "workers": 2, "batch_size": 2},
    ],
    ids=lambda ensemble: "-".join(str(value) for value in ensemble.values()),
)
def test_killed_runs_equal_the_uninterrupted(
    make_md_folder: MakeFolder, ensemble: dict[str, Any], assert_same_run: Compare
) -> None:
    killed, whole = make_md_folder("killed"), make_md_folder("whole")
    several = "workers" in ensemble
    process = start(killed, **ensemble)
    wait_for_frames(killed, process, 12 if several else 3)
    process.kill()
    process.wait()
    time.sleep(0.2)  # for the kernel to end the workers
    checkpoints = list(killed.glob("**/*.npz"))
    done = [run.step for path in checkpoints for run in read_checkpoints(path)[0].values()]
    assert done
    steps = 10 * (max(done) // 10) + 20
    # who goes on may have another number of processes
    settings = {**ensemble, "workers": 1, "steps": steps}
    assert run(killed, **settings).status is Status.FINISHED
    assert run(whole, **settings).status is Status.FINISHED
    assert_same_run(killed, whole)
