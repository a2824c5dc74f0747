"""Calcfunction ``limsm.build_dataset``: labelled trajectories become a split dataset."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms
from pydantic import Field, ValidationError, model_validator

from aiida_limsm.compute.base import LimsmModel, first_error
from aiida_limsm.data.dataset import ReferenceDatasetData

Fraction = Annotated[float, Field(gt=0, lt=1)]


class SplitSettings(LimsmModel):
    """How frames of each trajectory are divided, in order of time.

    ``skip_frames`` are dropped at the start (the crystal is not yet warm), every
    ``stride``-th frame of the rest is kept. The kept frames are cut into consecutive blocks:
    training, then validation, then test, with ``gap_frames`` kept frames dropped between two
    blocks. Frames next to each other in time are nearly equal: a shuffled split would let the
    test frames leak into the training.
    """

    skip_frames: Annotated[int, Field(ge=0)] = 0
    stride: Annotated[int, Field(gt=0)] = 1
    gap_frames: Annotated[int, Field(ge=0)] = 2
    train_fraction: Fraction = 0.7
    valid_fraction: Fraction = 0.1

    @model_validator(mode="after")
    def _leave_a_test_set(self) -> SplitSettings:
        if self.train_fraction + self.valid_fraction >= 1:
            raise ValueError("train_fraction + valid_fraction must leave frames for the test")
        return self

    def blocks(self, frames: int) -> dict[str, list[int]]:
        """Return the frame indices of each split.

        Raises
        ------
        ValueError
            If a block would be empty.
        """
        kept = list(range(self.skip_frames, frames, self.stride))
        usable = len(kept) - 2 * self.gap_frames
        train = round(usable * self.train_fraction)
        valid = round(usable * self.valid_fraction)
        first_valid = train + self.gap_frames
        first_test = first_valid + valid + self.gap_frames
        result = {
            "train": kept[: max(train, 0)],
            "valid": kept[first_valid : first_valid + max(valid, 0)],
            "test": kept[first_test:],
        }
        if usable < 3 or not all(result.values()):
            raise ValueError(
                f"{frames} frames are too few to split with skip_frames={self.skip_frames}, "
                f"stride={self.stride}, gap_frames={self.gap_frames}: run longer or keep more"
            )
        return result


def validate_split(node: orm.Dict | None, _: object) -> str | None:
    """Port validator for a ``SplitSettings`` Dict."""
    if node is not None:
        try:
            SplitSettings.model_validate(node.get_dict())
        except ValidationError as error:
            return f"dataset parameters: {first_error(error)}"
    return None


@calcfunction
def build_dataset(
    parameters: orm.Dict, isolated_atoms: orm.Dict, **trajectories: orm.TrajectoryData
) -> ReferenceDatasetData:
    """Label, split and join the frames of ab initio MD trajectories.

    Parameters
    ----------
    parameters
        Fields of :class:`SplitSettings`.
    isolated_atoms
        Isolated-atom energies (eV) per element, of the same DFT settings.
    **trajectories
        Joined trajectories of AimdWorkChain; the link label names the source.

    Raises
    ------
    ValueError
        If the trajectories were made with different DFT settings, or are too short.
    """
    split = SplitSettings.model_validate(parameters.get_dict())
    sources = sorted(trajectories)
    settings = [trajectories[name].base.attributes.get("dft_settings", None) for name in sources]
    for name, found in zip(sources, settings, strict=True):
        if found is None:
            raise ValueError(
                f"{name} does not say its DFT settings: give trajectories joined by AimdWorkChain"
            )
    for name, other in zip(sources[1:], settings[1:], strict=True):
        keys = sorted({*settings[0], *other})
        differing = [key for key in keys if settings[0].get(key) != other.get(key)]
        if differing:
            raise ValueError(
                f"{name} and {sources[0]} differ in {', '.join(differing)}: their energies "
                "cannot be one reference"
            )
    splits: dict[str, list[Atoms]] = {"train": [], "valid": [], "test": []}
    for index, name in enumerate(sources):
        trajectory = trajectories[name]
        frames = labelled_frames(trajectory, index)
        for label, indices in split.blocks(len(frames)).items():
            splits[label] += [frames[i] for i in indices]
    return ReferenceDatasetData(splits, isolated_atoms.get_dict(), settings[0], sources=sources)


def labelled_frames(trajectory: orm.TrajectoryData, source: int) -> list[Atoms]:
    """Return the frames of a joined trajectory as ASE Atoms with MACE's label keys."""
    positions, cells = trajectory.get_array("positions"), trajectory.get_array("cells")
    energies = trajectory.get_array("energies_ev")
    forces = trajectory.get_array("forces_ev_per_angstrom")
    names = trajectory.get_arraynames()
    stress = (
        trajectory.get_array("stress_ev_per_angstrom3")
        if "stress_ev_per_angstrom3" in names
        else None
    )
    frames = []
    for index in range(len(positions)):
        atoms = Atoms(trajectory.symbols, positions[index], cell=cells[index], pbc=True)
        atoms.info["REF_energy"] = float(energies[index])
        atoms.arrays["REF_forces"] = np.array(forces[index])
        if stress is not None:
            symmetric = 0.5 * (stress[index] + stress[index].T)
            atoms.info["REF_stress"] = symmetric.reshape(9)
        atoms.info["source_index"] = source
        atoms.info["frame_index"] = index
        frames.append(atoms)
    return frames
