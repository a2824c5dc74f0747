"""Make the demo foundation model: a small MACE distilled from CHGNet over Li-Si phases.

Two steps, each in its own environment, because CHGNet and MACE need not live together::

    python scripts/make_demo_foundation.py label frames.xyz   # where chgnet is installed
    python scripts/make_demo_foundation.py train frames.xyz   # where mace-torch is installed

The first samples frames with CHGNet and labels them; the second trains a MACE on them, measures its
errors on held-out frames, and writes the model and its ``card.json`` to
``aiida_limsm/resources/demo_foundation``. The demo crystal Li11Si4 takes no part in it, so that the
model is as ignorant of it as a real foundation model is of a user's crystal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.neighborlist import neighbor_list
from numpy.random import Generator
from numpy.typing import NDArray

from aiida_limsm.atomistic.crystals import lithium_silicide

OUTPUT = Path(__file__).parents[1] / "aiida_limsm" / "resources" / "demo_foundation"
NAME = "demo_foundation"
SEED = 20

COHESIVE_ENERGY = {"Li": 1.522, "Si": 4.602}
"""Cohesive energies (eV/atom) by pw.x with this project's pseudopotentials: bcc Li (16 Ry, 20³ k,
a = 3.436 Å) and diamond Si (20 Ry, 12³ k, a = 5.459 Å) against spin-polarised atoms in 16 and 14 Å
boxes (total magnetisation 1 and 2, Gaussian smearing 0.002 Ry)."""

MINIMUM_DISTANCE = 1.3
"""Frames with a shorter distance (Å) are dropped: CHGNet has not learnt such collisions."""

# Sampling is not dynamics: with one mass for all, the light Li allows a long time step, and frames
# decorrelate in fewer of CHGNet's slow steps. The distribution of configurations stays the same.
SAMPLING_MASS = 28.0
SAMPLING_STEP_FS = 6.0


@dataclass(frozen=True)
class Plan:
    """What is sampled of one phase.

    Attributes
    ----------
    repeat
        Supercell of the primitive cell.
    n_static
        Number of randomly displaced and strained frames.
    temperatures
        Temperatures (K) of the trajectories from which training frames are taken.
    n_steps
        Steps per training trajectory; the held-out trajectory has half as many.
    """

    repeat: tuple[int, int, int]
    n_static: int
    temperatures: tuple[float, ...]
    n_steps: int


PLANS = {
    "Li": Plan((2, 2, 4), 40, (400.0, 900.0), 120),
    "Si": Plan((2, 2, 2), 40, (900.0, 2000.0), 100),
    "LiSi": Plan((1, 1, 1), 60, (600.0, 1200.0, 2000.0), 120),
    "Li12Si7": Plan((1, 1, 1), 10, (700.0,), 25),
    "Li7Si3": Plan((1, 1, 1), 25, (700.0, 1200.0), 50),
    "Li13Si4": Plan((1, 1, 1), 60, (400.0, 800.0, 1200.0), 130),
    "Li15Si4": Plan((1, 1, 1), 60, (400.0, 800.0, 1200.0), 130),
}
STRIDE = 5

# Made for speed: 60 to 120 atoms on one CPU thread.
ARCHITECTURE: dict[str, object] = {
    "model": "ScaleShiftMACE",
    "hidden_irreps": "16x0e",
    "r_max": 4.5,
    "num_interactions": 2,
    "correlation": 2,
    "max_ell": 2,
    "num_radial_basis": 8,
    "radial_MLP": "[16, 16]",
    "MLP_irreps": "16x0e",
}
TRAINING: dict[str, object] = {
    "loss": "stress",
    "energy_weight": 10.0,
    "forces_weight": 100.0,
    "stress_weight": 100.0,
    "swa_energy_weight": 200.0,
    "swa_forces_weight": 100.0,
    "swa_stress_weight": 1000.0,
    "lr": 0.01,
    "swa_lr": 0.002,
    "batch_size": 8,
    "valid_batch_size": 16,
    "ema_decay": 0.99,
    "scheduler_patience": 5,
    "max_num_epochs": 40,
    "start_swa": 28,
    "eval_interval": 2,
}
CITATION = [
    "CHGNet labels: B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023), BSD-3-Clause",
    "Phases: Materials Project, A. Jain et al., APL Mater. 1, 011002 (2013), CC BY 4.0",
]


def shortest_distance(atoms: Atoms) -> float:
    """Return the shortest interatomic distance in Å, or infinity if none is below 3 Å."""
    distances = neighbor_list("d", atoms, 3.0)
    return float(distances.min()) if len(distances) else float("inf")


def strained(atoms: Atoms, rng: Generator) -> Atoms:
    """Return a copy with its lengths changed by up to ±4 % together and sheared by up to ±2 %."""
    shear = rng.uniform(-0.02, 0.02, size=(3, 3))
    strain = np.eye(3) * rng.uniform(-0.04, 0.04) + (shear + shear.T) / 2
    copy = atoms.copy()
    copy.set_cell(copy.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return copy


def with_vacancies(atoms: Atoms, rng: Generator) -> Atoms:
    """Return a copy without one or two of its Li, or all of it if there is none to spare."""
    copy = atoms.copy()
    lithium = np.flatnonzero(copy.symbols == "Li")
    if len(lithium) > 4:
        del copy[rng.choice(lithium, size=rng.integers(1, 3), replace=False)]
    return copy


def static_frames(crystal: Atoms, n_frames: int, rng: Generator) -> list[Atoms]:
    """Return displaced frames: the crystal, then strained ones, every third with vacancies."""
    frames = [crystal.copy()]
    while len(frames) < n_frames:
        frame = strained(crystal, rng)
        if len(frames) % 3 == 0:
            frame = with_vacancies(frame, rng)
        # Displacements from phonon-like to far beyond: the large ones bring pairs close together,
        # and teach the model the repulsion that keeps a long MD from collapsing.
        scale = rng.choice([0.05, 0.12, 0.2, 0.3])
        frame.positions += rng.normal(scale=scale, size=(len(frame), 3))
        if shortest_distance(frame) > MINIMUM_DISTANCE:
            frames.append(frame)
    return frames


def sampled_frames(
    crystal: Atoms, calculator: Any, temperature: float, n_steps: int, rng: Generator
) -> list[Atoms]:
    """Return frames of a Langevin trajectory, one in ``STRIDE`` steps, with their labels."""
    atoms = crystal.copy()
    atoms.set_masses(np.full(len(atoms), SAMPLING_MASS))
    atoms.positions += rng.normal(scale=0.08, size=(len(atoms), 3))
    atoms.calc = calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        SAMPLING_STEP_FS * units.fs,
        temperature_K=temperature,
        friction=0.02 / units.fs,
        rng=rng,
    )
    frames: list[Atoms] = []
    for step, _ in enumerate(dynamics.irun(n_steps)):
        if step and step % STRIDE == 0:
            frames.append(labelled(atoms))
    return frames


def labelled(atoms: Atoms) -> Atoms:
    """Return a bare copy of the atoms with the labels of their calculator under REF keys."""
    frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
    frame.info["REF_energy"] = float(atoms.get_potential_energy())
    frame.info["REF_stress"] = np.asarray(atoms.get_stress(voigt=False), dtype=float)
    frame.arrays["REF_forces"] = np.asarray(atoms.get_forces(), dtype=float)
    return frame


def label(path: Path) -> None:
    """Sample every phase with CHGNet and write the labelled frames.

    Parameters
    ----------
    path
        The extended XYZ file to write. Each frame carries the phase (``config_type``), its part
        (``split``: train, valid or test) and where it comes from (``origin``).
    """
    import torch
    from chgnet.model import CHGNet, CHGNetCalculator

    torch.set_num_threads(1)
    calculator = CHGNetCalculator(model=CHGNet.load(), use_device="cpu")
    frames: list[Atoms] = []

    def keep(frame: Atoms, phase: str, split: str, origin: str) -> None:
        # Beyond 15 eV/Å a frame is a collision, which would outweigh a hundred sensible frames.
        if np.abs(frame.arrays["REF_forces"]).max() < 15.0:
            frame.info.update(config_type=phase, split=split, origin=origin)
            frames.append(frame)

    for phase, plan in PLANS.items():
        start = time.perf_counter()
        rng = np.random.default_rng([SEED, *phase.encode()])
        crystal = lithium_silicide(phase, primitive=True).repeat(plan.repeat)
        for index, frame in enumerate(static_frames(crystal, plan.n_static, rng)):
            frame.calc = calculator
            split = {8: "valid", 9: "test"}.get(index % 10, "train")
            keep(labelled(frame), phase, split, "static")
        for index, temperature in enumerate(plan.temperatures):
            cell = with_vacancies(strained(crystal, rng), rng) if index % 2 else crystal
            sampled = sampled_frames(cell, calculator, temperature, plan.n_steps, rng)
            for frame in sampled:
                keep(frame, phase, "train", f"md {temperature:g} K")
        # Held out: whole trajectories of their own, since neighbouring frames are near copies.
        for split in ("valid", "test"):
            cell = with_vacancies(crystal, rng) if split == "test" else crystal
            sampled = sampled_frames(cell, calculator, 800.0, plan.n_steps // 2, rng)
            for frame in sampled[1::2]:
                keep(frame, phase, split, "md 800 K")
        seconds = time.perf_counter() - start
        print(f"{phase}: {len(frames)} frames in all, {seconds:.0f} s", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, frames, format="extxyz")


def elemental_energies(frames: list[Atoms]) -> dict[str, float]:
    """Return E0s (eV) such that the interaction energy of the bulk elements is their cohesive one.

    CHGNet knows no isolated atoms. Its energies of the bulk elements plus the cohesive energies of
    our own DFT stand in for them, so that fine-tuning can later exchange these E0s for isolated
    atoms of any DFT code, and find interaction energies of the same physical meaning.
    """
    energies: dict[str, float] = {}
    for element, cohesive in COHESIVE_ENERGY.items():
        bulk = next(frame for frame in frames if set(frame.symbols) == {element})
        energies[element] = bulk.info["REF_energy"] / len(bulk) + cohesive
    return energies


def run_training(work: Path, frames: list[Atoms], e0s: dict[str, float]) -> Path:
    """Train with ``mace_run_train`` in a folder and return the model it leaves there."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for split in ("train", "valid"):
        chosen = [frame for frame in frames if frame.info["split"] == split]
        write(work / f"{split}.xyz", chosen, format="extxyz")
    numbers = {"Li": 3, "Si": 14}
    options: dict[str, object] = {
        "name": NAME,
        "seed": SEED,
        "train_file": "train.xyz",
        "valid_file": "valid.xyz",
        "E0s": "{" + ", ".join(f"{numbers[el]}: {e0:.6f}" for el, e0 in e0s.items()) + "}",
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "default_dtype": "float32",
        "device": "cpu",
        "num_workers": 0,
        "pin_memory": False,
        "plot": False,
        **ARCHITECTURE,
        **TRAINING,
    }
    command = [str(Path(sys.executable).with_name("mace_run_train"))]
    command += [f"--{key}={value}" for key, value in options.items()]
    command += ["--ema", "--amsgrad", "--swa"]
    environment = os.environ | {
        # Idle threads that spin make a training on a shared machine many times slower.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
    }
    with (work / "stdout.log").open("w") as log:
        subprocess.run(command, cwd=work, check=True, env=environment, stdout=log, stderr=log)
    return work / f"{NAME}_stagetwo.model"


