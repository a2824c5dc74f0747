"""Results of ``limsm train``."""

from __future__ import annotations

from .base import JobResults, LimsmModel
from .results import ErrorSummary, PotentialInfo

__all__ = ["EpochRecord", "TrainResults", "ValidationErrors"]


class ValidationErrors(LimsmModel):
    """Errors on the validation frames, of the head that is trained and of the replay head."""

    loss: float
    rmse_forces_mev_per_angstrom: float
    rmse_energy_mev_per_atom: float
    replay_rmse_forces_mev_per_angstrom: float | None = None
    replay_rmse_energy_mev_per_atom: float | None = None


class EpochRecord(ValidationErrors):
    """Validation errors after one epoch; ``train_loss`` is the mean over its batches."""

    epoch: int
    train_loss: float | None = None


class TrainResults(JobResults):
    """Result of ``limsm train``. ``potential_file`` is None when no model was finished.

    ``initial`` holds the errors before the first step: with a foundation, its own. ``errors`` are
    those of the finished model per head and split. ``multihead_file`` is the model with the replay
    head too; ``potential_file`` has only the head that was trained.
    ``energy_zero_error_ev_per_atom`` is the mean of labels minus foundation, both relative to
    their isolated atoms, those of the labels in ``e0s_ev``. ``mace_seconds`` is the time of
    ``mace_run_train`` within ``wall_seconds``.
    """

    potential_file: str | None = None
    potential: PotentialInfo | None = None
    multihead_file: str | None = None
    multihead: PotentialInfo | None = None
    epochs: int = 0
    initial: ValidationErrors | None = None
    history: tuple[EpochRecord, ...] = ()
    errors: dict[str, dict[str, ErrorSummary]] = {}
    e0s_ev: dict[str, float] | None = None
    energy_zero_error_ev_per_atom: float | None = None
    foundation_e0s_ev: dict[str, float] | None = None
    mace_seconds: float = 0.0
    wall_seconds: float = 0.0
