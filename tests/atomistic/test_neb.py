"""The band with ASE's effective medium theory: a vacancy in aluminium."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_limsm.atomistic.band import interpolate_band, profile_of
from aiida_limsm.atomistic.neb import (
    BandUnphysical,
    ImageCalculator,
    Step,
    check_physical,
    relax,
    relax_band,
)


@pytest.fixture(scope="module")
def ends() -> tuple[Atoms, Atoms]:
    """A vacancy before and after an atom jumped into it, relaxed."""
    crystal = bulk("Al", "fcc", a=3.99, cubic=True).repeat(2)
    start, end = crystal[1:], crystal[1:]
    neighbour = int(np.argmin(crystal.get_distances(0, range(1, len(crystal)), mic=True)))
    end.positions[neighbour] = crystal.positions[0]
    for atoms in (start, end):
        atoms.calc = EMT()
        assert list(relax(atoms, "bfgs", 0.02, 100))[-1].converged
    return start, end


def band(ends: tuple[Atoms, Atoms]) -> list[Atoms]:
    images = interpolate_band(*ends, 5)
    shared = EMT()
    for image in images:
        image.calc = ImageCalculator(shared)
    return images


def barriers(images: list[Atoms]) -> tuple[float, float]:
    energies = np.array([image.get_potential_energy() for image in images])
    found = profile_of(images, energies, np.array([image.get_forces() for image in images]))
    return found.barrier_forward_ev, found.barrier_backward_ev


def test_optimisers_agree(ends: tuple[Atoms, Atoms]) -> None:
    found = {}
    for optimiser in ("fire", "bfgs", "lbfgs"):
        images = band(ends)
        climbs: list[str] = []
        steps = list(
            relax_band(images, optimiser, 0.03, 200, on_climb=lambda c=climbs: c.append("!"))
        )
        assert steps[-1].converged
        assert climbs == ["!"]
        assert [s.number for s in steps] == sorted(s.number for s in steps)
        found[optimiser] = barriers(images)
    for forward, backward in found.values():
        # the two ends are equal by symmetry
        assert forward == pytest.approx(backward, abs=2e-3)
        assert forward == pytest.approx(found["bfgs"][0], abs=3e-3)
        assert 0.3 < forward < 0.9


def test_an_image_is_evaluated_once_a_step(ends: tuple[Atoms, Atoms]) -> None:
    images = band(ends)
    steps = list(relax_band(images, "fire", 0.03, 200))
    calls = sum(image.calc.calls for image in images)
    # both ends once, three images once a step and at the start
    assert calls == 2 + 3 * (steps[-1].number + 1)


def test_steps_are_limited(ends: tuple[Atoms, Atoms]) -> None:
    steps = list(relax_band(band(ends), "fire", 1e-4, 7))
    assert steps[-1].number == 7
    assert not steps[-1].converged
    assert set(relax_band(band(ends), "fire", 1e-4, 0)) == {Step(0, steps[0].fmax, False)}


def test_guards(ends: tuple[Atoms, Atoms]) -> None:
    images = band(ends)
    check_physical(images, 50.0, 1.0)
    with pytest.raises(BandUnphysical, match=r"image 2: a force of .* exceeds 0\.01") as caught:
        check_physical(images[:1] + images[2:3], 0.01, 1.0)
    assert caught.value.kind == "forces"
    with pytest.raises(BandUnphysical, match=r"image 1: two atoms are 2\.\d+ Å apart") as caught:
        check_physical(images, 50.0, 2.85)
    assert caught.value.kind == "distance"
