"""MD in blocks of steps, one per line of standard input, so that two programs can take turns.

Says for each block what it took: wall and CPU seconds, and the share of the force evaluation.
Usage: md_blocks.py (ase | limsm | compiled) CELLS REPLICAS THREADS FOLDER
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
import warnings
from pathlib import Path

import ase.io
import numpy as np
from ase import units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

from aiida_limsm import resources
from aiida_limsm.atomistic.crystals import lithium_silicide
from aiida_limsm.atomistic.potential import load_calculator
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md

warnings.simplefilter("ignore")
kind, cells, replicas, threads, place = sys.argv[1:]
MODEL = Path(resources.__file__).parent / "demo_foundation" / "demo_foundation.model"
atoms = lithium_silicide("Li13Si4").repeat(tuple(int(n) for n in cells.split("x")))


def plain(steps: int) -> dict[str, float]:
    """ASE and MACECalculator, with the log and the trajectory that ASE writes: a line a step."""
    began = time.perf_counter()
    for dynamics in runs:
        dynamics.run(steps)
    return {"seconds": time.perf_counter() - began}


def limsm(steps: int) -> dict[str, float]:
    """All that `limsm md` does once the model is loaded: steps, guards, files."""
    for left in ("runs", "segments"):
        shutil.rmtree(folder / left, ignore_errors=True)
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    job = MdInput(
        temperature_k=500.0, steps=steps, frame_interval_steps=10, replicas=int(replicas),
        threads=int(threads), compile_model=kind == "compiled", max_temperature_factor=100,
    )  # fmt: skip
    results = run_md(job, folder, lambda line: None)
    assert results.status.value == "finished", results.message
    taken = steps * int(replicas) / results.steps_per_second
    return {"seconds": taken, "force_share": results.force_share, "batch": results.batch_size}


folder = Path(place)
folder.mkdir(parents=True, exist_ok=True)
ase.io.write(folder / "structure.extxyz", atoms)
shutil.copyfile(MODEL, folder / "potential.model")
runs = []
if kind == "ase":
    calculator = load_calculator(MODEL, dtype="float64")
    for seed in range(int(replicas)):
        system = atoms.copy()
        system.calc = calculator
        MaxwellBoltzmannDistribution(system, temperature_K=500, rng=np.random.default_rng(seed))
        runs.append(
            Langevin(
                system, timestep=2 * units.fs, temperature_K=500, friction=0.002 / units.fs,
                fixcm=False, logfile=str(folder / f"{seed}.log"),
            )
        )  # fmt: skip
work = plain if kind == "ase" else limsm
for line in sys.stdin:
    before = os.times()
    said = work(int(line))
    after = os.times()
    said["cpu"] = sum(after[:4]) - sum(before[:4])
    said["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(said), flush=True)
