"""Convert trajectories of other formats to H5MD, unwrapping them on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole_file
from ..markov.arrays import FloatArray, IntArray
from .gather import BUFFER_MB, Block, FrameBlocks, changing_cell
from .h5md import Trajectory
from .unwrap import Unwrapper
from .writer import H5mdFile

__all__ = ["Converted", "convert_to_h5md", "is_h5md", "refuse_changing_cell"]


@dataclass(frozen=True)
class Converted:
    """What became of a conversion: number of frames, and what was odd."""

    frames: int
    warnings: tuple[str, ...]


def convert_to_h5md(
    source: Path | str,
    target: Path | str,
    frame_interval_ps: float | None = None,
    *,
    topology: IntArray | None = None,
    species_order: Sequence[str] | None = None,
    unwrap: bool = True,
    progress: Callable[[int], None] = lambda _: None,
) -> Converted:
    """Convert a trajectory to H5MD, positions unwrapped; velocities are kept.

    Parameters
    ----------
    source
        Extended XYZ, ASE .traj, XDATCAR, LAMMPS dump, pw.x output, H5MD of any program, or what
        else ASE reads.
    target
        The H5MD file, written whole or not at all.
    frame_interval_ps
        Time between frames, which most formats do not hold.
    topology
        Atomic numbers (n_atoms,) where the file does not name its atoms.
    species_order
        Elements of the atom types 1, 2, … of a LAMMPS dump.
    unwrap
        False keeps positions as they are, where nobody asks how far atoms went.
    progress
        Gets the number of frames so far.

    Returns
    -------
    Converted
        A file that ends within a frame is used as far as it is whole; that is in its warnings.

    Raises
    ------
    ValueError
        The file cannot be read, its cell or atoms change, or an atom moves too far between
        frames to be unwrapped.
    """
    source, target = Path(source), Path(target)
    if frame_interval_ps is not None and not frame_interval_ps > 0:
        raise ValueError("the frame interval must be positive")
    if not source.is_file():
        raise ValueError(f"{source} does not exist")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the source itself: choose another name")
    if is_h5md(source):
        with Trajectory(source, frame_interval_ps, topology) as trajectory:
            refuse_changing_cell(trajectory)
            return _write(
                source, target, _h5md_blocks(trajectory), trajectory.numbers, trajectory.cell,
                trajectory.frame_interval_ps, trajectory.warnings, unwrap, progress,
            )  # fmt: skip
    if frame_interval_ps is None:
        raise ValueError(
            f"{source.name} holds no times: give the frame interval (--frame-interval-fs)"
        )
    frames = FrameBlocks(source, topology, species_order)
    done = _write(
        source, target, frames.blocks(), frames.numbers, frames.cell, frame_interval_ps,
        (), unwrap, progress,
    )  # fmt: skip
    return Converted(done.frames, (*done.warnings, *frames.warnings))


def refuse_changing_cell(trajectory: Trajectory) -> None:
    """Raise ``ValueError`` where the cell of a trajectory is not constant."""
    if trajectory.cell_changes_at is not None:
        raise ValueError(changing_cell(trajectory.path.name, trajectory.cell_changes_at))


def is_h5md(path: Path | str) -> bool:
    """Tell whether a file is HDF5, by its first bytes."""
    with Path(path).open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _h5md_blocks(trajectory: Trajectory) -> Iterator[Block]:
    temperature, energy = trajectory.temperature_k, trajectory.potential_energy
    velocities: Iterator[Any] = (
        trajectory.iter_velocities(BUFFER_MB) if trajectory.has_velocities else repeat(None)
    )
    done = 0
    for block, velocity in zip(trajectory.iter_blocks(BUFFER_MB), velocities, strict=False):
        rows = slice(done, done + len(block))
        done += len(block)
        yield Block(
            block,
            None if temperature is None else temperature[rows],
            None if energy is None else energy[rows],
            velocity,
        )


def _write(
    source: Path,
    target: Path,
    blocks: Iterator[Block],
    numbers: IntArray,
    cell: FloatArray,
    interval_ps: float,
    warnings: Sequence[str],
    unwrap: bool,
    progress: Callable[[int], None],
) -> Converted:
    """Write blocks, one at least; the target appears when it is whole."""
    unwrapper = Unwrapper(cell, source.name)
    first = next(blocks)
    observed = first.temperatures is not None or first.energies is not None
    fields = () if first.velocities is None else ("velocity",)
    with (
        whole_file(target) as temporary,
        H5mdFile(
            temporary, numbers, cell, interval_ps, observables=observed, fields=fields
        ) as file,
    ):
        for block in chain((first,), blocks):
            steps = file.n_frames + np.arange(len(block.positions))
            positions = unwrapper(block.positions) if unwrap else block.positions
            file.append(
                positions, steps, block.temperatures, block.energies, velocities=block.velocities
            )
            progress(file.n_frames)
    more = (f"{source.name}: positions were wrapped into the cell; unwrapped",)
    return Converted(file.n_frames, (*warnings, *(more if unwrapper.wrapped else ())))
