"""The k-point mesh of a structure."""

from __future__ import annotations

import pytest
from aiida import orm
from ase.build import bulk

from aiida_limsm.calculations.kpoints import kpoints_mesh


@pytest.fixture
def silicon(aiida_profile: object) -> orm.StructureData:
    return orm.StructureData(ase=bulk("Si", "diamond", a=5.43, cubic=True))


def mesh(
    structure: orm.StructureData, distance: float, shift: list[float]
) -> tuple[list[int], list[float]]:
    kpoints = kpoints_mesh(structure, orm.Float(distance), orm.List(shift))
    found, offset = kpoints.get_kpoints_mesh()
    return list(found), list(offset)


def test_a_distance_becomes_a_mesh(silicon: orm.StructureData) -> None:
    """2π/5.43 Å = 1.157/Å: three points are 0.386/Å apart, two 0.579."""
    assert mesh(silicon, 0.4, [0.5, 0.5, 0.0]) == ([3, 3, 3], [0.5, 0.5, 0.0])
    assert mesh(silicon, 0.6, [0, 0, 0]) == ([2, 2, 2], [0, 0, 0])


def test_the_mesh_is_linked_to_its_structure(silicon: orm.StructureData) -> None:
    kpoints = kpoints_mesh(silicon.store(), orm.Float(0.4), orm.List([0, 0, 0]))
    assert kpoints.creator.inputs.structure.uuid == silicon.uuid


@pytest.mark.parametrize(
    ("distance", "shift", "message"),
    [
        (0.0, [0, 0, 0], "k-point distance 0/Å: give a positive one"),
        (0.3, [0.5, 0.5], "give three numbers that are 0 or 0.5"),
        (0.3, [0.25, 0, 0], "give three numbers that are 0 or 0.5"),
    ],
)
def test_what_is_refused(
    silicon: orm.StructureData, distance: float, shift: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mesh(silicon, distance, shift)
