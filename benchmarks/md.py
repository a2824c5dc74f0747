"""MD with a MACE potential: `limsm md` beside plain ASE, in turns."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
from typing import Any

from measuring import HERE, PYTHON, SCRATCH, measure, note, save, table

#: cells of Li13Si4 (34 atoms), and steps of a block
SIZES = {"1x1x1": 34, "2x2x2": 272, "3x2x5": 1020}
BLOCK_SECONDS = 2.0
REPEATS = 5
FRAMES = 100_000
FRAME_INTERVAL = 10


class Team:
    """Processes side by side that run blocks of steps when told to."""

    def __init__(self, kind: str, cells: str, replicas: int, members: int, threads: int) -> None:
        environment = {
            **os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0",
        }  # fmt: skip
        self._members = []
        for member in range(members):
            folder = SCRATCH / "md" / f"{kind}-{cells}-{member}"
            shutil.rmtree(folder, ignore_errors=True)
            script = HERE / "ours" / "md_blocks.py"
            command = [PYTHON, script, kind, cells, replicas, 1, threads, folder]
            self._members.append(
                subprocess.Popen(
                    [str(part) for part in command],
                    env=environment,
                    text=True,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            )

    def run(self, steps: int) -> dict[str, Any]:
        """Have all run a block; return what the slowest took."""
        for process in self._members:
            assert process.stdin is not None
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        said = [
            json.loads(process.stdout.readline()) for process in self._members if process.stdout
        ]
        return max(said, key=lambda one: one["seconds"])

    def close(self) -> None:
        """End them."""
        for process in self._members:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def compare(cells: str, replicas: int, repeats: int) -> dict[str, Any]:
    """Let both take turns; return atom-steps per second and the ratio of neighbouring blocks."""
    atoms = SIZES[cells]
    # Both have two cores: two threads for one run, two processes for several. Plain ASE computes
    # runs one after the other: one in each process tells its speed.
    members = 1 if replicas == 1 else 2
    ours = Team("limsm", cells, replicas // members, members, 2 // members)
    plain = Team("ase", cells, 1, members, 2 // members)
    first = plain.run(10)["seconds"] / 10
    steps = max(10, 10 * round(BLOCK_SECONDS / first / 10))
    ours.run(10)
    pairs = []
    for turn in range(repeats):
        note(f"{atoms} atoms, {replicas} replica(s), turn {turn + 1}/{repeats}: {steps} steps")
        pairs.append((plain.run(steps), ours.run(steps)))
    plain.close()
    ours.close()
    speeds = [
        (atoms * members * steps / one["seconds"], atoms * replicas * steps / two["seconds"])
        for one, two in pairs
    ]
    return {
        "atoms": atoms,
        "replicas": replicas,
        "batch": pairs[0][1]["batch"],
        "ase_atom_steps_per_s": statistics.median(one for one, _ in speeds),
        "limsm_atom_steps_per_s": statistics.median(two for _, two in speeds),
        "ratios": [two / one for one, two in speeds],
        "force_share": statistics.median(two["force_share"] for _, two in pairs),
    }


def main() -> None:
    """Speed for three sizes and two numbers of replicas, cost of writing, memory; save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of 1000 atoms to write")
    asked = parser.parse_args()
    folder = SCRATCH / "md" / "writing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    note(f"writing {asked.frames} frames of 1000 atoms")
    cost = measure([PYTHON, HERE / "ours" / "md_writing.py", asked.frames, 1000, folder])
    speeds = [compare(cells, replicas, asked.repeats) for cells in SIZES for replicas in (1, 8)]
    shutil.rmtree(SCRATCH / "md")
    written = {**cost.said, "peak_mb": cost.peak_mb}
    one = next(row for row in speeds if row["atoms"] == 1020 and row["replicas"] == 1)
    frame_ms = 1e3 * FRAME_INTERVAL * 1020 / one["limsm_atom_steps_per_s"]
    writing = written["ms_per_frame_writing"] + written["ms_per_frame_joining"]
    written["share_of_run"] = writing / frame_ms
    save("md", {"speed": speeds, "writing": written}, {
        "speed": speed_table(speeds), "writing": writing_table(written),
    })  # fmt: skip


def speed_table(speeds: list[dict[str, Any]]) -> str:
    """Return one row per size and number of replicas."""
    return table(
        ["atoms", "replicas", "runs per graph", "ASE, atom-steps/s", "limsm, atom-steps/s",
         "ratio, median", "least", "largest", "force evaluation"],
        [
            [
                str(row["atoms"]), str(row["replicas"]), str(row["batch"]),
                f"{row['ase_atom_steps_per_s']:.0f}", f"{row['limsm_atom_steps_per_s']:.0f}",
                f"{statistics.median(row['ratios']):.1f}", f"{min(row['ratios']):.1f}",
                f"{max(row['ratios']):.1f}", f"{100 * row['force_share']:.0f} %",
            ]
            for row in speeds
        ],
    )  # fmt: skip


def writing_table(written: dict[str, Any]) -> str:
    """Return what a frame costs and what memory the stream takes."""
    resident = written["resident_mb"]
    tenth = written["frames"] // 10
    return table(
        ["frames × atoms", "writing, CPU ms/frame", "joining, CPU ms/frame", "share of the run",
         "resident MB after 10 %", "50 %", "100 %", "joined", "peak"],
        [[
            f"{written['frames']} × {written['atoms']}",
            f"{written['ms_per_frame_writing']:.3f}", f"{written['ms_per_frame_joining']:.3f}",
            f"{100 * written['share_of_run']:.3f} %",
            *(f"{resident[str(part * tenth)]:.0f}" for part in (1, 5, 10)),
            f"{resident['joined']:.0f}", f"{written['peak_mb']:.0f}",
        ]],
    )  # fmt: skip


if __name__ == "__main__":
    main()
