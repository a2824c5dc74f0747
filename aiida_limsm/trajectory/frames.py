"""Frames of trajectory files in other formats, one by one, through the readers of ASE."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["iter_frames", "last_frame_is_cut"]

XDATCAR_FRAMES = 200
"""Frames of an XDATCAR handed to ASE at a time: its reader holds all that it gets in memory."""

CONFIGURATION = "Direct configuration"
LAMMPS_DUMP = "lammps-dump-text"
XDATCAR = "vasp-xdatcar"
TEXT_FORMATS = (LAMMPS_DUMP, XDATCAR, "extxyz", "xyz")


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
    else:
        yield from iread(str(source), index=":", format=form)


def file_format(source: Path) -> str:
    """Return ASE's name of a file's format.

    Raises
    ------
    ValueError
        ASE does not know it.
    """
    from ase.io.formats import UnknownFileTypeError, filetype

    try:
        return str(filetype(str(source)))
    except UnknownFileTypeError as error:
        raise ValueError(
            f"{source.name} is in no format that ASE knows: convert it to extended XYZ, XDATCAR, "
            "LAMMPS dump or H5MD"
        ) from error


def last_frame_is_cut(source: Path) -> bool:
    """Tell whether a text file ends within a line, as when its program was killed."""
    if file_format(source) not in TEXT_FORMATS or source.suffix in (".gz", ".bz2", ".xz"):
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


def _xdatcar_pieces(source: Path) -> Iterator[str]:
    """Cut an XDATCAR into texts of a header and some frames each; a frame cut short is left out."""
    with source.open(encoding="utf-8") as file:
        header: list[str] = []
        piece: list[str] = []
        frames, atoms = 0, 0
        while line := file.readline():
            if CONFIGURATION not in line:  # variable cells come with a header each
                header = [line, *(file.readline() for _ in range(6))]
                atoms = sum(int(word) for word in header[6].split())
                piece += header
                continue
            rows = [file.readline() for _ in range(atoms)]
            if len(rows[-1].split()) < 3:
                break
            if not piece:
                piece += header
            piece += [line, *rows]
            frames += 1
            if frames % XDATCAR_FRAMES == 0:
                yield "".join(piece)
                piece = []
        if any(CONFIGURATION in line for line in piece):
            yield "".join(piece)
