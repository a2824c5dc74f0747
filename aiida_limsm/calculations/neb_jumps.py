"""Calcfunction that makes the end points of a path from a jump of a Markov model."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_limsm.data.markov_model import MarkovModelData

from .neb_paths import atoms_of


@calcfunction
def jump_endpoints(
    markov_model: MarkovModelData,
    structure: orm.StructureData,
    rank: orm.Int,
    supercell: orm.List,
) -> dict[str, Any]:
    """Return the structures before and after one of the most frequent jumps.

    Jumps that symmetry makes equal, there and back, count as one kind. Which vacancy or
    interstitial a jump needs, and what is assumed: :mod:`aiida_limsm.atomistic.jump_paths`.

    Parameters
    ----------
    markov_model
        Sites and jump table.
    structure
        The crystal with the mobile ions where they rest.
    rank
        1 for the most frequent kind of jump.
    supercell
        Repetitions of the structure along its axes, so that the ion does not feel its image.

    Returns
    -------
    dict
        ``initial`` and ``final`` (StructureData), and ``jump`` (Dict): sites, length, count and
        share of the kind, mechanism, index of the moving ion.

    Raises
    ------
    ValueError
        There are fewer kinds, or the structure does not fit the model.
    """
    from aiida_limsm.atomistic.jump_paths import Jump, jump_ends, jump_kinds

    lattice = markov_model.load().lattice
    rows = markov_model.jumps
    jumps = [Jump(r.from_site, r.to_site, r.image, r.distance_a, r.count) for r in rows]
    kinds = jump_kinds(jumps, lattice)
    if not 1 <= rank.value <= len(kinds):
        raise ValueError(f"rank: {rank.value} asked, the kinds of jump of the model: {len(kinds)}")
    kind = kinds[rank.value - 1]
    crystal = atoms_of(structure).repeat(supercell.get_list())
    ends = jump_ends(crystal, lattice, kind.jump, markov_model.species)
    about = {
        "from": kind.jump.from_site,
        "to": kind.jump.to_site,
        "image": list(kind.jump.image),
        "orbits": list(kind.orbits),
        "distance_angstrom": kind.jump.distance_angstrom,
        "count": kind.count,
        "share": kind.count / sum(each.count for each in kinds),
        "mechanism": ends.mechanism,
        "moving_atom": ends.moving,
    }
    return {
        "initial": orm.StructureData(ase=ends.initial),
        "final": orm.StructureData(ase=ends.final),
        "jump": orm.Dict(about),
    }
