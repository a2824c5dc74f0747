"""Paths: what is refused, minimum images, interpolation, energy profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from aiida_limsm.atomistic.band import (
    check_images,
    interpolate_band,
    largest_displacement,
    path_coordinate,
    profile_of,
    unwrapped,
)


@pytest.fixture
def start() -> Atoms:
    return Atoms(
        "LiLiSi", [[1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [1.0, 5.0, 5.0]], cell=[10] * 3, pbc=True
    )


def moved(atoms: Atoms, index: int, by: Any) -> Atoms:
    copy = atoms.copy()
    copy.positions[index] += by
    return copy


def reordered(atoms: Atoms) -> Atoms:
    return atoms[[2, 0, 1]]


def with_cell(atoms: Atoms) -> Atoms:
    copy = moved(atoms, 0, [0, 2, 0])
    copy.set_cell([10, 10, 10.1])
    return copy


def exchanged(atoms: Atoms) -> Atoms:
    copy = moved(atoms, 0, [0, 0, 0.5])
    copy.positions[[0, 1]] = copy.positions[[1, 0]]
    return copy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:2], "the final structure is Li2, the first is Li2Si: a path keeps its com"),
        (reordered, "the final structure has Si as atom 1, the first has Li: give all images in o"),
        (with_cell, "the final structure has another cell than the first"),
        (exchanged, r"atoms seem exchanged .*\(such as 1 and 2\).*check_order"),
        (
            lambda a: moved(a, 1, [0, 3.4, 3.4]),
            r"atom 2 \(Li\) moves 4.81 Å between images 1 and 2",
        ),
        (lambda a: moved(a, 1, [0, 4.99, 0]), r"atom 2 \(Li\) moves"),
        (lambda a: moved(a, 1, [0.05, 0, 0]), "the end points are one structure .* 0.050 Å"),
    ],
)
def test_ends_that_are_no_path(
    start: Atoms, change: Callable[[Atoms], Atoms], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_images([start, change(start)], max_displacement_angstrom=4.5)


def test_two_ways_of_one_length(start: Atoms) -> None:
    end = moved(start, 1, [0, 4.99, 0])
    with pytest.raises(ValueError, match="two ways of one length"):
        check_images([start, end])
    # an image in between says which way is meant
    check_images([start, moved(start, 1, [0, 2.5, 0]), end])


def test_what_is_a_path(start: Atoms) -> None:
    check_images([start, moved(start, 0, [0, 2.5, 0])])
    # a chain: the first ion takes the place of the second, which moves on
    chain = moved(moved(start, 0, [3, 0, 0]), 1, [3, 0, 0])
    check_images([start, chain])
    check_images([start, exchanged(start)], check_order=False)
    with pytest.raises(ValueError, match="at least two images"):
        check_images([start])


def test_through_the_face_of_the_cell(start: Atoms) -> None:
    end = moved(start, 0, [-2.0, 0, 0])
    end.wrap()
    assert end.positions[0, 0] == pytest.approx(9.0)
    check_images([start, end])
    path = unwrapped([start, end])
    np.testing.assert_allclose(path[1].positions[0], [-1.0, 1.0, 1.0])
    assert largest_displacement(start, end) == pytest.approx(2.0)
    for method in ("linear", "idpp"):
        images = interpolate_band(start, end, 5, method)
        assert len(images) == 5
        x = [image.positions[0, 0] for image in images]
        np.testing.assert_allclose(x, [1.0, 0.5, 0.0, -0.5, -1.0], atol=0.05)
        assert all(image.calc is None for image in images)
    np.testing.assert_allclose(path_coordinate(images), np.linspace(0, 2, 5), atol=0.05)
    with pytest.raises(ValueError, match="n_images: 2 leave no image"):
        interpolate_band(start, end, 2)


def test_idpp_keeps_atoms_apart() -> None:
    """Straight through another atom: the image dependent pair potential goes around it."""
    start = Atoms("LiSi", [[2.0, 5.0, 5.0], [5.0, 5.3, 5.0]], cell=[10] * 3, pbc=True)
    end = moved(start, 0, [4.5, 0, 0])
    nearest = {
        method: min(i.get_distance(0, 1, mic=True) for i in interpolate_band(start, end, 9, method))
        for method in ("linear", "idpp")
    }
    assert nearest["linear"] < 0.5
    assert nearest["idpp"] > 2 * nearest["linear"]


def profile(start: Atoms, energy: Callable[[Any], Any], force: Callable[[Any], Any]) -> Any:
    x = np.linspace(0, 2, 6)
    images = [moved(start, 0, [0, s, 0]) for s in x]
    forces = np.zeros((6, 3, 3))
    forces[:, 0, 1] = force(x)
    return profile_of(images, energy(x) - 7.0, forces)


def test_profile_of_a_barrier(start: Atoms) -> None:
    """E = 0.2 (1 − cos πs) + 0.05 s: the cubic fit finds the top between the images."""
    found = profile(
        start,
        lambda s: 0.2 * (1 - np.cos(np.pi * s)) + 0.05 * s,
        lambda s: -0.2 * np.pi * np.sin(np.pi * s) - 0.05,
    )
    np.testing.assert_allclose(found.coordinate, np.linspace(0, 1, 6))
    assert found.distance_angstrom[-1] == pytest.approx(2.0)
    assert found.barrier_forward_ev == pytest.approx(found.barrier_backward_ev + 0.1)
    s = np.linspace(0, 2, 100001)
    top = (0.2 * (1 - np.cos(np.pi * s)) + 0.05 * s).max()
    assert found.barrier_forward_ev < top
    assert found.fit_energy_ev.max() == pytest.approx(top, abs=2e-3)
    assert not found.monotonic
    assert found.highest == 3
    assert found.tangential_force[0] == pytest.approx(-0.05)
    assert found.valley_ev == 0.0


def test_profile_without_a_barrier(start: Atoms) -> None:
    found = profile(start, lambda s: 0.3 * s, lambda s: np.full_like(s, -0.3))
    assert found.monotonic
    assert (found.barrier_forward_ev, found.barrier_backward_ev) == pytest.approx((0.6, 0.0))
    np.testing.assert_allclose(found.tangential_force, -0.3)


def test_profile_with_a_minimum_in_between(start: Atoms) -> None:
    found = profile(start, lambda s: 0.2 * s * (s - 2), lambda s: -0.4 * (s - 1))
    assert not found.monotonic
    assert found.valley_ev == pytest.approx(0.192)
