# ruff: noqa: NPY002 (compiled code has the legacy generator only)
"""Charge diffusion and the Haven ratio against walkers and lattice gases of known ratio."""

from itertools import product

import numpy as np
import pytest
from numba import njit

from aiida_limsm.markov.collective import charge_diffusion, haven_ratio
from aiida_limsm.markov.errors import Diffusion, Evidence, summarise
from aiida_limsm.markov.msd import (
    MsdAccumulator,
    msd_tensor,
    plan_msd,
    site_blocks,
    slope_freedom,
)
from aiida_limsm.markov.paths import SitePaths

STEPS = np.array([s * e for e in np.eye(3, dtype=np.int64) for s in (1, -1)])


def tracer(value, error=0.0, tensor=None):
    tensor = np.eye(3) * value if tensor is None else tensor
    covariance = error**2 * np.diag([3, 3, 3, 1, 1, 1.0])
    return Diffusion("known", tensor, covariance, value, error, True, None, "")


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


@njit
def _vacancy(seed, length, jumps, steps, ions, images):
    """Walk one vacancy through a full simple cubic lattice; say which ion it moves, and where."""
    np.random.seed(seed)
    held = np.full((length, length, length), -1, np.int64)
    here = np.zeros((length**3 - 1, 3), np.int64)
    for k in range(1, length**3):
        held[k // length**2, k // length % length, k % length] = k - 1
    hole = np.zeros(3, np.int64)
    for k in range(jumps):
        step = steps[np.random.randint(6)]
        source = (hole + step) % length
        ion = held[source[0], source[1], source[2]]
        held[hole[0], hole[1], hole[2]] = ion
        held[source[0], source[1], source[2]] = -1
        here[ion] -= step
        hole[:] = source
        ions[k] = ion
        images[k] = here[ion]


def vacancy_gas(seed, length, jumps, chance):
    """Paths of all ions where in every frame the vacancy jumps with the given chance."""
    ions, images = np.empty(jumps, np.int64), np.empty((jumps, 3), np.int64)
    _vacancy(seed, length, jumps, STEPS, ions, images)
    frame = np.random.default_rng(seed).geometric(chance, jumps).cumsum()
    number = length**3 - 1
    ion = np.append(np.arange(number), ions)
    start = np.append(np.zeros(number, np.int64), frame)
    order = np.lexsort((start, ion))
    return SitePaths(
        first_run=np.append(0, np.bincount(ion).cumsum()),
        start=start[order],
        site=np.zeros(len(ion), np.int64),
        image=np.concatenate([np.zeros((number, 3), np.int64), images])[order],
        frames=np.full(number, frame[-1] + 1),
    )


def exact_correlation_factor(length):
    """f of a tracer and one vacancy in a periodic box: closed form over relative places."""
    places = [p for p in product(range(length), repeat=3) if any(p)]
    index = {p: k for k, p in enumerate(places)}
    n = len(places)
    t, b, square = np.zeros((n, n)), np.zeros((n, 3)), 0.0
    for p, row in index.items():
        for step in STEPS:
            q = tuple((p + step) % length)
            if q in index:
                t[row, index[q]] += 1 / 6
            else:  # the vacancy takes the tracer's place, the tracer the vacancy's
                t[row, index[tuple(np.array(step) % length)]] += 1 / 6
                b[row] -= step / 6
                square += 1 / 6 / n
    z = np.linalg.inv(np.eye(n) - t + 1 / n)
    after = np.zeros((n, 3))
    for p in places:
        for step in STEPS:
            if not any((p + step) % length):
                after[index[tuple(np.array(step) % length)]] -= step / 6 / n
    return 1 + 2 * np.sum(after * (z @ b)) / square


def msd_of(paths, lattice, interval, seed=0):
    plan = plan_msd([int(paths.frames[0])], [paths.n_ions], 5, interval)
    accumulator = MsdAccumulator(plan, paths.n_ions)
    for block in site_blocks(paths, lattice):
        accumulator.add(block)
    tensor, samples, units = msd_tensor([accumulator.finish()], plan, 100, seed)
    evidence = Evidence(1000, 10, 0.0, 1000)
    return summarise("", tensor, samples, units, evidence, freedom=slope_freedom(units))


@pytest.fixture(scope="module")
def cubic(toolbox):
    return toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0]])


def test_exact_factor_tends_to_the_textbook_value():
    """0.6531 in an infinite simple cubic crystal (Haus & Kehr 1987)."""
    values = [exact_correlation_factor(length) for length in (3, 5, 7)]
    assert values[-1] == pytest.approx(0.6531, abs=0.01)


def test_vacancy_gas_charge_diffusion_is_exact(cubic):
    """The ions together move as the vacancy does, without memory: D_σ = a²/6 per jump, over N."""
    scores, ratios, haven, resolved = [], [], [], 0
    exact = 0.02 * 9 / 6 / 63 / 0.1 * 1e-4
    known = exact_correlation_factor(4)
    for seed in range(60):
        paths = vacancy_gas(seed, 4, 1500, 0.02)
        star = msd_of(paths, cubic, 0.1, seed)
        found = haven_ratio([paths], cubic, 0.1, star, seed=seed)
        scores.append((found.charge.value - exact) / found.charge.error)
        ratios.append(found.charge.value / exact)
        resolved += found.resolved
        haven.append((found.value - known) / found.error)
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * np.std(ratios) / np.sqrt(60))
    assert resolved >= 57
    for pulls in (scores, haven):
        assert np.mean(np.abs(pulls) < 2) >= 0.85
        assert np.std(pulls) > 0.4


