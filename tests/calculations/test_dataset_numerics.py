"""Correlation, blocks, duplicates, outliers and fitted energies: arrays in, numbers out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.calculations._correlation import (
    autocorrelation,
    decay_lag,
    measure_correlation,
    statistical_inefficiency,
)
from aiida_limsm.calculations._duplicates import Geometry, first_occurrences
from aiida_limsm.calculations._energy_zero import fitted_e0s
from aiida_limsm.calculations._outliers import force_threshold
from aiida_limsm.calculations._split import GAP, gap_for, time_blocks, zones


def ar1(frames: int, columns: int, phi: float, seed: int = 0) -> np.ndarray:
    """A process whose autocorrelation is φ^k."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(frames, columns)) * np.sqrt(1 - phi**2)
    series = np.empty_like(noise)
    series[0] = rng.normal(size=columns)
    for t in range(1, frames):
        series[t] = phi * series[t - 1] + noise[t]
    return series


@pytest.mark.parametrize(("frames", "columns"), [(2, 1), (37, 5), (64, 150)])
def test_autocorrelation_is_the_sum_of_its_definition(frames: int, columns: int) -> None:
    series = np.random.default_rng(1).normal(size=(frames, columns)).cumsum(axis=0) + 1e3
    deviation = series - series.mean(axis=0)
    direct = [
        sum(float(deviation[t] @ deviation[t + k]) for t in range(frames - k))
        for k in range(frames)
    ]
    found = autocorrelation(series)
    assert found is not None
    np.testing.assert_allclose(found, np.array(direct) / direct[0], atol=1e-9)


def test_what_does_not_vary_has_no_correlation() -> None:
    constant = np.full((50, 3), 0.1) + np.arange(3)
    assert autocorrelation(constant) is None
    assert autocorrelation(np.ones((1, 3))) is None
    assert measure_correlation(np.ones((20, 2, 3)), np.arange(20.0)) is None
    assert (
        measure_correlation(np.random.default_rng(0).normal(size=(20, 2, 3)), np.ones(20)) is None
    )


@pytest.mark.parametrize("phi", [0.3, 0.8, 0.95])
def test_exponential_decay(phi: float) -> None:
    """AR(1): g = (1 + φ) / (1 − φ), and φ^k falls below 1/e at k > −1 / ln φ."""
    rho = phi ** np.arange(100_000)
    assert statistical_inefficiency(rho) == pytest.approx((1 + phi) / (1 - phi))
    assert decay_lag(rho) == int(np.floor(-1 / np.log(phi))) + 1
    measured = autocorrelation(ar1(100_000, 4, phi))
    assert measured is not None
    assert statistical_inefficiency(measured) == pytest.approx((1 + phi) / (1 - phi), rel=0.1)
    assert abs(decay_lag(measured) - decay_lag(rho)) <= 1 + 0.1 * decay_lag(rho)


def test_oscillation() -> None:
    """Summed to a quarter of the period; decayed when its envelope is, not at its first zero."""
    period, damping, k = 40.0, 200.0, np.arange(100_000)
    rho = np.exp(-k / damping) * np.cos(2 * np.pi * k / period)
    assert statistical_inefficiency(rho) == pytest.approx(1 + 2 * rho[1:10].sum())
    # maxima of |cos| lie 20 frames apart, the envelope is 1/e at 200
    assert 180 < decay_lag(rho) < 200
    alike = np.flatnonzero(np.abs(rho) > np.exp(-1))
    assert decay_lag(rho) == alike[-1] + 1
    cosine = autocorrelation(np.cos(2 * np.pi * np.arange(4000) / period)[:, None])
    assert cosine is not None
    np.testing.assert_allclose(
        cosine[:100], (1 - k[:100] / 4000) * np.cos(2 * np.pi * k[:100] / period), atol=2e-3
    )


