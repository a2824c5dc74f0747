"""Frames of trajectory files in other formats, one by one, through the readers of ASE."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["iter_frames", "last_frame_is_cut"]

PIECE_FRAMES = 200
"""Frames of a text file handed to ASE at a time: its readers go through all that they get first."""

CONFIGURATION = "Direct configuration"
LAMMPS_DUMP = "lammps-dump-text"
XDATCAR = "vasp-xdatcar"
EXTXYZ = "extxyz"
TEXT_FORMATS = (LAMMPS_DUMP, XDATCAR, EXTXYZ)
PACKED = (".gz", ".bz2", ".xz")


def iter_frames(source: Path, species_order: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield ASE structures of a file; memory does not grow with its length (pw.x output aside).

    Parameters
    ----------
    source
        Extended XYZ, ASE .traj, XDATCAR, LAMMPS dump, pw.x output or what else ASE reads.
    species_order
        Elements of the atom types 1, 2, … of a LAMMPS dump without elements.

    Raises
    ------
    ValueError
        The format is not known.
    """
    from ase.io import iread

    form = file_format(source)
    if form == LAMMPS_DUMP:
        yield from _lammps_dump(source, species_order)
    elif form == XDATCAR:
        for piece in _xdatcar_pieces(source):
            yield from iread(io.StringIO(piece), index=":", format=XDATCAR)
    elif form == EXTXYZ and source.suffix not in PACKED:
        for piece in _xyz_pieces(source):
            yield from iread(io.StringIO(piece), index=":", format=EXTXYZ)
    else:
        yield from iread(str(source), index=":", format=form)


def file_format(source: Path) -> str:
    """Return ASE's name of a file's format.

    Raises
    ------
    ValueError
        ASE does not know it.
    """
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    try:
        form = str(filetype(str(source)))
    except UnknownFileTypeError:
        form = ""
    if form not in ioformats:
        raise ValueError(
            f"{source.name} is in no format that ASE knows: convert it to extended XYZ, XDATCAR, "
            "LAMMPS dump or H5MD"
        )
    return form


def last_frame_is_cut(source: Path) -> bool:
    """Tell whether a text file ends within a line, as when its program was killed."""
    if file_format(source) not in TEXT_FORMATS or source.suffix in PACKED:
        return False
    with source.open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return file.read(1) != b"\n"


def _lammps_dump(source: Path, species_order: Sequence[str] | None) -> Iterator[Any]:
    """Yield the frames of a LAMMPS text dump, atoms sorted by id."""
    from ase.io.lammpsrun import iread_lammps_dump_text

    with source.open(encoding="utf-8") as file:
        columns = next((line.split()[2:] for line in file if line.startswith("ITEM: ATOMS")), [])
        if not {"element", "mass"} & set(columns) and species_order is None:
            raise ValueError(
                f"{source.name} numbers its atom types: name them with --species-order Li,Si "
                "(type 1, type 2, …)"
            )
        if "id" not in columns:
            raise ValueError(
                f"{source.name} has no atom ids, so that atoms cannot be followed: dump them with "
                "'dump_modify ID sort id' and the column id"
            )
        file.seek(0)
        for atoms in iread_lammps_dump_text(
            file, index=slice(None), specorder=list(species_order) if species_order else None
        ):
            # the box may start anywhere; ASE keeps that apart
            atoms.positions -= np.ravel(atoms.get_celldisp())  # type: ignore[no-untyped-call]
            yield atoms


def _xyz_pieces(source: Path) -> Iterator[str]:
    """Cut an extended XYZ file into texts of some frames each.

    ASE's own chunk reader (3.29, ``iread_xyz``) takes the first digit for the number of atoms.

    Raises
    ------
    ValueError
        The last frame is incomplete; those before have been yielded.
    """
    with source.open(encoding="utf-8") as file:
        piece: list[str] = []
        frames, complete = 0, True
        while complete and (head := file.readline()).strip():
            rows = [head, *(file.readline() for _ in range(int(head) + 1))]
            complete = bool(rows[-1])
            if complete:
                piece += rows
                frames += 1
            if piece and (frames % PIECE_FRAMES == 0 or not complete):
                yield "".join(piece)
                piece = []
        if piece:
            yield "".join(piece)
        if not complete:
            raise ValueError("the frame is incomplete")


def _xdatcar_pieces(source: Path) -> Iterator[str]:
    """Cut an XDATCAR into texts of a header and some frames each.

    Raises
    ------
    ValueError
        The last frame is incomplete; those before have been yielded.
    """
    with source.open(encoding="utf-8") as file:
        header: list[str] = []
        piece: list[str] = []
        frames, atoms, fresh, complete = 0, 0, True, True
        while complete and (line := file.readline()):
            if CONFIGURATION not in line:  # variable cells come with a header each
                header = [line, *(file.readline() for _ in range(6))]
                if not "".join(header).strip():
                    break
                complete = bool(header[-1].strip())
                atoms = sum(int(word) for word in header[-1].split())
                fresh = True
                continue
            rows = [file.readline() for _ in range(atoms)]
            complete = len(rows[-1].split()) >= 3
            if complete:
                piece += [*(header if fresh or not piece else ()), line, *rows]
                frames, fresh = frames + 1, False
            if piece and (frames % PIECE_FRAMES == 0 or not complete):
                yield "".join(piece)
                piece = []
        if piece:
            yield "".join(piece)
        if not complete:
            raise ValueError("the frame is incomplete")
