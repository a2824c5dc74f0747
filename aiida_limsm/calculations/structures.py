"""Calcfunctions on crystal structures."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction


@calcfunction
def make_supercell(structure: orm.StructureData, repetitions: orm.List) -> orm.StructureData:
    """Repeat a structure along its three axes."""
    return orm.StructureData(ase=structure.get_ase().repeat(repetitions.get_list()))


def symbols_of(structure: orm.StructureData) -> list[str]:
    """Return the chemical symbol of every site."""
    kinds = {kind.name: kind.symbol for kind in structure.kinds}
    return [kinds[site.kind_name] for site in structure.sites]
