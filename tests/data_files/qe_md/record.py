"""Record the outputs of pw.x in this folder: ``python record.py PW_X [CASE ...]``.

Every case is a real run of Li11Si4 that goes wrong in its own way. It takes under two minutes.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PSEUDO = HERE.parents[2] / "aiida_limsm" / "resources" / "pseudo"
KEPT = ("aiida.out", "_scheduler-stderr.txt", "CRASH")
FRAME = "Ekin + Etot (const)"


def run_input(steps: int, changes: dict[str, str] | None = None) -> str:
    """The input of the runs that were recorded first, from scratch, with other values."""
    text = (HERE / "restart.in").read_text()
    changes = {"restart_mode": "'from_scratch'", "nstep": str(steps), **(changes or {})}
    for key, value in changes.items():
        pattern = rf"^\s*{key} *=.*$"
        if re.search(pattern, text, re.MULTILINE):
            text = re.sub(pattern, f"  {key} = {value}", text, flags=re.MULTILINE)
        else:
            namelist = {"nbnd": "SYSTEM", "max_seconds": "CONTROL"}.get(key, "ELECTRONS")
            text = text.replace(f"&{namelist}\n", f"&{namelist}\n  {key} = {value}\n")
    return text


def run(
    pw: str,
    text: str,
    case: str,
    *,
    kill_when: Callable[[str], bool] | None = None,
    memory_mb: int | None = None,
) -> None:
    """Run pw.x and keep what AiiDA would retrieve."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "aiida.in").write_text(text)
        (folder / "pseudo").symlink_to(PSEUDO)

        def limit() -> None:
            if memory_mb is not None:
                resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))

        with (
            (folder / "aiida.out").open("w") as output,
            (folder / "_scheduler-stderr.txt").open("w") as errors,
        ):
            process = subprocess.Popen(
                [pw, "-in", "aiida.in"],
                cwd=folder,
                stdout=output,
                stderr=errors,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                preexec_fn=limit,
            )
            while process.poll() is None:
                time.sleep(0.01)
                if kill_when and kill_when((folder / "aiida.out").read_text()):
                    process.send_signal(signal.SIGKILL)
                    process.wait()
        target = HERE / case
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name in KEPT:
            path = folder / name
            if path.exists() and path.stat().st_size:
                # no path of the machine that recorded it
                kept = path.read_text().replace(str(Path(pw).resolve().parents[1]), "/opt/qe")
                (target / name).write_text(kept.replace(scratch, "/scratch"))
        for xml in folder.glob("out/*.save/data-file-schema.xml"):
            shutil.copy(xml, target)


def scf_cycles(text: str) -> int:
    """SCF cycles since the last frame."""
    return text.rpartition(FRAME)[2].count("estimated scf accuracy")


def too_close() -> str:
    """Two atoms nearly on top of each other."""
    text = run_input(2)
    return text.replace(
        "Li           0.0000000000       3.0600000000       0.0000000000",
        "Li           3.0600000000       0.0000000000       0.0200000000",
    )


CASES: dict[str, Callable[[str, str], None]] = {
    "out_of_time": lambda pw, case: run(pw, run_input(50, {"max_seconds": "6.0"}), case),
    "out_of_time_at_once": lambda pw, case: run(pw, run_input(9, {"max_seconds": "0.7"}), case),
    "scf_failed_at_once": lambda pw, case: run(pw, run_input(3, {"electron_maxstep": "5"}), case),
    "killed_midway": lambda pw, case: run(
        pw, run_input(9), case,
        kill_when=lambda text: text.count(FRAME) >= 3 and scf_cycles(text) > 2,
    ),
    "out_of_memory": lambda pw, case: run(
        pw, run_input(2, {"ecutwfc": "60", "ecutrho": "900"}), case, memory_mb=420
    ),
    "andersen": lambda pw, case: run(
        pw, run_input(5, {"ion_temperature": "'andersen'", "nraise": "3", "conv_thr": "1e-9"}), case
    ),
    "few_bands": lambda pw, case: run(pw, run_input(2, {"nbnd": "14"}), case),
    "runaway": lambda pw, case: run(pw, run_input(6, {"dt": "600.0"}), case),
    "scf_stuck": lambda pw, case: run(
        pw,
        run_input(2, {"conv_thr": "1.0d-30", "electron_maxstep": "400"}),
        case,
        kill_when=lambda text: scf_cycles(text) > 70,
    ),
    "too_close": lambda pw, case: run(pw, too_close(), case),
    "bad_input": lambda pw, case: run(pw, run_input(2).replace("Si.pbe-nc.UPF", "none.UPF"), case),
}  # fmt: skip

if __name__ == "__main__":
    for name in sys.argv[2:] or CASES:
        CASES[name](sys.argv[1], name)
        print(name, *(f"{path.name}: {path.stat().st_size}" for path in (HERE / name).iterdir()))
