"""One pass over a trajectory: site paths, mean-square displacements and the ions' density."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .assignment import AssignmentRule, SiteAssigner
from .density import DensityGrid
from .msd import MsdAccumulator, MsdMoments, MsdPlan, site_blocks
from .paths import SitePaths
from .sites import SiteLattice

__all__ = ["FrameSource", "Observation", "observe"]

LOST_AFTER_PS = 1.0
"""An ion that enters no core for longer than this is on none of the sites given."""

DENSITY_SAMPLES = 2_000_000
"""Ion positions whose density is looked at for sites that the lattice lacks."""

Step = Callable[[str, int, int], None]
"""Told of long work: the stage, how much is done, and of how much."""


class FrameSource(Protocol):
    """Frames of the mobile ions of one trajectory, in the Cartesian frame of the sites."""

    @property
    def n_frames(self) -> int:
        """Number of frames."""

    @property
    def n_ions(self) -> int:
        """Number of mobile ions."""

    @property
    def frame_interval_ps(self) -> float:
        """Time between frames, ps."""

    def blocks(self) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """Yield consecutive unwrapped positions of all ions, (n, n_ions, 3), Å."""


@dataclass(frozen=True)
class Observation:
    """What one pass found.

    Attributes
    ----------
    paths
        Site sequence of every ion.
    assigner
        The assignment, with its counts of unassigned and lost ions.
    md, projected
        Second moments of the displacements of the ions and of the sites they are on.
    """

    paths: SitePaths
    assigner: SiteAssigner
    md: MsdMoments
    projected: MsdMoments


def observe(
    source: FrameSource,
    lattice: SiteLattice,
    plan: MsdPlan,
    rule: AssignmentRule,
    core_radius: float | None,
    density: DensityGrid | None = None,
    step: Step = lambda *_: None,
) -> Observation:
    """Read a trajectory once.

    Parameters
    ----------
    source
        The trajectory.
    lattice
        Sites, matched to the MD cell.
    plan
        Lags of the mean-square displacement.
    rule, core_radius
        See :class:`~aiida_limsm.markov.assignment.SiteAssigner`.
    density
        Gets a sample of the blocks, where given.
    step
        Told how far the pass is.
    """
    patience = max(round(LOST_AFTER_PS / source.frame_interval_ps), 1)
    assigner = SiteAssigner(lattice, source.n_ions, rule, core_radius, patience)
    moments = MsdAccumulator(plan, source.n_ions)
    skip = max(1, source.n_frames * source.n_ions // DENSITY_SAMPLES)
    done = 0
    for number, block in enumerate(source.blocks()):
        assigner.add(block)
        moments.add(block)
        if density is not None and number % skip == 0:
            density.add(block)
        done += len(block)
        step("reading", done, source.n_frames)
    paths, md = assigner.finish(), moments.finish()
    del moments  # as large as what follows
    on_sites = MsdAccumulator(plan, source.n_ions)
    for block in site_blocks(paths, lattice):
        on_sites.add(block)
    return Observation(paths, assigner, md, on_sites.finish())
