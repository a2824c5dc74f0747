"""Labelled frames of a TrajectoryData, checked: what ``build_dataset`` takes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from aiida import orm
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_limsm.labels import ENERGY_KEY, FORCES_KEY, STRESS_KEY

from ._duplicates import Geometry
from .dft_settings import differing_settings, merged_settings
from .label import SINGLE_POINTS

FloatArray = NDArray[np.float64]

#: Relative; times are printed with a few digits.
_EQUAL_STEPS = 1e-3


@dataclass(frozen=True)
class LabelledFrames:
    """Frames of one source with their labels.

    Attributes
    ----------
    name
        Link label of the trajectory.
    geometry
        Atoms, cells and positions.
    energies
        In eV, shape (frames,).
    forces
        In eV/Å, shape (frames, atoms, 3).
    stress
        In eV/Å³, tension positive, symmetric, shape (frames, 3, 3); None where there is none.
    is_series
        Whether the frames are equal steps in time; otherwise single points.
    interval_fs
        From frame to frame; None where not said.
    dft_settings
        Behind the labels.
    """

    name: str
    geometry: Geometry
    energies: FloatArray
    forces: FloatArray
    stress: FloatArray | None
    is_series: bool
    interval_fs: float | None
    dft_settings: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.energies)

    @cached_property
    def max_forces(self) -> FloatArray:
        """Longest force vector of each frame, eV/Å."""
        return np.asarray(np.linalg.norm(self.forces, axis=2).max(axis=1))

    def to_atoms(self, index: int, source: int) -> Atoms:
        """Return one frame with MACE's label keys."""
        geometry = self.geometry
        atoms = Atoms(
            geometry.symbols,
            geometry.positions[index],
            cell=geometry.cells[index],
            pbc=geometry.pbc,
        )
        atoms.info[ENERGY_KEY] = float(self.energies[index])
        atoms.arrays[FORCES_KEY] = np.array(self.forces[index])
        if self.stress is not None:
            atoms.info[STRESS_KEY] = self.stress[index].reshape(9)
        atoms.info["source_index"] = source
        atoms.info["frame_index"] = index
        return atoms


def read_labelled(name: str, trajectory: orm.TrajectoryData) -> LabelledFrames:
    """Read and check the frames of one source.

    Parameters
    ----------
    name
        Link label, by which errors name it.
    trajectory
        Of AimdWorkChain or of the label workchain.

    Raises
    ------
    ValueError
        With one line, if labels or settings are missing or cannot be used.
    """
    settings = trajectory.base.attributes.get("dft_settings", None)
    if settings is None:
        raise ValueError(
            f"{name} does not say its DFT settings: give trajectories of limsm.aimd or limsm.label"
        )
    symbols = tuple(trajectory.symbols)
    if unknown := sorted(set(symbols) - set(atomic_numbers)):
        raise ValueError(f"{name}: {', '.join(unknown)} is no chemical symbol")
    positions = _array(name, trajectory, "positions", (None, len(symbols), 3))
    frames = len(positions)
    cells = _array(name, trajectory, "cells", (frames, 3, 3))
    energies = _array(name, trajectory, "energies_ev", (frames,))
    forces = _array(name, trajectory, "forces_ev_per_angstrom", (frames, len(symbols), 3))
    stress = None
    names = trajectory.get_arraynames()
    if "stress_ev_per_angstrom3" in names:
        stress = _array(name, trajectory, "stress_ev_per_angstrom3", (frames, 3, 3))
        stress = 0.5 * (stress + stress.transpose(0, 2, 1))
    volumes = np.abs(np.linalg.det(cells))
    if len(flat := np.flatnonzero(volumes < 1e-6)):
        raise ValueError(f"{name}: the cell of frame {flat[0]} has no volume")
    is_series = trajectory.base.attributes.get("frames_are", None) != SINGLE_POINTS
    times = trajectory.get_array("times") if is_series and "times" in names else None
    return LabelledFrames(
        name=name,
        # None where an AiiDA before 2.8 stored the node
        geometry=Geometry(symbols, tuple(trajectory.pbc or (True,) * 3), positions, cells),
        energies=energies,
        forces=forces,
        stress=stress,
        is_series=is_series,
        interval_fs=None if times is None else _interval_fs(name, times),
        dft_settings=settings,
    )


def _array(
    name: str, trajectory: orm.TrajectoryData, array: str, shape: tuple[int | None, ...]
) -> FloatArray:
    if array not in trajectory.get_arraynames():
        raise ValueError(f"{name} has no '{array}': give trajectories of limsm.aimd or limsm.label")
    values = np.asarray(trajectory.get_array(array), dtype=float)
    wanted = tuple(values.shape[0] if size is None else size for size in shape)
    if values.shape != wanted:
        raise ValueError(f"{name}: '{array}' has shape {values.shape}, not {wanted}")
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not finite.all():
        raise ValueError(f"{name}: '{array}' of frame {np.argmin(finite)} is not finite")
    return values


def _interval_fs(name: str, times_ps: FloatArray) -> float | None:
    if len(times_ps) < 2:
        return None
    steps = np.diff(times_ps)
    mean = float(steps.mean())
    if mean <= 0 or np.abs(steps - mean).max() > _EQUAL_STEPS * mean:
        raise ValueError(f"{name}: its frames are not equal steps in time: time blocks need that")
    return 1000 * mean


def shared_settings(sources: Sequence[LabelledFrames]) -> dict[str, Any]:
    """Return the DFT settings of all sources.

    Raises
    ------
    ValueError
        Naming two sources and the settings in which they differ.
    """
    for number, source in enumerate(sources):
        for other in sources[:number]:
            if differing := differing_settings(other.dft_settings, source.dft_settings):
                raise ValueError(
                    f"{source.name} and {other.name} differ in {', '.join(differing)}: their "
                    "energies cannot be one reference"
                )
    return merged_settings([source.dft_settings for source in sources])
