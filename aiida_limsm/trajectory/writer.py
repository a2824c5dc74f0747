"""Write H5MD files that MDAnalysis, znh5md and this package read.

Layout (H5MD 1.1, de Buyl, Colberg & Höfling, Comput. Phys. Commun. 185, 1546 (2014))::

    /h5md                                        version, author, creator
    /particles/all/position/{value,step,time}    unwrapped, Å, float32; time in ps
    /particles/all/species/{value,step,time}     atomic numbers
    /particles/all/box/edges/{value,step,time}   rows are the cell vectors, Å
    /particles/all/{velocity,forces}             optional, Å/ps and eV/Å
    /observables/{temperature,potential_energy,stress}   optional, K, eV, eV/Å³

``step`` and ``time`` are one dataset each, linked from everywhere; ``time`` counts from the first
frame. Species and a constant cell are stored for every frame, packed, because other readers want
them so. Files hold no dates: the same frames give the same bytes.

Forces are in a group ``forces``: MDAnalysis refuses files whose ``force`` is in eV/Å.

The HDF5 1.10 format is used: its chunk index grows at the end and never moves, so that what a cut
copy holds can still be found (see :mod:`aiida_limsm.trajectory.salvage`). Writing goes by HDF5's
single-writer rules (SWMR): the file can be read meanwhile, and after its writer was killed.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import numpy.typing as npt

from ..files import disk_errors
from .columns import Column, ConstantColumn

__all__ = ["CREATOR", "H5mdFile"]

CREATOR = "aiida-limsm"
PARTICLES = "particles/all"

#: name: (group, unit); velocities and forces have a row per atom
_FIELDS = {
    "temperature": ("observables/temperature", "K"),
    "potential_energy": ("observables/potential_energy", "eV"),
    "stress": ("observables/stress", "eV Angstrom-3"),
    "velocity": (f"{PARTICLES}/velocity", "Angstrom ps-1"),
    "forces": (f"{PARTICLES}/forces", "eV Angstrom-1"),
}

FLUSH_BYTES = 1 << 25
"""Frames are handed to the operating system each time they make so many bytes."""


class H5mdFile:
    """A file being written, frames appended; made whole by :meth:`close`.

    Parameters
    ----------
    path
        Where; overwritten.
    numbers
        Atomic numbers, (n_atoms,).
    cell
        Rows are the cell vectors, Å; None where :meth:`append` gets a cell for every frame.
    frame_interval_ps
        Time between frames.
    first_frame
        Number of the first frame in the whole trajectory.
    observables
        Whether temperature and potential energy are kept.
    fields
        What else is kept: ``velocity``, ``forces``, ``stress``.
    framework_at_rest
        Positions have the framework's drift taken off: what reads them needs no framework atoms.
    """

    def __init__(
        self,
        path: Path,
        numbers: npt.ArrayLike,
        cell: npt.ArrayLike | None,
        frame_interval_ps: float,
        first_frame: int = 0,
        observables: bool = True,
        fields: Collection[str] = (),
        framework_at_rest: bool = False,
    ) -> None:
        species = np.asarray(numbers, dtype=np.int32)
        names = [*(("temperature", "potential_energy") if observables else ()), *fields]
        if unknown := set(names) - set(_FIELDS):
            raise ValueError(
                f"fields: {', '.join(sorted(unknown))} is none of {', '.join(_FIELDS)}"
            )
        file = h5py.File(path, "w", libver=("v110", "v110"))
        header = file.create_group("h5md")
        header.attrs["version"] = np.array([1, 1], dtype=np.int32)
        header.create_group("author").attrs["name"] = CREATOR
        creator = header.create_group("creator")
        creator.attrs["name"] = CREATOR
        creator.attrs["version"] = "2"
        particles = file.create_group(PARTICLES)
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic"] * 3
        position = particles.create_group("position")
        position.attrs["frame_interval_ps"] = frame_interval_ps
        position.attrs["first_frame"] = first_frame
        if framework_at_rest:
            position.attrs["framework_at_rest"] = True
        edges = box.create_group("edges")
        self._columns = {
            "value": Column.create(position, "value", (len(species), 3), np.float32, "Angstrom"),
            "step": Column.create(position, "step", (), np.int64),
            "time": Column.create(position, "time", (), np.float64, "ps"),
        }
        self._constant = [
            ConstantColumn.create(particles.create_group("species"), "value", species, np.int32)
        ]
        if cell is None:
            self._columns["cell"] = Column.create(edges, "value", (3, 3), np.float64, "Angstrom")
        else:
            self._constant.append(
                ConstantColumn.create(edges, "value", cell, np.float64, "Angstrom")
            )
        for name in names:
            group, unit = _FIELDS[name]
            shape: tuple[int, ...] = {"stress": (3, 3)}.get(name, ())
            kind: type = np.float64
            if name in ("velocity", "forces"):
                shape, kind = (len(species), 3), np.float32
            self._columns[name] = Column.create(
                file.create_group(group), "value", shape, kind, unit
            )
        for group in ("box/edges", "species", *(f"/{_FIELDS[name][0]}" for name in names)):
            particles[group]["step"] = position["step"]
            particles[group]["time"] = position["time"]
        self._file = file
        self._file.swmr_mode = True
        self._interval = frame_interval_ps
        self._first_frame = first_frame
        self.n_frames = 0

    @property
    def _flush_frames(self) -> int:
        """Frames that make :data:`FLUSH_BYTES`: counted, not timed, so that files are alike."""
        return max(1, FLUSH_BYTES // sum(c.row_bytes for c in self._columns.values()))

    @classmethod
    def append_to(cls, path: Path) -> H5mdFile:
        """Open a closed file of ours to append frames after its last.

        What the file keeps (observables, velocities, forces) must be given for new frames as well.
        Frames it holds stay readable whenever the writing process dies.

        Raises
        ------
        ValueError
            The file is not ours, not whole or without frames.
        """
        try:
            file = h5py.File(path, "r+", libver=("v110", "v110"))
        except OSError as error:
            raise ValueError(
                f"{path} cannot be appended to ({error}): save what it holds with "
                f"`limsm convert {path.name} new.h5` first"
            ) from error
        try:
            position = file[f"{PARTICLES}/position"]
            self = cls.__new__(cls)
            self._interval = float(position.attrs["frame_interval_ps"])
            self._first_frame = int(position.attrs["first_frame"])
            self.n_frames = int(position["value"].shape[0])
            self._columns = {name: Column(position[name]) for name in ("value", "step", "time")}
            self._constant = []
            species, edges = (
                file[f"{PARTICLES}/{name}/value"] for name in ("species", "box/edges")
            )
            if edges.attrs.get("constant", False):
                self._constant.append(ConstantColumn(edges, edges[0]))
            else:
                self._columns["cell"] = Column(edges)
            self._constant.append(ConstantColumn(species, species[0]))
            for name, (group, _) in _FIELDS.items():
                if group in file:
                    self._columns[name] = Column(file[group]["value"])
        except (KeyError, IndexError, ValueError) as error:
            file.close()
            raise ValueError(
                f"{path} was not written by this version of {CREATOR}: make a new file with "
                f"`limsm convert {path.name} new.h5` first"
            ) from error
        file.swmr_mode = True
        self._file = file
        return self

    def __enter__(self) -> H5mdFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(OSError):  # the error at hand is the one to tell
            self.close(sync=False)

    def append(
        self,
        positions: npt.ArrayLike,
        steps: npt.ArrayLike,
        temperatures: npt.ArrayLike | None = None,
        energies: npt.ArrayLike | None = None,
        *,
        cells: npt.ArrayLike | None = None,
        velocities: npt.ArrayLike | None = None,
        forces: npt.ArrayLike | None = None,
        stresses: npt.ArrayLike | None = None,
    ) -> None:
        """Append frames: positions (n, n_atoms, 3), steps (n,) and what else the file keeps.

        A series that the file keeps and that is not given is filled with NaN; a cell must be
        given where it is not constant. What the file does not keep is left out.

        Raises
        ------
        ValueError
            Shapes do not fit, or a cell is missing.
        """
        value = np.asarray(positions, dtype=np.float32)
        frames = self.n_frames + np.arange(len(value))
        given = {
            "value": value,
            "step": steps,
            "time": (self._first_frame + frames) * self._interval,
            "temperature": temperatures,
            "potential_energy": energies,
            "cell": cells,
            "velocity": velocities,
            "forces": forces,
            "stress": stresses,
        }
        if cells is None and "cell" in self._columns:
            raise ValueError("this file keeps a cell per frame: give cells")
        rows = {}
        for name, column in self._columns.items():
            shape = (len(value), *column.dataset.shape[1:])
            data = np.nan if given[name] is None else given[name]
            array = np.asarray(data, dtype=column.dataset.dtype)
            if given[name] is not None and array.shape != shape:
                raise ValueError(f"{name}: shape {shape} wanted, got {array.shape}")
            rows[name] = np.broadcast_to(array, shape)
        # Columns take turns wherever a chunk of one of them is full, so that the order of chunks in
        # the file does not depend on how frames were handed over.
        turns = {self._flush_frames, *(len(c.chunk) for c in self._columns.values())}
        done = 0
        while done < len(value):
            part = min(len(value) - done, *(turn - self.n_frames % turn for turn in turns))
            for name, array in rows.items():
                self._columns[name].append(array[done : done + part])
            done += part
            self.n_frames += part
            if self.n_frames % self._flush_frames == 0:
                self.flush()

    def flush(self) -> None:
        """Hand all frames to the operating system."""
        for column in self._columns.values():
            column.flush()
        for constant in self._constant:
            constant.grow(self.n_frames)
        self._file.flush()

    def close(self, sync: bool = True) -> None:
        """Write what is left, close the file and wait until it is on the disk.

        Raises
        ------
        OSError
            The disk is full or gone.
        """
        name = self._file.filename
        with disk_errors(name):
            try:
                self.flush()
            finally:
                self._file.close()
        if sync:
            handle = os.open(name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