def errors_by_phase(model: Path, frames: list[Atoms]) -> dict[str, dict[str, float]]:
    """Return root-mean-square errors on frames, for each phase and for all of them."""
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=str(model), device="cpu", default_dtype="float32")
    residuals: dict[str, list[tuple[float, NDArray[Any], NDArray[Any], NDArray[Any]]]] = {}
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        residual = (
            (atoms.get_potential_energy() - frame.info["REF_energy"]) / len(frame),
            (atoms.get_forces() - frame.arrays["REF_forces"]).ravel(),
            (atoms.get_stress(voigt=False) - frame.info["REF_stress"]).ravel(),
            frame.arrays["REF_forces"].ravel(),
        )
        for key in (frame.info["config_type"], "all"):
            residuals.setdefault(key, []).append(residual)

    def rms(values: list[Any], unit: float) -> float:
        return round(float(np.sqrt(np.mean(np.concatenate(values) ** 2))) / unit, 2)

    return {
        phase: {
            "n_frames": len(rows),
            "energy_mev_per_atom": rms([[row[0]] for row in rows], 1e-3),
            "forces_mev_per_angstrom": rms([row[1] for row in rows], 1e-3),
            "stress_gpa": rms([row[2] for row in rows], units.GPa),
            "label_forces_rms_mev_per_angstrom": rms([row[3] for row in rows], 1e-3),
        }
        for phase, rows in residuals.items()
    }


