"""`limsm md` with the real demo model on 15 atoms."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import JobError, Status, read_model
from aiida_limsm.compute.environment import die_with_parent
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md
from aiida_limsm.compute.results import MdResults

MakeFolder = Callable[..., Path]
INPUT = {
    "temperature_k": 700.0,
    "steps": 12,
    "equilibration_steps": 5,
    "frame_interval_steps": 2,
    "checkpoint_interval_steps": 4,
    "seed": 3,
}


def run(folder: Path, **changes: Any) -> MdResults:
    return run_md(MdInput(**{**INPUT, **changes}), folder, lambda line: None)


def refused(folder: Path, **changes: Any) -> str:
    with pytest.raises(JobError) as caught:
        run(folder, **changes)
    assert caught.value.status is Status.INVALID_INPUT
    assert "\n" not in caught.value.message
    return caught.value.message


def arrays(folder: Path) -> dict[str, Any]:
    with np.load(folder / "checkpoint.npz") as data:
        meta = json.loads(str(data["meta"]))
        found = {name: data[name] for name in ("positions", "momenta", "reference")}
    meta["statistics"].pop("restarts")
    return {**found, "meta": meta}


def assert_same_run(first: Path, second: Path) -> None:
    one, two = arrays(first), arrays(second)
    assert one.pop("meta") == two.pop("meta")
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], err_msg=name)
    assert (first / "trajectory.h5").read_bytes() == (second / "trajectory.h5").read_bytes()


def test_a_run_finishes(make_md_folder: MakeFolder) -> None:
    from aiida_limsm.files import sha256_of
    from aiida_limsm.trajectory.h5md import Trajectory

    folder = make_md_folder()
    lines: list[str] = []
    results = run_md(MdInput(**INPUT), folder, lines.append)
    assert (results.status, results.message) == (Status.FINISHED, "12 steps done")
    assert (results.frames, results.steps_done, results.restarts) == (7, 12, 0)
    assert results.frame_interval_ps == pytest.approx(0.004)
    assert results.trajectory_sha256 == sha256_of(folder / "trajectory.h5")
    with Trajectory(folder / "trajectory.h5") as trajectory:
        assert trajectory.n_frames == 7
        assert trajectory.steps.tolist() == list(range(0, 14, 2))
        assert trajectory.symbols == ["Li"] * 11 + ["Si"] * 4
        assert results.mean_temperature_k == pytest.approx(trajectory.temperature_k.mean())
        assert results.std_temperature_k == pytest.approx(trajectory.temperature_k.std())
    assert lines[-1].startswith("step 17/17  ")

    # more steps of the same folder go on where it ended
    more = run(folder, steps=16)
    assert (more.frames, more.steps_done, more.restarts) == (9, 16, 1)
    whole = make_md_folder("whole")
    run(whole, steps=16)
    assert_same_run(folder, whole)


def test_pieces_equal_the_whole(make_md_folder: MakeFolder) -> None:
    whole, pieces = make_md_folder("whole"), make_md_folder("pieces")
    run(whole)
    stops = []
    while (results := run(pieces, max_seconds=1e-6)).status is Status.OUT_OF_WALLTIME:
        stops.append(results.steps_done)
        assert results.trajectory_file is None
        assert results.message.startswith("stopped by max_seconds (1e-06 s) at step ")
    assert stops == [0, 0, 0, 2, 4, 6, 8, 10]  # three stops in the equilibration
    assert results.restarts == len(stops)
    assert_same_run(whole, pieces)


def test_frames_after_the_checkpoint_are_redone(make_md_folder: MakeFolder) -> None:
    whole, killed = make_md_folder("whole"), make_md_folder("killed")
    run(whole)
    run(killed, max_seconds=1e-6)
    saved = (killed / "checkpoint.npz").read_bytes()
    run(killed)
    # as if the process had died after writing frames and before writing their checkpoint
    (killed / "checkpoint.npz").write_bytes(saved)
    (killed / "trajectory.h5").unlink()
    run(killed)
    assert_same_run(whole, killed)
    # and as if it had died before the first checkpoint
    (killed / "checkpoint.npz").unlink()
    run(killed)
    assert_same_run(whole, killed)


def test_missing_and_unreadable_files(make_md_folder: MakeFolder) -> None:
    folder = make_md_folder()
    (folder / "structure.extxyz").write_text("nonsense\n")
    assert "structure.extxyz cannot be read" in refused(folder)
    (folder / "structure.extxyz").unlink()
    assert refused(folder) == f"{folder}/structure.extxyz does not exist"
    (folder / "potential.model").unlink()
    assert refused(folder) == f"{folder}/potential.model does not exist"
    assert not (folder / "segments").exists()


def test_element_and_head_that_the_potential_lacks(make_md_folder: MakeFolder) -> None:
    from ase import Atoms

    salt = make_md_folder("salt", Atoms("NaLi", [[0, 0, 0], [2.8, 0, 0]], cell=[5.6] * 3, pbc=True))
    assert refused(salt) == (
        "the potential knows Li, Si but the structure holds Na: use a potential trained with Na"
    )
    assert refused(make_md_folder("head"), head="dft").startswith("the potential has no head 'dft'")
    text = make_md_folder("text")
    (text / "potential.model").write_text("no model")
    assert "cannot be loaded as a MACE model" in refused(text)


def test_checkpoints_that_do_not_belong(make_md_folder: MakeFolder) -> None:
    import ase.io

    from aiida_limsm.atomistic.crystals import li3si

    folder = make_md_folder()
    run(folder, max_seconds=1e-6)
    before = sorted((folder / "segments").iterdir())
    for change in ({"temperature_k": 600.0}, {"time_step_fs": 1.0}, {"seed": 4}):
        assert refused(folder, **change) == (
            f"checkpoint.npz is of a run with another {next(iter(change))}: use another folder, or "
            "remove it and 'segments' to start anew"
        )
    ase.io.write(folder / "structure.extxyz", li3si())
    assert "is of a run with another structure" in refused(folder)
    checkpoint = folder / "checkpoint.npz"
    content = checkpoint.read_bytes()
    for damage in (b"", content[: len(content) // 2], b"not a checkpoint", b"PK\x03\x04damaged"):
        checkpoint.write_bytes(damage)
        assert (
            refused(folder) == f"{checkpoint} is not a readable checkpoint: remove it to start anew"
        )
    assert sorted((folder / "segments").iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "status", "line"),
    [
        ({"max_force_ev_per_angstrom": 1e-6}, Status.FORCES_EXPLODED, "a force of"),
        ({"max_temperature_factor": 1.0001, "time_step_fs": 10.0, "temperature_k": 20.0},
         Status.TEMPERATURE_RUNAWAY, "temperature"),
        ({"min_distance_angstrom": 2.9}, Status.ATOMS_TOO_CLOSE, "two atoms are"),
        ({"max_framework_msd_angstrom2": 1e-9}, Status.FRAMEWORK_UNSTABLE, "the framework moved"),
    ],
)  # fmt: skip
def test_guards_stop_the_run(
    make_md_folder: MakeFolder, changes: dict[str, Any], status: Status, line: str
) -> None:
    folder = make_md_folder()
    results = run(folder, **{"equilibration_steps": 0, **changes})
    assert results.status is status
    assert line in results.message
    assert "\n" not in results.message
    # the frame of step 0 was good and is kept
    assert results.frames >= 1
    assert results.trajectory_file == "trajectory.h5"
    assert (folder / "trajectory.h5").is_file()


def test_an_absurd_time_step_is_stopped(make_md_folder: MakeFolder) -> None:
    hot = run(make_md_folder(), time_step_fs=10.0, temperature_k=5000.0, steps=200, max_seconds=60)
    assert hot.status in (
        Status.FORCES_EXPLODED, Status.TEMPERATURE_RUNAWAY, Status.ATOMS_TOO_CLOSE,
    )  # fmt: skip


def test_a_guard_in_the_equilibration_leaves_no_trajectory(make_md_folder: MakeFolder) -> None:
    results = run(make_md_folder(), min_distance_angstrom=2.9)
    assert results.status is Status.ATOMS_TOO_CLOSE
    assert (results.frames, results.trajectory_file, results.steps_done) == (0, None, 0)


def test_a_full_disk_is_said(make_md_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from aiida_limsm.trajectory.segments import SegmentWriter

    whole, full = make_md_folder("whole"), make_md_folder("full")
    run(whole)
    flush, calls = SegmentWriter.flush, []

    def failing(self: SegmentWriter) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise OSError("Can't write data (error message = 'No space left on device')")
        flush(self)

    monkeypatch.setattr(SegmentWriter, "flush", failing)
    results = run(full)
    assert results.status is Status.DISK_FULL
    assert "free some and run again" in results.message
    assert run(full).status is Status.FINISHED
    assert_same_run(whole, full)


def start(folder: Path) -> subprocess.Popen[bytes]:
    values = {**INPUT, "steps": 4000, "frame_interval_steps": 5, "checkpoint_interval_steps": 10}
    (folder / "input.json").write_text(json.dumps(values))
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
    for _ in range(1200):
        if len(list(folder.glob("segments/segment-*.h5"))) >= count:
            return
        assert process.poll() is None
        time.sleep(0.05)
    pytest.fail("no frames within a minute")


@pytest.mark.slow
def test_killed_and_terminated_runs_go_on(make_md_folder: MakeFolder) -> None:
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
    settings = {"steps": steps, "frame_interval_steps": 5, "checkpoint_interval_steps": 10}
    assert run(killed, **settings).restarts == 2
    assert run(whole, **settings).status is Status.FINISHED
    assert_same_run(killed, whole)
    shutil.rmtree(killed)
