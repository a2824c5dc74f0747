"""Convert trajectories of other formats to H5MD, unwrapping them on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..markov.arrays import FloatArray, IntArray
from .frames import iter_frames, last_frame_is_cut
from .h5md import Trajectory
from .layout import CELL_TOLERANCE
from .unwrap import Unwrapper
from .writer import H5mdFile

__all__ = ["Converted", "convert_to_h5md", "is_h5md"]

BUFFER_MB = 8.0
FEWEST_FRAMES = 2


@dataclass(frozen=True)
class Converted:
    """What became of a conversion: number of frames, and what was odd."""

    frames: int
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Block:
    """Consecutive frames: positions (n, n_atoms, 3), Å, and series or None, (n,)."""

    positions: npt.NDArray[np.float32]
    temperatures: FloatArray | None
    energies: FloatArray | None


def convert_to_h5md(
    source: Path | str,
    target: Path | str,
    frame_interval_ps: float | None = None,
    *,
    topology: IntArray | None = None,
    species_order: Sequence[str] | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Converted:
    """Convert a trajectory to H5MD, positions unwrapped.

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
    warnings: list[str] = []
    if is_h5md(source):
        with Trajectory(source, frame_interval_ps, topology) as trajectory:
            refuse_changing_cell(trajectory)
            warnings += trajectory.warnings
            blocks = _h5md_blocks(trajectory)
            head = trajectory.numbers, trajectory.cell, trajectory.frame_interval_ps
            return _write(source, target, blocks, *head, warnings, progress)
    if frame_interval_ps is None:
        raise ValueError(f"{source.name} holds no times: give --frame-interval-fs")
    frames = _Frames(source, topology, species_order)
    blocks = frames.blocks()
    first = next(blocks)
    done = _write(
        source, target, _chain(first, blocks), frames.numbers, frames.cell, frame_interval_ps,
        warnings, progress,
    )  # fmt: skip
    return Converted(done.frames, (*done.warnings, *frames.warnings))


def refuse_changing_cell(trajectory: Trajectory) -> None:
    """Raise ``ValueError`` where the cell of a trajectory is not constant."""
    if trajectory.cell_changes_at is not None:
        raise ValueError(_changing_cell(trajectory.path.name, trajectory.cell_changes_at))


def is_h5md(path: Path | str) -> bool:
    """Tell whether a file is HDF5, by its first bytes."""
    with Path(path).open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _changing_cell(name: str, frame: int) -> str:
    return (
        f"{name}: the cell changes at frame {frame}; only a constant cell can be analysed: run the "
        "production at constant volume (with the mean cell of this run)"
    )


def _chain(first: _Block, rest: Iterator[_Block]) -> Iterator[_Block]:
    yield first
    yield from rest


def _h5md_blocks(trajectory: Trajectory) -> Iterator[_Block]:
    temperature, energy = trajectory.temperature_k, trajectory.potential_energy
    done = 0
    for block in trajectory.iter_blocks(BUFFER_MB):
        rows = slice(done, done + len(block))
        done += len(block)
        yield _Block(
            block,
            None if temperature is None else temperature[rows],
            None if energy is None else energy[rows],
        )


def _write(
    source: Path,
    target: Path,
    blocks: Iterator[_Block],
    numbers: IntArray,
    cell: FloatArray,
    interval_ps: float,
    warnings: Sequence[str],
    progress: Callable[[int], None],
) -> Converted:
    """Write blocks under a temporary name, which the target gets when all is well."""
    temporary = target.with_name(target.name + ".tmp")
    unwrap = Unwrapper(cell, source.name)
    file: H5mdFile | None = None
    try:
        for block in blocks:
            observed = block.temperatures is not None or block.energies is not None
            if file is None:
                file = H5mdFile(temporary, numbers, cell, interval_ps, observables=observed)
            steps = file.n_frames + np.arange(len(block.positions))
            file.append(unwrap(block.positions), steps, block.temperatures, block.energies)
            progress(file.n_frames)
        assert file is not None  # the readers yield a block at least
        count = file.n_frames
        closing, file = file, None
        closing.close()
        temporary.replace(target)
    finally:
        if file is not None:
            file.close(sync=False)
        temporary.unlink(missing_ok=True)
    more = (f"{source.name}: positions were wrapped into the cell; unwrapped",)
    return Converted(count, (*warnings, *(more if unwrap.wrapped else ())))


