"""End points of paths from jumps: the demo crystal, and what cannot be made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from aiida_limsm.atomistic.crystals import li3si, lithium_silicide
from aiida_limsm.atomistic.jump_paths import Jump, jump_ends, jump_kinds
from aiida_limsm.markov.sites import SiteLattice


@pytest.fixture(scope="module")
def lattice() -> SiteLattice:
    crystal = li3si()
    return SiteLattice.from_structure(
        crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers, 3, "Li"
    )


def jump_between(lattice: SiteLattice, start: int, end: int, image: tuple[int, int, int]) -> Jump:
    vector = lattice.jump_vectors(np.array([start]), np.array([end]), np.array([image]))[0]
    distance = float(np.linalg.norm(vector))
    return Jump(lattice.labels[start], lattice.labels[end], image, distance, 10)


@pytest.fixture(scope="module")
def near(lattice: SiteLattice) -> Jump:
    """From 4b (½ ½ ½) to 8c (¼ ¼ ¼)."""
    jump = jump_between(lattice, 0, 4, (0, 0, 0))
    assert jump.distance_angstrom == pytest.approx(6.12 * np.sqrt(3) / 4)
    assert [lattice.orbits[k] for k in (0, 4)] == ["4b", "8c"]
    return jump


def test_a_full_crystal_gets_a_vacancy(lattice: SiteLattice, near: Jump) -> None:
    crystal = li3si().repeat(2)
    ends = jump_ends(crystal, lattice, near, "Li")
    assert ends.mechanism == "vacancy"
    assert len(ends.initial) == len(ends.final) == len(crystal) - 1
    moved = np.flatnonzero(np.linalg.norm(ends.final.positions - ends.initial.positions, axis=1))
    assert moved.tolist() == [ends.moving]
    assert ends.initial.symbols[ends.moving] == "Li"
    np.testing.assert_allclose(ends.initial.positions[ends.moving], [3.06] * 3)
    np.testing.assert_allclose(ends.final.positions[ends.moving], [1.53] * 3)
    # the vacancy goes the other way: nobody else is on the target before, or on the start after
    for atoms, point in ((ends.initial, [1.53] * 3), (ends.final, [3.06] * 3)):
        assert np.linalg.norm(atoms.positions - point, axis=1).min() > 1.0


def test_an_empty_target_is_taken_as_it_is(lattice: SiteLattice, near: Jump) -> None:
    crystal = li3si().repeat(2)
    hole = int(np.argmin(np.linalg.norm(crystal.positions - [1.53] * 3, axis=1)))
    del crystal[hole]
    ends = jump_ends(crystal, lattice, near, "Li")
    assert ends.mechanism == "direct"
    np.testing.assert_allclose(ends.initial.positions, crystal.positions)
    np.testing.assert_allclose(ends.final.positions[ends.moving], [1.53] * 3)


def test_an_empty_start_is_the_jump_backwards(lattice: SiteLattice, near: Jump) -> None:
    crystal = li3si().repeat(2)
    hole = int(np.argmin(np.linalg.norm(crystal.positions - [3.06] * 3, axis=1)))
    del crystal[hole]
    ends = jump_ends(crystal, lattice, near, "Li")
    assert ends.mechanism == "direct"
    np.testing.assert_allclose(ends.final.positions, crystal.positions)
    np.testing.assert_allclose(ends.initial.positions[ends.moving], [3.06] * 3)


def test_two_empty_sites_get_an_interstitial(lattice: SiteLattice, near: Jump) -> None:
    crystal = li3si().repeat(2)
    holes = [
        int(np.argmin(np.linalg.norm(crystal.positions - [x] * 3, axis=1))) for x in (1.53, 3.06)
    ]
    del crystal[holes]
    ends = jump_ends(crystal, lattice, near, "Li")
    assert ends.mechanism == "interstitial"
    assert len(ends.initial) == len(crystal) + 1
    assert ends.moving == len(crystal)
    np.testing.assert_allclose(ends.initial.positions[-1], [3.06] * 3)


def test_ions_that_rest_beside_their_site(lattice: SiteLattice, near: Jump) -> None:
    crystal = li3si().repeat(2)
    crystal.rattle(0.1, seed=3)
    ends = jump_ends(crystal, lattice, near, "Li")
    where = [
        int(np.argmin(np.linalg.norm(crystal.positions - [x] * 3, axis=1))) for x in (3.06, 1.53)
    ]
    begin, end = crystal.positions[where]
    np.testing.assert_allclose(ends.initial.positions[ends.moving], begin)
    np.testing.assert_allclose(ends.final.positions[ends.moving], end)


def test_through_the_face_of_the_cell(lattice: SiteLattice) -> None:
    jump = jump_between(lattice, 4, 1, (-1, 0, 0))  # (¼ ¼ ¼) → (½−1 0 0)
    ends = jump_ends(li3si().repeat(3), lattice, jump, "Li")
    way = ends.final.positions[ends.moving] - ends.initial.positions[ends.moving]
    np.testing.assert_allclose(way, np.array([-0.75, -0.25, -0.25]) * 6.12, atol=1e-8)


def test_a_cell_that_is_too_small(lattice: SiteLattice) -> None:
    image = jump_between(lattice, 0, 0, (1, 0, 0))
    with pytest.raises(ValueError, match=r"ends on an image of its own start.*larger supercell"):
        jump_ends(li3si(), lattice, image, "Li")
    halfway = jump_between(lattice, 4, 8, (0, 0, 0))  # half of the cell along z
    with pytest.raises(ValueError, match="two ways of one length"):
        jump_ends(li3si(), lattice, halfway, "Li")
    far = jump_between(lattice, 4, 8, (0, 0, 1))
    with pytest.raises(ValueError, match=r"9\.18 Å long, but 3\.06 Å in this cell"):
        jump_ends(li3si(), lattice, far, "Li")


def test_a_structure_that_does_not_fit(lattice: SiteLattice, near: Jump) -> None:
    shifted: Atoms = li3si().repeat(2)
    shifted.positions += [0.0, 0.0, 1.5]
    with pytest.raises(ValueError, match=r"atom \d+ is \d\.\d+ Å from the next site of the model"):
        jump_ends(shifted, lattice, near, "Li")
    with pytest.raises(ValueError, match="does not tile"):
        jump_ends(Atoms("Li", cell=[5, 7, 9], pbc=True), lattice, near, "Li")


def test_kinds_without_operations(lattice: SiteLattice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a cell too large for its operations there and back is all that is joined."""
    monkeypatch.setattr("aiida_limsm.markov.operations.MAX_ENTRIES", 10)
    there, back = jump_between(lattice, 0, 4, (0, 0, 0)), jump_between(lattice, 4, 0, (0, 0, 0))
    other = jump_between(lattice, 0, 5, (0, 0, 0))
    assert [kind.count for kind in jump_kinds([there, other, back], lattice)] == [20, 10]


