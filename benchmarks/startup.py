"""Seconds from pressing return to the answer, for a small trajectory."""

from __future__ import annotations

import shutil
import statistics
from dataclasses import asdict
from pathlib import Path

import inputs
from measuring import LIMSM, SCRATCH, Cost, measure, note, save, table

FRAMES = 2_000
REPEATS = 5


def main() -> None:
    """Time help, the first run on a machine, and later runs with and without figures."""
    folder = SCRATCH / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    trajectory = inputs.hopping(FRAMES)
    inputs.write_h5md(trajectory, folder / "small.h5")
    inputs.write_structure(trajectory, folder / "sites.xyz")
    analyse = [LIMSM, "analyse", folder / "small.h5", "--structure", folder / "sites.xyz"]
    analyse += ["-o", folder / "analysis"]
    empty = folder / "empty-cache"
    empty.mkdir(exist_ok=True)
    first = [measured([*analyse, "--no-figures"], empty)]
    runs = {
        "`limsm --help`": repeated([LIMSM, "--help"]),
        "`limsm analyse --no-figures`, first run (compiles)": first,
        "`limsm analyse --no-figures`": repeated([*analyse, "--no-figures"]),
        "`limsm analyse`, 7 figures": repeated(analyse),
    }
    rows = [
        [
            name,
            f"{statistics.median(cost.wall_s for cost in costs):.2f}",
            f"{max(cost.wall_s for cost in costs):.2f}",
            f"{statistics.median(cost.cpu_s for cost in costs):.2f}",
            f"{max(cost.peak_mb for cost in costs):.0f}",
        ]
        for name, costs in runs.items()
    ]
    save(
        "startup",
        {name: [asdict(cost) for cost in costs] for name, costs in runs.items()},
        {"wall": table(["", "wall s, median", "largest", "CPU s", "peak MB"], rows)},
    )
    shutil.rmtree(folder)


def measured(command: list[str | Path], cache: Path | None = None) -> Cost:
    """Run once; ``cache`` is where numba keeps what it compiled."""
    note(" ".join(str(part) for part in command[1:3]))
    return measure(command, {} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})


def repeated(command: list[str | Path]) -> list[Cost]:
    """Run once unmeasured, then several times."""
    measured(command)
    return [measured(command) for _ in range(REPEATS)]


if __name__ == "__main__":
    main()
