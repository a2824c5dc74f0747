"""What an analysis of files promises beyond its numbers: projected trajectories, bounded memory."""

import json
import subprocess
import sys

import numpy as np
from ase import Atoms
from ase.io import write

from aiida_limsm.compute.analyse import run_analyse
from aiida_limsm.compute.inputs import AnalyseInput
from aiida_limsm.markov.io import load_model
from aiida_limsm.markov.paths_io import load_paths
from aiida_limsm.markov.synthetic import HoppingTrajectory
from aiida_limsm.markov.synthetic_networks import d0_3_network
from aiida_limsm.trajectory.h5md import Trajectory
from aiida_limsm.trajectory.writer import H5mdFile

INTERVAL_PS = 0.05


def write_crystal(path, lattice):
    atoms = Atoms(
        numbers=[3] * lattice.n_sites + list(lattice.framework_numbers),
        positions=np.vstack([lattice.positions, lattice.framework_positions]),
        cell=lattice.cell,
        pbc=True,
    )
    write(path, atoms)


def write_run(path, network, frames, seed, cells):
    supercell = cells * np.eye(3, dtype=int)
    run = HoppingTrajectory(
        network, 8, frames, INTERVAL_PS, supercell, seed, vibration_angstrom=0.1
    )
    with H5mdFile(path, run.numbers, run.cell, INTERVAL_PS, observables=False) as file:
        for block in run.blocks():
            file.append(block, file.n_frames + np.arange(len(block)))
    return run


def test_ions_are_written_on_their_sites(tmp_path):
    """Two trajectories, two files: as long as they are, within a vibration of the ions."""
    network = d0_3_network(0.2)
    write_crystal(tmp_path / "sites.extxyz", network.lattice)
    runs = [write_run(tmp_path / f"{n}.h5", network, 200 * n, seed=n, cells=3) for n in (1, 2)]
    job = AnalyseInput(
        trajectory_files=("1.h5", "2.h5"), structure_file="sites.extxyz", projected=True,
        bootstrap_samples=20,
    )  # fmt: skip
    results = run_analyse(job, tmp_path, progress=lambda _: None)
    assert results.projected_files == ("projected-1.h5", "projected-2.h5")
    lattice = load_model(tmp_path / "model.h5").lattice
    paths, _ = load_paths(tmp_path / "paths.h5")
    for number, (name, run) in enumerate(zip(results.projected_files, runs, strict=True)):
        with Trajectory(tmp_path / name) as projected:
            got = np.concatenate(list(projected.iter_positions()))
            assert projected.symbols == ["Li"] * 8
            assert projected.frame_interval_ps == INTERVAL_PS
            np.testing.assert_allclose(projected.cell, run.cell)
        expected = paths.positions(lattice, slice(8 * number, 8 * number + 8))
        np.testing.assert_allclose(got, expected, atol=1e-4)
        ions = np.concatenate(list(run.blocks()))[:, run.numbers == 3]
        away = got - ions
        away -= away.mean(axis=(0, 1))  # where the framework stands in the cell is free
        assert np.sqrt((away**2).sum(axis=2).mean()) < 0.4
        assert np.abs(got[-1] - got[0]).max() > 1.5


MEASURE = """
import json, resource, sys
from pathlib import Path
from aiida_limsm.compute.analyse import run_analyse
from aiida_limsm.compute.inputs import AnalyseInput

folder = Path(sys.argv[1])
job = AnalyseInput(
    trajectory_files=(sys.argv[2],), structure_file="sites.extxyz", bootstrap_samples=20,
    memory_mb=16,
)
results = run_analyse(job, folder, progress=lambda _: None)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
print(json.dumps([results.n_frames, peak]))
"""


def test_a_file_ten_times_the_memory_is_analysed_within_it(tmp_path):
    """Peak memory of processes with a budget of 16 MB: the large file costs hardly more."""
    network = d0_3_network(0.002)
    write_crystal(tmp_path / "sites.extxyz", network.lattice)
    peaks = {}
    for name, length in (("small.h5", 5000), ("large.h5", 190_000)):
        write_run(tmp_path / name, network, length, seed=3, cells=4)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tmp_path), name], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        frames, peaks[name] = json.loads(done.stdout.splitlines()[-1])
        assert frames == length
    assert (tmp_path / "large.h5").stat().st_size > 160e6
    assert peaks["large.h5"] < peaks["small.h5"] + 32
