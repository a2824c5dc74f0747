"""A molecular dynamics trajectory as a node: the file itself, or where it stays."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from aiida.common.exceptions import NotExistent, ValidationError
from aiida.orm import Data
from numpy.typing import ArrayLike, NDArray

from aiida_limsm.files import sha256_of
from aiida_limsm.report.format import format_table

from ._content import check_only_files, check_stored_sha256

if TYPE_CHECKING:
    from aiida.orm import RemoteData
    from ase import Atoms

    from aiida_limsm.trajectory.h5md import Trajectory


class MolecularDynamicsData(Data):
    """A trajectory in H5MD, with unwrapped positions at equal steps of time.

    Make one with :meth:`from_file` (the file is copied into the repository) or with
    :meth:`from_remote` (it is too large to copy and stays where it was written).
    """

    #: Name of the file inside the repository, the same everywhere.
    FILENAME = "trajectory.h5"
    # Where a file lies does not say what it holds; its sha256 does.
    _hash_ignored_attributes = ("remote_path",)

    @classmethod
    def from_file(cls, path: str | Path, **kwargs: Any) -> MolecularDynamicsData:
        """Copy an H5MD file into a new node and read the attributes from it.

        Parameters
        ----------
        path : str or Path
            File written by :mod:`aiida_limsm.trajectory`.
        """
        from aiida_limsm.trajectory.h5md import Trajectory

        path = Path(path).resolve()
        node = cls(**kwargs)
        with Trajectory(path) as trajectory:
            node._set_content(
                "repository",
                symbols=trajectory.symbols,
                n_frames=trajectory.n_frames,
                cell_angstrom=trajectory.cell,
                frame_interval_ps=trajectory.frame_interval_ps,
                temperature_k=trajectory.mean_temperature_k(),
                sha256=sha256_of(path),
            )
        node.base.repository.put_object_from_file(str(path), cls.FILENAME)
        return node

    @classmethod
    def from_remote(
        cls,
        remote_data: RemoteData,
        relative_path: str,
        *,
        sha256: str,
        symbols: Sequence[str],
        n_frames: int,
        cell_angstrom: ArrayLike,
        frame_interval_ps: float,
        temperature_k: float | None = None,
        **kwargs: Any,
    ) -> MolecularDynamicsData:
        """Make a node that points to a trajectory in a remote folder.

        Parameters
        ----------
        remote_data : RemoteData
            Folder of the calculation that wrote it.
        relative_path : str
            Path of the H5MD file inside that folder.
        sha256, n_frames, frame_interval_ps, temperature_k
            As the job reported them (:class:`aiida_limsm.compute.results.MdResults`).
        symbols : sequence of str
            Chemical symbol of every atom.
        cell_angstrom : array_like, shape (3, 3)
            The cell, rows are lattice vectors.
        """
        if posixpath.isabs(relative_path) or ".." in relative_path.split("/"):
            raise ValueError(f"relative_path: must lie inside the folder, not '{relative_path}'")
        node = cls(computer=remote_data.computer, **kwargs)
        node._set_content(
            "remote",
            symbols=symbols,
            n_frames=n_frames,
            cell_angstrom=cell_angstrom,
            frame_interval_ps=frame_interval_ps,
            temperature_k=temperature_k,
            sha256=sha256,
        )
        remote_path = posixpath.join(remote_data.get_remote_path(), relative_path)
        node.base.attributes.set("remote_path", remote_path)
        return node

    def _set_content(
        self,
        storage: Literal["repository", "remote"],
        *,
        symbols: Sequence[str],
        n_frames: int,
        cell_angstrom: ArrayLike,
        frame_interval_ps: float,
        temperature_k: float | None,
        sha256: str,
    ) -> None:
        counts = Counter(symbols)
        self.base.attributes.set_many(
            {
                "storage": storage,
                "formula": _hill_formula(counts),
                "symbol_counts": dict(sorted(counts.items())),
                "n_frames": int(n_frames),
                "n_atoms": len(symbols),
                "cell_angstrom": np.asarray(cell_angstrom, dtype=float).tolist(),
                "frame_interval_ps": float(frame_interval_ps),
                # From the first frame to the last: what a mean-square displacement can span.
                "duration_ps": float(frame_interval_ps) * max(int(n_frames) - 1, 0),
                "temperature_k": None if temperature_k is None else float(temperature_k),
                "sha256": str(sha256),
            }
        )

    @property
    def storage(self) -> Literal["repository", "remote"]:
        """Where the file lies."""
        return self.base.attributes.get("storage")

    @property
    def filename(self) -> str:
        """Name of the file inside the repository.

        Raises
        ------
        NotExistent
            When the trajectory stays on its computer.
        """
        self._require_file()
        return self.FILENAME

    @property
    def remote_path(self) -> str | None:
        """Absolute path on :attr:`computer` where the file stays, or None."""
        return self.base.attributes.get("remote_path", None)

    @property
    def formula(self) -> str:
        """Chemical formula of the cell (Hill order)."""
        return str(self.base.attributes.get("formula"))

    @property
    def symbol_counts(self) -> dict[str, int]:
        """Atoms per element."""
        return dict(self.base.attributes.get("symbol_counts"))

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.base.attributes.get("n_frames"))

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.base.attributes.get("n_atoms"))

    @property
    def cell_angstrom(self) -> NDArray[np.float64]:
        """The cell in Å, shape (3, 3)."""
        return np.array(self.base.attributes.get("cell_angstrom"), dtype=float)

    @property
    def frame_interval_ps(self) -> float:
        """Time between frames in ps."""
        return float(self.base.attributes.get("frame_interval_ps"))

    @property
    def duration_ps(self) -> float:
        """Time from the first frame to the last in ps."""
        return float(self.base.attributes.get("duration_ps"))

    @property
    def temperature_k(self) -> float | None:
        """Mean temperature in K, None when it was not recorded."""
        temperature = self.base.attributes.get("temperature_k")
        return None if temperature is None else float(temperature)

    @property
    def sha256(self) -> str:
        """Checksum of the file."""
        return str(self.base.attributes.get("sha256"))

    @contextmanager
    def as_path(self) -> Iterator[Path]:
        """Give the file as a temporary path; it is copied in chunks, never into memory."""
        with self.base.repository.as_path(self.filename) as path:
            yield path

    @contextmanager
    def open(self) -> Iterator[Trajectory]:
        """Open the trajectory for reading frame by frame.

        Raises
        ------
        NotExistent
            When the trajectory stays on its computer.
        """
        from aiida_limsm.trajectory.h5md import Trajectory

        with self.as_path() as path, Trajectory(path) as trajectory:
            yield trajectory

    def get_frames(self, frames: slice = slice(None)) -> list[Atoms]:
        """Return some frames; take a slice with a step, all of a long run do not fit in memory."""
        with self.open() as trajectory:
            return [trajectory.to_ase(i) for i in range(*frames.indices(trajectory.n_frames))]

    def to_ase(self, index: int) -> Atoms:
        """Return one frame; negative indices count from the end."""
        if not -self.n_frames <= index < self.n_frames:
            raise IndexError(f"the trajectory has {self.n_frames} frames, no frame {index}")
        with self.open() as trajectory:
            return trajectory.to_ase(index % self.n_frames)

    def headline(self) -> str:
        """Return one line for a listing."""
        at = "" if self.temperature_k is None else f", {self.temperature_k:.0f} K"
        return f"{self.formula}, {self.n_frames} frames, {self.duration_ps:g} ps{at}"

    def summary(self) -> str:
        """Return a few lines that say what the trajectory holds and where it is."""
        temperature = self.temperature_k
        place = self._place() if self.storage == "remote" else "repository"
        rows = [
            ("cell", f"{self.formula} ({self.n_atoms} atoms)"),
            ("frames", f"{self.n_frames}, every {1000 * self.frame_interval_ps:g} fs"),
            ("length", f"{self.duration_ps:g} ps"),
            ("temperature", "not recorded" if temperature is None else f"{temperature:.0f} K"),
            ("stored in", place),
            ("sha256", self.sha256),
        ]
        return "Molecular dynamics trajectory\n" + format_table(rows)

    def _place(self) -> str:
        computer = self.computer
        return f"{computer.label if computer is not None else '?'}:{self.remote_path}"

    def _require_file(self) -> None:
        if self.storage == "remote":
            raise NotExistent(
                f"the trajectory stays at {self._place()}: analyse it there with `limsm analyse`, "
                "or copy it and make a node with MolecularDynamicsData.from_file"
            )

    def _validate(self) -> bool:
        super()._validate()
        attributes: Mapping[str, Any] = self.base.attributes.all
        storage = attributes.get("storage")
        if storage == "repository":
            check_only_files(self, (self.FILENAME,))
            check_stored_sha256(self, self.FILENAME, self.sha256)
        elif storage == "remote":
            check_only_files(self, ())
            if self.computer is None or not attributes.get("remote_path"):
                raise ValidationError("storage: 'remote' needs a computer and a path")
            if len(self.sha256) != 64:
                raise ValidationError(f"sha256: must be 64 hex digits, not '{self.sha256}'")
        else:
            raise ValidationError("make the node with from_file or from_remote")
        for name in ("n_frames", "n_atoms", "frame_interval_ps"):
            if not attributes[name] > 0:
                raise ValidationError(f"{name}: must be positive, not {attributes[name]}")
        cell = self.cell_angstrom
        if cell.shape != (3, 3) or not np.all(np.isfinite(cell)):
            raise ValidationError("cell_angstrom: must be three finite vectors")
        temperature = self.temperature_k
        if temperature is not None and not temperature >= 0:
            raise ValidationError(f"temperature_k: must not be negative, not {temperature}")
        return True


def _hill_formula(counts: Mapping[str, int]) -> str:
    """Carbon first, then hydrogen, then the alphabet; without carbon the alphabet alone."""
    first = [symbol for symbol in ("C", "H") if "C" in counts and symbol in counts]
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order)
