"""Inputs of the ``limsm`` jobs: one pydantic model per job, the contract between the worlds.

A CalcJob builds one of these from its nodes and validates it at submission; the compute node
reads it back from ``input.json`` with the same class. Importing this module is cheap: no torch,
no ASE, no AiiDA.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .base import MODEL_FILENAME, LimsmModel

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
_SYMBOL = r"^[A-Z][a-z]?$"


def _symbol(text: str) -> str:
    if not re.match(_SYMBOL, text):
        raise ValueError(f"'{text}' is no symbol of an element, such as Li")
    return text


Symbol = Annotated[str, AfterValidator(_symbol), Field(json_schema_extra={"pattern": _SYMBOL})]
#: Arguments of mace_run_train that decide where ``limsm train`` finds its files.
_OWN_ARGUMENTS = {
    "name", "work_dir", "model_dir", "checkpoints_dir", "results_dir", "train_file", "valid_file",
    "foundation_model", "E0s", "restart_latest",
}  # fmt: skip
Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "float64"]


class MdInput(LimsmModel):
    """Molecular dynamics of one cell with a machine-learned force field.

    ``steps`` counts production steps; ``equilibration_steps`` come before them and are not
    written. Frames hold unwrapped positions every ``frame_interval_steps``. Asking more ``steps``
    of a folder with a checkpoint continues it.
    """

    potential_file: str = "potential.model"
    head: str | None = None
    structure_file: str = "structure.extxyz"
    temperature_k: Positive
    thermostat: Literal["langevin", "nve"] = "langevin"
    friction_per_ps: Positive = 2.0
    time_step_fs: Annotated[float, Field(gt=0, le=10)] = 2.0
    steps: PositiveInt
    equilibration_steps: NonNegativeInt = 0
    frame_interval_steps: PositiveInt = 10
    checkpoint_interval_steps: PositiveInt = 2000
    seed: Seed = 0
    mobile_species: Symbol = "Li"
    max_framework_msd_angstrom2: Positive | None = None
    max_force_ev_per_angstrom: Positive = 50.0
    max_temperature_factor: Annotated[float, Field(gt=1)] = 3.0
    min_distance_angstrom: Positive = 1.0
    max_seconds: Positive | None = None
    device: Device = "cpu"
    dtype: Dtype = "float32"
    threads: PositiveInt = 1

    @model_validator(mode="after")
    def _frames_fit_steps(self) -> MdInput:
        if self.steps % self.frame_interval_steps:
            raise ValueError(
                f"steps ({self.steps}) must be a multiple of frame_interval_steps "
                f"({self.frame_interval_steps}), else the last frame is not written"
            )
        return self


class LossWeights(LimsmModel):
    """Weights of energy, forces and stress in the training loss."""

    energy: NonNegative = 1.0
    forces: NonNegative = 100.0
    stress: NonNegative = 10.0


class Architecture(LimsmModel):
    """Shape of a MACE model trained from scratch (fine-tuning takes the foundation's)."""

    r_max_angstrom: Annotated[float, Field(gt=1, le=12)] = 4.5
    num_channels: PositiveInt = 16
    max_l: NonNegativeInt = 0
    max_ell: PositiveInt = 2
    correlation: PositiveInt = 2
    num_interactions: PositiveInt = 2


class TrainInput(LimsmModel):
    """Training of a MACE potential with MACE's own ``mace_run_train``.

    ``e0s_ev`` are the isolated-atom energies of the reference labels. When a foundation model is
    given they are written into a copy of it before the training starts: MACE copies the
    foundation's E0s over the asked ones, and labels of another code would then be off by
    hundreds of eV (see docs, "E0s").
    """

    strategy: Literal["scratch", "naive"] = "naive"
    foundation_file: str | None = "foundation.model"
    train_file: str = "train.xyz"
    valid_file: str = "valid.xyz"
    e0s_ev: Annotated[dict[Symbol, float], Field(min_length=1)]
    architecture: Architecture | None = None
    max_epochs: PositiveInt = 30
    stage_two_epoch: PositiveInt | None = None
    batch_size: PositiveInt = 4
    learning_rate: Positive = 3e-3
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = 0.99
    weights: LossWeights = LossWeights()
    seed: Seed = 0
    device: Device = "cpu"
    dtype: Dtype = "float32"
    threads: PositiveInt = 1
    max_seconds: Positive | None = None
    extra_arguments: dict[str, str | int | float | bool] = {}

    @model_validator(mode="after")
    def _strategy_has_what_it_needs(self) -> TrainInput:
        if self.strategy == "scratch" and self.foundation_file is not None:
            raise ValueError("strategy 'scratch' takes no foundation model: set it to null")
        if self.strategy == "scratch" and self.architecture is None:
            raise ValueError("strategy 'scratch' needs the field 'architecture'")
        if self.strategy != "scratch" and self.foundation_file is None:
            raise ValueError(f"strategy '{self.strategy}' needs a foundation model")
        if self.stage_two_epoch is not None and self.stage_two_epoch >= self.max_epochs:
            raise ValueError(
                f"stage_two_epoch ({self.stage_two_epoch}) must come before "
                f"max_epochs ({self.max_epochs})"
            )
        if own := sorted(_OWN_ARGUMENTS & set(self.extra_arguments)):
            raise ValueError(f"extra_arguments: {', '.join(own)} are set by limsm: remove them")
        return self


class EvaluateInput(LimsmModel):
    """Errors of a potential on labelled frames, per file.

    With ``e0s_ev`` the model's own isolated-atom energies are replaced first, so that energies
    of a foundation model can be compared with another code's labels.
    """

    potential_file: str = "potential.model"
    head: str | None = None
    dataset_files: Annotated[dict[str, str], Field(min_length=1)]
    e0s_ev: dict[Symbol, float] | None = None
    device: Device = "cpu"
    dtype: Dtype = "float64"
    threads: PositiveInt = 1


class AnalyseInput(LimsmModel):
    """Markov state model over lattice sites, and its diffusion tensor, from MD trajectories.

    Several trajectories (replicas of one system at one temperature) are counted together.
    ``structure_file`` is a crystal whose atoms of ``species`` mark the sites; its cell must tile
    the MD cell. ``sites`` says where sites come from: the structure; the structure and the
    interstitials that the ions' time-averaged density shows; or the density alone (disordered
    structures, no structure file). H5MD files carry their frame interval, others need
    ``frame_interval_fs``. ``temperature_k`` is a label where the trajectory holds none.
    ``lag_ps`` None chooses the lag from the plateau of D(τ). ``projected`` also writes the ions on
    their sites frame by frame.
    """

    trajectory_files: Annotated[tuple[str, ...], Field(min_length=1)]
    structure_file: str | None = "structure.extxyz"
    species: Symbol = "Li"
    frame_interval_fs: Positive | None = None
    temperature_k: Positive | None = None
    skip_ps: NonNegative = 0.0
    topology_file: str | None = None
    species_order: tuple[Symbol, ...] | None = None
    sites: Literal["structure", "interstitials", "density"] = "structure"
    assignment: Literal["nearest", "core"] = "core"
    core_radius_angstrom: Positive | None = None
    pool: Literal["none", "translations", "spacegroup"] = "translations"
    lag_ps: Positive | None = None
    number_of_lags: Annotated[int, Field(ge=2, le=100)] = 16
    bootstrap_samples: Annotated[int, Field(ge=20, le=10000)] = 200
    time_blocks: Annotated[int, Field(ge=2, le=1000)] = 5
    minimum_jumps: PositiveInt = 10
    seed: Seed = 0
    projected: bool = False
    memory_mb: Annotated[int, Field(ge=16)] = 512

    @model_validator(mode="after")
    def _sites_have_their_source(self) -> AnalyseInput:
        if self.structure_file is None and self.sites != "density":
            raise ValueError(
                f"sites '{self.sites}' needs a structure (--structure FILE); "
                "sites 'density' needs none"
            )
        return self


class PropagateInput(LimsmModel):
    """Spreading of ions over a periodic box of cells of a Markov model.

    ``start``: ``slab`` fills the middle half of the box along ``axis``; ``point`` puts one ion into
    the middle cell (on ``site``, a label, or spread as in equilibrium); ``gaussian`` spreads one
    ion along ``axis`` with the standard deviation ``width_angstrom``. The profile is taken across
    the planes of cells along ``axis``. ``times_ps``, or ``number_of_times`` times up to
    ``total_time_ps``, evenly on a logarithmic scale; with neither, up to the time in which the
    longest wave of the box relaxes under Fick's law.
    """

    model_file: str = MODEL_FILENAME
    cells: tuple[PositiveInt, PositiveInt, PositiveInt] = (100, 100, 100)
    start: Literal["slab", "point", "gaussian"] = "slab"
    axis: Literal["a", "b", "c"] = "a"
    site: str | None = None
    width_angstrom: Positive | None = None
    times_ps: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] | None = (
        None
    )
    total_time_ps: Positive | None = None
    number_of_times: Annotated[int, Field(ge=2, le=1000)] = 10
    method: Literal["auto", "bloch", "sparse"] = "auto"
    keep_density: bool = False
    memory_mb: Annotated[int, Field(ge=16)] = 2048

    @model_validator(mode="after")
    def _choices_fit(self) -> PropagateInput:
        if self.times_ps is not None and self.total_time_ps is not None:
            raise ValueError("give times_ps or total_time_ps, not both")
        if self.times_ps is not None and list(self.times_ps) != sorted(self.times_ps):
            raise ValueError("times_ps must be ascending")
        if (self.width_angstrom is not None) != (self.start == "gaussian"):
            raise ValueError("width_angstrom is needed for start 'gaussian', and only for it")
        if self.site is not None and self.start != "point":
            raise ValueError("site is for start 'point' only")
        return self
