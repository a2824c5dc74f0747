"""Drift of the framework, and where it stands relative to the sites structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..markov.arrays import FloatArray, IntArray
from ..markov.sites import SiteLattice
from .h5md import Trajectory

__all__ = ["AlignedIons", "FrameworkMotion", "framework_motion", "framework_offset"]


MAX_MISFIT = 1.5


@dataclass(frozen=True)
class FrameworkMotion:
    """What the reference atoms (framework, or all atoms where there is none) do.

    Attributes
    ----------
    drift
        Displacement of their centre of mass from the first analysed frame, (n_frames, 3), Å.
    mean_positions
        Their mean positions with the drift taken off, (n_reference, 3), Å.
    msd
        Their mean-square displacement from the first frame, averaged over the last tenth of the
        frames, drift taken off, Å²; None without a framework.
    """

    drift: FloatArray
    mean_positions: FloatArray
    msd: float | None


def framework_motion(
    trajectory: Trajectory,
    framework: IntArray,
    masses: FloatArray,
    start: int,
    memory_mb: float,
) -> FrameworkMotion:
    """Read the trajectory once and follow the framework's centre of mass.

    Parameters
    ----------
    trajectory
        Unwrapped positions.
    framework
        Indices of the framework atoms; empty takes all atoms.
    masses
        Of all atoms, (n_atoms,).
    start
        First frame analysed.
    memory_mb
        Bound of the memory taken by a block.

    Raises
    ------
    ValueError
        Positions are not finite, or jump by half a cell between frames (wrapped input).
    """
    chosen = framework if len(framework) else np.arange(trajectory.n_atoms)
    weights = masses[chosen] / masses[chosen].sum()
    inverse = np.asarray(np.linalg.inv(trajectory.cell), dtype=np.float64)
    frames = trajectory.n_frames - start
    drift = np.empty((frames, 3))
    total = np.zeros((len(chosen), 3))
    tail_start = frames - max(frames // 10, 1)
    tail = 0.0
    previous: FloatArray | None = None
    first = reference = None
    done = 0
    for block in trajectory.iter_positions(memory_mb=memory_mb / 2, start=start):
        if not np.isfinite(block).all():
            raise ValueError(f"{trajectory.path.name} holds positions that are not finite")
        joined = block if previous is None else np.concatenate([previous, block])
        _refuse_wrapped(joined, inverse, trajectory.path.name)
        previous = block[-1:].copy()
        x = block[:, chosen]
        centre = np.einsum("a,nac->nc", weights, x)
        if first is None or reference is None:
            first, reference = centre[0], x[0].copy()
        moved = centre - first
        drift[done : done + len(x)] = moved
        x = x - moved[:, None, :]
        total += x.sum(axis=0)
        late = x[max(tail_start - done, 0) :]
        tail += float(((late - reference) ** 2).sum())
        done += len(x)
    mean_square = tail / (frames - tail_start) / len(chosen)
    return FrameworkMotion(
        drift=drift,
        mean_positions=total / frames,
        msd=mean_square if len(framework) else None,
    )


def _refuse_wrapped(x: FloatArray, inverse: FloatArray, name: str) -> None:
    """Raise where an atom moves half a cell vector or more between two frames."""
    if len(x) > 1 and np.abs(np.diff(x, axis=0) @ inverse).max() >= 0.5:
        raise ValueError(
            f"{name}: an atom moves half a cell or more between frames, so positions look "
            "wrapped (or frames are too far apart); convert the file with `limsm convert`"
        )


def framework_offset(
    positions: FloatArray, numbers: IntArray, lattice: SiteLattice
) -> tuple[FloatArray, float]:
    """Return the rigid shift of a framework against the sites structure, and the misfit left, Å.

    Every site of the rarest species is tried as the place of one atom; the shift that brings all
    atoms closest to sites of their species (modulo the lattice) wins, the shortest of equals.
    ``positions`` (n, 3) are mean positions, ``numbers`` their species.
    """
    known = np.isin(numbers, lattice.framework_numbers)
    if not known.any():
        return np.zeros(3), 0.0
    positions, numbers = positions[known], numbers[known]
    species, amount = np.unique(numbers, return_counts=True)
    rare = species[np.argmin(amount)]
    anchor = positions[np.flatnonzero(numbers == rare)[0]]
    best: tuple[float, float, FloatArray] | None = None
    for site in lattice.framework_positions[lattice.framework_numbers == rare]:
        shift = _shortest(anchor - site, lattice.cell)
        for _ in range(3):
            residual = _residuals(positions - shift, numbers, lattice)
            shift = _shortest(shift + residual.mean(axis=0), lattice.cell)
        residual = _residuals(positions - shift, numbers, lattice)
        misfit = float(np.sqrt((residual**2).sum(axis=1).mean()))
        score = (round(misfit, 2), float(np.linalg.norm(shift)), shift)
        if best is None or score[:2] < best[:2]:
            best = score
    assert best is not None
    return best[2], best[0]


def _shortest(vector: FloatArray, cell: FloatArray) -> FloatArray:
    """Return the shortest of a vector's equivalents modulo the lattice."""
    base = vector - np.rint(vector @ np.linalg.inv(cell)) @ cell
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    options = base + steps @ cell
    return np.asarray(options[np.argmin((options**2).sum(axis=1))])


def _residuals(positions: FloatArray, numbers: IntArray, lattice: SiteLattice) -> FloatArray:
    """Displacement of every atom from the nearest framework site of its species, (n, 3), Å."""
    inverse = np.linalg.inv(lattice.cell)
    steps = np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    residual = np.zeros_like(positions)
    for species in np.unique(numbers):
        sites = lattice.framework_positions[lattice.framework_numbers == species]
        rows = np.flatnonzero(numbers == species)
        for row in rows:
            delta = positions[row] - sites
            delta = delta - np.rint(delta @ inverse) @ lattice.cell
            options = (delta[:, None, :] + (steps @ lattice.cell)[None]).reshape(-1, 3)
            residual[row] = options[np.argmin((options**2).sum(axis=1))]
    return residual


@dataclass(frozen=True)
class AlignedIons:
    """Mobile ions of a trajectory, drift and offset taken off: a frame source for ``markov``."""

    trajectory: Trajectory
    ions: IntArray
    motion: FrameworkMotion
    offset: FloatArray
    start: int
    memory_mb: float

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

    def chunks(self, ions: slice) -> Iterator[FloatArray]:
        """Yield positions of the chosen ions in the frame of the sites, (n, n_chosen, 3), Å."""
        done = 0
        for block in self.trajectory.iter_positions(
            self.ions[ions], memory_mb=self.memory_mb / 2, start=self.start
        ):
            shift = self.motion.drift[done : done + len(block)] + self.offset
            done += len(block)
            yield block - shift[:, None, :]
