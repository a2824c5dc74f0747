"""Run a command as a child and say what it cost; keep results; know the machine."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"
RESULTS = ROOT / "benchmarks" / "results"
SCRATCH = ROOT / ".limsm" / "benchmarks"
PEERS = ROOT / ".limsm" / "peers" / "bin" / "python"
PYTHON = ROOT / ".venv" / "bin" / "python"
LIMSM = ROOT / ".venv" / "bin" / "limsm"


@dataclass(frozen=True)
class Cost:
    """What a child cost: user and system CPU seconds, wall seconds, peak resident memory in MB.

    ``said`` is the JSON object of its last line of output, empty if that is none.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    said: dict[str, Any]


def measure(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end; CPU and memory are those that the kernel counted.

    Raises
    ------
    RuntimeError
        It failed; with its last lines.
    """
    SCRATCH.mkdir(parents=True, exist_ok=True)
    cost, log = SCRATCH / "cost.json", SCRATCH / "child.log"
    launcher = [sys.executable, "-S", HERE / "launch.py", cost, log]
    subprocess.run(
        [str(part) for part in (*launcher, *command)],
        env={**os.environ, **(environment or {})},
        check=True,
    )
    used = json.loads(cost.read_text())
    lines = log.read_text(errors="replace").splitlines()
    if used["exit"] != 0:
        raise RuntimeError(f"{command[0]} failed ({used['exit']}): " + "\n".join(lines[-15:]))
    said = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Cost(used["cpu_s"], used["wall_s"], used["peak_mb"], said)


def machine() -> dict[str, Any]:
    """Describe processor, number of cores and interpreter."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory.group(1)) / 1e6) if memory else None,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def save(name: str, results: Mapping[str, Any], tables: Mapping[str, str]) -> None:
    """Write ``results/NAME.json`` and put the tables into the README, between their marks.

    A table belongs between the lines ``<!-- NAME:KEY -->`` and ``<!-- end -->``.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")
    readme = ROOT / "benchmarks" / "README.md"
    text = readme.read_text()
    for key, table in tables.items():
        mark = f"<!-- {name}:{key} -->"
        if mark not in text:
            raise ValueError(f"{readme.name} has no line {mark}")
        before, after = text.split(mark, 1)
        text = (
            before
            + mark
            + "\n"
            + table.strip()
            + "\n<!-- end -->"
            + after.split("<!-- end -->", 1)[1]
        )
        print(f"\n{table.strip()}")
    readme.write_text(text)
    print(f"\nwritten to {path.relative_to(ROOT)} and {readme.relative_to(ROOT)}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def note(text: str) -> None:
    """Say on standard error what goes on."""
    print(text, file=sys.stderr, flush=True)
