"""Input and results of ``limsm spread``, and the file that it writes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from .base import JobResults, LimsmModel
from .inputs import Device, Dtype, NonNegativeInt, PositiveInt

__all__ = ["SPREAD_FILENAME", "SpreadInput", "SpreadResults"]

SPREAD_FILENAME = "spread.h5"
"""Per frame F of N atoms: ``frame`` (F,), ``positions`` (F, N, 3) in Å and ``cell`` (F, 3, 3); per
atom ``spread`` (F, N) and ``force``, the length of the mean force, (F, N), in eV/Å; ``numbers``
(N,)."""


class SpreadInput(LimsmModel):
    """Spread of the forces of a committee on the frames of a trajectory, which need no labels.

    ``potential_files`` are trained alike with other seeds or on other frames. Every
    ``frame_stride``-th frame from ``skip_frames`` on is used.
    """

    potential_files: Annotated[tuple[str, ...], Field(min_length=2)]
    head: str | None = None
    trajectory_file: str = "trajectory.h5"
    skip_frames: NonNegativeInt = 0
    frame_stride: PositiveInt = 1
    device: Device = "cpu"
    dtype: Dtype = "float64"
    threads: PositiveInt = 1

    @model_validator(mode="after")
    def _each_once(self) -> SpreadInput:
        if len(set(self.potential_files)) < len(self.potential_files):
            raise ValueError("potential_files: each only once")
        return self


class SpreadResults(JobResults):
    """Result of ``limsm spread``; atoms and frames one by one are in ``spread_file``.

    ``largest`` are statistics over frames of the largest spread of an atom in the frame.
    """

    spread_file: str | None = None
    members: int = 0
    frames: int = 0
    atoms: int = 0
    rms_spread_mev_per_angstrom: float | None = None
    median_largest_spread_mev_per_angstrom: float | None = None
    max_largest_spread_mev_per_angstrom: float | None = None
    wall_seconds: float = 0.0