def test_independent_walkers_have_ratio_one(toolbox):
    net = toolbox.d03(0.5)
    exact = net.diffusion()
    value = np.trace(exact) / 3
    pulls, along, resolved = [], [], 0
    for seed in range(60):
        paths = runs(*net.walk(20, 4000, 0.05, seed))
        found = haven_ratio([paths], net.lattice, 0.05, tracer(value, 0.02 * value), seed=seed)
        resolved += found.resolved
        pulls.append((found.value - 1) / found.error)
        along.append((found.along - 1) / found.along_error)
        assert found.value == pytest.approx(value / found.charge.value)
    assert resolved >= 57
    for scores in (np.array(pulls), np.array(along)):
        assert np.nanmean(np.abs(scores) < 2) >= 0.85
        assert np.nanstd(scores) > 0.4


def test_ions_that_rattle_between_two_sites_do_not_pass_for_mobile(toolbox):
    """Pairs of sites 1.5 Å apart, twenty jumps within one for each out of it."""
    lattice = toolbox.lattice(np.diag([6.0, 3.0, 3.0]), [[0, 0, 0], [1.5, 0, 0]])
    net = toolbox.neighbours(lattice, 4.6, np.zeros(2), 1.0)
    length = np.linalg.norm(lattice.jump_vectors(net.start, net.end, net.image), axis=1)
    within = length < 1.6
    across = (np.abs(length - 3.0) < 0.1) | (np.abs(length - 4.5) < 0.1)
    kept = within | across
    net = toolbox.network(
        lattice, net.start[kept], net.end[kept], net.image[kept], np.where(within, 2.0, 0.1)[kept]
    )
    exact = net.diffusion()
    known = tracer(np.trace(exact) / 3, 1e-6 * np.trace(exact), exact)
    found = [
        haven_ratio([runs(*net.walk(20, 4000, 0.05, seed))], lattice, 0.05, known, seed=seed)
        for seed in range(30)
    ]
    values = np.array([one.value for one in found])
    assert values.mean() == pytest.approx(1.0, abs=0.06)
    assert np.mean(np.abs(values - 1) < 2 * np.array([one.error for one in found])) >= 0.83


def test_too_short_a_run_gives_no_ratio(toolbox):
    net = toolbox.d03(0.5)
    still = haven_ratio([runs(*toolbox.d03(0.0).walk(5, 100, 0.05, 1))], net.lattice, 0.05,
                        tracer(1e-5))  # fmt: skip
    assert not still.resolved
    assert "no ion jumped" in still.reason
    short = haven_ratio([runs(*net.walk(20, 8, 0.05, 1))], net.lattice, 0.05, tracer(1e-5))
    assert not short.resolved
    assert "too few frames" in short.reason
    long = [runs(*net.walk(20, 4000, 0.05, 3))]
    rough = haven_ratio(long, net.lattice, 0.05, tracer(1e-5, 0.6e-5))
    assert not rough.resolved
    assert "the statistical error is 6" in rough.reason
    unsure = Diffusion(
        "x", np.eye(3), np.eye(6), 1.0, 1.0, False, 2.0, "0 independent jumps seen, 10 asked"
    )
    assert "tracer" in haven_ratio(long, net.lattice, 0.05, unsure).reason


def test_trajectories_are_independent_units(toolbox):
    """Four runs know D_σ about twice as well as one."""
    net = toolbox.d03(0.5)
    one, four = [], []
    for seed in range(12):
        paths = [runs(*net.walk(10, 8000, 0.05, 10 * seed + k)) for k in range(4)]
        for number, errors in ((1, one), (4, four)):
            found = charge_diffusion(paths[:number], net.lattice, 0.05, seed=seed)
            errors.append(found.error / found.value)
    assert 1.4 < np.median(one) / np.median(four) < 2.9


def test_the_ratio_does_not_depend_on_orientation(toolbox):
    net = toolbox.d03(0.5)
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    lattice = toolbox.lattice(net.lattice.cell @ turn, net.lattice.positions @ turn)
    paths = [runs(*net.walk(10, 2000, 0.05, 5))]
    plain = charge_diffusion(paths, net.lattice, 0.05)
    moved = charge_diffusion(paths, lattice, 0.05)
    np.testing.assert_allclose(moved.tensor, turn.T @ plain.tensor @ turn, atol=1e-9 * plain.value)
    assert moved.error == pytest.approx(plain.error)
    assert moved.window_ps == plain.window_ps


def test_layers_give_a_ratio_only_along_them(toolbox):
    """Nothing moves along z: no ratio there, and one ion is no company: H = 1 by itself."""
    lattice = toolbox.lattice(np.diag([2.5, 2.5, 9.0]), [[0, 0, 0]])
    net = toolbox.neighbours(lattice, 3.0, np.zeros(1), 0.5)
    exact = net.diffusion()
    known = tracer(np.trace(exact) / 3, 1e-7 * np.trace(exact), exact)
    found = haven_ratio([runs(*net.walk(12, 4000, 0.05, 1))], lattice, 0.05, known)
    assert found.resolved
    assert np.isfinite(found.along).tolist() == [True, True, False]
    assert found.charge.tensor[2, 2] == 0.0
