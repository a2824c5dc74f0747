"""Results of the ``limsm`` jobs: what ``results.json`` holds, read back by the AiiDA parsers."""

from __future__ import annotations

from pydantic import Field

from .base import JobResults, LimsmModel

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


class EpochRecord(LimsmModel):
    """Validation errors after one epoch."""

    epoch: int
    loss: float
    rmse_forces_mev_per_angstrom: float
    rmse_energy_mev_per_atom: float


class TrainResults(JobResults):
    """Result of ``limsm train``. ``potential_file`` is None when no model was finished."""

    potential_file: str | None = None
    potential: PotentialInfo | None = None
    epochs: int = 0
    history: tuple[EpochRecord, ...] = ()
    foundation_e0s_ev: dict[str, float] | None = None
    wall_seconds: float = 0.0


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
    """Result of ``limsm evaluate``: errors per dataset file; the points are in ``parity.h5``."""

    errors: dict[str, ErrorSummary] = {}
    wall_seconds: float = 0.0


class MdResults(JobResults):
    """Result of ``limsm md``; counts are of production, over all restarts."""

    trajectory_file: str | None = None
    trajectory_sha256: str | None = None
    frames: int = 0
    steps_done: int = 0
    frame_interval_ps: float = 0.0
    mean_temperature_k: float | None = None
    std_temperature_k: float | None = None
    framework_msd_angstrom2: float | None = None
    restarts: int = 0
    steps_per_second: float | None = None
    wall_seconds: float = 0.0


class DiffusionEstimate(LimsmModel):
    """One diffusion tensor with its statistical error.

    ``covariance_cm4_s2`` is over the six components in the order xx, yy, zz, yz, xz, xy.
    ``d_cm2_s`` is a third of the trace. Where ``resolved`` is False the numbers rest on too few
    independent jumps, and ``upper_bound_cm2_s`` (95 %, one-sided) is what may be quoted.
    """

    method: str
    tensor_cm2_s: Matrix3
    covariance_cm4_s2: tuple[tuple[float, ...], ...]
    d_cm2_s: float
    d_error_cm2_s: float
    resolved: bool
    upper_bound_cm2_s: float | None = None
    reason: str = ""


class SiteSummary(LimsmModel):
    """One site of the (pooled) cell. ``occupancy`` is ions per site, on average."""

    label: str
    orbit: str
    multiplicity: int
    scaled_position: tuple[float, float, float]
    occupancy: float
    vibration_amplitude_angstrom: float | None
    stationary_probability: float


class JumpSummary(LimsmModel):
    """One row of the jump table: site pair with distance, count and rate."""

    from_site: str
    to_site: str
    distance_angstrom: float
    vector_angstrom: tuple[float, float, float]
    jumps: int
    rate_per_ps: float
    rate_error_per_ps: float


class TimescaleSummary(LimsmModel):
    """Relaxation time of one eigenvalue of the model, with its bootstrap error."""

    timescale_ps: float
    error_ps: float | None


class AnalyseResults(JobResults):
    """Result of ``limsm analyse``; curves and arrays are in ``markov_model.h5``."""

    model_file: str | None = None
    ions: int = 0
    frames: int = 0
    frame_interval_ps: float = 0.0
    duration_ps: float = 0.0
    temperature_k: float | None = None
    cell_angstrom: Matrix3 | None = None
    assignment: str = ""
    pool: str = ""
    lag_ps: float | None = None
    lag_reason: str = ""
    jumps: int = 0
    independent_jumps: int = 0
    markov: DiffusionEstimate | None = None
    msd: DiffusionEstimate | None = None
    agreement_sigma: float | None = Field(
        default=None, description="|D_markov − D_msd| in units of their joint error"
    )
    sites: tuple[SiteSummary, ...] = ()
    jump_table: tuple[JumpSummary, ...] = ()
    timescales: tuple[TimescaleSummary, ...] = ()
    framework_msd_angstrom2: float | None = None
    double_occupancy_fraction: float = 0.0
    unassigned_fraction: float = 0.0
    wall_seconds: float = 0.0
