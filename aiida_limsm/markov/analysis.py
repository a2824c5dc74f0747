"""From frames of ions to a model, diffusion tensors and the checks that support them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .arrays import IntArray
from .assignment import SiteAssigner
from .collective import haven_ratio
from .counts import TransitionCounts, count_transitions
from .curves import Curves
from .density import DensityGrid, frames_to_average
from .errors import Diffusion, Evidence, jump_bound, summarise
from .findings import Analysis, Settings, SiteStatistics, Ways
from .fitting import Fit, LagScan, fit_with_errors, scan_lags
from .homogeneity import occupancy_homogeneity
from .interstitials import missing_sites
from .lags import choose_lag, lag_grid, memory_bias
from .metastable import metastable_sets
from .model import MarkovModel, estimate_model
from .msd import MsdPlan, curve_with_error, msd_tensor, plan_msd, slope_freedom
from .observe import FrameSource, Observation, Step, observe
from .operations import SiteOperations, identity_operations, symmetrise_tensor
from .paths import SitePaths, jump_table, unseen_share
from .pathways import dominant_pathways
from .percolation import bottlenecks
from .pooling import pool_counts
from .residence import residence_times
from .sites import SiteLattice
from .tensor import principal_axes
from .validation import CkTest, chapman_kolmogorov

__all__ = ["analyse"]


ENOUGH_UNITS = 20
"""Time is cut into more blocks than asked where (ions × blocks) would be fewer than this."""

CHECKED_MULTIPLES = (1, 2, 3, 4, 6, 8, 12, 16)

PATHWAYS = 3
PATHWAY_SITES = 2000
"""Ways are looked for in models of at most so many sites."""

KEPT_PROCESSES = 10
"""Slowest processes whose eigenvectors are kept with the curves."""


def analyse(
    sources: Sequence[FrameSource],
    lattice: SiteLattice,
    supercell: IntArray,
    settings: Settings,
    symmetry: SiteOperations | None = None,
    progress: Callable[[str], None] = lambda _: None,
    step: Step = lambda *_: None,
) -> Analysis:
    """Analyse trajectories of one system, counted together.

    Parameters
    ----------
    sources
        Trajectories with one frame interval and at least two frames each; each is read once.
    lattice
        Sites, matched to the MD cell (see :meth:`SiteLattice.matched_to`).
    supercell
        (3, 3) integers: the MD cell in lattice vectors.
    settings
        The choices.
    symmetry
        Space group of the lattice; None where nothing but its translations is to be relied on.
    progress, step
        Get one line at each stage, and how far long work is.
    """
    symmetry = identity_operations(lattice) if symmetry is None else symmetry
    pooled = symmetry if settings.pool_symmetry else None
    interval = sources[0].frame_interval_ps
    frames = min(source.n_frames for source in sources)
    plan = plan_msd(
        [source.n_frames for source in sources],
        [source.n_ions for source in sources],
        settings.time_blocks,
        interval,
        settings.memory_mb,
    )
    cells = abs(round(float(np.linalg.det(supercell))))
    density = None
    if settings.look_for_sites:
        density = DensityGrid(
            lattice.cell, repeats=cells, average_frames=frames_to_average(interval)
        )
    seen = [
        observe(
            source, lattice, plan, settings.assignment, settings.core_radius_angstrom, density, step
        )
        for source in sources
    ]
    paths = SitePaths.concatenate([part.paths for part in seen])
    independent, rows = paths.independent_jumps()
    progress(f"{paths.n_jumps} jumps of {paths.n_ions} ions, {independent} of them independent")

    def pooling(counts: TransitionCounts) -> TransitionCounts:
        return counts if pooled is None else pool_counts(counts, pooled)

    wanted = max(settings.time_blocks, -(-ENOUGH_UNITS // paths.n_ions))
    blocks = max(1, min(wanted, frames // 4))
    lags = lag_grid(frames, blocks, settings.number_of_lags)
    step("lags", 0, 2)
    scan = scan_lags(
        paths, lattice, lags, blocks, interval, settings.bootstrap_samples, settings.seed, pooling
    )
    step("lags", 1, 2)
    lag, reason, blocks, warnings = _choose(settings, scan, interval, frames, blocks)
    lag_ps = lag * interval
    progress(f"lag {lag_ps:.4g} ps ({reason})")

    fit = fit_with_errors(
        paths, lattice, lag, blocks, interval, settings.bootstrap_samples, settings.seed, pooling
    )
    step("lags", 2, 2)
    if fit.one_way:
        warnings.append(
            f"{fit.one_way} connected set(s) of sites had no way back: π taken from the populations"
        )
    evidence = _evidence(paths, rows, lattice, seen[0].assigner, settings, interval)
    spread = scan.samples.std(axis=0, ddof=1)
    memory = memory_bias(scan.lags_ps, scan.values, spread, lag_ps)
    rule = settings.assignment
    markov = summarise(
        f"Markov state model, {rule} assignment, lag {lag_ps:.4g} ps",
        fit.tensor, fit.samples, fit.units, evidence, memory=memory, biased=True,
    )  # fmt: skip
    uncorrelated = summarise(
        f"Markov state model without the correlation of jumps, lag {lag_ps:.4g} ps",
        fit.uncorrelated, fit.uncorrelated_samples, fit.units, evidence, biased=True,
    )  # fmt: skip
    msd = _msd(seen, plan, settings, evidence, lattice, pooled)
    progress(f"D: {markov.quoted()} (Markov), {msd.quoted()} (MSD) cm²/s")
    step("checks", 0, 3)
    haven = haven_ratio(
        [part.paths for part in seen], lattice, interval, markov,
        samples=settings.bootstrap_samples, seed=settings.seed,
    )  # fmt: skip
    step("checks", 1, 3)
    check = _check(paths, fit, lattice, lag, frames, blocks, settings)
    step("checks", 2, 3)
    sets = metastable_sets(fit.model)
    counts = pooling(count_transitions(paths, lattice.n_sites, 1))
    ways = _ways(fit.model if lag == 1 else estimate_model(counts, lattice, interval))
    warnings += _site_warnings(seen, lattice, supercell, density, symmetry)
    step("checks", 3, 3)
    return Analysis(
        model=fit.model,
        markov=markov,
        msd=msd,
        uncorrelated=uncorrelated,
        correlation_factor=(fit.correlation_factor, fit.correlation_factor_error),
        haven=haven,
        axes=principal_axes(markov, lattice.cell),
        check=check,
        metastable=sets,
        ways=ways,
        curves=_curves(scan, fit, check, seen, plan, frames, interval),
        lag_ps=lag_ps,
        lag_reason=reason,
        core_radii=seen[0].assigner.core_radii,
        paths=paths,
        jumps=paths.n_jumps,
        independent_jumps=independent,
        table=jump_table(paths, lattice, interval),
        sites=_site_statistics(seen, paths, cells, sources),
        timescales_ps=fit.timescales_ps,
        timescale_errors_ps=fit.timescale_errors_ps,
        double_occupancy_fraction=_mean(
            seen, [part.paths.double_occupancy(supercell) for part in seen]
        ),
        unassigned_fraction=_mean(seen, [part.assigner.unassigned_fraction for part in seen]),
        lost_fraction=_mean(seen, [part.assigner.lost_fraction for part in seen]),
        lost_ions=sum(part.assigner.lost_ions for part in seen),
        warnings=tuple(warnings),
    )


def _choose(
    settings: Settings, scan: LagScan, interval: float, frames: int, blocks: int
) -> tuple[int, str, int, list[str]]:
    """Return the lag in frames, why, the time blocks that fit it, and warnings."""
    if settings.lag_ps is None:
        choice = choose_lag(scan.lags_ps, scan.values, scan.samples)
        warnings = [] if choice.plateau else [choice.reason]
        return int(scan.lags[choice.index]), choice.reason, blocks, warnings
    lag = max(round(settings.lag_ps / interval), 1)
    if lag >= frames:
        raise ValueError(
            f"lag_ps ({settings.lag_ps}) is not shorter than the trajectory "
            f"({(frames - 1) * interval:.4g} ps)"
        )
    if 2 * lag * blocks <= frames or blocks == 1:
        return lag, "asked", blocks, []
    blocks = max(1, frames // (2 * lag))
    warning = f"time blocks must be longer than twice the lag: {blocks} used for the errors"
    return lag, "asked", blocks, [warning]


def _evidence(
    paths: SitePaths,
    rows: IntArray,
    lattice: SiteLattice,
    assigner: SiteAssigner,
    settings: Settings,
    interval: float,
) -> Evidence:
    """Return what D rests on, the independent jumps (``rows``), and its upper bound."""
    counted = paths.bounding_jumps()
    before = counted - 1
    moved = lattice.jump_vectors(
        paths.site[before], paths.site[counted], paths.image[counted] - paths.image[before]
    )
    nearest = float(assigner.neighbours.nearest.min())
    square = float((moved**2).sum(axis=1).mean()) if len(counted) else nearest**2
    return Evidence(
        jumps=len(rows),
        minimum_jumps=settings.minimum_jumps,
        bounding_jumps=len(counted),
        bound=jump_bound(len(counted), square, float(paths.frames.sum()) * interval),
        unseen=unseen_share(paths, rows),
    )


def _msd(
    seen: Sequence[Observation],
    plan: MsdPlan,
    settings: Settings,
    evidence: Evidence,
    lattice: SiteLattice,
    operations: SiteOperations | None,
) -> Diffusion:
    """Return D from the mean-square displacement, with the symmetry that was pooled over."""
    tensor, samples, units = msd_tensor(
        [part.md for part in seen], plan, settings.bootstrap_samples, settings.seed
    )
    if operations is not None:
        rotations = operations.cartesian(lattice.cell)
        tensor = symmetrise_tensor(tensor, rotations)
        samples = symmetrise_tensor(samples, rotations)
    known = replace(evidence, unseen=0.0)  # it knows nothing of a network
    return summarise(plan.describe(), tensor, samples, units, known, freedom=slope_freedom(units))


def _check(
    paths: SitePaths,
    fit: Fit,
    lattice: SiteLattice,
    lag: int,
    frames: int,
    blocks: int,
    settings: Settings,
) -> CkTest | None:
    """Return the Chapman-Kolmogorov test over multiples of the lag; None where none fits."""
    multiples = [k for k in CHECKED_MULTIPLES if 2 * k * lag * blocks <= frames]
    if len(multiples) < 2:
        return None
    return chapman_kolmogorov(
        fit.model, paths, lag, lattice.orbits, multiples, blocks,
        settings.bootstrap_samples, settings.seed,
    )  # fmt: skip


def _ways(model: MarkovModel) -> Ways:
    """Return bottlenecks and dominant pathways along x, y and z."""
    found = bottlenecks(
        model.from_site, model.to_site, model.image, model.flux, model.lattice.cell, np.eye(3)
    )
    few = model.n_sites <= PATHWAY_SITES
    return Ways(
        model=model,
        bottlenecks=tuple(found),
        pathways=tuple(
            dominant_pathways(model, axis, PATHWAYS) if few else () for axis in np.eye(3)
        ),
    )


def _site_warnings(
    seen: Sequence[Observation],
    lattice: SiteLattice,
    supercell: IntArray,
    density: DensityGrid | None,
    symmetry: SiteOperations,
) -> list[str]:
    """Tell of sites that the lattice lacks, and of sites that are not as equal as pooled."""
    warnings = []
    if density is not None and density.n_samples:
        lacking = missing_sites(lattice, density, operations=symmetry)
        if len(lacking):
            warnings.append(
                f"{lacking.describe(lattice.cell)}; analyse with --sites interstitials to add them"
            )
    for part in seen:
        same = occupancy_homogeneity(part.paths, supercell, lattice.n_sites)
        if same.suspicious:
            warnings.append(same.reason)
            break
    return warnings


def _curves(
    scan: LagScan,
    fit: Fit,
    check: CkTest | None,
    seen: Sequence[Observation],
    plan: MsdPlan,
    frames: int,
    interval: float,
) -> Curves:
    mean, error = curve_with_error([part.md for part in seen], plan, frames)
    projected, _ = curve_with_error([part.projected for part in seen], plan, frames)
    time = np.asarray(plan.curve_lags * interval, dtype=np.float64)
    tested: dict[str, Any] = {}
    if check is not None:
        tested = {
            "ck_lag_ps": check.lag_ps,
            "ck_groups": check.groups,
            "ck_predicted": check.predicted,
            "ck_observed": check.observed,
            "ck_error": check.error,
        }
    return Curves(
        lag_ps=scan.lags_ps,
        d_of_lag_cm2_s=scan.values,
        d_of_lag_error_cm2_s=scan.samples.std(axis=0, ddof=1),
        msd_time_ps=time,
        msd_md_angstrom2=mean,
        msd_md_error_angstrom2=error,
        msd_projected_angstrom2=projected,
        msd_model_angstrom2=fit.model.msd(time),
        timescales_ps=scan.timescales_ps,
        timescale_errors_ps=scan.timescale_errors_ps,
        eigenvalues=fit.spectrum.eigenvalues[:KEPT_PROCESSES],
        right_eigenvectors=fit.spectrum.right[:, :KEPT_PROCESSES],
        **tested,
    )


def _site_statistics(
    seen: Sequence[Observation], paths: SitePaths, cells: int, sources: Sequence[FrameSource]
) -> SiteStatistics:
    """Occupancy, vibration and stays per site, over all trajectories."""
    frames = sum(source.n_frames for source in sources)
    moments = np.sum([part.assigner.moments for part in seen], axis=0)
    occupancy = paths.residence_frames(len(moments)) / (cells * frames)
    number = np.where(moments[:, 0] > 0, moments[:, 0], np.nan)
    mean = moments[:, 1:4] / number[:, None]
    variance = moments[:, 4] / number - (mean**2).sum(axis=1)
    return SiteStatistics(
        occupancy=occupancy,
        vibration_amplitude=np.sqrt(np.maximum(variance, 0.0)),
        residence=residence_times(paths, len(moments), sources[0].frame_interval_ps),
    )


def _mean(seen: Sequence[Observation], values: Sequence[float]) -> float:
    """Return the mean over trajectories, weighted by their ion-frames."""
    weights = [float(part.paths.frames.sum()) for part in seen]
    return float(np.average(values, weights=weights))
