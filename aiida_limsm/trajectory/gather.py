"""Gather the frames of another format into blocks, and check that they belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..markov.arrays import FloatArray, IntArray
from .frames import iter_frames, last_frame_is_cut
from .layout import CELL_TOLERANCE

__all__ = ["BUFFER_MB", "Block", "FrameBlocks", "changing_cell"]

BUFFER_MB = 8.0
FEWEST_FRAMES = 2


@dataclass(frozen=True)
class Block:
    """Consecutive frames: positions (n, n_atoms, 3), Å, and series or None, (n,).

    ``velocities`` (n, n_atoms, 3), Å/ps, where every frame has some.
    """

    positions: npt.NDArray[np.float32]
    temperatures: FloatArray | None
    energies: FloatArray | None
    velocities: npt.NDArray[np.float32] | None = None


def changing_cell(name: str, frame: int) -> str:
    """Return why a trajectory whose cell changes at a frame is not taken."""
    return (
        f"{name}: the cell changes at frame {frame}; only a constant cell can be analysed: run the "
        "production at constant volume (with the mean cell of this run)"
    )


class FrameBlocks:
    """Blocks of the frames that ASE reads from a file.

    Has ``numbers`` (n_atoms,) and ``cell`` (3, 3), Å, of the first frame; after the last block
    ``warnings`` tell whether the file broke off within a frame.

    Parameters
    ----------
    source
        The file.
    topology
        Atomic numbers, where the file does not name its atoms.
    species_order
        Elements of the atom types of a LAMMPS dump.

    Raises
    ------
    ValueError
        There is no frame, or none that can be used.
    """

    def __init__(
        self, source: Path, topology: IntArray | None, species_order: Sequence[str] | None
    ) -> None:
        self._source = source
        self._topology = topology
        self._species_order = species_order
        self.warnings: list[str] = []
        self._count = 0
        self._stream = self._frames()
        self._first = next(self._stream, None)
        if self._first is None:
            raise ValueError(f"{source.name} holds no frames")

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks, once."""
        positions: list[npt.NDArray[np.float32]] = []
        temperatures: list[float] = []
        energies: list[float] = []
        velocities: list[npt.NDArray[np.float32]] = []

        def block() -> Block:
            ready = Block(
                np.stack(positions),
                np.array(temperatures) if np.isfinite(temperatures).any() else None,
                np.array(energies) if np.isfinite(energies).any() else None,
                np.stack(velocities) if len(velocities) == len(positions) else None,
            )
            for series in (positions, temperatures, energies, velocities):
                series.clear()
            return ready

        for atoms in self._whole_frames():
            positions.append(np.asarray(atoms.positions, dtype=np.float32))
            temperatures.append(_temperature(atoms))
            energies.append(_energy(atoms))
            if (velocity := _velocities(atoms)) is not None:
                velocities.append(velocity)
            self._count += 1
            if len(positions) * positions[0].nbytes >= BUFFER_MB * 1e6:
                yield block()
        if positions:
            yield block()

    def _whole_frames(self) -> Iterator[Any]:
        """Yield frames that belong; where the file breaks off, those before."""
        held = self._first
        for atoms in self._stream:
            yield held
            held = atoms
        suspect = not self.warnings and self._count >= FEWEST_FRAMES
        if suspect and last_frame_is_cut(self._source):
            self.warnings.append(
                f"{self._source.name} ends within a line: the {self._count} frames before are used"
            )
        else:
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
        self.cell: FloatArray = np.asarray(atoms.cell.array, dtype=np.float64)
        if abs(np.linalg.det(self.cell)) < 1e-6:
            raise ValueError(f"{name} has no three-dimensional cell")
        self._known = np.asarray(atoms.numbers)
        self.numbers: IntArray = (
            self._known.astype(np.int64) if self._topology is None else self._topology
        )
        if len(self.numbers) != len(atoms):
            raise ValueError(
                f"{name} has {len(atoms)} atoms, the structure that names them (topology) "
                f"{len(self.numbers)}"
            )

    def _belongs(self, atoms: Any, number: int) -> bool:
        if not np.array_equal(atoms.numbers, self._known):
            return False
        if np.abs(atoms.cell.array - self.cell).max() > CELL_TOLERANCE:
            raise ValueError(changing_cell(self._source.name, number))
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


def _velocities(atoms: Any) -> npt.NDArray[np.float32] | None:
    """Return the velocities of a frame with momenta, (n_atoms, 3), Å/ps."""
    if not atoms.has("momenta"):
        return None
    from ase.units import fs

    return np.asarray(atoms.get_velocities() * (1000.0 * fs), dtype=np.float32)


def _energy(atoms: Any) -> float:
    """Return the energy of a frame that holds one, eV; NaN without."""
    results = getattr(atoms.calc, "results", {})
    energy = results.get("energy")
    return float("nan") if energy is None else float(energy)
