"""Record what the real ``limsm`` jobs leave behind, one folder per outcome.

Run it again after a change of the jobs or their results (two or three minutes, one core)::

    python tests/parsers/record_fixtures.py            # all cases
    python tests/parsers/record_fixtures.py md/finished analyse/unresolved

Every case is a folder ``fixtures/<job>/<case>`` with the files that AiiDA would retrieve.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io

from aiida_limsm import resources
from aiida_limsm.atomistic.crystals import li3si, li11si4

HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
FRAMES = ase.io.read(HERE.parent / "data_files" / "li11si4_aimd_16.xyz", index=":")
MODEL = Path(resources.__file__).parent / "demo_foundation" / "demo_foundation.model"
RETRIEVED = (
    "input.json", "results.json", "limsm.log", "stdout.txt", "stderr.txt",
    "trajectory.h5", "potential.model", "potential_multihead.model", "mace_run_train.log",
    "parity.h5", "model.h5", "path.extxyz", "comparison.h5", "mobile.h5", "spread.h5",
)  # fmt: skip

MD = {
    "temperature_k": 700.0, "steps": 40, "frame_interval_steps": 10, "seed": 5,
    "checkpoint_interval_steps": 10,
}  # fmt: skip
TRAIN = {
    "strategy": "scratch", "foundation_file": None, "max_epochs": 2, "batch_size": 4,
    "architecture": {"num_channels": 2, "max_ell": 1, "correlation": 1},
    "e0s_ev": {"Li": -12.0, "Si": -132.5},
}  # fmt: skip
REPLAY = {
    "strategy": "multihead", "replay_train_file": "replay_train.xyz", "max_epochs": 2,
    "replay_valid_file": "replay_valid.xyz", "e0s_ev": TRAIN["e0s_ev"],
}  # fmt: skip
EVALUATE = {"dataset_files": {"valid": "valid.xyz", "test": "test.xyz"}, "e0s_ev": TRAIN["e0s_ev"]}
COMPARE = {
    "trajectory_files": ["aimd.xyz", "md.h5"], "labels": ["aimd", "mlff"],
    "frame_intervals_fs": [2.4188843, None], "bin_width_angstrom": 0.1,
}  # fmt: skip
SPREAD = {
    "potential_files": ["potential.model", "committee_1.model"],
    "trajectory_file": "frames.xyz", "frame_stride": 6,
}  # fmt: skip
ANALYSE = {"trajectory_files": ["md.h5"], "lag_ps": 0.2, "bootstrap_samples": 20}
LONG_MD = {
    "temperature_k": 900.0, "steps": 1500, "frame_interval_steps": 10, "seed": 5,
    "max_temperature_factor": 5.0,
}  # fmt: skip


def prepare_md(folder: Path) -> None:
    shutil.copyfile(MODEL, folder / "potential.model")
    ase.io.write(folder / "structure.extxyz", li11si4())


def prepare_train(folder: Path) -> None:
    ase.io.write(folder / "train.xyz", FRAMES[:8])
    ase.io.write(folder / "valid.xyz", FRAMES[12:14])


def prepare_replay(folder: Path) -> None:
    prepare_train(folder)
    shutil.copyfile(MODEL, folder / "foundation.model")
    frames = ase.io.read(HERE.parent / "data_files" / "li_si_replay.xyz", index=":")
    ase.io.write(folder / "replay_train.xyz", frames[:6])
    ase.io.write(folder / "replay_valid.xyz", frames[6:8])


def prepare_evaluate(folder: Path) -> None:
    shutil.copyfile(MODEL, folder / "potential.model")
    ase.io.write(folder / "valid.xyz", FRAMES[12:14])
    ase.io.write(folder / "test.xyz", FRAMES[14:])


def prepare_committee(folder: Path) -> None:
    """Two members more, whose weights differ by a little noise."""
    import torch

    from aiida_limsm.atomistic.potential import load_model

    prepare_evaluate(folder)
    for seed in (1, 2):
        model = load_model(MODEL)
        torch.manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.02 * weight.std(unbiased=False) * torch.randn_like(weight)
        torch.save(model, folder / f"committee_{seed}.model")


def prepare_spread(folder: Path) -> None:
    prepare_committee(folder)
    ase.io.write(folder / "frames.xyz", FRAMES)


def prepare_analyse(folder: Path, supercell: tuple[int, int, int], md: dict[str, Any]) -> None:
    """Make the trajectory that is to be analysed."""
    shutil.copyfile(MODEL, folder / "potential.model")
    ase.io.write(folder / "structure.extxyz", li11si4().repeat(supercell))
    limsm(folder, "md", md)
    ase.io.write(folder / "structure.extxyz", li3si())
    (folder / "trajectory.h5").rename(folder / "md.h5")


def prepare_compare(folder: Path) -> None:
    """Lay the trajectory of the example beside real AIMD frames."""
    shutil.copyfile(HERE.parents[1] / "examples/li3si/md.h5", folder / "md.h5")
    ase.io.write(folder / "aimd.xyz", FRAMES)


def prepare_neb(folder: Path) -> None:
    """Write an ion and the vacancy beside it: 8c and 4b of the demo crystal."""
    shutil.copyfile(MODEL, folder / "potential.model")
    crystal = li3si()
    start, end = crystal[1:], crystal[1:]
    end.positions[3] = crystal.positions[0]
    ase.io.write(folder / "images.extxyz", [start, end])


def prepare_one_minimum(folder: Path) -> None:
    prepare_neb(folder)
    start = ase.io.read(folder / "images.extxyz", index=0)
    end = start.copy()
    end.positions[3] += 0.3
    ase.io.write(folder / "images.extxyz", [start, end])


def prepare_hopping(folder: Path) -> None:
    prepare_analyse(folder, (2, 2, 1), LONG_MD)


def prepare_resting(folder: Path) -> None:
    prepare_analyse(folder, (1, 1, 1), {**MD, "temperature_k": 50.0, "steps": 200})


NEB = {"n_images": 3, "optimiser": "bfgs", "fmax_ev_per_angstrom": 0.05}

Case = tuple[Callable[[Path], None], dict[str, Any]]
CASES: dict[str, Case] = {
    "md/finished": (prepare_md, MD),
    "md/out_of_walltime": (prepare_md, {**MD, "max_seconds": 0.001}),
    "md/forces_exploded": (prepare_md, {**MD, "max_force_ev_per_angstrom": 0.8}),
    "md/several_runs": (prepare_md, {**MD, "replicas": 2, "mobile_interval_steps": 5}),
    "md/atoms_too_close": (prepare_md, {**MD, "min_distance_fraction": 0.9}),
    "md/framework_unstable": (prepare_md, {**MD, "max_framework_msd_angstrom2": 0.01}),
    "md/invalid_input": (prepare_md, {**MD, "steps": 45}),
    "md/killed": (prepare_md, {**MD, "steps": 100000}),
    "md/broken_installation": (prepare_md, MD),
    "train/finished": (prepare_train, TRAIN),
    "train/replay": (prepare_replay, REPLAY),
    "train/loss_not_finite": (prepare_train, {**TRAIN, "learning_rate": 1e6}),
    "train/out_of_walltime": (prepare_train, {**TRAIN, "max_seconds": 0.001}),
    "train/invalid_input": (prepare_train, {**TRAIN, "batch_size": 16}),
    "evaluate/finished": (prepare_evaluate, EVALUATE),
    "evaluate/committee": (
        prepare_committee,
        {**EVALUATE, "committee_files": ["committee_1.model", "committee_2.model"]},
    ),
    "evaluate/invalid_input": (prepare_evaluate, {**EVALUATE, "head": "dft"}),
    "spread/finished": (prepare_spread, SPREAD),
    "spread/trajectory_unusable": (prepare_spread, {**SPREAD, "skip_frames": 99}),
    "compare/finished": (prepare_compare, COMPARE),
    "compare/trajectory_unusable": (prepare_compare, {**COMPARE, "vdos": "required"}),
    "neb/finished": (prepare_neb, NEB),
    "neb/out_of_walltime": (prepare_neb, {**NEB, "relax_ends": False, "max_seconds": 0.001}),
    "neb/not_converged": (prepare_neb, {**NEB, "max_steps": 4, "fmax_ev_per_angstrom": 0.001}),
    "neb/end_points_collapsed": (prepare_one_minimum, NEB),
    "neb/atoms_too_close": (prepare_neb, {**NEB, "min_distance_angstrom": 2.6}),
    "neb/invalid_input": (prepare_neb, {**NEB, "head": "dft"}),
    "analyse/finished": (prepare_hopping, {**ANALYSE, "skip_ps": 0.5}),
    "analyse/unresolved": (prepare_resting, {**ANALYSE, "lag_ps": 0.04}),
    "analyse/trajectory_unusable": (prepare_resting, {**ANALYSE, "skip_ps": 5.0}),
}


def limsm(folder: Path, job: str, values: dict[str, Any], broken: bool = False) -> None:
    """Run a job as a scheduler would: in its folder, with its streams in files."""
    (folder / "input.json").write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if broken:
        shadow = folder / "shadow"
        shadow.mkdir()
        (shadow / "pydantic.py").write_text("raise ImportError('libstdc++.so.6: not found')\n")
        environment["PYTHONPATH"] = str(shadow)
    command = [sys.executable, "-m", "aiida_limsm.compute.cli", job, "input.json"]
    with (folder / "stdout.txt").open("w") as out, (folder / "stderr.txt").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
        if values.get("steps", 0) >= 100000:
            while not (folder / "checkpoint.npz").exists():
                try:
                    process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                raise RuntimeError("ended before it was killed")
            process.kill()
        process.wait()


def hide_places(path: Path, more: dict[str, str]) -> None:
    """Replace the folders of this machine in a recorded text."""
    text = path.read_text(encoding="utf-8")
    places = {
        sysconfig.get_path("purelib"): "<site-packages>",
        sysconfig.get_path("stdlib"): "<python>",
        str(HERE.parents[1]): "<checkout>",
        **more,
    }
    for place, name in places.items():
        text = text.replace(place, name)
    path.write_text(text, encoding="utf-8")


def record(name: str) -> None:
    job, case = name.split("/")
    prepare, values = CASES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder)
        for left in RETRIEVED:
            if left != "potential.model":
                (folder / left).unlink(missing_ok=True)
        limsm(folder, job, values, broken=case == "broken_installation")
        target = FIXTURES / job / case
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for file in RETRIEVED:
            if (folder / file).exists() and (file != "potential.model" or job == "train"):
                shutil.copyfile(folder / file, target / file)
                if (target / file).suffix in {".json", ".log", ".txt"}:
                    hide_places(target / file, {str(folder): "<folder>"})
        for path in folder.glob("runs/*/*.h5"):
            nested = target / path.relative_to(folder)
            nested.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, nested)
    size = sum(file.stat().st_size for file in target.iterdir())
    path = target / "results.json"
    status = json.loads(path.read_text())["status"] if path.exists() else "no results"
    print(f"{name}: {status}, {size / 1024:.0f} kB", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        record(name)
