"""The crystal builders give the tabulated crystals."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_limsm.atomistic.crystals import PHASES, li3si, li11si4, lithium_silicide

# name: (space group, atoms in the conventional cell, in the primitive cell, formula units per
# conventional cell as Li and Si counts)
EXPECTED = {
    "LiSi": (88, 32, 16, (16, 16)),
    "Li12Si7": (62, 152, 152, (96, 56)),
    "Li7Si3": (153, 60, 60, (42, 18)),
    "Li13Si4": (55, 34, 34, (26, 8)),
    "Li15Si4": (220, 76, 38, (60, 16)),
    "Li": (229, 2, 1, (2, 0)),
    "Si": (227, 8, 2, (0, 8)),
}

# name: shortest Li-Li, Li-Si and Si-Si distances in Å
DISTANCES = {
    "LiSi": (2.689, 2.626, 2.414),
    "Li12Si7": (2.398, 2.571, 2.362),
    "Li7Si3": (2.578, 2.560, 2.353),
    "Li13Si4": (2.526, 2.494, 2.378),
    "Li15Si4": (2.646, 2.605, 4.477),
    "Li": (2.968, None, None),
    "Si": (None, None, 2.368),
}


def space_group(atoms: Atoms) -> int:
    """Return the space-group number that spglib finds."""
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    dataset = spglib.get_symmetry_dataset(cell, symprec=1e-2)
    assert dataset is not None
    return int(dataset.number)


def shortest(atoms: Atoms, first: str, second: str) -> float:
    """Return the shortest distance (Å) between two elements, periodic images included."""
    distances: np.ndarray = neighbor_list("d", atoms, {(first, second): 5.0})
    return float(distances.min())


def test_every_phase_is_tested() -> None:
    assert set(PHASES) == set(EXPECTED) == set(DISTANCES)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("primitive", [False, True])
def test_counts_and_space_group(name: str, primitive: bool) -> None:
    number, conventional, reduced, (n_li, n_si) = EXPECTED[name]
    atoms = lithium_silicide(name, primitive=primitive)
    assert len(atoms) == (reduced if primitive else conventional)
    assert atoms.symbols.count("Li") * conventional == n_li * len(atoms)
    assert atoms.symbols.count("Si") * conventional == n_si * len(atoms)
    assert space_group(atoms) == number
    assert atoms.pbc.all()


@pytest.mark.parametrize("name", EXPECTED)
def test_volume_per_atom_is_that_of_the_conventional_cell(name: str) -> None:
    primitive, conventional = (lithium_silicide(name, primitive=flag) for flag in (True, False))
    assert primitive.get_volume() / len(primitive) == pytest.approx(
        conventional.get_volume() / len(conventional)
    )


@pytest.mark.parametrize("primitive", [False, True])
@pytest.mark.parametrize("name", DISTANCES)
def test_shortest_distances(name: str, primitive: bool) -> None:
    atoms = lithium_silicide(name, primitive=primitive)
    pairs = (("Li", "Li"), ("Li", "Si"), ("Si", "Si"))
    for pair, expected in zip(pairs, DISTANCES[name], strict=True):
        if expected is not None:
            assert shortest(atoms, *pair) == pytest.approx(expected, abs=2e-3)


def test_lithium_comes_before_silicon() -> None:
    for name in PHASES:
        numbers = lithium_silicide(name).numbers
        assert (np.diff(numbers) >= 0).all()


def test_unknown_phase_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown phase 'Li22Si5'.*Li13Si4, Li15Si4"):
        lithium_silicide("Li22Si5")


def test_li3si_is_d0_3() -> None:
    atoms = li3si()
    assert atoms.get_chemical_formula() == "Li12Si4"
    assert space_group(atoms) == 225
    assert atoms.cell.lengths() == pytest.approx([6.12] * 3)
    # Each Li on 4b and each Si sits in a cube of Li on 8c; nothing is nearer than √3/4 a.
    assert shortest(atoms, "Li", "Si") == pytest.approx(6.12 * np.sqrt(3) / 4)
    assert shortest(atoms, "Li", "Li") == pytest.approx(6.12 * np.sqrt(3) / 4)


def test_li11si4_is_the_reference_cell_in_the_reference_order() -> None:
    atoms = li11si4()
    assert atoms.get_chemical_formula() == "Li11Si4"
    assert atoms.get_chemical_symbols() == ["Li"] * 11 + ["Si"] * 4
    # Positions of the reference Quantum ESPRESSO run, in Å.
    expected = 1.53 * np.array(
        [
            *[(2, 0, 0), (0, 2, 0), (0, 0, 2)],
            *[(1, 1, 1), (3, 3, 1), (3, 1, 3), (1, 3, 3)],
            *[(1, 1, 3), (3, 3, 3), (1, 3, 1), (3, 1, 1)],
            *[(0, 0, 0), (0, 2, 2), (2, 0, 2), (2, 2, 0)],
        ]
    )
    assert atoms.positions == pytest.approx(expected)
    assert li3si().positions[0] == pytest.approx(np.full(3, 3.06))
