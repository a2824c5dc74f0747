import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.trajectory.unwrap import Unwrapper

CELL = np.array([[5.0, 0, 0], [2.2, 5.0, 0], [-1.5, 1.9, 6.0]])
LIMIT = 0.5 / np.linalg.norm(np.linalg.inv(CELL), axis=0).max()


def folded(x, origin=0.0, cell=CELL):
    scaled = x @ np.linalg.inv(cell) - origin
    return x - np.floor(scaled) @ cell


def random_walk(seed, step, n=80, atoms=6):
    random = np.random.default_rng(seed)
    moves = random.normal(size=(n, atoms, 3))
    moves *= step / np.linalg.norm(moves, axis=2, keepdims=True)
    moves[0] = random.uniform(size=(atoms, 3)) @ CELL
    return np.cumsum(moves, axis=0)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**16),
    step=st.floats(0.1, 0.99),
    origin=st.floats(-1.0, 1.0),
    size=st.integers(1, 90),
)
def test_folded_paths_are_found_again(seed, step, origin, size):
    """In a tilted cell, any box origin, moves up to the limit, blocks of any size."""
    x = random_walk(seed, step * LIMIT)
    unwrap = Unwrapper(CELL, "md")
    raw = folded(x, origin)
    got = np.concatenate([unwrap(raw[i : i + size]) for i in range(0, len(x), size)])
    np.testing.assert_allclose(got - got[0], x - x[0], atol=2e-4)
    assert unwrap.wrapped == bool(np.abs(x - raw - (x - raw)[0]).max() > 1e-6)


def test_unwrapped_paths_stay_as_they_are():
    x = random_walk(0, 0.9 * LIMIT).astype(np.float32)
    unwrap = Unwrapper(CELL, "md")
    np.testing.assert_array_equal(unwrap(x.copy()), x)
    assert not unwrap.wrapped


def test_a_jump_out_of_the_box_is_no_wrap():
    x = np.zeros((3, 2, 3))
    x[:, 1] = 0.4 * CELL.sum(axis=0)
    x[2, 0] = 1.9 * CELL[0]
    with pytest.raises(ValueError, match=r"md: atom 0 \(counted from 0\) in frame 2.*not by wrapp"):
        Unwrapper(CELL, "md")(x)


def test_a_wrap_that_leaves_a_long_move_is_refused():
    x = np.zeros((2, 1, 3))
    x[1, 0] = [3.6, 2.7, 2.7]  # the nearest image is 4.5 Å away, and not alone
    with pytest.raises(ValueError, match=r"atom 0 \(counted from 0\) in frame 1 moves"):
        Unwrapper(np.diag([6.0, 6.0, 6.0]), "md")(x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_not_finite_are_named(value):
    x = np.zeros((9, 3, 3))
    x[7, 2, 1] = value
    unwrap = Unwrapper(CELL, "md")
    unwrap(x[:5])
    with pytest.raises(ValueError, match=r"atom 2 \(counted from 0\) in frame 7 .* not finite"):
        unwrap(x[5:])
    x[0, 1] = value
    with pytest.raises(ValueError, match=r"atom 1 \(counted from 0\) in frame 0 .* not finite"):
        Unwrapper(CELL, "md")(x)
