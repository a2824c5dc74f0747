"""Labels and predictions reduced to the errors that ``limsm evaluate`` reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..units import GPA_TO_EV_PER_ANGSTROM3
from .evaluate_results import (
    CalibrationBin,
    CommitteeSummary,
    EnergyErrors,
    ErrorDetails,
    ForceErrorBin,
    ForceErrorSummary,
    StressErrors,
)

if TYPE_CHECKING:
    from ..atomistic.committee import Committee
    from ..atomistic.evaluation import Parity
    from ..atomistic.force_errors import ForceErrors
    from ..markov.arrays import FloatArray, IntArray

__all__ = ["detail", "summarise_committee"]


def detail(parity: Parity, edges_ev_per_angstrom: Sequence[float]) -> ErrorDetails:
    """Group the errors of one dataset; ``edges`` separate forces by their size."""
    from ase.data import chemical_symbols

    from ..atomistic.force_errors import errors_by_magnitude, force_errors

    reference, predicted = parity.forces[:, 0], parity.forces[:, 1]
    return ErrorDetails(
        forces=_forces(force_errors(reference, predicted)),
        forces_per_element={
            chemical_symbols[z]: _forces(
                force_errors(reference[parity.numbers == z], predicted[parity.numbers == z])
            )
            for z in np.unique(parity.numbers)
        },
        forces_by_magnitude=tuple(
            ForceErrorBin(
                **_forces(errors).model_dump(),
                from_ev_per_angstrom=begin,
                to_ev_per_angstrom=end,
            )
            for begin, end, errors in errors_by_magnitude(
                reference, predicted, edges_ev_per_angstrom
            )
        ),
        energy=_energy(1e3 * (parity.energy[:, 1] - parity.energy[:, 0]) / parity.n_atoms),
        stress=None if parity.stress is None else _stress(parity.stress),
    )


def _forces(errors: ForceErrors) -> ForceErrorSummary:
    return ForceErrorSummary(
        atoms=errors.atoms,
        rmse_mev_per_angstrom=1e3 * errors.rmse,
        mae_mev_per_angstrom=1e3 * errors.mae,
        rms_labels_mev_per_angstrom=1e3 * errors.label_rms,
        relative_percent=None if errors.relative is None else 100 * errors.relative,
        cosine=errors.cosine,
    )


def _energy(difference: FloatArray) -> EnergyErrors:
    from ..atomistic.evaluation import rms

    return EnergyErrors(
        rmse_mev_per_atom=rms(difference),
        mae_mev_per_atom=float(np.abs(difference).mean()),
        mean_mev_per_atom=float(difference.mean()),
        std_mev_per_atom=float(difference.std()),
    )


def _stress(stress: FloatArray) -> StressErrors:
    from ..atomistic.evaluation import rms

    difference = stress[:, 1] - stress[:, 0]
    pressure = -np.trace(difference, axis1=1, axis2=2) / 3 / GPA_TO_EV_PER_ANGSTROM3
    return StressErrors(
        rmse_mev_per_angstrom3=1e3 * rms(difference),
        mae_mev_per_angstrom3=1e3 * float(np.abs(difference).mean()),
        rmse_pressure_gpa=rms(pressure),
        mean_pressure_error_gpa=float(pressure.mean()),
    )


def summarise_committee(committee: Committee, n_atoms: IntArray) -> CommitteeSummary:
    """Reduce a committee on one dataset; ``n_atoms`` (F,) are those of its frames."""
    from ..atomistic.committee import calibrate, rank_correlation
    from ..atomistic.evaluation import rms

    found = calibrate(committee.spread, committee.error)
    return CommitteeSummary(
        members=committee.members,
        rmse_mean_forces_mev_per_angstrom=1e3 * rms(committee.error),
        rms_spread_mev_per_angstrom=1e3 * rms(committee.spread),
        max_spread_mev_per_angstrom=1e3 * float(committee.spread.max()),
        rank_correlation_atoms=rank_correlation(committee.spread, committee.error),
        rank_correlation_frames=rank_correlation(*committee.largest_per_frame(n_atoms)),
        scaling_factor=found.factor,
        calibration_deviation=found.deviation,
        calibration=tuple(
            CalibrationBin(
                atoms=int(atoms),
                spread_mev_per_angstrom=1e3 * float(spread),
                error_mev_per_angstrom=1e3 * float(error),
            )
            for atoms, spread, error in zip(found.atoms, found.spread, found.error, strict=True)
        ),
    )
