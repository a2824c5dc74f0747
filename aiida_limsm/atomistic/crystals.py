"""Builders for the lithium silicides and for the demo crystal Li11Si4.

The phases are the PBE-relaxed cells of the Materials Project (CC BY 4.0), cited by their mp-id and
by Jain et al., APL Mater. 1, 011002 (2013). The demo crystal is a made-up one: D0_3 Li3Si is not a
stable phase, but it is small, and a Li vacancy in it makes its lithium mobile within picoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

__all__ = ["PHASES", "Phase", "li3si", "li11si4", "lithium_silicide"]

LI3SI_LATTICE_CONSTANT = 6.12
"""Lattice constant of the demo crystal in Å."""


@dataclass(frozen=True)
class Phase:
    """A crystal described by its space group, its cell and its crystallographic sites.

    Attributes
    ----------
    materials_project_id
        Where the cell comes from, e.g. ``mp-672287``.
    space_group
        Number of the space group in the International Tables.
    cell
        Lengths a, b, c (Å) and angles α, β, γ (degrees) of the conventional cell.
    sites
        One ``(label, element, Wyckoff position, (x, y, z))`` for each site, fractional.
    """

    materials_project_id: str
    space_group: int
    cell: tuple[float, float, float, float, float, float]
    sites: tuple[tuple[str, str, str, tuple[float, float, float]], ...]


PHASES: dict[str, Phase] = {
    "LiSi": Phase(
        "mp-795",
        88,
        (9.32716, 9.32716, 5.74071, 90.0, 90.0, 90.0),
        (
            ("Li1", "Li", "16f", (0.58097, 0.63552, 0.17933)),
            ("Si1", "Si", "16f", (0.61068, 0.70266, 0.71962)),
        ),
    ),
    "Li12Si7": Phase(
        "mp-1314",
        62,
        (8.53124, 19.62266, 14.31268, 90.0, 90.0, 90.0),
        (
            ("Li1", "Li", "4c", (0.66175, 0.25000, 0.83415)),
            ("Li2", "Li", "4c", (0.61308, 0.25000, 0.63119)),
            ("Li3", "Li", "8d", (0.49628, 0.37500, 0.47243)),
            ("Li4", "Li", "8d", (0.84244, 0.38834, 0.49491)),
            ("Li5", "Li", "8d", (0.87711, 0.16565, 0.65959)),
            ("Li6", "Li", "8d", (0.37044, 0.97220, 0.93432)),
            ("Li7", "Li", "8d", (0.63043, 0.11270, 0.26348)),
            ("Li8", "Li", "8d", (0.36686, 0.99515, 0.56736)),
            ("Li9", "Li", "8d", (0.37182, 0.14506, 0.63884)),
            ("Li10", "Li", "8d", (0.87049, 0.03157, 0.74367)),
            ("Li11", "Li", "8d", (0.13792, 0.32864, 0.47785)),
            ("Li12", "Li", "8d", (0.86265, 0.31109, 0.16257)),
            ("Li13", "Li", "8d", (0.60882, 0.81281, 0.84337)),
            ("Si1", "Si", "4c", (0.61566, 0.75000, 0.49219)),
            ("Si2", "Si", "4c", (0.12228, 0.75000, 0.48804)),
            ("Si3", "Si", "4c", (0.37179, 0.75000, 0.73546)),
            ("Si4", "Si", "4c", (0.36702, 0.75000, 0.56956)),
            ("Si5", "Si", "8d", (0.12388, 0.36784, 0.75195)),
            ("Si6", "Si", "8d", (0.10653, 0.43498, 0.61402)),
            ("Si7", "Si", "8d", (0.11777, 0.55061, 0.66645)),
            ("Si8", "Si", "8d", (0.11992, 0.55314, 0.83142)),
            ("Si9", "Si", "8d", (0.13115, 0.43917, 0.88583)),
        ),
    ),
    "Li7Si3": Phase(
        "mp-1201871",
        153,
        (7.57987, 7.57987, 18.00274, 90.0, 90.0, 120.0),
        (
            ("Li1", "Li", "3a", (0.88880, 0.11120, 0.66667)),
            ("Li2", "Li", "3a", (0.55671, 0.44329, 0.66667)),
            ("Li3", "Li", "6c", (0.22466, 0.44692, 0.19849)),
            ("Li4", "Li", "6c", (0.24349, 0.46677, 0.04459)),
            ("Li5", "Li", "6c", (0.89177, 0.11391, 0.51645)),
            ("Li6", "Li", "6c", (0.91279, 0.13468, 0.37353)),
            ("Li7", "Li", "6c", (0.89219, 0.44706, 0.84953)),
            ("Li8", "Li", "6c", (0.91425, 0.46888, 0.70650)),
            ("Si1", "Si", "6c", (0.20898, 0.42603, 0.89914)),
            ("Si2", "Si", "6c", (0.87940, 0.10225, 0.23190)),
            ("Si3", "Si", "6c", (0.87119, 0.43140, 0.56534)),
        ),
    ),
    "Li13Si4": Phase(
        "mp-672287",
        55,
        (7.89799, 15.01155, 4.42074, 90.0, 90.0, 90.0),
        (
            ("Li1", "Li", "2c", (0.00000, 0.50000, 0.00000)),
            ("Li2", "Li", "4g", (0.76992, 0.15356, 0.00000)),
            ("Li3", "Li", "4g", (0.34756, 0.52543, 0.00000)),
            ("Li4", "Li", "4g", (0.40473, 0.69421, 0.00000)),
            ("Li5", "Li", "4h", (0.75803, 0.40463, 0.50000)),
            ("Li6", "Li", "4h", (0.59013, 0.74477, 0.50000)),
            ("Li7", "Li", "4h", (0.90392, 0.60552, 0.50000)),
            ("Si1", "Si", "4g", (0.58336, 0.83975, 0.00000)),
            ("Si2", "Si", "4h", (0.92569, 0.06887, 0.50000)),
        ),
    ),
    "Li15Si4": Phase(
        "mp-569849",
        220,
        (10.56605, 10.56605, 10.56605, 90.0, 90.0, 90.0),
        (
            ("Li1", "Li", "12a", (0.75000, 0.12500, 0.00000)),
            ("Li2", "Li", "48e", (0.09609, 0.62693, 0.71344)),
            ("Si1", "Si", "16c", (0.04243, 0.54243, 0.95757)),
        ),
    ),
    "Li": Phase(
        "mp-135",
        229,
        (3.42682, 3.42682, 3.42682, 90.0, 90.0, 90.0),
        (("Li1", "Li", "2a", (0.00000, 0.00000, 0.00000)),),
    ),
    "Si": Phase(
        "mp-149",
        227,
        (5.46873, 5.46873, 5.46873, 90.0, 90.0, 90.0),
        (("Si1", "Si", "8a", (0.25000, 0.25000, 0.25000)),),
    ),
}
"""The phases that :func:`lithium_silicide` builds, by name."""


def lithium_silicide(name: str, primitive: bool = False) -> Atoms:
    """Build a lithium silicide, or one of its two elements, from its crystallographic sites.

    Parameters
    ----------
    name
        One of the names in :data:`PHASES`, e.g. ``Li13Si4``.
    primitive
        Whether to return the primitive cell instead of the conventional one.

    Returns
    -------
    ase.Atoms
        The periodic crystal, with all Li before all Si.

    Raises
    ------
    ValueError
        If the name is not that of a known phase.

    Notes
    -----
    Cells and sites: the Materials Project, CC BY 4.0; Jain et al., APL Mater. 1, 011002 (2013).
    """
    if name not in PHASES:
        raise ValueError(f"unknown phase {name!r}; the known ones are {', '.join(PHASES)}")
    phase = PHASES[name]
    atoms = crystal(
        [element for _, element, _, _ in phase.sites],
        [position for _, _, _, position in phase.sites],
        spacegroup=phase.space_group,
        cellpar=list(phase.cell),
        primitive_cell=primitive,
    )
    # A plain Atoms: what `crystal` attaches (space group object, kinds) does not survive being
    # written to a file, and would be wrong as soon as an atom is moved or removed.
    return Atoms(
        symbols=atoms.symbols,
        positions=atoms.positions,
        cell=atoms.cell,
        pbc=True,
    )


# Quarters of the cube's edge: Li on 4b, Li on 8c, Si on 4a. The order is that of the reference
# molecular dynamics, so that frames, forces and site lists can be compared atom by atom.
_D0_3_QUARTERS = (
    *((2, 2, 2), (2, 0, 0), (0, 2, 0), (0, 0, 2)),
    *((1, 1, 1), (3, 3, 1), (3, 1, 3), (1, 3, 3)),
    *((1, 1, 3), (3, 3, 3), (1, 3, 1), (3, 1, 1)),
    *((0, 0, 0), (0, 2, 2), (2, 0, 2), (2, 2, 0)),
)


def _d0_3(first: int) -> Atoms:
    """Return the D0_3 cell without its first ``first`` lithium atoms."""
    quarters = np.array(_D0_3_QUARTERS[first:], dtype=float)
    return Atoms(
        symbols=["Li"] * (12 - first) + ["Si"] * 4,
        scaled_positions=quarters / 4.0,
        cell=[LI3SI_LATTICE_CONSTANT] * 3,
        pbc=True,
    )


def li3si() -> Atoms:
    """Build the conventional cell of D0_3 Li3Si, the demo lattice with every site occupied.

    Returns
    -------
    ase.Atoms
        16 atoms: Li on 4b (atoms 0 to 3, (1/2, 1/2, 1/2) first), Li on 8c (atoms 4 to 11), Si on
        4a (atoms 12 to 15); a = 6.12 Å.
    """
    return _d0_3(first=0)


def li11si4() -> Atoms:
    """Build the demo crystal: :func:`li3si` without its Li at (1/2, 1/2, 1/2).

    Returns
    -------
    ase.Atoms
        15 atoms, 11 Li before 4 Si; a = 6.12 Å.
    """
    return _d0_3(first=1)
