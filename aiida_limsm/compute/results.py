"""Results of the ``limsm`` jobs: what ``results.json`` holds, read back by the AiiDA parsers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from .base import JobResults, LimsmModel, Status
from .evaluate_results import CommitteeSummary, ErrorDetails

Matrix3 = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]


class PotentialInfo(LimsmModel):
    """What a MACE model file is, read from the file itself."""

    architecture: str
    elements: tuple[str, ...]
    r_max_angstrom: float
    dtype: str
    heads: tuple[str, ...]
    num_params: int
    e0s_ev: dict[str, float]
    sha256: str


class InspectResults(JobResults):
    """Result of ``limsm inspect``."""

    potential: PotentialInfo


class ErrorSummary(LimsmModel):
    """Errors of a potential on one set of frames. ``rms_forces`` is the labels' own size."""

    frames: int
    atoms: int
    rmse_forces_mev_per_angstrom: float
    mae_forces_mev_per_angstrom: float
    rms_forces_mev_per_angstrom: float
    rmse_forces_per_element_mev_per_angstrom: dict[str, float]
    rmse_energy_mev_per_atom: float
    mean_energy_error_mev_per_atom: float
    rmse_stress_mev_per_angstrom3: float | None = None


class EvaluateResults(JobResults):
    """Result of ``limsm evaluate``, per dataset file; the points are in ``parity.h5``."""

    figures: tuple[str, ...] = ()
    errors: dict[str, ErrorSummary] = {}
    details: dict[str, ErrorDetails] = {}
    committee: dict[str, CommitteeSummary] = {}
    wall_seconds: float = 0.0


class MdRunResults(LimsmModel):
    """One trajectory of ``limsm md``; counts and means are of production, over all restarts.

    File names are relative to the job's folder. ``conserved_drift_ev_per_atom_ns`` is the slope of
    the energy that exact dynamics of the ensemble would keep.
    """

    status: Status
    message: str = ""
    temperature_k: float
    seed: int
    trajectory_file: str | None = None
    trajectory_sha256: str | None = None
    mobile_file: str | None = None
    mobile_sha256: str | None = None
    thermo_file: str | None = None
    frames: int = 0
    steps_done: int = 0
    mean_temperature_k: float | None = None
    std_temperature_k: float | None = None
    mean_volume_angstrom3: float | None = None
    std_volume_angstrom3: float | None = None
    mean_pressure_gpa: float | None = None
    mean_cell_angstrom: Matrix3 | None = None
    conserved_drift_ev_per_atom_ns: float | None = None
    framework_msd_angstrom2: float | None = None
    largest_committee_spread_ev_per_angstrom: float | None = None
    restarts: int = 0


class MdResults(JobResults):
    """Result of ``limsm md``.

    The fields of a trajectory are those of the only run; where there are several, ``runs`` has
    them, and ``frames`` and ``restarts`` are sums, ``steps_done`` is the least.
    ``steps_per_second`` counts the steps of all runs, since models were loaded; ``force_share`` is
    the part of that time that forces took.
    """

    trajectory_file: str | None = None
    trajectory_sha256: str | None = None
    frames: int = 0
    steps_done: int = 0
    frame_interval_ps: float = 0.0
    mobile_interval_ps: float | None = None
    mean_temperature_k: float | None = None
    std_temperature_k: float | None = None
    framework_msd_angstrom2: float | None = None
    restarts: int = 0
    runs: tuple[MdRunResults, ...] = ()
    batch_size: int = 1
    steps_per_second: float | None = None
    force_share: float | None = None
    wall_seconds: float = 0.0


class DiffusionEstimate(LimsmModel):
    """One diffusion tensor with its statistical error.

    ``covariance_cm4_s2`` is over the six components in the order xx, yy, zz, yz, xz, xy, and
    ``error_cm2_s`` holds the square roots of its diagonal as a tensor. ``isotropic_cm2_s`` is a
    third of the trace. Where ``resolved`` is False the numbers rest on too few independent jumps,
    and ``upper_bound_cm2_s`` (95 %, one-sided) is what may be quoted.
    """

    method: str
    tensor_cm2_s: Matrix3
    error_cm2_s: Matrix3
    covariance_cm4_s2: tuple[tuple[float, ...], ...]
    isotropic_cm2_s: float
    isotropic_error_cm2_s: float
    resolved: bool
    upper_bound_cm2_s: float | None = None
    reason: str = ""


class DiffusionEstimates(LimsmModel):
    """Tracer diffusion three ways.

    ``markov`` is exact for the chain; ``msd`` knows nothing of sites; ``uncorrelated`` takes
    successive jumps of the chain as independent.
    """

    markov: DiffusionEstimate
    msd: DiffusionEstimate
    uncorrelated: DiffusionEstimate


class Ratio(LimsmModel):
    """A ratio with its error; where ``resolved`` is False the error is too large to quote it."""

    value: float
    error: float
    resolved: bool
    reason: str = ""


