"""Errors in detail and the committee: parts of the results of ``limsm evaluate``."""

from __future__ import annotations

from .base import LimsmModel

__all__ = [
    "CalibrationBin", "CommitteeSummary", "EnergyErrors", "ErrorDetails", "ForceErrorBin",
    "ForceErrorSummary", "StressErrors",
]  # fmt: skip


class ForceErrorSummary(LimsmModel):
    """Errors of the force components of some atoms; ``rms_labels`` is the labels' own size.

    ``relative_percent`` is the RMSE over ``rms_labels``. ``cosine`` is the mean cosine of the angle
    between label and prediction, over atoms with a label of 0.05 eV/Å or more.
    """

    atoms: int
    rmse_mev_per_angstrom: float
    mae_mev_per_angstrom: float
    rms_labels_mev_per_angstrom: float
    relative_percent: float | None
    cosine: float | None


class ForceErrorBin(ForceErrorSummary):
    """Errors of the atoms whose labelled force lies in a range; the last has no upper end."""

    from_ev_per_angstrom: float
    to_ev_per_angstrom: float | None


class EnergyErrors(LimsmModel):
    """Errors of the energy per atom; ``std`` is what is left without the mean error."""

    rmse_mev_per_atom: float
    mae_mev_per_atom: float
    mean_mev_per_atom: float
    std_mev_per_atom: float


class StressErrors(LimsmModel):
    """Errors of the stress components and of the pressure −tr(σ)/3."""

    rmse_mev_per_angstrom3: float
    mae_mev_per_angstrom3: float
    rmse_pressure_gpa: float
    mean_pressure_error_gpa: float


class ErrorDetails(LimsmModel):
    """Errors on one set of frames, by element and by the size of the force."""

    forces: ForceErrorSummary
    forces_per_element: dict[str, ForceErrorSummary]
    forces_by_magnitude: tuple[ForceErrorBin, ...]
    energy: EnergyErrors
    stress: StressErrors | None


class CalibrationBin(LimsmModel):
    """Atoms of about one spread: root mean square of spread and error."""

    atoms: int
    spread_mev_per_angstrom: float
    error_mev_per_angstrom: float


class CommitteeSummary(LimsmModel):
    """What the spread of a committee says about its error on one set of frames.

    Spread is the standard deviation of the members' forces, error that of their mean against the
    label, per atom and component. ``rank_correlation_atoms`` is Spearman's, between the two over
    atoms; ``rank_correlation_frames`` between the largest of each in a frame. ``scaling_factor``
    times the spread has the size of the error; ``calibration_deviation`` is how far, relative to
    the error, it is off in the bins even so. None where nothing varies.
    """

    members: int
    rmse_mean_forces_mev_per_angstrom: float
    rms_spread_mev_per_angstrom: float
    max_spread_mev_per_angstrom: float
    rank_correlation_atoms: float | None
    rank_correlation_frames: float | None
    scaling_factor: float | None
    calibration_deviation: float | None
    calibration: tuple[CalibrationBin, ...]
