"""H5MD files of one system: layout, and reading them in chunks.

Layout (H5MD 1.1, de Buyl, Colberg & Höfling, Comput. Phys. Commun. 185, 1546 (2014))::

    /h5md                                    version, author, creator
    /particles/all/species                   atomic numbers (n_atoms,)
    /particles/all/position/{value,step,time}  unwrapped, Å, float32; time in ps
    /particles/all/box/edges                 rows are the cell vectors, Å
    /observables/{temperature,potential_energy}/{value,step,time}   K, eV

``time`` counts from the first frame. Files hold no dates: the same frames give the same bytes.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ase import Atoms

from ..markov.arrays import FloatArray, IntArray

__all__ = ["H5mdFile", "Trajectory"]


CREATOR = "aiida-limsm"
CHUNK_BYTES = 1 << 19


class H5mdFile:
    """A file being written, frames appended; made whole by :meth:`close`.

    Parameters
    ----------
    path
        Where; overwritten.
    numbers
        Atomic numbers, (n_atoms,).
    cell
        Rows are the cell vectors, Å.
    frame_interval_ps
        Time between frames.
    first_frame
        Number of the first frame in the whole trajectory.
    observables
        Whether temperature and potential energy are kept.
    """

    def __init__(
        self,
        path: Path,
        numbers: npt.ArrayLike,
        cell: npt.ArrayLike,
        frame_interval_ps: float,
        first_frame: int = 0,
        observables: bool = True,
    ) -> None:
        species = np.asarray(numbers, dtype=np.int32)
        self._interval = frame_interval_ps
        self._first_frame = first_frame
        self._frames = 0
        self._file = h5py.File(path, "w")
        header = self._file.create_group("h5md")
        header.attrs["version"] = np.array([1, 1], dtype=np.int32)
        header.create_group("author").attrs["name"] = CREATOR
        creator = header.create_group("creator")
        creator.attrs["name"] = CREATOR
        creator.attrs["version"] = "1"
        particles = self._file.create_group("particles/all")
        particles.create_dataset("species", data=species)
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic"] * 3
        edges = box.create_dataset("edges", data=np.asarray(cell, dtype=np.float64))
        edges.attrs["unit"] = "Angstrom"
        position = particles.create_group("position")
        position.attrs["frame_interval_ps"] = frame_interval_ps
        rows = max(1, min(64, CHUNK_BYTES // (12 * len(species))))
        self._value = position.create_dataset(
            "value",
            shape=(0, len(species), 3),
            maxshape=(None, len(species), 3),
            dtype=np.float32,
            chunks=(rows, len(species), 3),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        self._value.attrs["unit"] = "Angstrom"
        self._step = self._series(position, "step", np.int64)
        self._time = self._series(position, "time", np.float64)
        self._time.attrs["unit"] = "ps"
        self._observables: list[Any] = []
        if observables:
            for name, unit in (("temperature", "K"), ("potential_energy", "eV")):
                group = self._file.create_group(f"observables/{name}")
                series = self._series(group, "value", np.float64)
                series.attrs["unit"] = unit
                group["step"] = self._step
                group["time"] = self._time
                self._observables.append(series)

    @staticmethod
    def _series(group: Any, name: str, kind: type) -> Any:
        return group.create_dataset(
            name, shape=(0,), maxshape=(None,), dtype=kind, chunks=(1024,),
            compression="gzip", compression_opts=1, shuffle=True,
        )  # fmt: skip

    def append(
        self,
        positions: npt.ArrayLike,
        steps: npt.ArrayLike,
        temperatures: npt.ArrayLike | None = None,
        energies: npt.ArrayLike | None = None,
    ) -> None:
        """Append frames: positions (n, n_atoms, 3) and series (n,)."""
        value = np.asarray(positions, dtype=np.float32)
        old, new = self._frames, self._frames + len(value)
        for dataset in (self._value, self._step, self._time, *self._observables):
            dataset.resize(new, axis=0)
        self._value[old:new] = value
        self._step[old:new] = np.asarray(steps, dtype=np.int64)
        self._time[old:new] = (self._first_frame + np.arange(old, new)) * self._interval
        for dataset, series in zip(self._observables, (temperatures, energies), strict=False):
            dataset[old:new] = np.asarray(series, dtype=np.float64)
        self._frames = new

    def close(self, sync: bool = True) -> None:
        """Close the file and wait until it is on the disk."""
        name = self._file.filename
        try:
            self._file.close()
        except RuntimeError as error:  # how h5py reports a failed write while closing
            found = re.search(r"errno = (\d+)", str(error))
            number = int(found.group(1)) if found else errno.EIO
            raise OSError(number, os.strerror(number), name) from error
        if sync:
            handle = os.open(name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


class Trajectory:
    """Reads an H5MD trajectory of ours; use as a context manager.

    Raises
    ------
    ValueError
        The file is missing, cut short or none of ours.
    """

    def __init__(
        self,
        path: Path | str,
        frame_interval_ps: float | None = None,
        numbers: IntArray | None = None,
    ) -> None:
        self.path = Path(path)
        self.warnings: tuple[str, ...] = ()
        if not self.path.is_file():
            raise ValueError(f"{self.path} does not exist")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise ValueError(
                f"{self.path} is no HDF5 file, or was cut short while being written"
            ) from error
        try:
            creator = self._file["h5md/creator"].attrs["name"]
            if creator != CREATOR:
                raise ValueError(
                    f"{self.path} was written by {creator}: convert it with `limsm convert`"
                )
            particles = self._file["particles/all"]
            position = particles["position"]
            self._value = position["value"]
            self.frame_interval_ps = float(position.attrs["frame_interval_ps"])
            self.numbers: IntArray = particles["species"][()].astype(np.int64)
            self.cell: FloatArray = particles["box/edges"][()]
            self.steps: IntArray = position["step"][()]
            self.times_ps: FloatArray = position["time"][()]
            lengths = {len(self._value), len(self.steps), len(self.times_ps)}
        except (KeyError, OSError, AttributeError) as error:
            self._file.close()
            raise ValueError(f"{self.path} is no H5MD trajectory of aiida-limsm") from error
        except ValueError:
            self._file.close()
            raise
        if len(lengths) != 1 or self._value.shape[1:] != (len(self.numbers), 3):
            self._file.close()
            raise ValueError(f"{self.path}: positions, steps and times differ in length")

    def __enter__(self) -> Trajectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.steps)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols of the atoms."""
        from ase.data import chemical_symbols

        return [chemical_symbols[number] for number in self.numbers]

    @property
    def temperature_k(self) -> FloatArray | None:
        """Temperature of every frame, K; None where it was not written."""
        return self._observable("temperature")

    @property
    def potential_energy(self) -> FloatArray | None:
        """Potential energy of every frame, eV; None where it was not written."""
        return self._observable("potential_energy")

    def _observable(self, name: str) -> FloatArray | None:
        series = self._file.get(f"observables/{name}/value")
        return None if series is None else np.asarray(series[()], dtype=np.float64)

    def iter_blocks(
        self, memory_mb: float = 4.0, start: int = 0, stop: int | None = None
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Yield consecutive blocks of positions of all atoms, (n, n_atoms, 3), Å, float32."""
        rows = self._value.chunks[0] if self._value.chunks else 1
        step = max(rows, int(memory_mb * 1e6 / (12 * self.n_atoms)) // rows * rows)
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        begin = start
        while begin < end:
            after = min(end, begin + step - begin % rows)
            yield self._value[begin:after]
            begin = after

    def iter_positions(
        self,
        indices: Sequence[int] | IntArray | None = None,
        memory_mb: float = 256,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[FloatArray]:
        """Yield consecutive blocks of unwrapped positions, (n, n_chosen, 3), Å, float64.

        Parameters
        ----------
        indices
            Atoms wanted; all of them where None.
        memory_mb
            Bound of the memory a block takes, reading included.
        start, stop
            First frame, and the one after the last.
        """
        chosen = None if indices is None else np.asarray(indices, dtype=np.int64)
        width = self.n_atoms if chosen is None else len(chosen)
        bytes_per_frame = self.n_atoms * 12 + width * 24
        rows = self._value.chunks[0] if self._value.chunks else 1
        step = max(1, int(memory_mb * 1e6 / bytes_per_frame))
        step = max(rows, step - step % rows)
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        begin = start
        while begin < end:
            # blocks end where a compressed chunk ends, so that none is unpacked twice
            after = min(end, begin + step - begin % rows)
            try:
                block = self._value[begin:after]
            except OSError as error:
                raise ValueError(f"{self.path}: frame {begin} and on cannot be read") from error
            yield (block if chosen is None else block[:, chosen]).astype(np.float64)
            begin = after

    def frame(self, index: int) -> FloatArray:
        """Return the positions of one frame, (n_atoms, 3), Å; negative counts from the end."""
        return np.asarray(self._value[range(self.n_frames)[index]], dtype=np.float64)

    def to_ase(self, index: int) -> Atoms:
        """Return one frame as an ASE structure (unwrapped positions)."""
        from ase import Atoms

        return Atoms(numbers=self.numbers, positions=self.frame(index), cell=self.cell, pbc=True)