def test_many_columns_tell_an_echo_from_noise() -> None:
    """Forces of many atoms that swing back: one series of this length could not tell."""
    frames, k = 130, np.arange(130)
    rho = np.exp(-k / 18.0) * np.cos(2 * np.pi * k / 36.0)
    assert decay_lag(rho, columns=45) == np.flatnonzero(np.abs(rho) > np.exp(-1))[-1] + 1 > 15
    assert decay_lag(rho) < 9
    rng = np.random.default_rng(2)
    times, phases = np.arange(frames)[:, None], rng.uniform(0, 2 * np.pi, size=(1, 200))
    forces = np.cos(2 * np.pi * times / rng.normal(36.0, 6.0, size=(1, 200)) + phases)
    found = measure_correlation(forces[:, :198].reshape(frames, 66, 3), rng.normal(size=frames))
    assert found is not None
    assert found.force_decay > 15


def test_noise_counts_as_decayed() -> None:
    """Independent frames: all are kept, and none is needed between blocks."""
    rng = np.random.default_rng(3)
    found = measure_correlation(rng.normal(size=(400, 20, 3)), rng.normal(size=400))
    assert found is not None
    assert (found.decay, gap_for(found.decay, 1)) == (1, 0)
    assert found.force_inefficiency == pytest.approx(1.0, abs=0.1)
    white = [autocorrelation(rng.normal(size=(60, 1))) for _ in range(200)]
    # without the bound from the noise, short runs would find long memory by chance
    assert np.mean([decay_lag(rho) for rho in white if rho is not None]) < 3


@given(
    frames=st.integers(0, 400),
    skip=st.integers(0, 50),
    stride=st.integers(1, 7),
    gap=st.integers(0, 6),
    train=st.floats(0.05, 0.9),
    valid=st.floats(0.02, 0.5),
)
def test_blocks_do_not_leak(
    frames: int, skip: int, stride: int, gap: int, train: float, valid: float
) -> None:
    if train + valid >= 0.99:
        return
    kept = len(range(skip, frames, stride)) - 2 * gap
    try:
        blocks = time_blocks(frames, skip, stride, gap, (train, valid))
    except ValueError:
        # only where a block would be empty
        assert (
            kept < 3
            or 0 in (round(kept * train), round(kept * valid))
            or (round(kept * train) + round(kept * valid) >= kept)
        )
        return
    assert list(blocks) == ["train", "valid", "test"]
    for indices in blocks.values():
        assert indices == list(range(indices[0], indices[-1] + 1, stride))
        assert skip <= indices[0] <= indices[-1] < frames
    assert blocks["train"][0] == skip
    # every kept frame is in one block or in a gap
    assert blocks["valid"][0] - blocks["train"][-1] == (gap + 1) * stride
    assert blocks["test"][0] - blocks["valid"][-1] == (gap + 1) * stride
    assert frames - blocks["test"][-1] <= stride
    usable = sum(map(len, blocks.values()))
    assert abs(len(blocks["train"]) - train * usable) <= 0.5 + 1e-9
    found = zones(blocks, frames)
    for number, indices in enumerate(blocks.values()):
        assert (found[indices] == number).all()
    assert (found == GAP).sum() == 2 * ((gap + 1) * stride - 1)


@given(decay=st.integers(0, 1000), stride=st.integers(1, 100))
def test_gap_is_the_smallest_that_is_enough(decay: int, stride: int) -> None:
    gap = gap_for(decay, stride)
    assert (gap + 1) * stride >= decay
    assert gap == 0 or gap * stride < decay


CELL = np.array([[6.0, 0.5, 0.0], [0.0, 7.0, -1.0], [0.3, 0.0, 5.0]])
SYMBOLS = ("Li", "Si", "Li", "Li")


