"""Counts, distinct rows and residence times against brute force and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.packed import unique_keys, unique_rows
from aiida_limsm.markov.paths import SitePaths
from aiida_limsm.markov.residence import residence_times


def paths_of(sites, images):
    """Runs of the sites (frames, ions) and cells (frames, ions, 3)."""
    frames, ions = sites.shape
    first, start, site, image = [0], [], [], []
    for ion in range(ions):
        changed = np.ones(frames, dtype=bool)
        changed[1:] = (np.diff(sites[:, ion]) != 0) | (np.diff(images[:, ion], axis=0) != 0).any(1)
        rows = np.flatnonzero(changed)
        first.append(first[-1] + len(rows))
        start.append(rows)
        site.append(sites[rows, ion])
        image.append(images[rows, ion])
    return SitePaths(
        np.array(first), np.concatenate(start), np.concatenate(site), np.concatenate(image),
        np.full(ions, frames),
    )  # fmt: skip


def walk(seed, frames, ions, n_sites):
    random = np.random.default_rng(seed)
    moves = random.random((frames, ions)) < 0.3
    sites = np.zeros((frames, ions), dtype=np.int64)
    images = np.zeros((frames, ions, 3), dtype=np.int64)
    for t in range(1, frames):
        sites[t] = np.where(moves[t], random.integers(0, n_sites, ions), sites[t - 1])
        step = random.integers(-1, 2, (ions, 3))
        images[t] = images[t - 1] + np.where(moves[t][:, None], step, 0)
    return sites, images


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.int64, st.tuples(st.integers(0, 40), st.integers(1, 5)), elements=st.integers(-4, 4))
)
def test_unique_rows_equal_numpys(rows):
    distinct, index = unique_rows(rows)
    expected, expected_index = np.unique(rows, axis=0, return_inverse=True)
    np.testing.assert_array_equal(distinct, expected)
    np.testing.assert_array_equal(index, expected_index.reshape(-1))


def test_rows_too_wide_to_pack():
    rows = np.array([[2**40, -(2**40)], [0, 1], [2**40, -(2**40)]])
    distinct, index = unique_rows(rows)
    np.testing.assert_array_equal(distinct[index], rows)
    assert len(distinct) == 2


def test_the_table_of_keys_grows():
    keys = np.random.default_rng(0).permutation(np.repeat(np.arange(-30_000, 30_000) * 977, 2))
    distinct, index = unique_keys(keys)
    np.testing.assert_array_equal(distinct, np.arange(-30_000, 30_000) * 977)
    np.testing.assert_array_equal(distinct[index], keys)


@pytest.mark.parametrize(("lag", "blocks"), [(1, 1), (3, 2), (17, 4)])
def test_counts_equal_a_loop_over_all_windows(lag, blocks):
    frames, ions, n_sites = 90, 4, 3
    sites, images = walk(1, frames, ions, n_sites)
    counts = count_transitions(paths_of(sites, images), n_sites, lag, blocks)
    windows = frames - lag
    edges = [b * windows // blocks for b in range(blocks + 1)]
    expected = {}
    for ion in range(ions):
        for t in range(windows):
            block = next(b for b in range(blocks) if t < edges[b + 1])
            n = tuple(int(x) for x in images[t + lag, ion] - images[t, ion])
            key = (ion * blocks + block, int(sites[t, ion]), int(sites[t + lag, ion]), *n)
            expected[key] = expected.get(key, 0) + 1
    found = {}
    for unit, channel, count in zip(counts.unit, counts.channel, counts.count, strict=True):
        n = tuple(int(x) for x in counts.image[channel])
        found[(int(unit), int(counts.from_site[channel]), int(counts.to_site[channel]), *n)] = count
    assert found == expected
    back = np.column_stack([counts.to_site, counts.from_site, -counts.image])
    there = np.column_stack([counts.from_site, counts.to_site, counts.image])
    np.testing.assert_array_equal(there[counts.reverse], back)
    weights = np.arange(counts.n_units, dtype=float)
    assert counts.total(weights).sum() == pytest.approx((counts.count * weights[counts.unit]).sum())


def test_no_window_is_one_clear_line():
    sites, images = walk(0, 5, 2, 2)
    with pytest.raises(ValueError, match="no window of 5 frames"):
        count_transitions(paths_of(sites, images), 2, 5)


def test_residence_times_agree_with_scipys_kaplan_meier():
    sites, images = walk(5, 60, 40, 2)
    paths = paths_of(sites, images)
    found = residence_times(paths, 3, 0.5)
    duration, ion = paths.duration, paths.run_ion
    last = np.append(ion[1:] != ion[:-1], True)
    first = np.append(True, ion[1:] != ion[:-1])
    for site in (0, 1):
        here = paths.site == site
        exits = (here & ~last).sum()
        assert found.exits[site] == exits
        assert found.visits[site] == here.sum()
        assert found.mean_ps[site] == pytest.approx(0.5 * duration[here].sum() / exits)
        assert found.error_ps[site] == pytest.approx(found.mean_ps[site] / np.sqrt(exits))
        entered = here & ~first
        sample = stats.CensoredData(
            uncensored=duration[entered & ~last], right=duration[entered & last]
        )
        curve = stats.ecdf(sample).cdf
        for column, share in enumerate((0.1, 0.5, 0.9)):
            expected = curve.quantiles[np.flatnonzero(curve.probabilities >= share - 1e-9)[0]]
            assert found.quantiles_ps[site, column] == pytest.approx(0.5 * expected)
    assert found.visits[2] == 0
    assert np.isnan(found.mean_ps[2])
    assert np.isnan(found.quantiles_ps[2]).all()


def test_mean_residence_survives_a_short_trajectory(toolbox):
    """Mean residence 1/k although most runs are cut: k = 6 jumps × 0.02 per ps over 20 ps."""
    lattice = toolbox.lattice(np.eye(3) * 3.0, np.zeros((1, 3)))
    network = toolbox.neighbours(lattice, 3.1, np.zeros(1), 0.02 / 6)
    sites, images = network.walk(2000, 200, 0.1, seed=3)
    found = residence_times(paths_of(sites, images), 1, 0.1)
    assert found.mean_ps[0] == pytest.approx(50.0, abs=4 * found.error_ps[0])
    assert found.error_ps[0] < 2.5


def test_a_site_never_left_has_no_finite_mean():
    sites = np.zeros((10, 1), dtype=np.int64)
    found = residence_times(paths_of(sites, np.zeros((10, 1, 3), dtype=np.int64)), 1, 0.1)
    assert np.isinf(found.mean_ps[0])
    assert np.isnan(found.error_ps[0])
