"""MD with a MACE potential: `limsm md` beside plain ASE, in turns."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
from typing import Any

import ase.io
from measuring import HERE, PYTHON, ROOT, SCRATCH, measure, note, save, table

from aiida_limsm.atomistic.crystals import lithium_silicide

#: cells of Li13Si4 (34 atoms), and steps of a block
SIZES = {"1x1x1": 34, "2x2x2": 272, "3x2x5": 1020}
BLOCK_SECONDS = 2.0
REPEATS = 5
FRAMES = 100_000
FRAME_INTERVAL = 10


#: Of a single run: two threads on a small cell cost more than they give.
ATOMS_FOR_TWO_THREADS = 500
#: What is compared with the first.
KINDS = ("ase", "limsm", "compiled")
MODEL = ROOT / "aiida_limsm" / "resources" / "demo_foundation" / "demo_foundation.model"


class Team:
    """Processes side by side that run blocks of steps when told to."""

    def __init__(
        self, kind: str, cells: str, replicas: int, members: int, threads: int, peer: str | None
    ) -> None:
        environment = {
            **os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
            "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0",
            "TORCHINDUCTOR_CACHE_DIR": str(SCRATCH / "md" / "inductor"),
        }  # fmt: skip
        self._members = []
        for member in range(members):
            folder = SCRATCH / "md" / f"{kind}-{cells}-{threads}-{member}"
            shutil.rmtree(folder, ignore_errors=True)
            command: list[object] = [PYTHON, HERE / "ours" / "md_blocks.py", kind, cells]
            command += [replicas, threads, folder]
            if kind == "torchsim":
                command = [peer, HERE / "peers" / "torchsim_md.py", SCRATCH / "md" / f"{cells}.xyz"]
                command += [MODEL, replicas, threads]
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


def compare(cells: str, replicas: int, repeats: int, python: str | None) -> dict[str, Any]:
    """Let all take turns; return atom-steps per second and the ratios of neighbouring blocks."""
    atoms = SIZES[cells]
    kinds = KINDS if python is None else (*KINDS, "torchsim")
    crystal = lithium_silicide("Li13Si4").repeat(tuple(int(n) for n in cells.split("x")))
    ase.io.write(SCRATCH / "md" / f"{cells}.xyz", crystal, format="extxyz")
    # All have two cores: one or two threads for a single run, whatever is faster for each kind,
    # two processes for several. Plain ASE computes runs one after the other: one in each process
    # tells its speed.
    members = 1 if replicas == 1 else 2
    two = members == 1 and atoms >= ATOMS_FOR_TWO_THREADS
    threads = dict.fromkeys(kinds, 2 if two else 1)
    if members == 1:
        threads |= {"ase": fastest_threads(cells), "compiled": 1}
    runs = dict.fromkeys(kinds, replicas // members) | {"ase": 1}
    teams = {kind: Team(kind, cells, runs[kind], members, threads[kind], python) for kind in kinds}
    steps = block_of(teams["ase"])
    for kind in kinds[1:]:
        teams[kind].run(10)
    turns = []
    for turn in range(repeats):
        note(f"{atoms} atoms, {replicas} replica(s), turn {turn + 1}/{repeats}: {steps} steps")
        turns.append({kind: team.run(steps) for kind, team in teams.items()})
    for team in teams.values():
        team.close()
    speeds = {
        kind: [atoms * members * runs[kind] * steps / one[kind]["seconds"] for one in turns]
        for kind in kinds
    }
    ratios = {
        kind: [ours / plain for ours, plain in zip(speeds[kind], speeds["ase"], strict=True)]
        for kind in kinds[1:]
    }
    return {
        "atoms": atoms,
        "replicas": replicas,
        "batch": turns[0]["limsm"]["batch"],
        "threads": threads,
        "atom_steps_per_s": {kind: statistics.median(values) for kind, values in speeds.items()},
        "ratios": ratios,
        "force_share": {
            kind: statistics.median(one[kind]["force_share"] for one in turns)
            for kind in ("limsm", "compiled")
        },
    }


def fastest_threads(cells: str) -> int:
    """Return whether plain ASE is faster with one thread or with two."""
    seconds = {}
    for threads in (1, 2):
        team = Team("ase", cells, 1, 1, threads, None)
        steps = block_of(team)
        seconds[threads] = team.run(steps)["seconds"] / steps
        team.close()
    return min(seconds, key=lambda threads: seconds[threads])


def block_of(team: Team) -> int:
    """Return how many steps take about BLOCK_SECONDS."""
    team.run(10)
    first = team.run(10)["seconds"] / 10
    return max(10, 10 * round(BLOCK_SECONDS / first / 10))


def main() -> None:
    """Speed for three sizes and two numbers of replicas, cost of writing, memory; save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of 1000 atoms to write")
    parser.add_argument(
        "--torchsim", metavar="PYTHON", help="a Python that has torch-sim-atomistic and mace-torch"
    )
    asked = parser.parse_args()
    folder = SCRATCH / "md" / "writing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    note(f"writing {asked.frames} frames of 1000 atoms")
    cost = measure([PYTHON, HERE / "ours" / "md_writing.py", asked.frames, 1000, folder])
    speeds = [
        compare(cells, replicas, asked.repeats, asked.torchsim)
        for cells in SIZES
        for replicas in (1, 8)
    ]
    shutil.rmtree(SCRATCH / "md")
    written = {**cost.said, "peak_mb": cost.peak_mb}
    one = next(row for row in speeds if row["atoms"] == 1020 and row["replicas"] == 1)
    frame_ms = 1e3 * FRAME_INTERVAL * 1020 / max(one["atom_steps_per_s"].values())
    writing = written["ms_per_frame_writing"] + written["ms_per_frame_joining"]
    written["share_of_run"] = writing / frame_ms
    save("md", {"speed": speeds, "writing": written}, {
        "speed": speed_table(speeds), "writing": writing_table(written),
    })  # fmt: skip


def speed_table(speeds: list[dict[str, Any]]) -> str:
    """Return one row per size and number of replicas; ratios are to plain ASE."""
    torchsim = "torchsim" in speeds[0]["ratios"]
    return table(
        ["atoms", "replicas", "runs per graph", "threads: ASE, limsm, compiled",
         "ASE, atom-steps/s", "limsm", "ratio", "compiled", "ratio",
         "force evaluation: limsm, compiled"]
        + ["TorchSim, ratio"] * torchsim,
        [
            [
                str(row["atoms"]), str(row["replicas"]), str(row["batch"]),
                ", ".join(str(row["threads"][kind]) for kind in KINDS),
                f"{row['atom_steps_per_s']['ase']:.0f}",
                f"{row['atom_steps_per_s']['limsm']:.0f}", spread(row["ratios"]["limsm"]),
                f"{row['atom_steps_per_s']['compiled']:.0f}", spread(row["ratios"]["compiled"]),
                ", ".join(f"{100 * share:.0f} %" for share in row["force_share"].values()),
                *([spread(row["ratios"]["torchsim"])] if torchsim else []),
            ]
            for row in speeds
        ],
    )  # fmt: skip


def spread(ratios: list[float]) -> str:
    """Return the median, and least and largest in brackets."""
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f})"


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
