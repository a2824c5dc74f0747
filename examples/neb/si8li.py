"""One jump three ways: Li between two tetrahedral sites of silicon, in the smallest cell.

From DFT labels to the figure, everything in the provenance. In a profile of `aiida-limsm setup`::

    verdi run examples/neb/si8li.py

Toy physics (9 atoms, 14 Ry), real programs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from aiida import orm
from aiida.engine import run
from ase import Atoms

from aiida_limsm.atomistic.band import interpolate_band
from aiida_limsm.calculations.dataset import build_dataset
from aiida_limsm.cli._demo_inputs import demo_foundation
from aiida_limsm.report.neb import comparison_text
from aiida_limsm.report.neb_paths import PathComparison
from aiida_limsm.workchains.finetune import FineTuneWorkChain
from aiida_limsm.workchains.isolated_atoms import IsolatedAtomsWorkChain
from aiida_limsm.workchains.label import LabelWorkChain
from aiida_limsm.workchains.neb import NebComparisonWorkChain

CUTOFFS = {"pw": {"parameters": {"SYSTEM": {"ecutwfc": 14.0, "ecutrho": 56.0}}}}
PW = {"base": {"kpoints_distance": 0.6, **CUTOFFS}}
RATTLE_ANGSTROM = 0.08
FRAMES_PER_IMAGE = 6


def silicon_with_lithium(fraction: float) -> Atoms:
    """Diamond silicon with lithium between two tetrahedral sites."""
    a = 5.46
    silicon = [
        [0, 0, 0],
        [1, 1, 1],
        [0, 2, 2],
        [1, 3, 3],
        [2, 0, 2],
        [3, 1, 3],
        [2, 2, 0],
        [3, 3, 1],
    ]
    positions = np.array([[2 + fraction] * 3, *silicon]) * a / 4
    return Atoms("LiSi8", positions, cell=[a] * 3, pbc=True)


def main(folder: Path) -> None:
    """Label, train, compare; write the figure into ``folder``."""
    start, end = silicon_with_lithium(0.0), silicon_with_lithium(1.0)
    limsm, pw, neb = (f"{name}@localhost" for name in ("limsm", "pw", "neb"))
    # frames around the straight line between the ends, blocks of a batch in order: the last
    # images of each set are held out
    random = np.random.default_rng(1)
    frames = []
    for _ in range(FRAMES_PER_IMAGE):
        for image in interpolate_band(start, end, 5, "linear"):
            image.positions += random.normal(scale=RATTLE_ANGSTROM, size=image.positions.shape)
            frames.append(orm.StructureData(ase=image))
    labels = run(
        LabelWorkChain.get_builder_from_protocol(pw, frames, protocol="fast", overrides=PW)
    )["labels"]
    atoms = run(
        IsolatedAtomsWorkChain.get_builder_from_protocol(
            pw, frames[0], protocol="fast", overrides={"base": CUTOFFS}
        )
    )
    dataset = build_dataset(
        orm.Dict({"label_split": "blocks"}), isolated_atoms=atoms["energies"], **labels
    )
    foundation = demo_foundation()
    tuned = run(
        FineTuneWorkChain.get_builder_from_protocol(
            limsm, dataset, foundation, protocol="fast", overrides={"train": {"max_epochs": 60}}
        )
    )
    outputs = run(
        NebComparisonWorkChain.get_builder_from_protocol(
            [orm.StructureData(ase=start), orm.StructureData(ase=end)],
            {"foundation": foundation, "finetuned": tuned["potential"]},
            limsm_code=limsm, pw_code=pw, neb_code=neb, dft="both", protocol="fast",
            overrides=PW,
        )
    )  # fmt: skip
    for when in ("before", "after"):
        errors = tuned[f"errors_{when}"]["errors"]["test"]
        print(f"force RMSE {when}: {errors['rmse_forces_mev_per_angstrom']:.0f} meV/Å, held out")
    print(comparison_text(PathComparison.model_validate(outputs["comparison"].get_dict())))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "si8li.png").write_bytes(outputs["figure"].get_content("rb"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path())
