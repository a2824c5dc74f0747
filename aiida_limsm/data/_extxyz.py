"""Labelled frames as extxyz text that loses no digit.

ASE's own writer rounds positions and forces to eight decimals, so a frame read back is another
frame. This one writes the shortest text that gives the same float64 again, in a fixed order, so
that equal frames are equal bytes. MACE and ASE read it as any extxyz.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

import numpy as np

from aiida_limsm.labels import ENERGY_KEY, FORCES_KEY, STRESS_KEY

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

SOURCE_KEY = "source_index"
FRAME_KEY = "frame_index"
#: Further keys of ``Atoms.info`` that are kept: MACE knows them.
TEXT_KEYS = ("config_type", "head")
_WORD = re.compile(r"^[A-Za-z0-9_.+-]+$")
#: Words that ASE would read back as booleans.
_BOOLEANS = {"T", "F", "true", "false", "True", "False", "TRUE", "FALSE"}
_ORIGIN = re.compile(rf" {SOURCE_KEY}=(\d+) {FRAME_KEY}=(\d+) ")


class FrameError(ValueError):
    """A frame lacks a label or carries one that cannot be used."""


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(repr(value) for value in np.ravel(values).tolist())


def _index(atoms: Atoms, key: str) -> int:
    value = atoms.info.get(key)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise FrameError(f"info['{key}'] must be a whole number from 0, not {value!r}")
    return int(value)


def _is_text(value: object) -> bool:
    """Whether ASE reads a value back as the same text: one word, no number, no boolean."""
    if not isinstance(value, str) or not _WORD.match(value) or value in _BOOLEANS:
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


def frame_id(atoms: Atoms) -> tuple[int, int]:
    """Return where a frame comes from: index of its source and of the frame therein."""
    return _index(atoms, SOURCE_KEY), _index(atoms, FRAME_KEY)


def energy_of(atoms: Atoms) -> float:
    """Return the reference energy in eV."""
    try:
        energy = float(atoms.info[ENERGY_KEY])
    except (KeyError, TypeError, ValueError):
        raise FrameError(f"no number in info['{ENERGY_KEY}']") from None
    if not np.isfinite(energy):
        raise FrameError(f"info['{ENERGY_KEY}'] is {energy}")
    return energy


def forces_of(atoms: Atoms) -> NDArray[np.float64]:
    """Return the reference forces in eV/Å, shape (atoms, 3)."""
    if FORCES_KEY not in atoms.arrays:
        raise FrameError(f"no arrays['{FORCES_KEY}']")
    forces = np.asarray(atoms.arrays[FORCES_KEY], dtype=float)
    if forces.shape != (len(atoms), 3):
        raise FrameError(f"arrays['{FORCES_KEY}'] has shape {forces.shape}, not ({len(atoms)}, 3)")
    if not np.all(np.isfinite(forces)):
        raise FrameError(f"arrays['{FORCES_KEY}'] holds numbers that are not finite")
    return forces


def stress_of(atoms: Atoms) -> NDArray[np.float64] | None:
    """Return the reference stress in eV/Å³ (tension positive) as nine numbers, or None."""
    value = atoms.info.get(STRESS_KEY)
    if value is None:
        return None
    stress = np.asarray(value, dtype=float)
    if stress.shape not in ((9,), (3, 3)):
        raise FrameError(f"info['{STRESS_KEY}'] has shape {stress.shape}, not (9,) or (3, 3)")
    if not np.all(np.isfinite(stress)):
        raise FrameError(f"info['{STRESS_KEY}'] holds numbers that are not finite")
    return stress.reshape(9)


def frame_to_text(atoms: Atoms) -> str:
    """Write one labelled frame as extxyz text.

    Raises
    ------
    FrameError
        When a label is missing, has the wrong shape or is not finite.
    """
    energy, forces, stress = energy_of(atoms), forces_of(atoms), stress_of(atoms)
    source_index, frame_index = frame_id(atoms)
    positions = np.asarray(atoms.positions, dtype=float)
    if not np.all(np.isfinite(positions)) or not np.all(np.isfinite(atoms.cell.array)):
        raise FrameError("positions or cell hold numbers that are not finite")

    header = [
        f'Lattice="{_numbers(atoms.cell.array)}"',
        f"Properties=species:S:1:pos:R:3:{FORCES_KEY}:R:3",
        f"{ENERGY_KEY}={energy!r}",
    ]
    if stress is not None:
        header.append(f'{STRESS_KEY}="{_numbers(stress)}"')
    for key in TEXT_KEYS:
        if (text := atoms.info.get(key)) is not None:
            if not _is_text(text):
                raise FrameError(f"info['{key}'] must be one word, not {text!r}")
            header.append(f"{key}={text}")
    header += [f"{SOURCE_KEY}={source_index}", f"{FRAME_KEY}={frame_index}"]
    header.append('pbc="{}"'.format(" ".join("T" if periodic else "F" for periodic in atoms.pbc)))

    lines = [str(len(atoms)), " ".join(header)]
    rows = np.hstack([positions, forces])
    lines += [f"{symbol} {_numbers(row)}" for symbol, row in zip(atoms.symbols, rows, strict=True)]
    return "\n".join(lines) + "\n"


def read_frame_ids(lines: Iterable[str]) -> list[tuple[int, int]]:
    """Return what :func:`frame_id` gives for each frame of a text that this module wrote."""
    matches = (_ORIGIN.search(line) for line in lines)
    return [(int(match[1]), int(match[2])) for match in matches if match]


def iterate_frames(handle: TextIO) -> Iterator[Atoms]:
    """Read frames of an extxyz text one by one, as ASE (and so MACE) understands it."""
    from ase.io import iread

    if not handle.read(1):
        return
    handle.seek(0)
    for atoms in iread(handle, index=":", format="extxyz"):
        for key in (SOURCE_KEY, FRAME_KEY):
            atoms.info[key] = int(atoms.info[key])
        atoms.info[ENERGY_KEY] = float(atoms.info[ENERGY_KEY])
        yield atoms
