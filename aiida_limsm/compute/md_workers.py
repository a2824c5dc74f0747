"""Groups of MD runs side by side: one process each, at most so many at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_limsm.files import whole_file

from .base import JobError, Status, read_model, write_model
from .environment import StopSignal, configure_threads, die_with_parent
from .inputs import MdInput
from .md_plan import RUNS_FOLDER
from .md_prepare import Prepared, make_group, prepare, run_groups
from .results import MdRunResults

if TYPE_CHECKING:
    from .md_group import GroupResult

POLL_SECONDS = 0.2


def run_side_by_side(
    job: MdInput,
    folder: Path,
    prepared: Prepared,
    max_seconds: float | None,
    stopped_by: Callable[[], str | None],
    progress: Callable[[str], None],
) -> list[GroupResult]:
    """Run every group in a process of its own, ``job.workers`` at a time.

    Raises
    ------
    JobError
        A worker ended without results; with its last line of output.
    """
    runs = folder / RUNS_FOLDER
    runs.mkdir(exist_ok=True)
    write_model(job, runs / "job.json")
    began = time.monotonic()
    n_groups = len(prepared.groups)
    waiting = list(range(n_groups))
    working: dict[int, subprocess.Popen[bytes]] = {}
    found: dict[int, Any] = {}
    told = False
    try:
        while waiting or working:
            while waiting and len(working) < job.workers:
                number = waiting.pop(0)
                left = None if max_seconds is None else max_seconds - (time.monotonic() - began)
                reason = stopped_by()
                if reason is None and left is not None and left <= 0:
                    reason = f"max_seconds ({job.max_seconds:g} s)"
                if reason is not None:
                    found[number] = make_group(job, folder, prepared, number).skip(reason)
                    continue
                working[number] = _start(folder, number, left)
                progress(f"group {number + 1}/{n_groups} started, log in {_log(folder, number)}")
            for number, process in list(working.items()):
                if process.poll() is not None:
                    del working[number]
                    found[number] = _read(folder, number)
            if stopped_by() is not None and not told:
                told = True
                for process in working.values():
                    process.terminate()
            time.sleep(POLL_SECONDS)
    finally:
        for process in working.values():
            process.kill()
            process.wait()
    return [found[number] for number in range(n_groups)]


def _log(folder: Path, number: int) -> Path:
    return folder / RUNS_FOLDER / f"group-{number}.log"


def _answer(folder: Path, number: int) -> Path:
    return folder / RUNS_FOLDER / f"group-{number}.json"


def _start(folder: Path, number: int, max_seconds: float | None) -> subprocess.Popen[bytes]:
    _answer(folder, number).unlink(missing_ok=True)
    limit = "" if max_seconds is None else str(max_seconds)
    command = [sys.executable, "-m", __name__, str(folder), str(number), limit]
    with _log(folder, number).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent())


def _read(folder: Path, number: int) -> GroupResult:
    from .md_group import GroupResult

    try:
        values = json.loads(_answer(folder, number).read_text(encoding="utf-8"))
    except FileNotFoundError:
        lines = _log(folder, number).read_text(errors="replace").splitlines() or ["no output"]
        raise JobError(
            Status.INTERNAL_ERROR, f"group {number} ended without results: {lines[-1]}"
        ) from None
    if "status" in values:
        raise JobError(Status(values["status"]), values["message"])
    runs = [MdRunResults.model_validate(run) for run in values.pop("runs")]
    return GroupResult(runs, **values)


def main(folder: Path, number: int, max_seconds: float | None) -> None:
    """Run one group and leave its results for the parent."""
    job = read_model(MdInput, folder / RUNS_FOLDER / "job.json")
    configure_threads(job.threads)
    began = time.monotonic()
    values: dict[str, Any]
    with StopSignal() as signal:

        def should_stop() -> str | None:
            if max_seconds is not None and time.monotonic() - began > max_seconds:
                return f"max_seconds ({job.max_seconds:g} s)"
            return signal.received

        try:
            prepared = prepare(job, folder)
            (result,) = run_groups(
                job, folder, prepared, [number], should_stop, lambda line: print(line, flush=True)
            )
            runs = [run.model_dump(mode="json") for run in result.runs]
            values = {**asdict(result), "runs": runs}
        except JobError as error:
            values = {"status": error.status.value, "message": error.message}
    with whole_file(_answer(folder, number)) as temporary:
        temporary.write_text(json.dumps(values), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3] else None)