class _Frames:
    """Gathers the frames of an ASE reader into blocks and checks that they belong together."""

    def __init__(
        self, source: Path, topology: IntArray | None, species_order: Sequence[str] | None
    ) -> None:
        self._source = source
        self._topology = topology
        self._species_order = species_order
        self.numbers: IntArray = np.zeros(0, dtype=np.int64)
        self.cell: FloatArray = np.zeros((3, 3))
        self.warnings: list[str] = []
        self._count = 0

    def blocks(self) -> Iterator[_Block]:
        """Yield blocks; ``numbers`` and ``cell`` are known after the first."""
        positions: list[npt.NDArray[np.float32]] = []
        temperatures: list[float] = []
        energies: list[float] = []

        def block() -> _Block:
            ready = _Block(
                np.stack(positions),
                np.array(temperatures) if np.isfinite(temperatures).any() else None,
                np.array(energies) if np.isfinite(energies).any() else None,
            )
            for series in (positions, temperatures, energies):
                series.clear()
            return ready

        for atoms in self._whole_frames():
            positions.append(np.asarray(atoms.positions, dtype=np.float32))
            temperatures.append(_temperature(atoms))
            energies.append(_energy(atoms))
            self._count += 1
            if len(positions) * positions[0].nbytes >= BUFFER_MB * 1e6:
                yield block()
        if positions:
            yield block()
        if self._count == 0:
            raise ValueError(f"{self._source.name} holds no frames")

    def _whole_frames(self) -> Iterator[Any]:
        """Yield frames that belong; where the file breaks off, those before."""
        name, held = self._source.name, None
        frames = self._frames()
        for atoms in frames:
            if held is not None:
                yield held
            held = atoms
        if held is not None and self._count >= FEWEST_FRAMES and last_frame_is_cut(self._source):
            self.warnings.append(
                f"{name} ends within a line: the {self._count} frames before are used"
            )
        elif held is not None:
            yield held

    def _frames(self) -> Iterator[Any]:
        name, number = self._source.name, 0
        frames = iter_frames(self._source, self._species_order)
        while True:
            try:
                atoms = next(frames)
            except StopIteration:
                return
            except (OSError, MemoryError):
                raise
            except Exception as error:  # ASE's readers raise anything
                if isinstance(error, ValueError) and str(error).startswith(name):
                    raise
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                if number < FEWEST_FRAMES:
                    raise ValueError(f"{name} cannot be read as a trajectory: {reason}") from error
                self.warnings.append(
                    f"{name} cannot be read from frame {number} on ({reason}): the {number} frames "
                    "before are used"
                )
                return
            if number == 0:
                self._begin(atoms)
            elif not self._belongs(atoms, number):
                if number >= FEWEST_FRAMES and len(atoms) < len(self.numbers) and _over(frames):
                    self.warnings.append(
                        f"{name} ends within a frame: the {number} frames before are used"
                    )
                    return
                raise ValueError(f"{name}: frame {number} has other atoms than the first")
            number += 1
            yield atoms

    def _begin(self, atoms: Any) -> None:
        name = self._source.name
        self.cell = np.asarray(atoms.cell.array, dtype=np.float64)
        if abs(np.linalg.det(self.cell)) < 1e-6:
            raise ValueError(f"{name} has no three-dimensional cell")
        self._known = np.asarray(atoms.numbers)
        self.numbers = self._known.astype(np.int64) if self._topology is None else self._topology
        if len(self.numbers) != len(atoms):
            raise ValueError(
                f"{name} has {len(atoms)} atoms, the structure that names them (topology) "
                f"{len(self.numbers)}"
            )

    def _belongs(self, atoms: Any, number: int) -> bool:
        if not np.array_equal(atoms.numbers, self._known):
            return False
        if np.abs(atoms.cell.array - self.cell).max() > CELL_TOLERANCE:
            raise ValueError(_changing_cell(self._source.name, number))
        return True


def _over(frames: Iterator[Any]) -> bool:
    """Tell whether nothing follows that can be read."""
    try:
        next(frames)
    except Exception:
        return True
    return False


def _temperature(atoms: Any) -> float:
    """Return the temperature of a frame with momenta, K; NaN without."""
    if not atoms.has("momenta"):
        return float("nan")
    return float(atoms.get_temperature())


def _energy(atoms: Any) -> float:
    """Return the energy of a frame that holds one, eV; NaN without."""
    results = getattr(atoms.calc, "results", {})
    energy = results.get("energy")
    return float("nan") if energy is None else float(energy)
