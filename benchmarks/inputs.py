"""The trajectory that all are given: hopping ions whose jumps and diffusion are known exactly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from aiida_limsm.markov.synthetic import HoppingTrajectory, random_rotation
from aiida_limsm.markov.synthetic_networks import d0_3_network
from aiida_limsm.trajectory.writer import H5mdFile

JUMP_RATE_PER_PS = 0.1
INTERVAL_PS = 0.02
VIBRATION_ANGSTROM = 0.3
FRAMEWORK_VIBRATION_ANGSTROM = 0.1

CUBE = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
"""The cubic cell of D0_3 (12 sites, 4 framework atoms) in vectors of the primitive one."""


def hopping(
    frames: int,
    edge: int = 2,
    rotated: bool = False,
    seed: int = 1,
    jump_rate_per_ps: float = JUMP_RATE_PER_PS,
) -> HoppingTrajectory:
    """Return a trajectory of 13·edge³ ions on 12·edge³ sites of D0_3 and 4·edge³ framework atoms.

    With ``edge`` 2 that is 104 ions and 32 framework atoms in a cube of 12.24 Å, its axes along
    x, y and z unless ``rotated``.
    """
    network = d0_3_network().with_jump_rate(jump_rate_per_ps)
    if rotated:
        network = network.rotated(random_rotation(5))
    return HoppingTrajectory(
        network,
        n_ions=13 * edge**3,
        n_frames=frames,
        frame_interval_ps=INTERVAL_PS,
        supercell=edge * CUBE,
        seed=seed,
        vibration_angstrom=VIBRATION_ANGSTROM,
        framework_vibration_angstrom=FRAMEWORK_VIBRATION_ANGSTROM,
    )


def write_h5md(trajectory: HoppingTrajectory, path: Path) -> None:
    """Write a trajectory as H5MD."""
    file = H5mdFile(
        path, trajectory.numbers, trajectory.cell, trajectory.frame_interval_ps, observables=False
    )
    done = 0
    for block in trajectory.blocks(max(16, 4_000_000 // (12 * trajectory.n_atoms))):
        file.append(block, np.arange(done, done + len(block)))
        done += len(block)
    file.close(sync=False)


def write_structure(trajectory: HoppingTrajectory, path: Path) -> None:
    """Write the primitive cell with lithium on all sites and silicon as framework.

    ``path`` gets what ASE reads, ``path`` with suffix ``.json`` the same as plain arrays.
    """
    lattice = trajectory.network.lattice
    positions = np.concatenate([lattice.positions, lattice.framework_positions])
    symbols = ["Li"] * lattice.n_sites + ["Si"] * len(lattice.framework_positions)
    atoms = Atoms(symbols, positions=positions, cell=lattice.cell, pbc=True)
    write(path, atoms)
    crystal = {
        "cell": lattice.cell.tolist(),
        "scaled": atoms.get_scaled_positions().tolist(),
        "numbers": atoms.numbers.tolist(),
    }
    path.with_suffix(".json").write_text(json.dumps(crystal))


def write_arrays(trajectory: HoppingTrajectory, folder: Path) -> None:
    """Write for the peers what costs them least: fractional positions as an array, and the sites.

    ``positions.npy`` (n_frames, n_atoms, 3), float32, inside the cell; ``system.json`` with the
    cell (rows, Å), the symbols, the sites (fractional) and the frame interval.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inverse = np.linalg.inv(trajectory.cell)
    shape = (trajectory.n_frames, trajectory.n_atoms, 3)
    array = np.lib.format.open_memmap(
        folder / "positions.npy", mode="w+", dtype=np.float32, shape=shape
    )
    done = 0
    for block in trajectory.blocks():
        scaled = (block.astype(np.float64) @ inverse) % 1.0
        array[done : done + len(block)] = np.minimum(scaled, 1.0 - 1e-7)
        done += len(block)
    array.flush()
    system = {
        "cell": trajectory.cell.tolist(),
        "symbols": ["Li" if number == 3 else "Si" for number in trajectory.numbers],
        "sites": ((trajectory.md_lattice.positions @ inverse) % 1.0).tolist(),
        "interval_ps": trajectory.frame_interval_ps,
    }
    (folder / "system.json").write_text(json.dumps(system))
