import numpy as np
import pytest

from aiida_limsm.markov.lags import choose_lag, lag_grid, memory_bias


def test_lag_choice():
    lags = np.array([1.0, 2, 4, 8, 16])
    noise = np.random.default_rng(0).normal(size=(60, 5))
    flat = choose_lag(lags, np.ones(5), 1 + 0.01 * noise)
    assert (flat.index, flat.plateau) == (0, True)
    falling = choose_lag(lags, np.array([2.0, 1.4, 1.0, 1.0, 1.0]), 1 + 0.01 * noise)
    assert (falling.index, falling.plateau) == (2, True)
    never = choose_lag(lags, np.array([2.0, 1.6, 1.3, 1.1, 0.9]), 1 + 0.01 * noise)
    assert (never.index, never.plateau) == (4, False)
    assert "no plateau" in never.reason
    assert lag_grid(1000, 5, 16)[-1] == 100
    assert lag_grid(2, 1, 16).tolist() == [1]


def test_memory_that_hides_within_the_errors_takes_a_longer_lag():
    """D(τ) = 1 + 0.5 / τ seen with errors of 0.3 that all lags share in part."""
    random = np.random.default_rng(0)
    lags = np.geomspace(1, 32, 11)
    noise = 0.3 * random.normal(size=(200, 1)) + 0.15 * random.normal(size=(200, 11))
    falling = choose_lag(lags, 1 + 0.5 / lags, 1 + noise)
    assert falling.plateau
    assert 2 < falling.index <= 8
    assert "memory" in falling.reason
    flat = choose_lag(lags, np.ones(11) + 0.05 * random.normal(size=11), 1 + noise)
    assert flat.index == 0


def test_memory_beyond_the_lag_is_extrapolated():
    lags = np.array([1.0, 2, 4, 8, 16])
    assert memory_bias(lags, 3.0 + 0.6 / lags, np.ones(5), 2.0) == pytest.approx(0.3)
    assert memory_bias(lags, 3.0 + 0.6 / lags, np.ones(5), 16.0) == pytest.approx(0.6 / 16)
    assert memory_bias(lags, np.full(5, 3.0), np.ones(5), 1.0) == pytest.approx(0.0)
    assert memory_bias(lags[:2], np.ones(2), np.ones(2), 1.0) == 0.0
    assert memory_bias(lags, np.zeros(5), np.zeros(5), 1.0) == 0.0
