"""The inputs of the demo: crystal, sites, foundation model and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_limsm import resources
from aiida_limsm.compute.results import PotentialInfo
from aiida_limsm.data.potential import PotentialData

from ._inspect import stored_potential

#: What the full demo runs; two ab initio and two MLFF runs fill two cores.
FULL: dict[str, Any] = {
    "reference": {"temperatures_k": [600.0, 850.0]},
    "temperatures_k": [700.0, 800.0],
    "supercell": [2, 2, 2],
}
#: Changes of ``--fast``: every stage shorter, errors larger.
FAST: dict[str, Any] = {
    "reference": {"temperatures_k": [600.0, 850.0], "aimd": {"steps": 32}},
    "finetune": {"train": {"max_epochs": 12}},
    "md": {"md": {"steps": 1600}},
}
LIMITS = (
    "Toy: 12 Ry cut-off, a shifted 2×2×2 k-mesh and small pseudopotentials; forces are tens of "
    "meV/Å from converged ones.",
    "Toy: the force field has a few thousand parameters and saw fewer than a hundred frames of one "
    "15-atom cell; the foundation model is the project's own small one, distilled from CHGNet.",
    "Toy: 15 ps at most of a 120-atom cell, with a vacancy in every fourth formula unit; D has "
    "no finite-size correction and is not comparable with experiment.",
    "Not toy: every program is the real one (pw.x, mace_run_train, MACE molecular dynamics), the "
    "counting of jumps and the errors are those of production, and every number is linked to the "
    "DFT calculations behind it.",
)


def demo_foundation() -> PotentialData:
    """Return the project's own small foundation model as a node, stored once.

    Its card says what it is, so that the demo need not load torch first; the node itself checks
    the card's sha256 against the file.
    """
    folder = Path(resources.__file__).parent / "demo_foundation"
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    if known := stored_potential(card["sha256"]):
        return known
    info = PotentialInfo(
        architecture=card["architecture"]["model"],
        elements=card["elements"],
        r_max_angstrom=card["r_max_angstrom"],
        dtype=card["dtype"],
        heads=("Default",),
        num_params=card["num_params"],
        e0s_ev=card["e0s_ev"],
        sha256=card["sha256"],
    )
    node = PotentialData(
        folder / f"{card['name']}.model",
        info,
        license=card["license"],
        citation="; ".join(card["citation"]),
    )
    node.label = card["name"]
    return node.store()


def demo_structures() -> tuple[orm.StructureData, orm.StructureData]:
    """Return the crystal (one Li missing) and the fully occupied one that marks the sites."""
    from aiida_limsm.atomistic.crystals import li3si, li11si4

    structure, sites = orm.StructureData(ase=li11si4()), orm.StructureData(ase=li3si())
    structure.label, sites.label = "Li11Si4", "Li3Si, the sites"
    return structure, sites
