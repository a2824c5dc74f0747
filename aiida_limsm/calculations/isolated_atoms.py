"""Calcfunctions of the isolated-atom reference energies (E0s)."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from .qe_units import ENERGY_FACTOR


@calcfunction
def isolated_atom(symbol: orm.Str, box_angstrom: orm.Float) -> orm.StructureData:
    """Return one atom in the middle of a cubic box."""
    edge = box_angstrom.value
    structure = orm.StructureData(cell=[[edge, 0, 0], [0, edge, 0], [0, 0, edge]])
    structure.append_atom(position=(edge / 2,) * 3, symbols=symbol.value, name=symbol.value)
    return structure


@calcfunction
def isolated_atom_energies(**outputs: orm.Dict) -> orm.Dict:
    """Collect the total energies (eV) of pw.x runs, keyed by element symbol.

    Parameters
    ----------
    **outputs
        ``output_parameters`` of the isolated-atom calculations, one per element.
    """
    energies = {}
    for symbol, node in sorted(outputs.items()):
        values = node.get_dict()
        if values.get("energy_units", "eV") != "eV":
            raise ValueError(f"{symbol}: energy in {values['energy_units']}, expected eV")
        energies[symbol] = ENERGY_FACTOR * float(values["energy"])
    return orm.Dict(energies)
