"""What a report is made from: the plain results of one study, without AiiDA nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from aiida_limsm.compute.results import (
    AnalyseResults,
    DiffusionEstimate,
    ErrorSummary,
    MdResults,
)
from aiida_limsm.compute.train_results import EpochRecord

if TYPE_CHECKING:
    from aiida_limsm.markov.curves import Curves
    from aiida_limsm.markov.sites import SiteLattice

__all__ = ["AimdSummary", "StageTime", "Study", "TemperatureResult"]


@dataclass(frozen=True)
class AimdSummary:
    """One ab initio MD run behind the training data."""

    temperature_k: float
    frames: int
    duration_ps: float
    pk: int | None = None


@dataclass(frozen=True)
class StageTime:
    """How long one stage took (wall time), and the node that did it."""

    name: str
    seconds: float
    pk: int | None = None


@dataclass(frozen=True)
class TemperatureResult:
    """Everything found at one temperature.

    Attributes
    ----------
    temperature_k
        The temperature asked of the thermostat.
    analysis
        Results of ``limsm analyse``.
    curves
        D(τ) and MSD(t), as stored with the model; None where they are not at hand.
    md
        Results of ``limsm md``; None for imported trajectories.
    pks
        Nodes by name, such as ``{"diffusion": 123, "trajectory": 119}``.
    lattice
        The model's sites with their cell and framework. Without it the network figure shows no
        framework.
    """

    temperature_k: float
    analysis: AnalyseResults
    curves: Curves | None = None
    md: MdResults | None = None
    pks: Mapping[str, int] = field(default_factory=dict)
    lattice: SiteLattice | None = None

    @property
    def markov(self) -> DiffusionEstimate | None:
        """D of the Markov model, None where it was not computed."""
        return None if self.analysis.diffusion is None else self.analysis.diffusion.markov

    @property
    def msd(self) -> DiffusionEstimate | None:
        """D of the mean-square displacement, None where it was not computed."""
        return None if self.analysis.diffusion is None else self.analysis.diffusion.msd


@dataclass(frozen=True)
class Study:
    """One study, from ab initio MD to D(T).

    Attributes
    ----------
    title
        Heading of the report.
    formula, sites_formula
        Of the simulated crystal (with its vacancies), and of the structure that marks the sites.
    supercell
        As people write it: ``2 × 2 × 2``.
    mobile_species
        Chemical symbol.
    generated_by
        Name and version of the program that made the report.
    aimd
        The ab initio MD runs.
    held_out_before, held_out_after
        Errors on frames kept from the training, before and after fine-tuning.
    parity_forces
        Forces on the atoms of the held-out frames, shape (n_atoms, 2, 3), eV/Å: reference, then
        fine-tuned potential.
    history
        Validation errors per epoch of the training.
    temperatures
        Results by temperature, in any order.
    trace_text, trace_rows
        The provenance: as text, and one row per DFT calculation.
    limits
        What is toy and what is not, one sentence each.
    stages
        Stages of the run in the order they ran.
    settings
        Name and value of what was chosen.
    """

    title: str
    formula: str
    sites_formula: str
    supercell: str
    mobile_species: str
    generated_by: str
    aimd: tuple[AimdSummary, ...] = ()
    held_out_before: ErrorSummary | None = None
    held_out_after: ErrorSummary | None = None
    parity_forces: npt.NDArray[np.float64] | None = None
    history: tuple[EpochRecord, ...] = ()
    temperatures: tuple[TemperatureResult, ...] = ()
    trace_text: str = ""
    trace_rows: tuple[Mapping[str, str], ...] = ()
    limits: tuple[str, ...] = ()
    stages: tuple[StageTime, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_temperature(self) -> tuple[TemperatureResult, ...]:
        """The results in ascending temperature."""
        return tuple(sorted(self.temperatures, key=lambda result: result.temperature_k))
