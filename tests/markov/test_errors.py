"""Errors from a bootstrap, bounds from numbers of jumps, and when a value may be quoted."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from scipy.stats import t as student_t

from aiida_limsm.markov.errors import (
    COMPONENTS,
    Evidence,
    bootstrap_weights,
    jump_bound,
    sample_covariance,
    six_to_tensor,
    student_factor,
    summarise,
    tensor_to_six,
)


def judged(tensor, samples, units=30, jumps=50, bound=0.5, unseen=0.0, **more):
    return summarise("x", tensor, samples, units, Evidence(jumps, 10, bound, jumps, unseen), **more)


@pytest.mark.parametrize("jumps", [0, 1, 10, 1000])
def test_poisson_bound_is_the_chi_square_quantile(jumps):
    expected = chi2.ppf(0.975, 2 * (jumps + 1)) / 2 * 6.0 / (6 * 2.0) * 1e-4
    assert jump_bound(jumps, 6.0, 2.0) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("freedom", [1, 4, 9, 200])
def test_student_factor(freedom):
    assert student_factor(freedom) == pytest.approx(student_t.ppf(0.975, freedom) / 1.96)


def test_six_components_and_back():
    tensor = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    assert tensor_to_six(tensor).tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(six_to_tensor(tensor_to_six(tensor)), tensor)


def test_bootstrap_gives_the_error_of_a_mean():
    random = np.random.default_rng(0)
    values = random.normal(size=(40, 6)) * np.arange(1, 7)
    drawn = np.array([w @ values / 40 for w in bootstrap_weights(40, 4000, 1)])
    found = sample_covariance(drawn, 40)
    expected = np.cov(values, rowvar=False) / 40 * student_factor(39) ** 2
    np.testing.assert_allclose(np.diag(found), np.diag(expected), rtol=0.08)


def test_error_tensor_follows_the_covariance():
    random = np.random.default_rng(3)
    found = judged(np.eye(3), 1 + random.normal(size=(500, 6)) * np.arange(1, 7) * 0.01, bound=0.0)
    for k, (a, b) in enumerate(COMPONENTS):
        assert found.error_tensor[a, b] == found.error_tensor[b, a]
        assert found.error_tensor[a, b] == pytest.approx(np.sqrt(found.covariance[k, k]))
    diagonal = found.covariance[:3, :3].sum() / 9
    assert found.error == pytest.approx(np.sqrt(diagonal))


@settings(deadline=None, max_examples=30)
@given(jumps=st.integers(0, 10**6), seed=st.integers(0, 50), angle=st.floats(0, 3))
def test_what_no_sample_moved_still_has_an_error(jumps, seed, angle):
    """No jump along z was seen; the floor looks the same in a turned frame."""
    bound = jump_bound(jumps, 6.0, 1e3)
    random = np.random.default_rng(seed)
    tensors = np.zeros((50, 3, 3))
    tensors[:, 0, 0] = 1e-6 * (1 + 0.1 * random.normal(size=50))
    turn = np.eye(3)
    turn[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    mean = np.diag([1e-6, 0.0, 0.0])
    plain = judged(mean, tensor_to_six(tensors), jumps=jumps, bound=bound)
    moved = judged(
        turn @ mean @ turn.T, tensor_to_six(turn @ tensors @ turn.T), jumps=jumps, bound=bound
    )
    assert plain.error_tensor.min() > 0
    assert plain.error_tensor[2, 2] == pytest.approx(3 * bound / (jumps + 3))
    assert moved.error == pytest.approx(plain.error, rel=1e-6)
    assert np.linalg.eigvalsh(plain.covariance).min() >= 0


def test_when_a_value_may_not_be_quoted():
    noise = 0.01 * np.random.default_rng(0).normal(size=(100, 6))
    good = np.eye(3) * 0.1
    assert judged(good, noise).resolved
    assert judged(good, noise).upper_bound is None
    for found, why in (
        (judged(good, noise, jumps=9), "9 independent jumps seen, 10 asked"),
        (judged(good, noise, unseen=0.6), "thinly sampled"),
        (judged(good, noise, units=1), "no error can be given"),
        (judged(good, 100 * noise), "larger than the value"),
        (judged(-good, noise), "larger than the value"),
    ):
        assert not found.resolved
        assert why in found.reason
        assert found.upper_bound > 0
    assert judged(good, noise, jumps=9).upper_bound == 0.5
    wide = judged(good, 100 * noise)
    assert wide.upper_bound == max(0.5, wide.value + 1.645 * wide.error)


def test_bias_and_memory_widen_the_error():
    noise = 0.01 * np.random.default_rng(0).normal(size=(100, 6))
    tensor = np.eye(3)
    plain = judged(tensor, tensor_to_six(tensor) + noise, bound=0.0)
    shifted = tensor_to_six(tensor) + noise + 0.2 * np.array([1, 1, 1, 0, 0, 0])
    assert judged(tensor, shifted, bound=0.0, biased=True).error == pytest.approx(0.2, rel=0.1)
    memory = judged(tensor, tensor_to_six(tensor) + noise, bound=0.0, memory=0.3)
    assert memory.error == pytest.approx(np.hypot(plain.error, 0.3))


def test_import_is_cheap():
    """scipy.stats alone takes longer than a small trajectory may."""
    code = "import sys, aiida_limsm.markov.errors; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_a_resolved_value_is_put_into_words():
    tensor, samples = np.eye(3), np.tile([1.0, 1, 1, 0, 0, 0], (50, 1))
    known = summarise("x", tensor, samples, 40, Evidence(100, 10, 2.0, 100))
    assert known.quoted().startswith("1 ± ")
    few = summarise("x", tensor, samples, 40, Evidence(3, 10, 2.0, 3))
    assert few.quoted() == "not resolved, < 2"
