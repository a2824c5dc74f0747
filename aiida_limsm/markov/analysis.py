"""From frames of ions to a model, two diffusion tensors and the curves that support them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .arrays import FloatArray, IntArray
from .assignment import AssignmentRule, SiteAssigner
from .curves import Curves
from .errors import Diffusion, jump_bound, summarise
from .fitting import fit_with_errors, scan_lags
from .lags import choose_lag, lag_grid, memory_bias
from .model import MarkovModel
from .msd import MsdCurves, add_group, curve_with_error, msd_tensor, plan_msd
from .paths import JumpTable, SitePaths, jump_table, unseen_share
from .sites import SiteLattice

__all__ = ["Analysis", "FrameSource", "Settings", "SiteStatistics", "analyse"]


ENOUGH_UNITS = 20
"""Time is cut into more blocks than asked where (ions × blocks) would be fewer than this."""


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

    def chunks(self, ions: slice) -> Iterator[FloatArray]:
        """Yield consecutive unwrapped positions of the chosen ions, (n, n_chosen, 3), Å."""


@dataclass(frozen=True)
class Settings:
    """Choices of an analysis; fields as in ``AnalyseInput``."""

    assignment: AssignmentRule = "core"
    core_radius_angstrom: float | None = None
    lag_ps: float | None = None
    number_of_lags: int = 16
    bootstrap_samples: int = 200
    time_blocks: int = 5
    minimum_jumps: int = 10
    seed: int = 0
    memory_mb: int = 512


@dataclass(frozen=True)
class SiteStatistics:
    """Per site: ions on it on average, and root-mean-square vibration (Å, NaN where unseen)."""

    occupancy: FloatArray
    vibration_amplitude: FloatArray


@dataclass(frozen=True)
class Analysis:
    """What :func:`analyse` found."""

    model: MarkovModel
    markov: Diffusion
    msd: Diffusion
    curves: Curves
    lag_ps: float
    lag_reason: str
    core_radius: float | None
    jumps: int
    independent_jumps: int
    table: JumpTable
    sites: SiteStatistics
    timescales_ps: FloatArray
    timescale_errors_ps: FloatArray
    double_occupancy_fraction: float
    unassigned_fraction: float
    warnings: tuple[str, ...]


def analyse(
    sources: Sequence[FrameSource],
    lattice: SiteLattice,
    supercell: IntArray,
    settings: Settings,
    progress: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Analyse trajectories of one system, counted together.

    Parameters
    ----------
    sources
        Trajectories with one frame interval and at least two frames each.
    lattice
        Sites, matched to the MD cell (see :meth:`SiteLattice.matched_to`).
    supercell
        (3, 3) integers: the MD cell in lattice vectors.
    settings
        The choices.
    progress
        Gets one line at each stage.
    """
    warnings: list[str] = []
    interval = sources[0].frame_interval_ps
    frames = min(source.n_frames for source in sources)
    assigned = [_assign(source, lattice, settings) for source in sources]
    parts = [assigner.finish() for assigner in assigned]
    paths = SitePaths.concatenate(parts)
    independent, rows = paths.independent_jumps()
    progress(f"{paths.n_jumps} jumps of {paths.n_ions} ions, {independent} of them independent")

    wanted = max(settings.time_blocks, -(-ENOUGH_UNITS // paths.n_ions))
    blocks = max(1, min(wanted, frames // 4))
    lags = lag_grid(frames, blocks, settings.number_of_lags)
    lags_ps = np.asarray(lags * interval, dtype=np.float64)
    scan, scan_samples = scan_lags(
        paths, lattice, lags, blocks, interval, settings.bootstrap_samples, settings.seed
    )
    choice = choose_lag(lags_ps, scan, scan_samples)
    lag, reason = int(lags[choice.index]), choice.reason
    if settings.lag_ps is not None:
        lag, reason = max(round(settings.lag_ps / interval), 1), "asked"
        if lag >= frames:
            raise ValueError(
                f"lag_ps ({settings.lag_ps}) is not shorter than the trajectory "
                f"({(frames - 1) * interval:.4g} ps)"
            )
        if 2 * lag * blocks > frames and blocks > 1:
            blocks = max(1, frames // (2 * lag))
            warnings.append(
                f"time blocks must be longer than twice the lag: {blocks} used for the errors"
            )
    elif not choice.plateau:
        warnings.append(reason)
    lag_ps = lag * interval
    progress(f"lag {lag_ps:.4g} ps ({reason})")

    fit = fit_with_errors(
        paths, lattice, lag, blocks, interval, settings.bootstrap_samples, settings.seed
    )
    if fit.one_way:
        warnings.append(
            f"{fit.one_way} connected set(s) of sites had no way back: π taken from the populations"
        )
    table = jump_table(paths, lattice, interval)
    moved = lattice.jump_vectors(
        paths.site[rows - 1], paths.site[rows], paths.image[rows] - paths.image[rows - 1]
    )
    nearest = assigned[0].neighbours.nearest
    square = float((moved**2).sum(axis=1).mean()) if len(rows) else float(nearest.min()) ** 2
    bound = jump_bound(independent, square, float(paths.frames.sum()) * interval)
    memory = memory_bias(lags_ps, scan, scan_samples.std(axis=0, ddof=1), lag_ps)
    rule = settings.assignment
    markov = summarise(
        f"Markov state model, {rule} assignment, lag {lag_ps:.4g} ps",
        fit.tensor, fit.samples, fit.units, independent, settings.minimum_jumps, bound,
        unseen=unseen_share(paths, rows),
        memory=memory, biased=True,
    )  # fmt: skip

    plan = plan_msd(frames, paths.n_ions, settings.time_blocks, interval)
    collected = MsdCurves([], [], [])
    for source, part in zip(sources, parts, strict=True):
        for group in _groups(source, settings.memory_mb):
            x = np.concatenate(list(source.chunks(group)))
            add_group(collected, plan, x, part.positions(lattice, group))
    slope, slopes, units = msd_tensor(
        collected, plan, interval, settings.bootstrap_samples, settings.seed
    )
    msd = summarise(
        plan.describe(interval), slope, slopes, units, independent, settings.minimum_jumps, bound
    )
    progress(
        f"D = {markov.value:.3g} ± {markov.error:.2g} (Markov), "
        f"{msd.value:.3g} ± {msd.error:.2g} (MSD) cm²/s"
    )

    mean, error = curve_with_error(np.concatenate(collected.md), plan.curve_lags, frames)
    time = np.asarray(plan.curve_lags * interval, dtype=np.float64)
    curves = Curves(
        lag_ps=lags_ps,
        d_of_lag_cm2_s=scan,
        d_of_lag_error_cm2_s=scan_samples.std(axis=0, ddof=1),
        msd_time_ps=time,
        msd_md_angstrom2=mean,
        msd_md_error_angstrom2=error,
        msd_projected_angstrom2=np.concatenate(collected.projected)[..., :3].sum(-1).mean(0),
        msd_model_angstrom2=fit.model.msd(time),
    )
    weights = np.array([part.frames.sum() for part in parts], dtype=np.float64)
    double = [part.double_occupancy(supercell) for part in parts]
    unassigned = [assigner.unassigned_fraction for assigner in assigned]
    return Analysis(
        model=fit.model,
        markov=markov,
        msd=msd,
        curves=curves,
        lag_ps=lag_ps,
        lag_reason=reason,
        core_radius=assigned[0].core_radius,
        jumps=paths.n_jumps,
        independent_jumps=independent,
        table=table,
        sites=_site_statistics(assigned, paths, supercell, sources),
        timescales_ps=fit.timescales_ps,
        timescale_errors_ps=fit.timescale_errors_ps,
        double_occupancy_fraction=float(np.average(double, weights=weights)),
        unassigned_fraction=float(np.average(unassigned, weights=weights)),
        warnings=tuple(warnings),
    )


def _assign(source: FrameSource, lattice: SiteLattice, settings: Settings) -> SiteAssigner:
    assigner = SiteAssigner(
        lattice, source.n_ions, settings.assignment, settings.core_radius_angstrom
    )
    for chunk in source.chunks(slice(None)):
        assigner.add(chunk)
    return assigner


def _groups(source: FrameSource, memory_mb: int) -> Iterator[slice]:
    """Split the ions so that positions and site positions of a group fit into memory."""
    per_ion = source.n_frames * 3 * 8 * 4
    size = max(1, int(memory_mb * 1e6 // per_ion))
    for begin in range(0, source.n_ions, size):
        yield slice(begin, min(begin + size, source.n_ions))


def _site_statistics(
    assigned: Sequence[SiteAssigner],
    paths: SitePaths,
    supercell: IntArray,
    sources: Sequence[FrameSource],
) -> SiteStatistics:
    """Occupancy and vibration per site, over all trajectories."""
    cells = abs(round(float(np.linalg.det(supercell))))
    frames = sum(source.n_frames for source in sources)
    moments = np.sum([assigner.moments for assigner in assigned], axis=0)
    occupancy = paths.residence_frames(len(moments)) / (cells * frames)
    number = np.where(moments[:, 0] > 0, moments[:, 0], np.nan)
    mean = moments[:, 1:4] / number[:, None]
    variance = moments[:, 4] / number - (mean**2).sum(axis=1)
    return SiteStatistics(occupancy, np.sqrt(np.maximum(variance, 0.0)))
