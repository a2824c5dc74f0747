"""Speed and memory beside GEMDAT, site-analysis, kinisi and MDAnalysis, on one trajectory."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import inputs
from measuring import HERE, LIMSM, PEERS, PYTHON, SCRATCH, Cost, measure, note, save, table

MSD_FRAMES = 50_000
"""kinisi is given the first so many frames only: it holds all displacements in memory."""

ROTATED_FRAMES = 10_000
INTERVAL_FS = str(1000 * inputs.INTERVAL_PS)
ANALYSE = ("--no-figures", "--quiet")


def make_inputs(folder: Path, frames: int) -> dict[str, int]:
    """Write the trajectories; return the true numbers of jumps."""
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for name, length, rotated in (("main", frames, False), ("rotated", ROTATED_FRAMES, True)):
        note(f"making {length} frames ({name})")
        trajectory = inputs.hopping(length, rotated=rotated)
        inputs.write_h5md(trajectory, folder / f"{name}.h5")
        inputs.write_structure(trajectory, folder / f"{name}.xyz")
        inputs.write_arrays(trajectory, folder / name)
        truth[name] = trajectory.count_jumps()
    return truth


def ours(script: str, *arguments: str | Path) -> Cost:
    """Run one of our scripts."""
    note(f"limsm: {script}")
    return measure([PYTHON, HERE / "ours" / f"{script}.py", *arguments], {"PYTHONPATH": str(HERE)})


def peer(script: str, *arguments: str | Path) -> Cost:
    """Run a peer's script."""
    note(f"peer: {script}")
    return measure([PEERS, HERE / "peers" / f"{script}.py", *arguments])


def analyse(trajectory: Path, structure: Path, output: Path) -> Cost:
    """Run the command, without figures."""
    note(f"limsm analyse {trajectory.name}")
    return measure([LIMSM, "analyse", trajectory, "--structure", structure, *ANALYSE, "-o", output])


def row(name: str, cost: Cost, *more: str) -> list[str]:
    """Return cells of a table: name, CPU, memory, and more."""
    return [name, f"{cost.cpu_s:.2f}", f"{cost.peak_mb:.0f}", *more]


def main() -> None:
    """Make the data, run everything one after the other, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    frames = parser.parse_args().frames
    folder = SCRATCH / "speed"
    truth = make_inputs(folder, frames)
    main_file, turned = folder / "main.h5", folder / "rotated.h5"
    analyse(main_file, folder / "main.xyz", folder / "warm-up")  # numba compiles once per machine
    for rule in ("core", "nearest"):
        ours("jumps", main_file, folder / "main.json", rule)
    costs: dict[str, Cost] = {
        "assignment": ours("assignment", str(frames)),
        "jumps core": ours("jumps", main_file, folder / "main.json", "core"),
        "jumps nearest": ours("jumps", main_file, folder / "main.json", "nearest"),
        "analyse": analyse(main_file, folder / "main.xyz", folder / "analysis"),
        "rotated jumps core": ours("jumps", turned, folder / "rotated.json", "core"),
        "rotated jumps nearest": ours("jumps", turned, folder / "rotated.json", "nearest"),
        "rotated site-analysis": peer("site_analysis_jumps", folder / "rotated"),
        "rotated GEMDAT": peer("gemdat_jumps", folder / "rotated"),
        "MDAnalysis": peer("mdanalysis_msd", main_file, "104", str(frames), INTERVAL_FS),
        "kinisi": peer("kinisi_msd", main_file, "104", str(min(frames, MSD_FRAMES)), INTERVAL_FS),
        "site-analysis": peer("site_analysis_jumps", folder / "main"),
        "GEMDAT": peer("gemdat_jumps", folder / "main"),
    }
    save(
        "speed",
        {"frames": frames, "ions": 104, "true_jumps": truth}
        | {name: asdict(cost) for name, cost in costs.items()},
        tables(costs, truth, frames),
    )
    shutil.rmtree(folder)


def tables(costs: dict[str, Cost], truth: dict[str, int], frames: int) -> dict[str, str]:
    """Return the tables of the README."""
    rates = costs["assignment"].said
    true = truth["main"]

    def jumps(name: str, label: str) -> list[str]:
        cost, found = costs[name], costs[name].said["jumps"]
        return row(
            label, cost, f"{cost.said['work_s']:.2f}", f"{found} ({found / true - 1:+.1%})",
            f"{cost.cpu_s / costs['jumps core'].cpu_s:.0f}×",
            f"{cost.said['work_s'] / costs['jumps core'].said['work_s']:.0f}×",
        )  # fmt: skip

    whole = costs["analyse"]
    turned = truth["rotated"]

    def turned_jumps(name: str, label: str) -> list[str]:
        found = costs[f"rotated {name}"].said["jumps"]
        return [label, f"{found} ({found / turned - 1:+.1%})"]

    return {
        "assignment": table(
            ["rule", "atom-frames/s, one core", "jumps", "true jumps"],
            [
                [
                    rule,
                    f"{rates[f'{rule}_atom_frames_per_s']:.2g}",
                    str(rates[f"{rule}_jumps"]),
                    str(rates["true_jumps"]),
                ]
                for rule in ("core", "nearest")
            ],
        ),
        "jumps": table(
            [
                "",
                "CPU s",
                "peak MB",
                "CPU s without imports",
                f"jumps (true: {true})",
                "CPU / core rule",
                "the same without imports",
            ],
            [
                jumps("jumps core", "limsm, core rule (default)"),
                jumps("jumps nearest", "limsm, nearest site"),
                jumps("site-analysis", "site-analysis 1.8.0, Voronoi sites"),
                jumps("GEMDAT", "GEMDAT 1.8.1"),
            ],
        ),
        "whole": table(
            ["", "CPU s", "peak MB", "CPU / limsm analyse"],
            [
                row("`limsm analyse --no-figures`, everything", whole, "1×"),
                *(
                    row(
                        f"{name}, assignment and jumps only",
                        costs[name],
                        f"{costs[name].cpu_s / whole.cpu_s:.0f}×",
                    )
                    for name in ("site-analysis", "GEMDAT")
                ),
            ],
        ),
        "rotated": table(
            ["", f"jumps (true: {turned})"],
            [
                turned_jumps("jumps core", "limsm, core rule"),
                turned_jumps("jumps nearest", "limsm, nearest site"),
                turned_jumps("site-analysis", "site-analysis"),
                turned_jumps("GEMDAT", "GEMDAT"),
            ],
        ),
        "msd": table(
            ["", "frames", "CPU s", "peak MB", "D in cm²/s"],
            [
                msd_row("MDAnalysis 2.11.0, FFT, no error bar", costs["MDAnalysis"]),
                msd_row("kinisi 2.1.0, 100 lags", costs["kinisi"]),
            ],
        ),
    }


def msd_row(name: str, cost: Cost) -> list[str]:
    """Return the row of an MSD."""
    said: dict[str, Any] = cost.said
    return [name, str(said["frames"]), *row("", cost)[1:], f"{said['d_cm2_s']:.3g}"]


if __name__ == "__main__":
    main()
