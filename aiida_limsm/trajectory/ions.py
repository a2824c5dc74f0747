"""The mobile ions of a trajectory in the frame of the sites, streamed in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..markov.arrays import FloatArray, IntArray
from ..markov.sites import SiteLattice
from .framework import framework_offset
from .h5md import Trajectory
from .kernels import align_block
from .unwrap import Unwrapper

__all__ = ["Alignment", "FrameworkMotion", "IonStream", "align"]

SAMPLE_FRAMES = 200
"""Frames at the start whose average places the framework on the sites."""

BLOCK_MB = 4.0
"""Blocks of this size stay in the processor's cache between the steps of the analysis."""


@dataclass(frozen=True)
class Alignment:
    """Where the framework stands at the start.

    Attributes
    ----------
    framework
        Indices of the reference atoms; all atoms where there is no framework.
    weights
        Their mass fractions.
    origin
        Their centre of mass in the first frame, Å.
    first
        Their positions in the first frame, (n_framework, 3), Å.
    offset
        Shift of the framework against the sites structure, Å.
    mean
        Mean positions of all atoms over the first frames, drift taken off, (n_atoms, 3), Å.
    misfit
        Root-mean-square distance of the framework from its sites after that shift, Å.
    is_framework
        False where all atoms stand in for a framework.
    """

    framework: IntArray
    weights: FloatArray
    origin: FloatArray
    first: FloatArray
    mean: FloatArray
    offset: FloatArray
    misfit: float
    is_framework: bool


@dataclass(frozen=True)
class FrameworkMotion:
    """What the framework did over a pass.

    ``drift_angstrom`` is the largest displacement of its centre of mass from the first frame.
    ``msd_angstrom2`` is its mean-square displacement from the first frame, averaged over the last
    tenth of the frames, drift taken off; None without a framework. ``mean_positions``
    (n_framework, 3), Å, have the drift taken off. ``wrapped`` tells whether positions had to be
    unwrapped.
    """

    drift_angstrom: float
    msd_angstrom2: float | None
    mean_positions: FloatArray
    wrapped: bool


def align(
    trajectory: Trajectory,
    framework: IntArray,
    masses: FloatArray,
    lattice: SiteLattice | None,
    start: int = 0,
) -> Alignment:
    """Find where the framework stands, from the first frames.

    Parameters
    ----------
    trajectory
        The trajectory; wrapped positions are unwrapped.
    framework
        Indices of the framework atoms; empty takes all atoms for the drift.
    masses
        Of all atoms, (n_atoms,).
    lattice
        Sites with their framework; None takes positions as they are.
    start
        First frame analysed.
    """
    chosen = framework if len(framework) else np.arange(trajectory.n_atoms)
    weights = masses[chosen] / masses[chosen].sum()
    if trajectory.framework_at_rest:
        weights = np.zeros(len(chosen))  # the drift is off, and not to be guessed from the ions
    stop = min(start + SAMPLE_FRAMES, trajectory.n_frames)
    unwrap = Unwrapper(trajectory.cell, trajectory.path.name)
    total = np.zeros((trajectory.n_atoms, 3))
    first = origin = None
    for block in trajectory.iter_blocks(memory_mb=BLOCK_MB, start=start, stop=stop):
        x = unwrap(block).astype(np.float64)
        centre = np.einsum("a,nac->nc", weights, x[:, chosen])
        if first is None or origin is None:
            first, origin = x[0, chosen], centre[0]
        total += (x - (centre - origin)[:, None]).sum(axis=0)
    assert first is not None
    assert origin is not None
    mean = total / (stop - start)
    offset, misfit = np.zeros(3), 0.0
    if len(framework) and lattice is not None:
        offset, misfit = framework_offset(mean[framework], trajectory.numbers[framework], lattice)
    return Alignment(
        framework=np.asarray(chosen, dtype=np.int64),
        weights=weights,
        origin=origin,
        first=first,
        mean=mean,
        offset=offset,
        misfit=misfit,
        is_framework=len(framework) > 0,
    )


class IonStream:
    """Frames of the mobile ions, drift and offset taken off: a frame source for ``markov``.

    Parameters
    ----------
    trajectory
        The trajectory, open.
    ions
        Indices of the mobile ions.
    alignment
        See :func:`align`.
    start
        First frame analysed.
    memory_mb
        Bound of the memory of a block.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        ions: IntArray,
        alignment: Alignment,
        start: int = 0,
        memory_mb: float = BLOCK_MB,
    ) -> None:
        self.trajectory = trajectory
        self.ions = np.asarray(ions, dtype=np.int64)
        self.alignment = alignment
        self.start = start
        self.memory_mb = min(memory_mb, BLOCK_MB)
        #: what the framework did, after a whole pass
        self.motion: FrameworkMotion | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames analysed."""
        return self.trajectory.n_frames - self.start

    @property
    def n_ions(self) -> int:
        """Number of mobile ions."""
        return len(self.ions)

    @property
    def frame_interval_ps(self) -> float:
        """Time between frames, ps."""
        return self.trajectory.frame_interval_ps

    def blocks(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield consecutive unwrapped positions in the frame of the sites, (n, n_ions, 3), Å.

        Raises
        ------
        ValueError
            Positions are not finite, or move by half a cell or more between frames.
        """
        known, trajectory = self.alignment, self.trajectory
        unwrap = Unwrapper(trajectory.cell, trajectory.path.name)
        total = np.zeros((len(known.framework), 3))
        sums = np.zeros(2)
        late = max(self.n_frames // 10, 1)
        tail = self.n_frames - late
        done = 0
        for block in trajectory.iter_blocks(memory_mb=self.memory_mb, start=self.start):
            x = np.ascontiguousarray(unwrap(block), dtype=np.float32)
            out = np.empty((len(x), self.n_ions, 3), dtype=np.float32)
            align_block(
                x, known.framework, known.weights, self.ions, known.origin, known.offset,
                known.first, max(tail - done, 0), out, total, sums,
            )  # fmt: skip
            done += len(x)
            yield out
        msd = float(sums[0]) / late / len(known.framework)
        self.motion = FrameworkMotion(
            drift_angstrom=float(np.sqrt(sums[1])),
            msd_angstrom2=msd if known.is_framework else None,
            mean_positions=total / self.n_frames,
            wrapped=unwrap.wrapped,
        )
