"""Sums of long series in few rows, and the overlap of curves with its error."""

from itertools import pairwise

import numpy as np
import pytest

from aiida_limsm.atomistic.sampled import BlockSums, SampledCurves, overlap, sample


def filled(values, most=8):
    sums = BlockSums((1,), most)
    done = 0
    while done < len(values):
        part = values[done : done + sums.room]
        sums.row[...] += part.sum()
        sums.filled(len(part))
        done += len(part)
    return sums


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16, 17, 100, 1000])
def test_rows_are_blocks_of_equal_length_in_order(length):
    values = np.arange(1.0, length + 1)
    rows, weights = filled(values).sums()
    assert len(rows) <= 8
    assert weights.sum() == length
    assert (weights[:-1] == weights[0]).all()
    assert weights[-1] <= weights[0]
    edges = np.concatenate([[0], np.cumsum(weights)]).astype(int)
    exact = [values[a:b].sum() for a, b in pairwise(edges)]
    np.testing.assert_allclose(rows[:, 0], exact)


def test_overlap_of_known_curves():
    x = np.linspace(-30, 30, 60001)
    one = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    assert overlap(one, one) == pytest.approx(1.0)
    assert overlap(one, np.zeros_like(one)) == 0.0
    assert overlap(0 * one, 0 * one) == 0.0
    # two normal distributions d apart: 2 Φ(−d/2)
    other = np.exp(-0.5 * (x - 2) ** 2) / np.sqrt(2 * np.pi)
    assert overlap(one, other) == pytest.approx(0.317310507863, rel=1e-6)
    # half of it: 2 · ½ / (1 + ½)
    assert overlap(one, one / 2) == pytest.approx(2 / 3)
    assert overlap(np.array([one, one]), np.array([one, other])).shape == (2,)


def noisy(rng, frames, shift=0.0):
    """Counts of normally distributed numbers as a curve of unit area."""
    edges = np.linspace(-6, 6, 61)
    sums = BlockSums((1, 60))
    for _ in range(frames):
        sums.row[...] += np.histogram(rng.normal(shift, 1.0, 20), edges)[0]
        sums.filled(1)
    x = (edges[1:] + edges[:-1]) / 2
    return sample(("a",), x, sums, lambda counts, number: counts / number / 20 / 0.2, 10)


def test_errors_are_how_much_repetitions_scatter():
    rng = np.random.default_rng(0)
    pairs = [(noisy(rng, 200), noisy(rng, 300, 0.7)) for _ in range(40)]
    found = [one.compared_with(other)["a"] for one, other in pairs]
    values = np.array([entry.overlap for entry in found])
    errors = np.array([entry.overlap_error for entry in found])
    assert 0.7 < errors.mean() / values.std() < 1.4
    assert values.mean() == pytest.approx(2 * 0.3631693, abs=0.02)  # 2 Φ(−0.35)
    differences = np.array([entry.difference for entry in found])
    errors = np.array([entry.difference_error for entry in found])
    assert 0.6 < errors.mean() / differences.std() < 1.6
    assert differences.mean() == pytest.approx(2 * (1 - 0.7263) / 12, rel=0.1)


def test_halves_bound_what_noise_allows():
    rng = np.random.default_rng(1)
    short, long = noisy(rng, 20), noisy(rng, 2000)
    assert short.halves_overlap()[0] < 0.95 < long.halves_overlap()[0] < 1
    # two long runs of one distribution overlap more than their halves
    other = noisy(rng, 2000)
    assert long.compared_with(other)["a"].overlap > long.halves_overlap()[0]


def test_a_single_block_has_no_error():
    curves = noisy(np.random.default_rng(2), 1)
    assert np.isnan(curves.error).all()
    assert np.isnan(curves.compared_with(curves)["a"].overlap_error)
    assert curves.compared_with(curves)["a"].overlap == pytest.approx(1.0)


def test_only_common_curves_on_one_axis_are_compared():
    x, empty = np.arange(3.0), np.empty((0, 2, 3))
    row = np.ones((2, 3))
    one = SampledCurves(("a", "b"), x, row, empty, np.stack([row, row]))
    other = SampledCurves(("b", "c"), x, 2 * row, empty, np.stack([row, row]))
    assert list(one.compared_with(other)) == ["b"]
    assert one.compared_with(other)["b"].difference == 1.0
    with pytest.raises(ValueError, match="different axes"):
        one.compared_with(SampledCurves(("a", "b"), 2 * x, row, empty, np.stack([row, row])))