def train(path: Path, work: Path) -> None:
    """Train the model, measure it, and write it with its card.

    Parameters
    ----------
    path
        The labelled frames that ``label`` wrote.
    work
        A scratch folder for the training; emptied first.
    """
    import torch

    frames: list[Atoms] = read(path, ":", format="extxyz")
    e0s = elemental_energies(frames)
    trained = run_training(work.resolve(), frames, e0s)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    target = OUTPUT / f"{NAME}.model"
    shutil.copyfile(trained, target)
    model = torch.load(target, map_location="cpu", weights_only=False)
    errors = errors_by_phase(target, [frame for frame in frames if frame.info["split"] == "test"])
    card = {
        "name": NAME,
        "description": "Small MACE distilled from CHGNet over Li-Si phases; for demos and tests.",
        "architecture": ARCHITECTURE,
        "training": {"seed": SEED, **TRAINING},
        "elements": ["Li", "Si"],
        "r_max_angstrom": float(model.r_max),
        "dtype": "float32",
        "num_params": sum(parameter.numel() for parameter in model.parameters()),
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "license": "MIT",
        "citation": CITATION,
        "e0s_ev": {element: round(value, 6) for element, value in e0s.items()},
        "e0s_method": "CHGNet energy of the bulk element plus its cohesive energy by our own DFT",
        "cohesive_energies_ev": COHESIVE_ENERGY,
        "n_frames": {
            split: sum(frame.info["split"] == split for frame in frames)
            for split in ("train", "valid", "test")
        },
        "test_rmse": errors,
    }
    (OUTPUT / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(errors, indent=2))


def main() -> None:
    """Run the sub-command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    labelling = commands.add_parser("label", help="sample and label frames (needs chgnet)")
    labelling.add_argument("frames", type=Path)
    training = commands.add_parser("train", help="train, measure and write (needs mace-torch)")
    training.add_argument("frames", type=Path)
    training.add_argument("--work", type=Path, default=Path("demo_foundation_training"))
    arguments = parser.parse_args()
    if arguments.command == "label":
        label(arguments.frames)
    else:
        train(arguments.frames, arguments.work)


if __name__ == "__main__":
    main()
