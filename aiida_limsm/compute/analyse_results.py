"""Turn what an analysis found into ``results.json``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..markov.errors import Diffusion
from ..markov.findings import Analysis
from ..markov.sites import SiteLattice
from ..trajectory.ions import IonStream
from .analyse_sites import Sites
from .base import MODEL_FILENAME, Status
from .inputs import AnalyseInput
from .results import (
    AnalyseResults,
    Bottleneck,
    DiffusionEstimate,
    DiffusionEstimates,
    HavenRatio,
    JumpSummary,
    Matrix3,
    PathwaySummary,
    PrincipalAxis,
    Ratio,
    SiteSummary,
)

__all__ = ["collect_results"]

MAX_JUMP_ROWS = 500
LOST_LIMIT = 0.01
UNASSIGNED_LIMIT = 0.01
DOUBLE_LIMIT = 0.05
CK_SIGMA_LIMIT = 3.0
CK_LIMIT = 0.02

FloatArray = npt.NDArray[np.float64]
Axis = Literal["x", "y", "z"]
AXES: tuple[Axis, Axis, Axis] = ("x", "y", "z")


def collect_results(
    job: AnalyseInput,
    found: Analysis,
    sites: Sites,
    streams: Sequence[IonStream],
    temperature: float | None,
    warnings: Sequence[str],
    began: float,
) -> AnalyseResults:
    """Return the results of an analysis; ``began`` is the monotonic time of its start."""
    lattice = sites.lattice
    motions = [stream.motion for stream in streams if stream.motion is not None]
    melts = [m.msd_angstrom2 for m in motions if m.msd_angstrom2 is not None]
    interval = streams[0].frame_interval_ps
    return AnalyseResults(
        status=Status.FINISHED,
        warnings=tuple(dict.fromkeys([*warnings, *found.warnings, *_quality(job, found, lattice)])),
        model_file=MODEL_FILENAME,
        species=job.species,
        temperature_k=temperature,
        n_ions=sum(stream.n_ions for stream in streams),
        n_frames=sum(stream.n_frames for stream in streams),
        frame_interval_fs=interval * 1000.0,
        duration_ps=sum((stream.n_frames - 1) * interval for stream in streams),
        cell_angstrom=_matrix(streams[0].trajectory.cell),
        sites_cell_angstrom=_matrix(lattice.cell),
        framework_drift_a=max(m.drift_angstrom for m in motions),
        framework_msd_angstrom2=max(melts) if melts else None,
        site_source=sites.source,
        assignment=_assignment(job, found),
        pool=sites.pool,
        double_occupancy_fraction=found.double_occupancy_fraction,
        unassigned_fraction=found.unassigned_fraction + found.lost_fraction,
        n_jumps=found.jumps,
        n_independent_jumps=found.independent_jumps,
        sites=_site_rows(found, sites),
        jumps=_jump_rows(found, lattice),
        lag_time_ps=found.lag_ps,
        lag_reason=found.lag_reason,
        implied_timescales_ps=tuple(float(x) for x in found.timescales_ps),
        implied_timescales_error_ps=tuple(_finite(x) for x in found.timescale_errors_ps),
        ck_max_deviation=None if found.check is None else found.check.max_deviation,
        ck_max_deviation_sigma=None
        if found.check is None
        else _finite(found.check.max_deviation_sigma),
        diffusion=DiffusionEstimates(
            markov=_estimate(found.markov),
            msd=_estimate(found.msd),
            uncorrelated=_estimate(found.uncorrelated),
        ),
        agreement_sigma=_agreement(found.markov, found.msd),
        correlation_factor=_correlation_factor(found),
        haven_ratio=_haven_ratio(found),
        principal_axes=_principal_axes(found),
        dimensionality=found.axes.dimensionality if found.markov.resolved else None,
        bottlenecks=_bottlenecks(found, lattice),
        pathways=_pathways(found, lattice),
        metastable_sets=found.metastable.number,
        wall_seconds=time.monotonic() - began,
    )


def _assignment(job: AnalyseInput, found: Analysis) -> str:
    if found.core_radii is None:
        return job.assignment
    low, high = f"{found.core_radii.min():.3g}", f"{found.core_radii.max():.3g}"
    return f"core, radius {high} Å" if low == high else f"core, radii {low} to {high} Å"


def _quality(job: AnalyseInput, found: Analysis, lattice: SiteLattice) -> list[str]:
    """Warnings on how well sites and model describe the ions."""
    warnings = []
    lacking = "the structure may lack sites (--sites interstitials)"
    if job.sites != "structure":
        lacking = f"sites may still be missing (they are from: {job.sites})"
    if found.unassigned_fraction > UNASSIGNED_LIMIT:
        warnings.append(
            f"{found.unassigned_fraction:.1%} of the ion-frames come before the ion's first visit "
            f"to a site: {lacking}"
        )
    if found.lost_fraction > LOST_LIMIT:
        warnings.append(
            f"{found.lost_ions} ion(s) stay away from every site for more than 1 ps, "
            f"{found.lost_fraction:.1%} of the ion-frames in all: {lacking}"
        )
    if found.double_occupancy_fraction > DOUBLE_LIMIT:
        warnings.append(
            f"{found.double_occupancy_fraction:.1%} of the ion-frames share a site with another "
            f"ion: {lacking}"
        )
    occupancy = found.sites.occupancy
    if (occupancy > 1.05).any():
        worst = int(np.argmax(occupancy))
        warnings.append(
            f"site {lattice.labels[worst]} holds {occupancy[worst]:.2f} ions on average"
        )
    check = found.check
    if (
        check is not None
        and check.max_deviation > CK_LIMIT
        and check.max_deviation_sigma > CK_SIGMA_LIMIT
    ):
        warnings.append(
            f"Chapman-Kolmogorov test: the model misses the observed probabilities by up to "
            f"{check.max_deviation:.3f} ({check.max_deviation_sigma:.1f} errors): memory beyond "
            "the lag; see chapman_kolmogorov.png"
        )
    return warnings


def _estimate(found: Diffusion) -> DiffusionEstimate:
    return DiffusionEstimate(
        method=found.method,
        tensor_cm2_s=_matrix(found.tensor),
        error_cm2_s=_matrix(found.error_tensor),
        covariance_cm4_s2=tuple(tuple(float(x) for x in row) for row in found.covariance),
        isotropic_cm2_s=found.value,
        isotropic_error_cm2_s=found.error,
        resolved=found.resolved,
        upper_bound_cm2_s=found.upper_bound,
        reason=found.reason,
    )


def _agreement(first: Diffusion, second: Diffusion) -> float | None:
    joint = float(np.hypot(first.error, second.error))
    return abs(first.value - second.value) / joint if joint > 0 else None


def _correlation_factor(found: Analysis) -> Ratio | None:
    value, error = found.correlation_factor
    if not np.isfinite(value) or not np.isfinite(error):
        return None
    return Ratio(
        value=value, error=error, resolved=found.markov.resolved, reason=found.markov.reason
    )


def _haven_ratio(found: Analysis) -> HavenRatio | None:
    haven = found.haven
    charge = haven.charge
    if not np.isfinite([haven.value, haven.error, charge.value, charge.error]).all():
        return None
    return HavenRatio(
        value=haven.value,
        error=haven.error,
        resolved=haven.resolved,
        reason=haven.reason,
        charge_cm2_s=charge.value,
        charge_error_cm2_s=charge.error,
        charge_tensor_cm2_s=_matrix(charge.tensor),
        charge_tensor_error_cm2_s=_matrix(charge.error_tensor),
        window_ps=charge.window_ps,
        independent_windows=charge.independent_windows,
    )


def _principal_axes(found: Analysis) -> tuple[PrincipalAxis, ...]:
    axes = found.axes
    return tuple(
        PrincipalAxis(
            d_cm2_s=float(axes.values[k]),
            error_cm2_s=float(axes.errors[k]),
            axis=_vector(axes.axes[k]),
            direction=axes.directions[k],
        )
        for k in range(3)
    )


def _bottlenecks(found: Analysis, lattice: SiteLattice) -> tuple[Bottleneck, ...]:
    model, rows = found.ways.model, []
    for axis, one in zip(AXES, found.ways.bottlenecks, strict=True):
        if one.jump is None:
            rows.append(Bottleneck(direction=axis, percolates=False))
            continue
        start, end = int(model.from_site[one.jump]), int(model.to_site[one.jump])
        held = float(model.stationary_distribution[start]) * model.lag_ps
        rows.append(
            Bottleneck(
                direction=axis,
                percolates=True,
                rate_per_ps=float(model.flux[one.jump]) / held,
                from_site=lattice.labels[start],
                to_site=lattice.labels[end],
                distance_a=float(np.linalg.norm(model.jump_vectors[one.jump])),
            )
        )
    return tuple(rows)


def _pathways(found: Analysis, lattice: SiteLattice) -> tuple[PathwaySummary, ...]:
    return tuple(
        PathwaySummary(
            direction=axis,
            share=way.share,
            sites=tuple(lattice.labels[s] for s in way.sites),
            translation=way.translation,
        )
        for axis, ways in zip(AXES, found.ways.pathways, strict=True)
        for way in ways
    )


def _site_rows(found: Analysis, sites: Sites) -> tuple[SiteSummary, ...]:
    lattice, residence = sites.lattice, found.sites.residence
    scaled = lattice.scaled_positions
    stationary = found.model.stationary_distribution
    first_extra = lattice.n_sites - sites.extra
    return tuple(
        SiteSummary(
            label=lattice.labels[s],
            orbit=lattice.orbits[s],
            multiplicity=lattice.multiplicities[s],
            frac=_vector(scaled[s]),
            occupancy=float(found.sites.occupancy[s]),
            vibration_amplitude_a=_finite(found.sites.vibration_amplitude[s]),
            stationary_probability=float(stationary[s]),
            residence_time_ps=_finite(residence.mean_ps[s]),
            residence_time_error_ps=_finite(residence.error_ps[s]),
            metastable_set=int(found.metastable.assignment[s]),
            source="structure" if s < first_extra else "density",
        )
        for s in range(lattice.n_sites)
    )


def _jump_rows(found: Analysis, lattice: SiteLattice) -> tuple[JumpSummary, ...]:
    """Return the most frequent kinds of jump; all of them follow from ``paths.h5``."""
    table = found.table
    return tuple(
        JumpSummary(
            from_site=lattice.labels[table.from_site[k]],
            to_site=lattice.labels[table.to_site[k]],
            image=(int(table.image[k, 0]), int(table.image[k, 1]), int(table.image[k, 2])),
            distance_a=float(np.linalg.norm(table.vector[k])),
            vector_a=_vector(table.vector[k]),
            count=int(table.jumps[k]),
            rate_per_ps=float(table.rate_per_ps[k]),
            rate_error=float(table.rate_error_per_ps[k]),
        )
        for k in range(min(len(table.jumps), MAX_JUMP_ROWS))
    )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _vector(values: FloatArray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _matrix(matrix: FloatArray) -> Matrix3:
    return _vector(matrix[0]), _vector(matrix[1]), _vector(matrix[2])
