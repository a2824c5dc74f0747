import numpy as np
import pytest

from aiida_limsm.markov.errors import jump_bound
from aiida_limsm.markov.paths import SitePaths
from aiida_limsm.units import ANGSTROM2_PER_PS_TO_CM2_PER_S


def paths_of(*walks):
    """Ions that stand on these cells of a chain with one site, a frame each."""
    first = np.concatenate([[0], np.cumsum([len(walk) for walk in walks])])
    cells = np.concatenate(walks).astype(np.int64)
    return SitePaths(
        first_run=first,
        start=np.concatenate([np.arange(len(walk)) for walk in walks]),
        site=np.zeros(len(cells), dtype=np.int64),
        image=np.column_stack([cells, np.zeros((len(cells), 2), dtype=np.int64)]),
        frames=np.array([len(walk) for walk in walks]),
    )


@pytest.mark.parametrize(
    ("walk", "independent", "bounding"),
    [
        ([0], 0, 0),
        ([0, 1], 1, 1),
        ([0, 1, 2, 3], 3, 3),
        ([0, 1, 0], 0, 2),
        ([0, 1, 0, 1, 0, 1], 1, 3),  # there and back twice, and there
        ([0, 1] * 50 + [0], 0, 2),  # rattles
        ([0, 1, 0, -1, 0], 0, 4),  # two neighbours, visited once each
        ([0, 1, 2, 1, 0], 2, 4),
        ([0, 1, 0, 2, 1, 2, 0, 1, 0], 2, 6),
    ],
)
def test_jumps_that_count(walk, independent, bounding):
    paths = paths_of(walk)
    number, rows = paths.independent_jumps()
    assert (number, len(rows)) == (independent, independent)
    counted = paths.bounding_jumps()
    assert len(counted) == bounding
    assert set(rows) <= set(counted) <= set(paths.jump_rows)


def test_ions_do_not_share_their_returns():
    paths = paths_of([0, 1, 0, 1, 0], [0, 1, 0], [5])
    assert paths.independent_jumps()[0] == 0
    assert len(paths.bounding_jumps()) == 4
    part = paths.select(1, 3)
    assert (part.n_ions, part.n_jumps) == (2, 2)
    np.testing.assert_array_equal(part.first_run, [0, 3, 4])
    np.testing.assert_array_equal(part.image[:, 0], [0, 1, 0, 5])


@pytest.mark.parametrize("mean", [1, 4, 10])
@pytest.mark.parametrize("ions", [1, 8])
def test_the_bound_holds_for_walks_on_a_chain(mean, ions):
    """Where half of all jumps go straight back by chance; jumps of 1 Å, D = ½ per jump and time."""
    random = np.random.default_rng(0)
    exact = mean / ions / 6.0 * ANGSTROM2_PER_PS_TO_CM2_PER_S  # a third of the trace, time 1 ps
    held = 0
    for _ in range(400):
        jumps = random.multinomial(random.poisson(mean), np.full(ions, 1 / ions))
        walks = [
            np.concatenate([[0], np.cumsum(random.choice([-1, 1], size=number))])
            for number in jumps
        ]
        counted = len(paths_of(*walks).bounding_jumps())
        held += jump_bound(counted, 1.0, float(ions)) >= exact
    assert held >= 0.93 * 400
