"""Calcfunction that makes the k-point mesh of a structure."""

from __future__ import annotations

from collections.abc import Sequence

from aiida import orm
from aiida.engine import calcfunction


def check_mesh(distance: float, offset: Sequence[float]) -> None:
    """Check what a k-point mesh is made from.

    Raises
    ------
    ValueError
        For a distance that is not positive or an offset that is neither 0 nor 0.5, the only ones
        that pw.x knows.
    """
    if distance <= 0:
        raise ValueError(f"k-point distance {distance:g}/Å: give a positive one, such as 0.2")
    if len(offset) != 3 or any(value not in (0, 0.5) for value in offset):
        raise ValueError(f"k-point offset {offset}: give three numbers that are 0 or 0.5")


@calcfunction
def kpoints_mesh(
    structure: orm.StructureData, distance: orm.Float, offset: orm.List
) -> orm.KpointsData:
    """Return a mesh of at most ``distance`` between neighbouring points, shifted by ``offset``.

    Without symmetry a shifted mesh has half the inequivalent points of one through Γ.

    Parameters
    ----------
    structure
        Its cell decides the mesh; along a direction without periodicity there is one point.
    distance
        In 1/Å, with the 2π in the reciprocal vectors; as ``kpoints_distance`` of
        aiida-quantumespresso.
    offset
        Three numbers in units of the mesh: 0 through Γ, 0.5 for a shifted mesh.

    Raises
    ------
    ValueError
        From :func:`check_mesh`.
    """
    shift = offset.get_list()
    check_mesh(distance.value, shift)
    kpoints = orm.KpointsData()
    kpoints.set_cell_from_structure(structure)
    kpoints.set_kpoints_mesh_from_density(distance.value, offset=shift)
    return kpoints
