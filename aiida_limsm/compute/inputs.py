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
Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "float64"]


Thermostat = Literal["langevin", "csvr", "nose_hoover_chain"]


class MdInput(LimsmModel):
    """Molecular dynamics of one cell with a machine-learned force field.

    ``steps`` counts production steps; ``equilibration_steps`` come before them, with
    ``equilibration_thermostat`` where one is given, and are not written. All atoms are written
    every ``frame_interval_steps``, the mobile ones also every ``mobile_interval_steps``, into a
    file of their own, thermodynamic data every ``thermo_interval_steps``. Asking more ``steps``
    of a folder with a checkpoint continues it.

    ``thermostat_time_fs`` is the relaxation time of CSVR and of the Nosé-Hoover chain. A
    ``barostat`` goes with the chain; ``pressure_gpa`` is the target. Run k of ``replicas`` at
    ``temperature_k`` and at each of ``more_temperatures_k`` has the seed ``seed`` + k.
    ``batch_size`` runs share a graph; None chooses: several for small cells. ``workers`` processes
    work side by side, with ``threads`` each. ``compile_model`` has torch compile the model first:
    a minute or two for faster steps. ``committee_files`` are further potentials, whose
    forces are compared with those of the one that drives.
    """

    potential_file: str = "potential.model"
    head: str | None = None
    structure_file: str = "structure.extxyz"
    temperature_k: Positive
    more_temperatures_k: tuple[Positive, ...] = ()
    replicas: PositiveInt = 1
    thermostat: Literal[Thermostat, "nve"] = "langevin"
    friction_per_ps: Positive = 2.0
    thermostat_time_fs: Positive = 100.0
    equilibration_thermostat: Thermostat | None = None
    barostat: Literal["isotropic", "flexible"] | None = None
    pressure_gpa: float = 0.0
    barostat_time_fs: Positive = 1000.0
    time_step_fs: Annotated[float, Field(gt=0, le=10)] = 2.0
    steps: PositiveInt
    equilibration_steps: NonNegativeInt = 0
    frame_interval_steps: PositiveInt = 10
    mobile_interval_steps: PositiveInt | None = None
    thermo_interval_steps: PositiveInt | None = None
    checkpoint_interval_steps: PositiveInt = 2000
    seed: Seed = 0
    mobile_species: Symbol = "Li"
    max_framework_msd_angstrom2: Positive | None = None
    max_force_ev_per_angstrom: Positive = 50.0
    max_temperature_factor: Annotated[float, Field(gt=1)] = 3.0
    min_temperature_factor: Annotated[float, Field(ge=0, lt=1)] = 0.2
    min_distance_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5
    min_distance_angstrom: NonNegative = 0.0
    committee_files: tuple[str, ...] = ()
    committee_interval_steps: PositiveInt = 100
    max_committee_spread_ev_per_angstrom: Positive | None = None
    max_seconds: Positive | None = None
    engine: Literal["mace", "ase"] = "mace"
    compile_model: bool = False
    batch_size: PositiveInt | None = None
    workers: PositiveInt = 1
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
        if self.mobile_interval_steps and self.frame_interval_steps % self.mobile_interval_steps:
            raise ValueError(
                f"frame_interval_steps ({self.frame_interval_steps}) must be a multiple of "
                f"mobile_interval_steps ({self.mobile_interval_steps})"
            )
        return self

    @model_validator(mode="after")
    def _ensemble_is_one(self) -> MdInput:
        if self.barostat is not None and self.thermostat != "nose_hoover_chain":
            raise ValueError("a barostat goes with thermostat 'nose_hoover_chain'")
        if self.barostat is not None and self.mobile_interval_steps is not None:
            raise ValueError(
                "mobile_interval_steps is for a constant cell, in which sites have places: leave "
                "it or the barostat out"
            )
        if self.compile_model and self.engine != "mace":
            raise ValueError("compile_model goes with engine 'mace'")
        if self.compile_model and self.device == "cpu" and self.threads > 1:
            # the code that torch 2.13 makes for two threads destroys its heap: "double free"
            raise ValueError("compile_model goes with one thread on a CPU: take workers instead")
        if self.max_committee_spread_ev_per_angstrom is not None and not self.committee_files:
            raise ValueError("max_committee_spread_ev_per_angstrom needs committee_files")
        temperatures = (self.temperature_k, *self.more_temperatures_k)
        if len(set(temperatures)) < len(temperatures):
            raise ValueError("more_temperatures_k repeats a temperature: ask for replicas instead")
        return self


class EvaluateInput(LimsmModel):
    """Errors of a potential on labelled frames, per file.

    With ``e0s_ev`` the model's own isolated-atom energies are replaced first, so that energies
    of a foundation model can be compared with another code's labels. ``committee_files`` are more
    potentials, trained alike with other seeds: the spread of all of them, ``potential_file``
    included, is compared with their error. ``force_bins_ev_per_angstrom`` are the bounds between
    groups of atoms by the size of the labelled force.
    """

    potential_file: str = "potential.model"
    committee_files: tuple[str, ...] = ()
    head: str | None = None
    dataset_files: Annotated[dict[str, str], Field(min_length=1)]
    e0s_ev: dict[Symbol, float] | None = None
    force_bins_ev_per_angstrom: tuple[Positive, ...] = (0.25, 0.5, 1.0, 2.0)
    device: Device = "cpu"
    dtype: Dtype = "float64"
    threads: PositiveInt = 1

    @model_validator(mode="after")
    def _bins_ascend(self) -> EvaluateInput:
        bins = self.force_bins_ev_per_angstrom
        if list(bins) != sorted(set(bins)):
            raise ValueError("force_bins_ev_per_angstrom must be ascending")
        return self


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
