"""Fits over cell size and temperature: exact on exact data, errors that cover, tests that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.series import arrhenius, size_series, weighted_fit
from aiida_limsm.units import BOLTZMANN_EV_PER_K

TEMPERATURES = np.array([500.0, 600.0, 700.0, 850.0, 1000.0])


def law(energy_ev=0.3, d0=2e-3, temperatures=TEMPERATURES):
    return d0 * np.exp(-energy_ev / (BOLTZMANN_EV_PER_K * temperatures))


@settings(deadline=None)
@given(
    energy=st.floats(0.01, 2.0),
    log_d0=st.floats(-15, 5),
    relative=st.lists(st.floats(0.01, 0.5), min_size=5, max_size=5),
)
def test_exact_points_give_the_exact_law(energy, log_d0, relative):
    d = law(energy, np.exp(log_d0))
    fit = arrhenius(TEMPERATURES, d, d * np.array(relative))
    assert fit.energy_ev == pytest.approx(energy, abs=1e-9)
    assert fit.log_d0 == pytest.approx(log_d0, abs=1e-7)
    assert fit.fit.chi_square < 1e-10
    assert abs(fit.curvature.value) < 1e-6 * fit.curvature.error
    assert not fit.curvature.significant
    assert fit.at(700.0)[0] == pytest.approx(d[2], rel=1e-8)


def test_covariance_is_the_closed_form_of_a_line():
    d = law()
    error = d * np.array([0.2, 0.1, 0.05, 0.1, 0.3])
    fit = arrhenius(TEMPERATURES, d, error)
    weight, u = (d / error) ** 2, 1 / (BOLTZMANN_EV_PER_K * TEMPERATURES)
    mean = np.average(u, weights=weight)
    spread = np.sum(weight * (u - mean) ** 2)
    assert fit.energy_error_ev == pytest.approx(spread**-0.5)
    assert fit.log_d0_error == pytest.approx(np.sqrt(1 / weight.sum() + mean**2 / spread))
    assert fit.covariance[0, 1] == pytest.approx(mean / spread)
    # where the points are, D is known better than D0 and Ea apart: their errors nearly cancel
    assert fit.at(1 / (BOLTZMANN_EV_PER_K * mean))[1] / fit.at(1 / (BOLTZMANN_EV_PER_K * mean))[
        0
    ] == pytest.approx(weight.sum() ** -0.5)


def test_errors_cover_and_the_curvature_test_keeps_its_level():
    random = np.random.default_rng(4)
    d, relative = law(), np.array([0.12, 0.08, 0.06, 0.05, 0.05])
    inside, curved, room = 0, 0, 0
    for _ in range(2000):
        seen = d * np.exp(relative * random.normal(size=5))
        fit = arrhenius(TEMPERATURES, seen, seen * relative)
        inside += abs(fit.energy_ev - 0.3) < 2 * fit.energy_error_ev
        value, error = fit.at(300.0)
        room += abs(np.log(value / law(temperatures=300.0))) < 2 * error / value
        curved += fit.curvature.significant
    # binomial error 0.5 %; widening for scatter adds about half a per cent
    assert inside / 2000 == pytest.approx(0.957, abs=0.015)
    assert room / 2000 == pytest.approx(0.957, abs=0.015)
    assert curved / 2000 == pytest.approx(0.05, abs=0.015)


def test_two_activation_energies_are_seen():
    d = 1 / (1 / law(0.2, 1e-3) + 1 / law(0.6, 5e-1))
    fit = arrhenius(TEMPERATURES, d, 0.02 * d)
    assert fit.curvature.significant
    assert fit.curvature.value < 0
    # and errors are widened, since the line is not the law
    assert fit.energy_error_ev > 1.5 * np.sqrt(fit.fit.covariance[1, 1])


def test_two_temperatures_have_a_line_and_no_test():
    d = law()[:2]
    fit = arrhenius(TEMPERATURES[:2], d, 0.1 * d)
    assert fit.energy_ev == pytest.approx(0.3)
    assert fit.fit.p_value is None
    assert fit.curvature is None


@pytest.mark.parametrize(
    ("temperatures", "d", "error", "message"),
    [
        ([500.0], [1e-6], [1e-7], "as many different points"),
        ([500.0, 500.0], [1e-6, 2e-6], [1e-7, 1e-7], "as many different points"),
        ([500.0, 600.0], [1e-6, -2e-6], [1e-7, 1e-7], "positive D"),
        ([500.0, 600.0], [1e-6, 2e-6], [1e-7, 0.0], "errors positive"),
        ([500.0, -1.0], [1e-6, 2e-6], [1e-7, 1e-7], "positive temperatures"),
    ],
)
def test_what_cannot_be_fitted_is_refused(temperatures, d, error, message):
    with pytest.raises(ValueError, match=message):
        arrhenius(temperatures, d, error)


@settings(deadline=None)
@given(infinite=st.floats(0.1, 10.0), slope=st.floats(-5.0, 5.0), order=st.permutations(range(5)))
def test_size_extrapolation_is_exact_in_any_order(infinite, slope, order):
    length = np.array([6.0, 12.0, 18.0, 24.0, 48.0])[list(order)]
    found = size_series(length, infinite + slope / length, 0.1 + 0.01 * length)
    assert found.infinite == pytest.approx(infinite, abs=1e-9)
    assert found.slope == pytest.approx(slope, abs=1e-8)


def test_size_errors_cover_and_the_verdict_on_the_slope_keeps_its_level():
    random = np.random.default_rng(5)
    length, error = np.array([6.0, 12.0, 18.0, 24.0]), np.array([0.2, 0.1, 0.1, 0.05])
    inside = depends = 0
    for _ in range(2000):
        found = size_series(length, 3.0 + error * random.normal(size=4), error)
        inside += abs(found.infinite - 3.0) < 2 * found.infinite_error
        depends += found.depends_on_size
    assert inside / 2000 == pytest.approx(0.957, abs=0.015)
    assert depends / 2000 == pytest.approx(0.045, abs=0.015)


@pytest.mark.parametrize(
    ("d", "converged", "length"),
    [
        ([1.0, 2.0, 3.0, 3.1], True, 18.0),
        ([1.0, 3.0, 2.0, 3.0], False, 24.0),
        ([3.0, 3.0, 3.0, 3.0], True, 6.0),
        ([3.0, 1.0, 3.0, 3.0], True, 18.0),
    ],
)
def test_converged_from(d, converged, length):
    found = size_series([6.0, 12.0, 18.0, 24.0], d, [0.1] * 4)
    assert (found.converged, found.converged_from) == (converged, length)


def test_one_size_has_no_verdict_in_its_favour():
    found = size_series([6.0], [1.0], [0.1])
    assert (found.converged, found.fit, found.infinite, found.depends_on_size) == (
        False, None, None, False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="at least one"):
        size_series([], [], [])


def test_fit_agrees_with_polyfit():
    random = np.random.default_rng(6)
    x, y, error = random.normal(size=8), random.normal(size=8), random.uniform(0.5, 2, 8)
    fit = weighted_fit(np.column_stack([x**2, x, np.ones(8)]), y, error)
    expected, covariance = np.polyfit(x, y, 2, w=1 / error, cov="unscaled")
    np.testing.assert_allclose(fit.parameters, expected)
    np.testing.assert_allclose(fit.covariance, covariance)
