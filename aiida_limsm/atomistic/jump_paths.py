"""End points of a migration path from a jump that a Markov model has counted.

A jump table says that an ion went from a site to a site; a path needs a whole structure before and
after. All other ions stay on the sites that they have in the given structure (the dilute limit of
one defect), and what the jump needs follows from who is there:

========  ========  ==========================================================================
start     target    what is done
========  ========  ==========================================================================
ion       ion       vacancy: the ion on the target is taken out
ion       empty     direct: nothing, the target is a vacancy of the structure already
empty     ion       direct, backwards: the ion on the target begins on the start
empty     empty     interstitial: an ion is added on the start
========  ========  ==========================================================================

Cells stay neutral, as in all DFT of this package. Sequences in which several ions move together
(knock-on) are not made: give their images by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_limsm.markov.neighbours import nearest_distances
from aiida_limsm.markov.operations import identity_operations, site_operations
from aiida_limsm.markov.orientation import orientations
from aiida_limsm.markov.sites import SiteLattice

from .band import check_images, find_mic

Mechanism = Literal["vacancy", "direct", "interstitial"]

__all__ = ["Jump", "JumpEnds", "JumpKind", "jump_ends", "jump_kinds"]


@dataclass(frozen=True)
class Jump:
    """A row of a jump table: sites by label, lattice image of the target, and how often."""

    from_site: str
    to_site: str
    image: tuple[int, int, int]
    distance_angstrom: float
    count: int


@dataclass(frozen=True)
class JumpKind:
    """Jumps that symmetry or reversal makes equal; ``jump`` is the most frequent."""

    orbits: tuple[str, str]
    jump: Jump
    count: int


@dataclass(frozen=True)
class JumpEnds:
    """Structures before and after a jump; ``moving`` is the index of the ion in both."""

    initial: Atoms
    final: Atoms
    moving: int
    mechanism: Mechanism


def jump_kinds(jumps: Sequence[Jump], lattice: SiteLattice) -> list[JumpKind]:
    """Group jumps that symmetry or reversal makes equal, most frequent kind first.

    Two orbits and a length do not say which jump it is: in LiSi ions of one orbit jump 2.93 Å over
    a high barrier and 2.94 Å over a low one. Of a lattice whose operations cannot be found only
    there and back are one kind.
    """
    if not jumps:
        return []
    try:
        operations = site_operations(lattice)
    except ValueError:
        operations = identity_operations(lattice)
    place = {label: index for index, label in enumerate(lattice.labels)}
    start = np.array([place[jump.from_site] for jump in jumps])
    end = np.array([place[jump.to_site] for jump in jumps])
    image = np.array([jump.image for jump in jumps])
    images = [
        np.column_stack(operations.map_transitions(number, *way))
        for number in range(len(operations))
        for way in ((start, end, image), (end, start, -image))
    ]
    groups: dict[tuple[int, ...], list[Jump]] = {}
    for k, jump in enumerate(jumps):
        first = min(tuple(int(x) for x in rows[k]) for rows in images)
        groups.setdefault(first, []).append(jump)
    kinds = []
    for members in groups.values():
        most = max(members, key=lambda jump: jump.count)
        one, other = sorted(lattice.orbits[place[site]] for site in (most.from_site, most.to_site))
        kinds.append(JumpKind((one, other), most, sum(jump.count for jump in members)))
    return sorted(kinds, key=lambda kind: -kind.count)


def jump_ends(structure: Atoms, lattice: SiteLattice, jump: Jump, species: str) -> JumpEnds:
    """Return the structures before and after a jump, see the table above.

    Parameters
    ----------
    structure
        The crystal, or a supercell of it, with the mobile ions where they rest.
    lattice
        Sites of the model; its cell must tile that of the structure, turned if need be: the
        analysis may have turned the crystal onto its MD cell.
    jump
        Which jump.
    species
        Symbol of the mobile ions.

    Raises
    ------
    ValueError
        The cell does not tile, ions are not on sites, or the cell is so small that the ion would
        meet its own image; names the remedy.
    """
    cell = structure.cell.array
    ions = np.flatnonzero(structure.numbers == atomic_numbers[species])
    fitted = _laid_on(structure, ions, lattice)
    place = {label: index for index, label in enumerate(fitted.labels)}
    here = fitted.positions[place[jump.from_site]]
    there = fitted.positions[place[jump.to_site]] + np.array(jump.image) @ fitted.cell
    reach = _reach(fitted)
    start, target = (_ion_at(structure, ions, point, reach) for point in (here, there))
    if start is not None and start == target:
        raise ValueError(
            f"the jump {jump.from_site} → {jump.to_site} ends on an image of its own start in this "
            "cell: take a larger supercell"
        )
    atoms: Any = Atoms(
        numbers=structure.numbers, positions=structure.positions, cell=cell, pbc=structure.pbc
    )
    # where an ion rests its own position is better than that of the ideal site
    begin = here if start is None else atoms.positions[start]
    end = there if target is None else atoms.positions[target]
    way = find_mic(end - begin, cell, structure.pbc)[0]
    mechanism: Mechanism = "direct"
    if start is not None and target is not None:
        mechanism = "vacancy"
        del atoms[target]
        moving = start - int(target < start)
    elif start is None and target is None:
        mechanism = "interstitial"
        atoms.append(species)
        moving = len(atoms) - 1
    else:
        moving = start if start is not None else int(target)  # type: ignore[arg-type]
    initial, final = atoms, atoms.copy()
    initial.positions[moving] = begin
    final.positions[moving] = begin + way
    if abs(np.linalg.norm(way) - jump.distance_angstrom) > 2 * reach:
        raise ValueError(
            f"the jump {jump.from_site} → {jump.to_site} is {jump.distance_angstrom:.2f} Å long, "
            f"but {np.linalg.norm(way):.2f} Å in this cell: take a larger supercell"
        )
    check_images([initial, final])
    return JumpEnds(initial, final, moving, mechanism)


def _laid_on(structure: Atoms, ions: NDArray[np.int64], lattice: SiteLattice) -> SiteLattice:
    """Return the lattice strained onto a structure, in the orientation that fits its atoms best."""
    cell = structure.cell.array
    found: list[tuple[float, SiteLattice]] = []
    problem: ValueError | None = None
    for turned in (lattice, *orientations(lattice, cell)):
        try:
            fitted = turned.matched_to(cell)
        except ValueError:
            continue
        try:
            _check_on_sites(structure, ions, fitted)
        except ValueError as error:
            problem = problem or error
            continue
        # the sites alone may have more symmetry than the crystal
        found.append((round(_framework_distance(structure, fitted), 2), fitted))
    if not found:
        edges = " × ".join(f"{edge:.2f}" for edge in np.linalg.norm(lattice.cell, axis=1))
        raise problem or ValueError(
            f"the cell of the model's sites ({edges} Å) does not tile that of the structure: take "
            "a supercell that is a multiple of it"
        )
    return min(found, key=lambda entry: entry[0])[1]


def _check_on_sites(structure: Atoms, ions: NDArray[np.int64], lattice: SiteLattice) -> None:
    """Refuse a structure whose ions lie beside the sites, such as one of another origin."""
    distance = _nearest(structure.positions[ions], lattice.positions, lattice.cell)
    far = int(np.argmax(distance)) if len(ions) else 0
    if len(ions) and distance[far] > _reach(lattice):
        raise ValueError(
            f"atom {ions[far] + 1} is {distance[far]:.2f} Å from the next site of the model: give "
            "the structure that marked the sites, or a supercell of it with the same origin"
        )


def _framework_distance(structure: Atoms, lattice: SiteLattice) -> float:
    """Return the mean distance (Å) of the other atoms from their places in the crystal."""
    distances = [
        _nearest(
            structure.positions[structure.numbers == number],
            lattice.framework_positions[lattice.framework_numbers == number],
            lattice.cell,
        )
        for number in np.intersect1d(structure.numbers, lattice.framework_numbers)
    ]
    return float(np.concatenate(distances).mean()) if distances else 0.0


def _nearest(
    points: NDArray[np.float64], places: NDArray[np.float64], cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of every point from the next of the places, whose lattice is ``cell``."""
    away = find_mic((points[:, None] - places[None]).reshape(-1, 3), cell, [True] * 3)[1]
    return np.asarray(away.reshape(len(points), len(places)).min(axis=1, initial=np.inf))


def _reach(lattice: SiteLattice) -> float:
    """Return half of the shortest distance of two sites: what lies farther away is on none."""
    return 0.5 * float(nearest_distances(lattice.cell, lattice.positions).min())


def _ion_at(
    structure: Atoms, ions: NDArray[np.int64], point: NDArray[np.float64], reach: float
) -> int | None:
    """Return the index of the ion on a site, None where it is empty."""
    if not len(ions):
        return None
    distances = find_mic(structure.positions[ions] - point, structure.cell, structure.pbc)[1]
    nearest = int(np.argmin(distances))
    return int(ions[nearest]) if distances[nearest] < reach else None