class HavenRatio(Ratio):
    """H = D* / D_charge, with the charge diffusion coefficient behind it."""

    charge_cm2_s: float
    charge_error_cm2_s: float
    charge_tensor_cm2_s: Matrix3
    charge_tensor_error_cm2_s: Matrix3
    window_ps: float
    independent_windows: int


class PrincipalAxis(LimsmModel):
    """One principal value of the tensor: unit vector and nearest lattice direction [uvw]."""

    d_cm2_s: float
    error_cm2_s: float
    axis: tuple[float, float, float]
    direction: str


class SiteSummary(LimsmModel):
    """One site of the (pooled) cell. ``occupancy`` is ions per site, on average.

    ``metastable_set`` numbers the set of sites (PCCA+) among which ions relax faster than
    between sets. ``source`` tells sites of the structure from those found in the density.
    """

    label: str
    orbit: str
    multiplicity: int
    frac: tuple[float, float, float]
    occupancy: float
    vibration_amplitude_a: float | None
    stationary_probability: float
    residence_time_ps: float | None = None
    residence_time_error_ps: float | None = None
    metastable_set: int = 0
    source: Literal["structure", "density"] = "structure"


class JumpSummary(LimsmModel):
    """One row of the jump table: a site pair with lattice image, vector, count and rate.

    In the file the keys are ``from`` and ``to``.
    """

    model_config = ConfigDict(populate_by_name=True)

    from_site: str = Field(validation_alias="from", serialization_alias="from")
    to_site: str = Field(validation_alias="to", serialization_alias="to")
    image: tuple[int, int, int]
    distance_a: float
    vector_a: tuple[float, float, float]
    count: int
    rate_per_ps: float
    rate_error: float


class Bottleneck(LimsmModel):
    """Along one Cartesian direction: the slowest jump that the fastest way through must take.

    ``rate_per_ps`` is None where the network seen does not percolate.
    """

    direction: Literal["x", "y", "z"]
    percolates: bool
    rate_per_ps: float | None = None
    from_site: str | None = None
    to_site: str | None = None
    distance_a: float | None = None


class PathwaySummary(LimsmModel):
    """One way through the crystal along a direction, and the share of the current it carries."""

    direction: Literal["x", "y", "z"]
    share: float
    sites: tuple[str, ...]
    translation: tuple[int, int, int]


class AnalyseResults(JobResults):
    """Result of ``limsm analyse``; curves and arrays are in ``model.h5``."""

    model_file: str | None = None
    projected_files: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    species: str = ""
    temperature_k: float | None = None
    n_ions: int = 0
    n_frames: int = 0
    frame_interval_fs: float = 0.0
    duration_ps: float = 0.0
    cell_angstrom: Matrix3 | None = None
    sites_cell_angstrom: Matrix3 | None = None
    framework_drift_a: float | None = None
    framework_msd_angstrom2: float | None = None
    site_source: str = ""
    assignment: str = ""
    pool: str = ""
    double_occupancy_fraction: float = 0.0
    unassigned_fraction: float = 0.0
    n_jumps: int = 0
    n_independent_jumps: int = 0
    sites: tuple[SiteSummary, ...] = ()
    jumps: tuple[JumpSummary, ...] = ()
    lag_time_ps: float | None = None
    lag_reason: str = ""
    implied_timescales_ps: tuple[float, ...] = ()
    implied_timescales_error_ps: tuple[float | None, ...] = ()
    ck_max_deviation: float | None = None
    ck_max_deviation_sigma: float | None = None
    diffusion: DiffusionEstimates | None = None
    agreement_sigma: float | None = Field(
        default=None, description="|D_markov − D_msd| in units of their joint error"
    )
    correlation_factor: Ratio | None = None
    haven_ratio: HavenRatio | None = None
    principal_axes: tuple[PrincipalAxis, ...] = ()
    dimensionality: int | None = None
    bottlenecks: tuple[Bottleneck, ...] = ()
    pathways: tuple[PathwaySummary, ...] = ()
    metastable_sets: int = 1
    wall_seconds: float = 0.0


class PropagateResults(JobResults):
    """Result of ``limsm propagate``; profiles at every time are in ``profiles_file``.

    ``relative_l2`` is ‖c_model − c_Fick‖ / ‖c_Fick‖ over the ions of all cells; variances are of
    the position across the planes of cells along ``axis``, D across them is ``d_axis_cm2_s``.
    ``ions_drift`` is the largest relative change of the number of ions.
    """

    profiles_file: str | None = None
    figures: tuple[str, ...] = ()
    n_sites: int = 0
    cells: tuple[int, int, int] | None = None
    axis: Literal["a", "b", "c"] | None = None
    start: str = ""
    method: str = ""
    lag_time_ps: float | None = None
    times_ps: tuple[float, ...] = ()
    relative_l2: tuple[float, ...] = ()
    variance_model_angstrom2: tuple[float, ...] = ()
    variance_fick_angstrom2: tuple[float, ...] = ()
    tensor_cm2_s: Matrix3 | None = None
    d_axis_cm2_s: float | None = None
    ions_drift: float = 0.0
    wall_seconds: float = 0.0
