"""What may be said about the numbers: usable or not, agreement, activation energy, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiida_limsm.compute.results import DiffusionEstimate
from aiida_limsm.markov.series import arrhenius
from aiida_limsm.units import BOLTZMANN_EV_PER_K

from .format import format_bound, format_with_error
from .study import Study, TemperatureResult

__all__ = [
    "DISAGREEMENT_SIGMA",
    "Arrhenius",
    "agreement",
    "agreement_text",
    "bound_of",
    "causes",
    "diffusion_text",
    "fit_arrhenius",
    "is_resolved",
    "resolved_points",
    "value_text",
    "verdict",
]

DISAGREEMENT_SIGMA = 2.0
"""Beyond this many joint errors the two methods are said to disagree."""

MIN_TEMPERATURES = 3
"""A line through two points has no residual: no activation energy is quoted from fewer."""

NOTABLE_FRACTION = 0.01
NOTABLE_FRAMEWORK_MSD = 1.0
"""Å²; vibration alone gives 2⟨u²⟩ ≈ 0.2 to 0.5 Å² near melting (Lindemann), so this is motion."""
FEW_JUMPS = 100


@dataclass(frozen=True)
class Arrhenius:
    """Weighted fit of ln D against 1/T: D = D0 exp(−Ea / kT)."""

    energy_ev: float
    energy_error_ev: float
    log_d0: float
    temperatures: int

    def d_cm2_s(self, temperature_k: float) -> float:
        """Return the fitted D at a temperature, cm²/s."""
        return math.exp(self.log_d0 - self.energy_ev / (BOLTZMANN_EV_PER_K * temperature_k))


def is_resolved(estimate: DiffusionEstimate | None) -> bool:
    """Tell whether value and error may be quoted."""
    return (
        estimate is not None
        and estimate.resolved
        and _positive(estimate.isotropic_cm2_s)
        and _positive(estimate.isotropic_error_cm2_s)
    )


def bound_of(estimate: DiffusionEstimate | None) -> float | None:
    """Return the 95 % upper bound of an unresolved estimate, None where there is none to show."""
    if estimate is None or is_resolved(estimate):
        return None
    bound = estimate.upper_bound_cm2_s
    return bound if bound is not None and _positive(bound) else None


def value_text(value: float | None, error: float | None, unit: str = "") -> str:
    """Write a value with its error; without a usable error say so instead of a bare number."""
    if value is None or not math.isfinite(value):
        return "–"
    if error is None or not math.isfinite(error) or error < 0:
        return "error not known"
    return format_with_error(value, error, unit)


def diffusion_text(estimate: DiffusionEstimate | None, unit: str = "cm²/s") -> str:
    """Write D with its error, or its bound, or why there is neither."""
    if estimate is None:
        return "not computed"
    if is_resolved(estimate):
        return format_with_error(estimate.isotropic_cm2_s, estimate.isotropic_error_cm2_s, unit)
    bound = bound_of(estimate)
    if bound is not None:
        return format_bound(bound, unit)
    return f"not resolved: {_reason(estimate)}"


def agreement(result: TemperatureResult) -> float | None:
    """Return |D_Markov − D_MSD| in joint errors, where both are resolved."""
    if not (is_resolved(result.markov) and is_resolved(result.msd)):
        return None
    sigma = result.analysis.agreement_sigma
    return sigma if sigma is not None and math.isfinite(sigma) else None


def agreement_text(result: TemperatureResult) -> str:
    """Write the agreement of both methods."""
    sigma = agreement(result)
    return "–" if sigma is None else f"{sigma:.1f} σ"


def verdict(result: TemperatureResult) -> str:
    """Say in words what the numbers of one temperature are good for."""
    markov, msd = result.markov, result.msd
    if markov is None and msd is None:
        return "not computed"
    if is_resolved(markov) and is_resolved(msd):
        sigma = agreement(result)
        if sigma is None:
            return "resolved; agreement not known"
        if sigma <= DISAGREEMENT_SIGMA:
            return "resolved; both methods agree"
        return "resolved, but the methods disagree"
    if is_resolved(markov):
        return f"resolved by the Markov model only (MSD: {_reason(msd)})"
    if is_resolved(msd):
        return f"resolved by the MSD only (Markov: {_reason(markov)})"
    return f"not resolved: {_reason(markov if markov is not None else msd)}"


def causes(result: TemperatureResult) -> list[str]:
    """List what was measured that can make the two methods disagree.

    These are candidates: the data of one run cannot prove which of them it was.
    """
    found, markov, msd = result.analysis, result.markov, result.msd
    if markov is None or msd is None:
        return []
    said = []
    if markov.isotropic_cm2_s > msd.isotropic_cm2_s:
        said.append(
            "The Markov model is the higher one: jumps that recross the border between two sites, "
            "and memory longer than the lag time, push it up "
            f"(sites assigned by: {found.assignment or 'not recorded'}; lag: "
            f"{found.lag_reason or 'not recorded'})."
        )
    else:
        said.append(
            "The mean-square displacement is the higher one: it also holds motion that is no "
            "hopping between the sites (drift, a soft framework, sites that are missing in the "
            "list), and relaxation on the sites that is not over at the start of the fit."
        )
    if found.n_independent_jumps < FEW_JUMPS:
        said.append(
            f"Only {found.n_independent_jumps} independent jumps were seen: both error bars are "
            "themselves known to about "
            f"{100 / math.sqrt(2 * max(found.n_independent_jumps, 1)):.0f} % at best."
        )
    if found.unassigned_fraction > NOTABLE_FRACTION:
        said.append(f"{found.unassigned_fraction:.1%} of the ion-frames are on no site.")
    if found.double_occupancy_fraction > NOTABLE_FRACTION:
        said.append(f"{found.double_occupancy_fraction:.1%} of the ion-frames share a site.")
    framework = found.framework_msd_angstrom2
    if framework is not None and framework > NOTABLE_FRAMEWORK_MSD:
        said.append(f"The framework moves: mean-square displacement {framework:.2g} Å².")
    if any(scale > found.duration_ps / 10 for scale in found.implied_timescales_ps):
        said.append(
            "The slowest relaxation of the model is longer than a tenth of the trajectory "
            f"({found.duration_ps:.4g} ps)."
        )
    return said


def fit_arrhenius(study: Study) -> Arrhenius | None:
    """Fit D(T) of the Markov models; None with fewer than three resolved temperatures.

    The error of Ea is that of the error bars, widened by the scatter about the line where that
    is larger: three points near a line by luck must not tighten it, bad ones must widen it.
    """
    resolved = [
        (result.temperature_k, result.markov)
        for result in study.by_temperature
        if is_resolved(result.markov)
    ]
    temperatures = np.array([temperature for temperature, _ in resolved])
    if len(np.unique(temperatures)) < MIN_TEMPERATURES:
        return None
    d = np.array([estimate.isotropic_cm2_s for _, estimate in resolved if estimate])
    error = np.array([estimate.isotropic_error_cm2_s for _, estimate in resolved if estimate])
    found = arrhenius(temperatures, d, error)
    return Arrhenius(
        energy_ev=found.energy_ev,
        energy_error_ev=math.sqrt(found.fit.covariance[1, 1]) * found.fit.scatter,
        log_d0=found.log_d0,
        temperatures=len(resolved),
    )


def resolved_points(results: Sequence[TemperatureResult]) -> int:
    """Count the temperatures whose Markov D is resolved."""
    return sum(is_resolved(result.markov) for result in results)


def _reason(estimate: DiffusionEstimate | None) -> str:
    if estimate is None:
        return "not computed"
    return estimate.reason or "no usable error"


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
