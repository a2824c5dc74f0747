"""Frames of trajectory files in other formats, one by one, through the readers of ASE."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

__all__ = ["iter_frames", "last_frame_is_cut"]

PIECE_FRAMES = 200
"""Frames of a text file handed to ASE at a time: its readers go through all that they get first."""

CONFIGURATION = "Direct configuration"
LAMMPS_DUMP = "lammps-dump-text"
XDATCAR = "vasp-xdatcar"
EXTXYZ = "extxyz"
INCOMPLETE = "the frame is incomplete"
PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}
"""Endings of compressed files, and the modules of the standard library that open them."""


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
    elif form in TEXTS:
        with _open_text(source) as file:
            for piece in _pieces(TEXTS[form](file)):
                yield from iread(io.StringIO(piece), index=":", format=form)
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
    if file_format(source) not in (LAMMPS_DUMP, *TEXTS) or source.suffix in PACKED:
        return False
    with source.open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return file.read(1) != b"\n"


def _open_text(source: Path) -> TextIO:
    """Open a text file, compressed or not."""
    if source.suffix not in PACKED:
        return source.open(encoding="utf-8")
    import importlib

    opened: TextIO = importlib.import_module(PACKED[source.suffix]).open(
        source, "rt", encoding="utf-8"
    )
    return opened


def _lammps_dump(source: Path, species_order: Sequence[str] | None) -> Iterator[Any]:
    """Yield the frames of a LAMMPS text dump, atoms sorted by id."""
    from ase.io.lammpsrun import iread_lammps_dump_text

    with _open_text(source) as file:
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


def _pieces(frames: Iterator[str]) -> Iterator[str]:
    """Join the texts of frames, some at a time; those before an error come before it."""
    piece: list[str] = []
    try:
        for frame in frames:
            piece.append(frame)
            if len(piece) == PIECE_FRAMES:
                yield "".join(piece)
                piece = []
    except ValueError:
        if piece:
            yield "".join(piece)
        raise
    if piece:
        yield "".join(piece)


def _xyz_texts(file: TextIO) -> Iterator[str]:
    """Yield the text of every frame of an extended XYZ file.

    ASE's own chunk reader (3.29, ``iread_xyz``) takes the first digit for the number of atoms.
    """
    while (head := file.readline()).strip():
        rows = [file.readline() for _ in range(int(head) + 1)]
        if not rows[-1]:
            raise ValueError(INCOMPLETE)
        yield "".join([head, *rows])


def _xdatcar_texts(file: TextIO) -> Iterator[str]:
    """Yield every frame of an XDATCAR as a text with a header of its own."""
    header: list[str] = []
    atoms = 0
    while line := file.readline():
        if CONFIGURATION not in line:  # variable cells come with a header each
            header = [line, *(file.readline() for _ in range(6))]
            if not "".join(header).strip():
                return
            if not header[-1].strip():
                raise ValueError(INCOMPLETE)
            atoms = sum(int(word) for word in header[-1].split())
            continue
        rows = [file.readline() for _ in range(atoms)]
        if len(rows[-1].split()) < 3:
            raise ValueError(INCOMPLETE)
        yield "".join([*header, line, *rows])


TEXTS: dict[str, Callable[[TextIO], Iterator[str]]] = {
    EXTXYZ: _xyz_texts,
    XDATCAR: _xdatcar_texts,
}