def geometry(
    positions: np.ndarray, symbols: tuple[str, ...] = SYMBOLS, **kwargs: object
) -> Geometry:
    cells = kwargs.get("cells", np.tile(CELL, (len(positions), 1, 1)))
    pbc = kwargs.get("pbc", (True, True, True))
    return Geometry(symbols, pbc, positions, cells)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 12),
    copies=st.lists(st.integers(0, 11), max_size=12),
    tolerance=st.sampled_from([1e-5, 1e-3, 1e-2]),
)
def test_copies_are_found_and_nothing_else(
    seed: int, count: int, copies: list[int], tolerance: float
) -> None:
    """Wrapped, shaken less than the tolerance, with atoms of an element in another order."""
    rng = np.random.default_rng(seed)
    grid = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    frames = (grid + rng.uniform(-0.15, 0.15, size=(count, 4, 3))) @ CELL
    chosen = [index % count for index in copies]
    again = frames[chosen]
    lithium = np.array([0, 2, 3])
    for frame in again:
        frame[lithium] = frame[rng.permutation(lithium)]
        shake = rng.normal(size=(4, 3))
        shake /= np.linalg.norm(shake, axis=1, keepdims=True)
        frame += 0.49 * tolerance * shake
        frame += rng.integers(-3, 4, size=(4, 3)) @ CELL
    # one atom far enough off in every copy
    other = again.copy()
    other[:, 1, 0] += 3 * tolerance
    found = first_occurrences([geometry(frames), geometry(again), geometry(other)], tolerance)
    expected = [*range(count), *chosen]
    assert found[: count + len(copies)].tolist() == expected
    first_of: dict[int, int] = {}
    for place, index in enumerate(chosen, start=count + len(copies)):
        # copies of one frame are alike among themselves
        assert found[place] == first_of.setdefault(index, place)


def test_other_atoms_cells_and_boundaries_are_other_frames() -> None:
    frame = np.random.default_rng(0).uniform(size=(1, 4, 3)) @ CELL
    swapped = frame[:, [1, 0, 2, 3]]
    sources = [
        geometry(frame),
        geometry(frame, ("Li", "Si", "Li", "Si")),
        geometry(swapped),  # silicon where lithium was
        geometry(frame, cells=CELL[None] + 0.01),
        geometry(frame, pbc=(True, True, False)),
        geometry(frame + CELL[2], pbc=(True, True, False)),
        geometry(frame + CELL[1], pbc=(True, True, False)),
        geometry(frame[:, [1, 0, 2, 3]], ("Si", "Li", "Li", "Li")),
    ]
    found = first_occurrences(sources, 1e-3)
    assert found.tolist() == [0, 1, 2, 3, 4, 5, 4, 0]
    assert first_occurrences([geometry(frame[:0])], 1e-3).tolist() == []


def test_frozen_frames_are_one() -> None:
    frames = np.tile(np.random.default_rng(0).uniform(size=(1, 4, 3)), (3000, 1, 1))
    assert not first_occurrences([geometry(frames)], 1e-3).any()


def test_outliers_do_not_hide_themselves() -> None:
    rng = np.random.default_rng(5)
    forces = np.exp(rng.normal(scale=0.2, size=500))
    forces[:50] = 40.0
    threshold = force_threshold(forces, 6.0)
    assert threshold is not None
    assert 2.0 < threshold < 8.0
    scaled = force_threshold(3 * forces, 6.0)
    assert scaled == pytest.approx(3 * threshold)
    assert force_threshold(np.ones(9), 6.0) is None
    assert force_threshold(np.ones(50), 6.0) is None
    assert force_threshold(np.zeros(50), 6.0) is None


def test_fit_gives_back_what_the_energies_were_made_of() -> None:
    compositions = [["Li"] * n + ["Si"] * m for n, m in ((3, 1), (4, 2), (1, 0), (3, 1))]
    energies = [
        symbols.count("Li") * -12.5 + symbols.count("Si") * -130.0 for symbols in compositions
    ]
    assert fitted_e0s(compositions, energies) == pytest.approx({"Li": -12.5, "Si": -130.0})
    energies[0] += 0.1
    energies[3] -= 0.1
    assert fitted_e0s(compositions, energies) == pytest.approx({"Li": -12.5, "Si": -130.0})


def test_degenerate_compositions_cannot_be_fitted() -> None:
    twice = [["Li", "Si", "Li"], ["Si", "Li", "Li"] * 2]
    with pytest.raises(
        ValueError,
        match=r"^e0s='fitted': Li, Si cannot be told apart by the compositions of the training "
        r"frames \(Li2Si, Li4Si2\): use e0s='isolated'",
    ):
        fitted_e0s(twice, [-1.0, -2.0])
