"""Committees whose spread and error are known."""

import numpy as np
import pytest

from aiida_limsm.atomistic.committee import Committee, calibrate, rank_correlation


def test_spread_and_error_by_hand():
    forces = np.array([[[1.0, 0, 0], [0, 0, 0]], [[3.0, 0, 0], [0, 0, 2.0]]])
    reference = np.array([[2.0, 0, 3.0], [0, 0, 1.0]])
    found = Committee.of(forces, reference)
    assert found.members == 2
    np.testing.assert_allclose(found.mean, [[2, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.spread, np.sqrt([2 / 3, 2 / 3]))
    np.testing.assert_allclose(found.error, [np.sqrt(3), 0])


def gaussian_committee(rng, members, factor, atoms=40_000):
    """Members scatter about the truth by sigma of each atom, their labels by ``factor`` of it."""
    sigma = rng.uniform(0.01, 0.3, atoms)[:, None]
    forces = sigma * rng.normal(size=(members, atoms, 3))
    reference = factor * sigma * rng.normal(size=(atoms, 3))
    return Committee.of(forces, reference), sigma[:, 0]


def test_a_gaussian_committee_is_calibrated_by_its_factor():
    found, sigma = gaussian_committee(np.random.default_rng(0), 50, 2.0)
    np.testing.assert_allclose(np.mean(found.spread / sigma), 1.0, atol=0.01)
    made = calibrate(found.spread, found.error)
    # the mean of the members scatters too: e² = (2² + 1/50) σ²
    assert made.factor == pytest.approx(np.sqrt(4.02), rel=0.01)
    assert (made.atoms == 4000).all()
    assert made.deviation < 0.03
    np.testing.assert_allclose(made.error / made.spread, np.sqrt(4.02), rtol=0.06)
    assert (np.diff(made.spread) > 0).all()
    # spread ranks the size of the error only as far as one draw of it shows
    assert 0.6 < rank_correlation(found.spread, found.error) < 0.9


def test_spread_without_relation_to_the_error_shows():
    rng = np.random.default_rng(1)
    spread, error = rng.uniform(0.1, 0.3, 5000), rng.uniform(0.1, 0.3, 5000)
    assert abs(rank_correlation(spread, error)) < 0.05
    assert calibrate(spread, error).deviation > 0.2


def test_rank_correlation_knows_order_alone():
    values = np.array([1.0, 2.0, 5.0, 9.0])
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1.0)
    assert rank_correlation(values, -values) == pytest.approx(-1.0)
    assert rank_correlation(values[:2], values[:2]) is None
    assert rank_correlation(values, np.ones(4)) is None


def test_nothing_to_calibrate():
    alike = calibrate(np.zeros(4), np.ones(4))
    assert (alike.factor, alike.deviation) == (None, None)
    exact = calibrate(np.ones(4), np.zeros(4), groups=2)
    assert (exact.factor, exact.deviation) == (0.0, None)
    np.testing.assert_array_equal(exact.atoms, [2, 2])


def test_the_worst_atom_of_every_frame():
    found = Committee(np.zeros((5, 3)), np.array([1.0, 3, 2, 5, 4]), np.array([9.0, 7, 1, 1, 2]), 3)
    spread, error = found.largest_per_frame(np.array([2, 3]))
    np.testing.assert_array_equal(spread, [3, 5])
    np.testing.assert_array_equal(error, [9, 2])
