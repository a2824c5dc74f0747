"""Submits one MD run to the daemon of a profile and kills it three times; prints what came of it.

A program of its own: the tests have a profile loaded, this one works with that of AIIDA_PATH.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from aiida import load_profile, orm
from aiida.engine import submit
from aiida.engine.daemon.client import get_daemon_client

from aiida_limsm.atomistic.crystals import li11si4
from aiida_limsm.cli._demo_inputs import demo_foundation
from aiida_limsm.workchains.md import MolecularDynamicsWorkChain

#: Long enough that no job comes near it unless it is held.
MAX_SECONDS = 15.0
STEPS, INTERVAL = 600, 20


def wait(condition: Callable[[], object], what: str, seconds: float = 300.0) -> object:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise TimeoutError(f"waited in vain for {what}")


def jobs(workchain: orm.WorkChainNode) -> list[orm.CalcJobNode]:
    return sorted(
        (node for node in workchain.called if isinstance(node, orm.CalcJobNode)),
        key=lambda node: node.pk,
    )


def running(folder: str) -> psutil.Process | None:
    """Return the ``limsm md`` that works in a folder."""
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if process.cwd() == folder and "md" in line and "python" in Path(line[0]).name:
                return process
        except psutil.Error:
            continue
    return None


def catch(workchain: orm.WorkChainNode, number: int, steps: int) -> psutil.Process:
    """Return the process of a job of the workchain once it wrote a checkpoint after ``steps``."""
    job = wait(lambda: jobs(workchain)[number : number + 1], f"job {number}")[0]
    folder = wait(job.get_remote_workdir, f"the folder of job {number}")
    process = wait(lambda: running(folder), f"the process of job {number}")

    def has_got_on() -> bool:
        log = Path(folder) / "limsm.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return any(
            line.startswith("step ") and int(line.split()[1].split("/")[0]) >= steps
            for line in lines
        )

    wait(has_got_on, f"a checkpoint of job {number}")
    return process


def workers() -> list[int]:
    info = get_daemon_client().get_worker_info().get("info", {})
    return [int(pid) for pid in info]


def main() -> None:
    load_profile()
    code = orm.load_code("limsm@localhost")
    md = {
        "steps": STEPS,
        "equilibration_steps": 0,
        "frame_interval_steps": INTERVAL,
        "checkpoint_interval_steps": INTERVAL,
        "temperature_k": 500.0,
        "max_seconds": MAX_SECONDS,
    }
    builder = MolecularDynamicsWorkChain.get_builder_from_protocol(
        code,
        orm.StructureData(ase=li11si4()),
        demo_foundation(),
        protocol="fast",
        overrides={"md": md},
    )
    workchain = submit(builder)

    first = catch(workchain, 0, INTERVAL)
    first.kill()

    # Held until its time is up, so that however fast the machine is it is stopped by it; and
    # meanwhile the one who waits for it dies.
    second = catch(workchain, 1, 2 * INTERVAL)
    second.suspend()
    held = time.monotonic()
    killed = workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait(lambda: workers() and not set(workers()) & set(killed), "a new worker")
    time.sleep(max(0.0, MAX_SECONDS + 1 - (time.monotonic() - held)))
    second.resume()

    wait(lambda: workchain.is_terminated, "the end of the run")
    called = jobs(workchain)
    trajectory = workchain.outputs.trajectory if "trajectory" in workchain.outputs else None
    with trajectory.open() as frames:
        steps = [int(step) for step in frames.steps]
    print(
        json.dumps(
            {
                "exit_status": workchain.exit_status,
                "exit_message": workchain.exit_message,
                "job_exit_statuses": [job.exit_status for job in called],
                "killed_workers": len(killed),
                "n_frames": trajectory.n_frames,
                "steps": steps,
                "duration_ps": trajectory.duration_ps,
                "results": workchain.outputs.output_parameters.get_dict(),
            }
        )
    )


if __name__ == "__main__":
    sys.exit(main())
