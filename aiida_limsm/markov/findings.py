"""What an analysis is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from .arrays import FloatArray
from .assignment import AssignmentRule
from .collective import HavenRatio
from .curves import Curves
from .errors import Diffusion
from .metastable import MetastableSets
from .model import MarkovModel
from .paths import JumpTable, SitePaths
from .pathways import Pathway
from .percolation import Bottleneck
from .residence import ResidenceTimes
from .tensor import PrincipalAxes
from .validation import CkTest

__all__ = ["Analysis", "Settings", "SiteStatistics", "Ways"]


@dataclass(frozen=True)
class Settings:
    """Choices of an analysis; fields as in ``AnalyseInput``.

    ``look_for_sites`` watches the density of the ions for sites that the lattice lacks;
    ``pool_symmetry`` pools the counts over the space group.
    """

    assignment: AssignmentRule = "core"
    core_radius_angstrom: float | None = None
    lag_ps: float | None = None
    number_of_lags: int = 16
    bootstrap_samples: int = 200
    time_blocks: int = 5
    minimum_jumps: int = 10
    seed: int = 0
    memory_mb: int = 512
    look_for_sites: bool = True
    pool_symmetry: bool = False


@dataclass(frozen=True)
class SiteStatistics:
    """Per site: ions on it on average, root-mean-square vibration (Å, NaN where unseen), stays."""

    occupancy: FloatArray
    vibration_amplitude: FloatArray
    residence: ResidenceTimes


@dataclass(frozen=True)
class Ways:
    """Ways of the ions through the crystal along x, y and z.

    ``model`` is that of a lag of one frame, whose transitions are single jumps;
    ``bottlenecks[k].jump`` and ``pathways[k]`` refer to its transitions.
    """

    model: MarkovModel
    bottlenecks: tuple[Bottleneck, ...]
    pathways: tuple[tuple[Pathway, ...], ...]


@dataclass(frozen=True)
class Analysis:
    """What :func:`~aiida_limsm.markov.analysis.analyse` found."""

    model: MarkovModel
    markov: Diffusion
    msd: Diffusion
    uncorrelated: Diffusion
    correlation_factor: tuple[float, float]
    haven: HavenRatio
    axes: PrincipalAxes
    check: CkTest | None
    metastable: MetastableSets
    ways: Ways
    curves: Curves
    lag_ps: float
    lag_reason: str
    core_radii: FloatArray | None
    paths: SitePaths
    jumps: int
    independent_jumps: int
    table: JumpTable
    sites: SiteStatistics
    timescales_ps: FloatArray
    timescale_errors_ps: FloatArray
    double_occupancy_fraction: float
    unassigned_fraction: float
    lost_fraction: float
    lost_ions: int
    warnings: tuple[str, ...]
