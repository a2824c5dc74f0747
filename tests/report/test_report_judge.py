"""What is said about the numbers, and the CSV."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import AnalyseResults, DiffusionEstimate
from aiida_limsm.report.export import COLUMNS, diffusion_csv
from aiida_limsm.report.html import activation_text, lead
from aiida_limsm.report.judge import (
    causes,
    diffusion_text,
    fit_arrhenius,
    is_resolved,
    value_text,
    verdict,
)
from aiida_limsm.report.study import TemperatureResult
from aiida_limsm.report.typeset import subscript_formula, typeset
from aiida_limsm.units import BOLTZMANN_EV_PER_K


def with_markov(result, **changes):
    found = result.analysis
    markov = found.diffusion.markov.model_copy(update=changes)
    diffusion = found.diffusion.model_copy(update={"markov": markov})
    return replace(result, analysis=found.model_copy(update={"diffusion": diffusion}))


def test_results_come_in_ascending_temperature(study):
    assert [r.temperature_k for r in study.by_temperature] == [500.0, 700.0, 800.0, 900.0]


def test_verdicts_say_what_the_numbers_are_worth(study):
    cold, good, apart, _ = study.by_temperature
    assert verdict(cold) == "not resolved: 2 independent jumps seen, 10 asked"
    assert verdict(good) == "resolved; both methods agree"
    assert verdict(apart) == "resolved, but the methods disagree"
    half = with_markov(good, resolved=False, reason="too short")
    assert verdict(half) == "resolved by the MSD only (Markov: too short)"


def test_verdict_without_estimates():
    bare = TemperatureResult(300.0, AnalyseResults(status=Status.TRAJECTORY_UNUSABLE))
    assert verdict(bare) == "not computed"
    assert causes(bare) == []
    assert diffusion_text(None) == "not computed"


@pytest.mark.parametrize("error", [float("nan"), float("inf"), 0.0, -1.0])
def test_value_without_usable_error_is_no_result(study, error):
    broken = with_markov(study.by_temperature[1], isotropic_error_cm2_s=error)
    assert not is_resolved(broken.markov)
    assert diffusion_text(broken.markov) == "not resolved: no usable error"


def test_unresolved_value_is_never_written(study):
    estimate = study.by_temperature[0].markov
    assert diffusion_text(estimate) == "< 3.2e-07 cm²/s (95 %)"
    assert value_text(1.0, None) == "error not known"
    assert value_text(None, 1.0) == "–"


def test_causes_name_what_was_measured(study):
    apart = study.by_temperature[2]
    updates = {
        "framework_msd_angstrom2": 3.0,
        "unassigned_fraction": 0.04,
        "n_independent_jumps": 50,
    }
    worse = replace(apart, analysis=apart.analysis.model_copy(update=updates))
    text = " ".join(causes(worse))
    assert "mean-square displacement is the higher one" in text
    assert "4.0% of the ion-frames" in text
    assert "displacement 3 Å²" in text
    assert "Only 50 independent jumps" in text


def test_arrhenius_recovers_a_known_line(study):
    def exact(result):
        d = 2e-3 * np.exp(-0.31 / (BOLTZMANN_EV_PER_K * result.temperature_k))
        return with_markov(
            result, isotropic_cm2_s=d, isotropic_error_cm2_s=0.05 * d, resolved=True, reason=""
        )

    fit = fit_arrhenius(replace(study, temperatures=tuple(map(exact, study.temperatures))))
    assert fit is not None
    assert fit.energy_ev == pytest.approx(0.31, abs=1e-9)
    assert fit.d_cm2_s(600.0) == pytest.approx(2e-3 * np.exp(-0.31 / (BOLTZMANN_EV_PER_K * 600)))
    # weighted least squares: σ(Ea) = (σ_D/D) / sqrt(Σ (u − ū)²), u = 1/kT
    u = 1 / (BOLTZMANN_EV_PER_K * np.array([500, 700, 800, 900]))
    assert fit.energy_error_ev == pytest.approx(0.05 / np.sqrt(((u - u.mean()) ** 2).sum()))


def test_no_activation_energy_from_two_temperatures(study):
    two = replace(study, temperatures=study.by_temperature[:3])
    assert fit_arrhenius(two) is None
    assert "takes 3 resolved temperatures, and 2 are" in activation_text(two)


def test_lead_has_an_error_or_says_that_nothing_is_resolved(study):
    assert "(2.34 ± 0.14) × 10⁻⁵ cm²/s" in lead(study)
    assert "3 of 4" in lead(study)
    assert "upper bounds are all" in lead(replace(study, temperatures=study.by_temperature[:1]))
    assert lead(replace(study, temperatures=())) == "No temperature was analysed."


def test_csv_has_units_in_heads_and_no_unresolved_value(study):
    rows = list(csv.DictReader(diffusion_csv(study).splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["temperature_k"], row["method"]) for row in rows[:3]] == [
        ("500", "markov"), ("500", "msd"), ("700", "markov"),
    ]  # fmt: skip
    assert rows[0]["d_cm2_s"] == rows[0]["d_xx_cm2_s"] == ""
    assert float(rows[0]["upper_bound_95_cm2_s"]) == pytest.approx(3.14e-7)
    good = study.by_temperature[1].markov
    assert float(rows[2]["d_cm2_s"]) == pytest.approx(good.isotropic_cm2_s, rel=1e-5)
    assert float(rows[2]["d_xx_error_cm2_s"]) == pytest.approx(
        good.covariance_cm4_s2[0][0] ** 0.5, rel=1e-5
    )


def test_estimate_fields_that_the_report_reads_exist():
    assert {"resolved", "upper_bound_cm2_s", "reason"} <= set(DiffusionEstimate.model_fields)


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("(1.23 ± 0.04)e-06 cm²/s", "(1.23 ± 0.04) × 10⁻⁶ cm²/s"),
        ("< 3.2e-10 (95 %)", "< 3.2 × 10⁻¹⁰ (95 %)"),
        ("(2.0 ± 0.1)e+05", "(2.0 ± 0.1) × 10⁵"),
        ("600 ± 12 K", "600 ± 12 K"),
    ],
)
def test_powers_of_ten_are_raised(plain, printed):
    assert typeset(plain) == printed


def test_formula_is_lowered():
    assert subscript_formula("Li11Si4") == "Li₁₁Si₄"
    assert subscript_formula("Li7La3Zr2O12") == "Li₇La₃Zr₂O₁₂"
