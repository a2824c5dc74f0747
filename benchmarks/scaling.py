"""CPU and memory of the whole analysis against the number of frames and of ions."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict

import inputs
from measuring import LIMSM, SCRATCH, Cost, measure, note, save, table

EDGE, FRAMES = 3, (300, 3_000, 30_000, 300_000, 2_850_000)
"""With 351 ions; the last makes 10⁹ atom-frames, a file of 16 GB."""

EDGES = (2, 4, 8, 16)
FRAMES_OF_EDGES = 2_000

MEMORY_MB = "512"


def analysed(frames: int, edge: int) -> Cost:
    """Make a trajectory, analyse it, remove it."""
    folder = SCRATCH / "scaling"
    folder.mkdir(parents=True, exist_ok=True)
    trajectory = inputs.hopping(frames, edge)
    note(f"{frames} frames of {trajectory.n_ions} ions: making")
    inputs.write_structure(trajectory, folder / "sites.xyz")
    inputs.write_h5md(trajectory, folder / "run.h5")
    note("analysing")
    command = [LIMSM, "analyse", folder / "run.h5", "--structure", folder / "sites.xyz"]
    cost = measure(
        [*command, "--no-figures", "--quiet", "--memory-mb", MEMORY_MB, "-o", folder / "analysis"]
    )
    cost.said["file_gb"] = (folder / "run.h5").stat().st_size / 1e9
    shutil.rmtree(folder)
    return cost


def main() -> None:
    """Go through both series, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--up-to", type=float, default=1.1e9, help="atom-frames at most")
    most = parser.parse_args().up_to
    analysed(FRAMES[0], EDGE)  # numba compiles once per machine
    by_frames = {n: analysed(n, EDGE) for n in FRAMES if 13 * EDGE**3 * n <= most}
    by_edge = {
        edge: analysed(FRAMES_OF_EDGES, edge)
        for edge in EDGES
        if 13 * edge**3 * FRAMES_OF_EDGES <= most
    }
    frames_table = series([(13 * EDGE**3, n, cost) for n, cost in by_frames.items()])
    ions_table = series([(13 * edge**3, FRAMES_OF_EDGES, cost) for edge, cost in by_edge.items()])
    save(
        "scaling",
        {
            "memory_mb": int(MEMORY_MB),
            "by_frames": {str(n): asdict(cost) for n, cost in by_frames.items()},
            "by_ions": {str(13 * edge**3): asdict(cost) for edge, cost in by_edge.items()},
        },
        {"frames": frames_table, "ions": ions_table},
    )


def series(points: list[tuple[int, int, Cost]]) -> str:
    """Return the table of a series; the last column is free of what every run costs."""
    rows, before = [], None
    for ions, frames, cost in points:
        size = float(ions) * frames
        each = (
            "" if before is None else f"{(cost.cpu_s - before[1]) / (size - before[0]) * 1e9:.0f}"
        )
        rows.append(
            [f"{ions:,}", f"{frames:,}", f"{size:.2g}", f"{cost.said['file_gb']:.3g}",
             f"{cost.cpu_s:.2f}", f"{cost.wall_s:.1f}", f"{cost.peak_mb:.0f}", each]
        )  # fmt: skip
        before = (size, cost.cpu_s)
    return table(
        ["ions", "frames", "atom-frames", "file GB", "CPU s", "wall s", "peak MB",
         "CPU ns per atom-frame more than the line above"],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
