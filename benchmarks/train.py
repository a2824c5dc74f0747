"""Training: strategies side by side, what limsm adds to mace_run_train, parsing a long history."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import ase.io
from measuring import LIMSM, ROOT, SCRATCH, Cost, measure, note, save, table

from aiida_limsm.atomistic.evaluation import evaluate_frames, rms
from aiida_limsm.atomistic.potential import load_calculator
from aiida_limsm.compute.base import Status
from aiida_limsm.compute.mace_progress import TrainingProgress
from aiida_limsm.compute.train_results import EpochRecord, TrainResults

FOUNDATION = ROOT / "aiida_limsm" / "resources" / "demo_foundation" / "demo_foundation.model"
DATA = ROOT / "tests" / "data_files"
WORK = SCRATCH / "train"
COMMON: dict[str, Any] = {
    "e0s_ev": {"Li": -12.0, "Si": -132.5},
    "test_file": "test.xyz",
    "learning_rate": 5e-3,
    "seed": 1,
}
REPLAY = {"replay_train_file": "replay_train.xyz", "replay_valid_file": "replay_valid.xyz"}
STRATEGIES: dict[str, dict[str, Any]] = {
    "naive": {},
    "frozen": {"strategy": "frozen"},
    "lora": {"strategy": "lora"},
    "multihead": {"strategy": "multihead", **REPLAY},
    "scratch": {"strategy": "scratch", "foundation_file": None, "architecture": {}},
}
EPOCHS, LONG_EPOCHS, HISTORY = 30, 2400, 10_000


def main() -> None:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["strategies", "overhead", "parsing"], nargs="+")
    only = parser.parse_args().only or ["strategies", "overhead", "parsing"]
    made = {}
    found: dict[str, Any] = {}
    if "strategies" in only:
        found["strategies"], made["strategies"] = strategies()
    if "overhead" in only:
        found["overhead"], made["overhead"] = overhead()
    if "parsing" in only:
        found["parsing"], made["parsing"] = parsing()
    shutil.rmtree(WORK, ignore_errors=True)
    path = ROOT / "benchmarks" / "results" / "train.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    before.pop("machine", None)
    save("train", {**before, **found}, made)


def folder(name: str, job: dict[str, Any]) -> Path:
    """Make a folder ready for ``limsm train``: ten DFT frames to train on, replay frames."""
    where = WORK / name
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    frames = ase.io.read(DATA / "li11si4_aimd_16.xyz", index=":")
    splits = {"train": frames[:10], "valid": frames[10:12], "test": frames[12:]}
    replay = ase.io.read(DATA / "li_si_replay.xyz", index=":")
    for split in ("train", "valid"):
        splits[f"replay_{split}"] = [a for a in replay if a.info["split"] == split]
    for split, chosen in splits.items():
        ase.io.write(where / f"{split}.xyz", chosen)
    shutil.copyfile(FOUNDATION, where / "foundation.model")
    (where / "input.json").write_text(json.dumps({**COMMON, **job}))
    return where


def limsm_train(where: Path) -> tuple[Cost, TrainResults]:
    """Run ``limsm train`` in a folder."""
    note(f"limsm train in {where.name}")
    cost = measure([LIMSM, "train", where / "input.json"])
    return cost, TrainResults.model_validate_json((where / "results.json").read_text())


def strategies() -> tuple[dict[str, Any], str]:
    """Train the same frames in every way; errors on held-out frames and on the replay set."""
    rows, found = [], {}
    before = errors_on(folder("foundation", {}) / "foundation.model", COMMON["e0s_ev"])
    rows.append(["foundation", *(f"{value:.0f}" for value in before), "", ""])
    for name, values in STRATEGIES.items():
        where = folder(name, {**values, "max_epochs": EPOCHS})
        cost, results = limsm_train(where)
        after = list(errors_on(where / "potential.model"))
        if name == "multihead":
            replay = results.errors["pt_head"]["valid"]
            after[1] = replay.rmse_forces_mev_per_angstrom
        energy = results.errors["Default"]["test"].rmse_energy_mev_per_atom
        rows.append([name, *(f"{v:.0f}" for v in after), f"{energy:.1f}", f"{cost.cpu_s:.0f}"])
        found[name] = {"forces": after, "energy": energy, "cpu_s": cost.cpu_s}
    head = ["strategy", "forces, held out", "forces, replay", "energy, held out", "CPU s"]
    return {"foundation": before, **found}, table(head, rows)


def errors_on(model: Path, e0s_ev: Any = None) -> tuple[float, float]:
    """Return force RMSE in meV/Å on held-out frames and on held-out replay frames."""
    calculator = load_calculator(model, dtype="float64", e0s_ev=e0s_ev)
    values = []
    for name in ("test", "replay_valid"):
        points = evaluate_frames(ase.io.read(model.parent / f"{name}.xyz", ":"), calculator)
        values.append(1e3 * rms(points.forces[:, 1] - points.forces[:, 0]))
    return values[0], values[1]


def overhead() -> tuple[dict[str, Any], str]:
    """Train, then run the same command in the finished folder: all but the training, again."""
    where = folder("overhead", {"max_epochs": LONG_EPOCHS})
    whole, _ = limsm_train(where)
    ours, results = limsm_train(where)
    assert results.message.startswith("already trained")
    mace = whole.cpu_s - ours.cpu_s
    added = 100 * ours.cpu_s / mace
    rows = [
        ["`limsm train`", f"{whole.cpu_s:.1f}"],
        ["of it checks, energy zero, errors per split, figure, imports", f"{ours.cpu_s:.1f}"],
        ["of it `mace_run_train`", f"{mace:.1f}"],
        ["added to `mace_run_train`", f"{added:.1f} %"],
    ]
    return (
        {"whole_cpu_s": whole.cpu_s, "ours_cpu_s": ours.cpu_s, "added_percent": added},
        table([f"{LONG_EPOCHS} epochs of 10 frames", "CPU s"], rows),
    )


def parsing() -> tuple[dict[str, Any], str]:
    """Read the JSON lines of a long training, and its results back as the parser does."""
    where = WORK / "long"
    (where / "results").mkdir(parents=True, exist_ok=True)
    record = {
        "loss": 0.123456, "mae_e": 0.1, "mae_e_per_atom": 0.01, "rmse_e": 0.1,
        "rmse_e_per_atom": 0.012345, "q95_e": 0.2, "mae_f": 0.03, "rel_mae_f": 4.0,
        "rmse_f": 0.0512345, "rel_rmse_f": 5.0, "q95_f": 0.1, "time": 0.5, "head": "Default",
    }  # fmt: skip
    with (where / "results" / "mace_run-1_train.txt").open("w") as file:
        for epoch in range(HISTORY):
            for _ in range(3):
                batch = {"loss": 0.1, "time": 0.1, "mode": "opt", "epoch": epoch}
                file.write(json.dumps(batch) + "\n")
            file.write(json.dumps({**record, "mode": "eval", "epoch": epoch}) + "\n")
    began = time.process_time()
    progress = TrainingProgress(where)
    progress.update()
    history: tuple[EpochRecord, ...] = progress.history
    lines_s = time.process_time() - began
    assert len(history) == HISTORY
    text = TrainResults(status=Status.FINISHED, history=history).model_dump_json()
    began = time.process_time()
    TrainResults.model_validate_json(text).model_dump(mode="json")
    parser_s = time.process_time() - began
    rows = [
        ["MACE's JSON lines, 3 batches an epoch", f"{lines_s:.2f}"],
        ["results.json, as the AiiDA parser reads it", f"{parser_s:.2f}"],
    ]
    return (
        {"lines_s": lines_s, "parser_s": parser_s},
        table([f"{HISTORY} epochs", "CPU s"], rows),
    )


if __name__ == "__main__":
    main()
