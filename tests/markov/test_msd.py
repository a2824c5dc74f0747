"""Mean-square displacements of a stream against brute force, and D with its error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.errors import COMPONENTS, Evidence, summarise
from aiida_limsm.markov.msd import (
    MsdAccumulator,
    curve_with_error,
    fit_tensors,
    msd_tensor,
    plan_msd,
    site_blocks,
    slope_freedom,
)
from aiida_limsm.markov.paths import SitePaths


def brownian(frames, ions, seed, step=0.1):
    return step * np.random.default_rng(seed).normal(size=(frames, ions, 3)).cumsum(axis=0)


def stream(plan, x, sizes=(100,)):
    accumulator = MsdAccumulator(plan, x.shape[1])
    done, k = 0, 0
    while done < len(x):
        n = sizes[k % len(sizes)]
        accumulator.add(x[done : done + n])
        done, k = done + n, k + 1
    return accumulator.finish()


def brute(x, lag, stride, begin, end):
    """Mean displacement products per ion over windows inside [begin, end)."""
    origins = np.array([t for t in range(begin, end - lag) if t % stride == 0], dtype=int)
    d = x[origins + lag] - x[origins]
    return np.stack([(d[..., a] * d[..., b]).mean(axis=0) for a, b in COMPONENTS], axis=-1)


@settings(deadline=None, max_examples=15)
@given(
    frames=st.integers(40, 700),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    ions=st.sampled_from([1, 3, 67]),
    seed=st.integers(0, 100),
)
def test_a_stream_gives_the_moments_of_brute_force(frames, sizes, ions, seed):
    """Whatever the blocks, every window counts once, and none leaves its unit."""
    x = brownian(frames, ions, seed).astype(np.float32)
    plan = plan_msd([frames], [ions], 5, 0.1)
    found = stream(plan, x, sizes)
    wide = x.astype(float)
    for m, (lag, stride) in enumerate(zip(plan.curve_lags, plan.curve_strides, strict=True)):
        expected = brute(wide, lag, stride, 0, frames)
        np.testing.assert_allclose(found.curve[:, m], expected, rtol=1e-3, atol=1e-5)
    length = plan.unit_frames
    units = [(begin, begin + length) for begin in range(0, frames - length + 1, length)]
    assert len(found.units) == ions * len(units)
    for m, (lag, stride) in enumerate(zip(plan.fit_lags, plan.fit_strides, strict=True)):
        expected = np.concatenate([brute(wide, lag, stride, *unit) for unit in units])
        np.testing.assert_allclose(found.units[:, m], expected, rtol=1e-3, atol=1e-5)


def test_thinned_origins_of_short_lags_agree_too():
    """A run long enough for every level of remembered positions."""
    frames = 300_000
    plan = plan_msd([frames], [300], 5, 0.1)
    assert plan.curve_strides[0] > 1
    x = brownian(frames, 1, 3, step=0.02)
    found = stream(plan, x, (4096,))
    for m in range(0, len(plan.curve_lags), 5):
        lag, stride = plan.curve_lags[m], plan.curve_strides[m]
        expected = brute(x, lag, stride, 0, frames)
        np.testing.assert_allclose(found.curve[:, m], expected, rtol=1e-3, atol=1e-4)


def test_origins_lie_within_a_twentieth_of_the_lag():
    plan = plan_msd([100_000], [104], 5, 0.05)
    assert (plan.fit_strides <= plan.fit_lags / 20).all()
    long = plan.curve_lags >= 20 * plan.curve_strides.min()
    assert (plan.curve_strides[long] <= plan.curve_lags[long] / 20).all()
    windows = ((100_000 - plan.curve_lags) / plan.curve_strides).sum()
    assert windows < 0.5 * 100_000 + 5e6 / 104


def test_memory_is_a_quarter_of_what_is_given_however_long_the_run():
    plan = plan_msd([1_000_000], [10_000], 5, 0.05, memory_mb=512)
    assert plan.bytes_for(10_000) < 512e6 / 4
    poor = plan_msd([1_000_000], [10_000], 5, 0.05, memory_mb=300)
    assert poor.bytes_for(10_000) < 300e6 / 4
    accumulator = MsdAccumulator(plan, 100)
    held = sum(
        part.nbytes
        for windows in (accumulator._fit, accumulator._curve)
        for part in (windows._rings, windows._sums)
    )
    assert held == plan.bytes_for(100)


@pytest.mark.parametrize(
    ("frames", "length"),
    [([1000], 1000), ([1000, 1000, 50], 1000), ([100, 199], 99), ([300, 100], 100), ([7, 7], 7)],
)
def test_runs_of_unequal_length_are_cut_so_that_most_is_used(frames, length):
    assert plan_msd(frames, [20] * len(frames), 5, 0.1).unit_frames == length


def test_few_ions_are_cut_into_time_blocks():
    assert plan_msd([1000], [20], 5, 0.1).unit_frames == 1000
    assert plan_msd([1000], [2], 5, 0.1).unit_frames == 200
    assert plan_msd([1000], [1], 5, 0.1).unit_frames == 100
    assert plan_msd([30], [1], 5, 0.1).unit_frames == 30


def test_line_through_an_exact_msd():
    plan = plan_msd([1000], [20], 5, 0.02)
    assert (plan.fit_lags[0], plan.fit_lags[-1]) == (100, 400)
    assert plan.describe().endswith("linear fit from 2 to 8 ps")
    moments = 0.3 + 2.0 * 0.7 * (plan.fit_lags * 0.02)[:, None] * np.ones(6)
    np.testing.assert_allclose(fit_tensors(moments, plan.fit_lags, 0.02), 0.7e-4)


def test_two_trajectories_of_different_length_pool():
    """Their units are equally long, and the curve ends where a run does."""
    plan = plan_msd([900, 300], [12, 12], 5, 0.1)
    parts = [stream(plan, brownian(n, 12, n)) for n in (900, 300)]
    assert [len(part.units) for part in parts] == [36, 12]
    tensor, samples, units = msd_tensor(parts, plan, 50, 0)
    assert units == 48
    assert samples.shape == (50, 6)
    assert np.trace(tensor) / 3 == pytest.approx(0.1**2 / 2 / 0.1 * 1e-4, rel=0.3)
    assert np.isfinite(curve_with_error(parts, plan, 300)).all()


def test_unfinished_run_still_answers():
    """A file may hold fewer frames than its header says."""
    plan = plan_msd([900], [12], 5, 0.1)
    assert len(stream(plan, brownian(700, 12, 0)).units) == 12


def test_site_blocks_are_the_site_positions(toolbox):
    net = toolbox.d03(0.8)
    sites, images = net.walk(11, 3000, 0.05, seed=4)
    paths = runs(sites, images)
    blocks = list(site_blocks(paths, net.lattice))
    expected = net.lattice.positions[sites] + images @ net.lattice.cell
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-4)


def runs(sites, images):
    """Compress (frames, ions) site sequences."""
    changed = np.ones(sites.shape, dtype=bool)
    changed[1:] = (sites[1:] != sites[:-1]) | (images[1:] != images[:-1]).any(axis=2)
    ion, frame = np.nonzero(changed.T)
    return SitePaths(
        first_run=np.concatenate([[0], np.cumsum(changed.sum(axis=0))]),
        start=frame, site=sites[frame, ion], image=images[frame, ion],
        frames=np.full(sites.shape[1], len(sites)),
    )  # fmt: skip


@pytest.mark.parametrize(("ions", "frames", "replicates"), [(24, 600, 60), (1, 6000, 60)])
def test_errors_cover_the_exact_value(toolbox, ions, frames, replicates):
    """Vibrating ions on a network; one ion is judged by its time blocks."""
    net = toolbox.d03(0.2)
    exact = np.trace(net.diffusion()) / 3
    plan = plan_msd([frames], [ions], 5, 0.02)
    scores, values = [], []
    for replicate in range(replicates):
        x = net.positions(ions, frames, 0.02, 900 + replicate, sigma=0.25)
        evidence = Evidence(1000, 10, exact, 1000)
        tensor, samples, units = msd_tensor([stream(plan, x)], plan, 100, replicate)
        found = summarise("", tensor, samples, units, evidence, freedom=slope_freedom(units))
        scores.append((found.value - exact) / found.error)
        values.append(found.value / exact)
    scatter = np.std(values) / np.sqrt(replicates)
    assert abs(np.mean(values) - 1) < 3.5 * scatter
    # 60 draws of a true 95 %: fewer than 51 in one of a thousand cases
    assert np.mean(np.abs(scores) < 2) >= 0.85


def test_curve_error_is_the_scatter_of_repeated_runs():
    for ions in (2, 40):
        plan = plan_msd([2000], [ions], 5, 0.1)
        curves, errors = [], []
        for seed in range(30):
            part = stream(plan, brownian(2000, ions, seed))
            mean, error = curve_with_error([part], plan, 2000)
            curves.append(mean)
            errors.append(error)
        short = plan.curve_lags < 400
        ratio = np.std(curves, axis=0)[short] / np.mean(errors, axis=0)[short]
        assert 0.6 < np.median(ratio) < 1.5


def test_wrong_shape_is_refused():
    accumulator = MsdAccumulator(plan_msd([100], [4], 5, 0.1), 4)
    with pytest.raises(ValueError, match="expected positions of 4 ions"):
        accumulator.add(np.zeros((10, 5, 3)))
