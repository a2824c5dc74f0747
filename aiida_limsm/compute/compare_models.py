"""Input and results of ``limsm compare``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import JobResults, LimsmModel
from .inputs import NonNegative, Positive, Symbol

__all__ = [
    "COMPARISON_FILENAME", "CompareInput", "CompareResults", "CurveOverlap", "HighestPeak",
    "SourceSummary",
]  # fmt: skip

COMPARISON_FILENAME = "comparison.h5"


class CompareInput(LimsmModel):
    """Radial distribution functions and vibrational densities of states of trajectories.

    ``labels`` name the trajectories, one each; without them their file names do.
    ``frame_intervals_fs`` gives the time between frames where files hold none: one value for all
    of them, or one per trajectory, null where the file knows. ``r_max_angstrom`` may exceed half
    the cell: periodic images are counted. ``vdos`` ``auto`` leaves out, with the reason, the
    density of states of a trajectory whose frames are too far apart or too few; ``required``
    refuses it. ``max_frequency_thz`` is what frames must resolve (None: by the elements, 25 THz for
    Li and Si, 70 with B, C, N, O or F, 130 with H) and the end of the axis. ``resolution_thz`` is
    the width of a sharp line; short trajectories give less.
    """

    trajectory_files: Annotated[tuple[str, ...], Field(min_length=1)]
    labels: tuple[Annotated[str, Field(min_length=1, pattern="^[^/]+$")], ...] = ()
    frame_intervals_fs: tuple[Positive | None, ...] = ()
    topology_file: str | None = None
    species_order: tuple[Symbol, ...] | None = None
    skip_ps: NonNegative = 0.0
    r_max_angstrom: Annotated[float, Field(gt=0, le=100)] = 8.0
    bin_width_angstrom: Positive = 0.05
    vdos: Literal["auto", "required", "off"] = "auto"
    max_frequency_thz: Positive | None = None
    resolution_thz: Positive = 0.5
    time_blocks: Annotated[int, Field(ge=2, le=100)] = 8

    @model_validator(mode="after")
    def _one_per_trajectory(self) -> CompareInput:
        number = len(self.trajectory_files)
        if self.labels and len(self.labels) != number:
            raise ValueError(f"labels: give {number}, one per trajectory, not {len(self.labels)}")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: each must be another")
        if len(self.frame_intervals_fs) not in (0, 1, number):
            raise ValueError(
                f"frame_intervals_fs: give one, or {number}, one per trajectory, not "
                f"{len(self.frame_intervals_fs)}"
            )
        return self

    def interval_fs(self, index: int) -> float | None:
        """Return the frame interval given for a trajectory."""
        given = self.frame_intervals_fs
        return None if not given else given[index if len(given) > 1 else 0]


class HighestPeak(LimsmModel):
    """Where g(r) is highest."""

    r_angstrom: float
    g: float


class SourceSummary(LimsmModel):
    """One trajectory.

    ``rdf_halves`` and ``vdos_halves`` are the overlaps of its first with its second half: noise and
    drift alone keep other trajectories of this length below about that. ``vdos_from`` says whether
    velocities were in the file; ``no_vdos`` why there is no density of states.
    """

    label: str
    file: str
    symbol_counts: dict[str, int]
    frames: int
    frame_interval_fs: float | None = None
    duration_ps: float | None = None
    temperature_k: float | None = None
    atoms_per_angstrom3: float
    highest_peaks: dict[str, HighestPeak] = {}
    rdf_halves: dict[str, float] = {}
    vdos_halves: dict[str, float] = {}
    vdos_from: Literal["velocities", "positions"] | None = None
    no_vdos: str = ""


class CurveOverlap(LimsmModel):
    """How alike the curves of two trajectories are.

    ``name`` is an element pair for ``rdf``; an element, or ``all``, for ``vdos``.
    ``overlap`` is 2 ∫ min(p, q) / ∫ (p + q). ``mean_absolute_difference`` is that of g(r) up to the
    largest distance, or of the density of states in 1/THz. Errors are standard errors from blocks
    of time; None where there were too few frames.
    """

    quantity: Literal["rdf", "vdos"]
    name: str
    first: str
    second: str
    overlap: float
    overlap_error: float | None = None
    mean_absolute_difference: float
    mean_absolute_difference_error: float | None = None


class CompareResults(JobResults):
    """Result of ``limsm compare``; the curves are in ``curves_file``."""

    curves_file: str | None = None
    figures: tuple[str, ...] = ()
    sources: tuple[SourceSummary, ...] = ()
    overlaps: tuple[CurveOverlap, ...] = ()
    r_max_angstrom: float | None = None
    bin_width_angstrom: float | None = None
    max_frequency_thz: float | None = None
    resolution_thz: float | None = None
    wall_seconds: float = 0.0