def test_kinds_join_there_and_back_and_symmetry(lattice: SiteLattice) -> None:
    there, back = jump_between(lattice, 0, 4, (0, 0, 0)), jump_between(lattice, 4, 0, (0, 0, 0))
    other = jump_between(lattice, 0, 5, (0, 0, 0))
    along = jump_between(lattice, 4, 8, (0, 0, 0))
    jumps = [
        replace(jump, count=count)
        for jump, count in ((along, 40), (there, 30), (back, 20), (other, 5))
    ]
    kinds = jump_kinds(jumps, lattice)
    assert [(kind.orbits, kind.count) for kind in kinds] == [(("4b", "8c"), 55), (("8c", "8c"), 40)]
    assert kinds[0].jump.count == 30


def test_jumps_of_nearly_one_length_are_two_kinds() -> None:
    """LiSi: four ways out of the one Li site, two of them of 2.93 and 2.94 Å."""
    crystal = lithium_silicide("LiSi", primitive=True)
    sites = SiteLattice.from_structure(
        crystal.cell.array, crystal.get_scaled_positions(), crystal.numbers, 3, "Li"
    )
    place = range(sites.n_sites)
    every = [
        jump_between(sites, a, b, (i, j, k))
        for a in place
        for b in place
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        for k in (-1, 0, 1)
        if (a, i, j, k) != (b, 0, 0, 0)
    ]
    near = [jump for jump in every if jump.distance_angstrom < 3.2]
    assert len(near) == 8 * 6
    kinds = jump_kinds(near, sites)
    found = {round(kind.jump.distance_angstrom, 2): kind.count // 10 for kind in kinds}
    assert found == {2.69: 8, 2.93: 16, 2.94: 8, 3.05: 16}
    assert jump_kinds([], sites) == []

    # the analysis turned the crystal onto its MD cell; lithium alone would fit in several ways
    turn = Rotation.from_rotvec([0.3, -1.1, 0.4]).as_matrix()
    turned = replace(
        sites, cell=sites.cell @ turn, positions=sites.positions @ turn,
        framework_positions=sites.framework_positions @ turn,
    )  # fmt: skip
    big = crystal.repeat(2)
    for kind in kinds:
        for lattice in (sites, turned):
            ends = jump_ends(big, lattice, kind.jump, "Li")
            way = ends.final.positions[ends.moving] - ends.initial.positions[ends.moving]
            assert np.linalg.norm(way) == pytest.approx(kind.jump.distance_angstrom, abs=1e-6)
