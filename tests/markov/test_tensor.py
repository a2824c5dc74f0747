"""Principal axes: names, errors and what counts as a dimension."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.errors import Diffusion, six_to_tensor, tensor_to_six
from aiida_limsm.markov.tensor import components_along, lattice_direction, principal_axes

CELL = np.diag([3.0, 4.0, 10.0])


def diffusion(tensor, error, resolved=True):
    """A tensor whose noise looks the same from all sides (error of a diagonal element)."""
    tensor = np.asarray(tensor, dtype=float)
    covariance = error**2 * np.diag([1, 1, 1, 0.5, 0.5, 0.5])
    value = float(np.trace(tensor)) / 3
    return Diffusion("test", tensor, covariance, value, error / np.sqrt(3), resolved, None, "")


def turned(angles):
    a, b, c = angles
    out = np.eye(3)
    for axis, angle in ((2, a), (1, b), (2, c)):
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        step = np.eye(3)
        step[i, i] = step[j, j] = np.cos(angle)
        step[i, j], step[j, i] = -np.sin(angle), np.sin(angle)
        out = out @ step
    return out


def test_layers():
    found = principal_axes(diffusion(np.diag([2.0, 5.0, 0.01]), 0.1), CELL)
    np.testing.assert_allclose(found.values, [5.0, 2.0, 0.01])
    np.testing.assert_allclose(found.errors, 0.1)
    np.testing.assert_allclose(found.axes, [[0, 1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    assert found.directions == ("[0 1 0]", "[1 0 0]", "[0 0 1]")
    assert found.dimensionality == 2
    assert not found.isotropic
    assert found.anisotropy is None  # the smallest value is not resolved


def test_channel_and_its_degenerate_normals():
    found = principal_axes(diffusion(np.diag([0.3, 0.31, 5.0]), 0.02), CELL)
    assert found.directions == ("[0 0 1]", "any normal to [0 0 1]", "any normal to [0 0 1]")
    assert found.dimensionality == 3
    assert found.anisotropy == pytest.approx(5 / 0.3)
    relative = np.hypot(0.02 / 5, 0.02 / 0.3)
    assert found.anisotropy_error == pytest.approx(found.anisotropy * relative)
    slow = principal_axes(diffusion(np.diag([0.2, 0.2, 5.0]), 0.02), CELL)
    assert slow.dimensionality == 1  # resolved, but less than a twentieth


def test_isotropic_and_not_resolved():
    tensor = np.eye(3) + 0.03 * np.diag([1, 0, -1])
    assert principal_axes(diffusion(tensor, 0.05), CELL).isotropic
    assert principal_axes(diffusion(tensor, 0.05), CELL).directions == ("any",) * 3
    assert not principal_axes(diffusion(tensor, 0.005), CELL).isotropic
    assert principal_axes(diffusion(tensor, 0.05, resolved=False), CELL).dimensionality == 0
    exact = diffusion(np.eye(3), 0.0)
    assert principal_axes(exact, CELL).isotropic
    assert principal_axes(diffusion(np.zeros((3, 3)), 0.1), CELL).dimensionality == 0


@settings(deadline=None, max_examples=40)
@given(
    angles=st.tuples(*[st.floats(0, 6.3)] * 3),
    values=st.tuples(*[st.floats(0.6, 10)] * 3),
)
def test_a_turn_turns_the_axes_and_nothing_else(angles, values):
    turn = turned(angles)
    found = principal_axes(diffusion(turn.T @ np.diag(values) @ turn, 0.05), CELL @ turn)
    plain = principal_axes(diffusion(np.diag(values), 0.05), CELL)
    np.testing.assert_allclose(found.values, np.sort(values)[::-1], rtol=1e-9)
    np.testing.assert_allclose(found.errors, 0.05, rtol=1e-9)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(3), atol=1e-9)
    assert found.dimensionality == plain.dimensionality
    assert found.isotropic == plain.isotropic
    if np.diff(np.sort(values)).min() > 1e-3:
        assert found.directions == plain.directions


def test_errors_are_the_scatter_of_the_values():
    random = np.random.default_rng(1)
    root = random.normal(size=(6, 6)) * 0.02
    tensor = turned((0.4, 1.0, 2.0)).T @ np.diag([3.0, 2.0, 1.0]) @ turned((0.4, 1.0, 2.0))
    one = Diffusion("test", tensor, root @ root.T, 2.0, 0.1, True, None, "")
    found = principal_axes(one, CELL)
    drawn = random.multivariate_normal(tensor_to_six(tensor), one.covariance, size=4000)
    matrices = np.empty((len(drawn), 3, 3))
    for k, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        matrices[:, a, b] = matrices[:, b, a] = drawn[:, k]
    values = np.linalg.eigvalsh(matrices)[:, ::-1]
    np.testing.assert_allclose(values.std(axis=0), found.errors, rtol=0.06)
    ratio = values[:, 0] / values[:, 2]
    assert ratio.std() == pytest.approx(found.anisotropy_error, rel=0.1)


def test_isotropy_is_rejected_as_often_as_promised():
    """Five units of noise, whose covariance has no inverse: about one in twenty is rejected."""
    random = np.random.default_rng(2)
    rejected = 0
    for _ in range(400):
        noise = 0.1 * random.normal(size=(60, 6)) * np.sqrt([1, 1, 1, 0.5, 0.5, 0.5])
        mean = noise.mean(axis=0)
        tensor = np.eye(3)
        for value, (a, b) in zip(
            mean, ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)), strict=True
        ):
            tensor[a, b] += value
            tensor[b, a] = tensor[a, b]
        covariance = np.cov(noise, rowvar=False) / len(noise)
        one = Diffusion("test", tensor, covariance, 1.0, 0.1, True, None, "")
        rejected += not principal_axes(one, CELL).isotropic
    assert 0.02 < rejected / 400 < 0.1


@pytest.mark.parametrize(
    ("vector", "indices"),
    [
        ((0, 0, -2.0), (0, 0, 1)),
        ((3.0, 4.0, 0.0), (1, 1, 0)),
        ((3.0, -8.0, 0.0), (1, -2, 0)),
        ((3.0, 4.1, 10.1), (1, 1, 1)),
    ],
)
def test_nearest_lattice_direction(vector, indices):
    found, angle = lattice_direction(np.array(vector), CELL)
    assert found == indices
    assert angle < 2


def test_a_direction_between_lattice_directions_keeps_its_angle():
    turn = turned((0.0, 0.0, np.radians(8)))
    found = principal_axes(diffusion(turn @ np.diag([9.0, 4.0, 1.0]) @ turn.T, 0.01), np.eye(3))
    assert found.directions[2] == "[0 0 1]"
    assert found.directions[:2] == ("8° from [1 0 0]", "8° from [0 1 0]")


@settings(deadline=None, max_examples=40)
@given(
    angles=st.tuples(*[st.floats(0, 6.3)] * 3),
    rows=st.lists(st.floats(-1, 1), min_size=9, max_size=9),
    noise=st.lists(st.floats(-1, 1), min_size=36, max_size=36),
    cell=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
)
def test_components_along_lattice_vectors_do_not_depend_on_the_frame(angles, rows, noise, cell):
    """In the frame that has a vector as its first axis, the component along it is xx."""
    half, root = np.reshape(rows, (3, 3)), np.reshape(noise, (6, 6))
    tensor, covariance = half @ half.T, root @ root.T
    lattice = np.diag([3.0, 5.0, 7.0]) + np.array([[0, 0, 0], [cell[0], 0, 0], [*cell[1:], 0]]) * 5
    values, errors = components_along(lattice, tensor, covariance)
    assert np.all(values >= -1e-12)
    # six components turn by a matrix of their own, found from where it takes each of them
    turn = turned(angles)
    basis = [six_to_tensor(unit) for unit in np.eye(6)]
    turn_six = np.array([tensor_to_six(turn.T @ each @ turn) for each in basis]).T
    moved = components_along(2 * lattice @ turn, turn.T @ tensor @ turn,
                             turn_six @ covariance @ turn_six.T)  # fmt: skip
    np.testing.assert_allclose(moved[0], values, atol=1e-9)
    np.testing.assert_allclose(moved[1], errors, atol=1e-9)
    # and the first vector lies along x
    assert values[0] == pytest.approx(tensor[0, 0], abs=1e-12)
    assert errors[0, 0] == pytest.approx(covariance[0, 0], abs=1e-12)


def test_the_mean_over_normal_axes_is_the_trace():
    half = np.array([[1.0, 0.2, 0.3], [0.0, 0.8, 0.1], [0.0, 0.0, 0.5]])
    covariance = np.diag([1.0, 2.0, 3.0, 0.1, 0.2, 0.3]) + 0.5
    values, errors = components_along(turned((0.3, 1.1, 2.0)), half @ half.T, covariance)
    assert values.sum() == pytest.approx(np.trace(half @ half.T))
    assert errors.sum() == pytest.approx(covariance[:3, :3].sum())
