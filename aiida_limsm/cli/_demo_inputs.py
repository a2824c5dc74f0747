"""The inputs of the demo: crystal, sites, foundation model and settings."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from aiida import orm

from aiida_limsm.data.potential import PotentialData

from ._inspect import import_potential

#: What the full demo runs; two ab initio and two MLFF runs fill two cores.
FULL: dict[str, Any] = {
    "aimd_temperatures_k": [600.0, 850.0],
    "temperatures_k": [700.0, 800.0],
    "supercell": [2, 2, 2],
}
#: Changes of ``--fast``: every stage shorter, errors larger.
FAST: dict[str, Any] = {
    "supercell": [2, 2, 1],
    "aimd": {"steps": 36},
    "finetune": {"train": {"max_epochs": 12}},
    "md": {"md": {"steps": 2000}},
}
LIMITS = (
    "Toy: 12 Ry cut-off, a shifted 2×2×2 k-mesh and small pseudopotentials; forces are tens of "
    "meV/Å from converged ones.",
    "Toy: the force field has a few thousand parameters and saw about a hundred frames of one "
    "15-atom cell; the foundation model is the project's own small one, distilled from CHGNet.",
    "Toy: tens of picoseconds of a small cell, with a vacancy in every fourth formula unit; D has "
    "no finite-size correction and is not comparable with experiment.",
    "Not toy: every program is the real one (pw.x, mace_run_train, MACE molecular dynamics), the "
    "counting of jumps and the errors are those of production, and every number is linked to the "
    "DFT calculations behind it.",
)


def demo_foundation() -> PotentialData:
    """Return the project's own small foundation model as a node."""
    folder = resources.files("aiida_limsm.resources") / "demo_foundation"
    with resources.as_file(folder) as path:
        card = json.loads((Path(path) / "card.json").read_text(encoding="utf-8"))
        citation = card["citation"]
        return import_potential(
            str(Path(path) / "demo_foundation.model"),
            license=card["license"],
            citation="; ".join(citation) if isinstance(citation, list) else citation,
            folder=Path(path),
        )


def demo_structures() -> tuple[orm.StructureData, orm.StructureData]:
    """Return the crystal (one Li missing) and the fully occupied one that marks the sites."""
    from aiida_limsm.atomistic.crystals import li3si, li11si4

    structure, sites = orm.StructureData(ase=li11si4()), orm.StructureData(ase=li3si())
    structure.label, sites.label = "Li11Si4", "Li3Si, the sites"
    return structure, sites
