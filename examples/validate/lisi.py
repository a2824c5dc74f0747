"""One material from DFT to a verdict: LiSi with a vacancy, paths taken from its Markov model.

Three potentials are judged: of 60 epochs, of 200, and of 200 with frames along the jumps.
Everything in the provenance. In a profile of `aiida-limsm setup`::

    verdi run examples/validate/lisi.py FOLDER

Figures and text go into FOLDER. What was computed once is taken from the cache. Toy physics
(15 atoms, 12 Ry, 1.7 ps of AIMD), real programs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import run_get_node
from ase import Atoms

from aiida_limsm.atomistic.band import interpolate_band
from aiida_limsm.atomistic.crystals import lithium_silicide
from aiida_limsm.calculations.dataset import build_dataset
from aiida_limsm.calculations.neb_jumps import jump_endpoints
from aiida_limsm.cli._demo_inputs import demo_foundation
from aiida_limsm.compute.compare_models import COMPARISON_FILENAME, CompareResults
from aiida_limsm.report.comparison import comparison_text, draw_comparison
from aiida_limsm.report.neb import comparison_text as paths_text
from aiida_limsm.report.neb_paths import PathComparison
from aiida_limsm.report.verdict import Verdict, verdict_text
from aiida_limsm.workchains.finetune import FineTuneWorkChain
from aiida_limsm.workchains.label import LabelWorkChain
from aiida_limsm.workchains.markov import MarkovWorkChain
from aiida_limsm.workchains.md import MolecularDynamicsWorkChain
from aiida_limsm.workchains.reference import ReferenceWorkChain
from aiida_limsm.workchains.validate import ValidateWorkChain

LIMSM, PW, NEB = (f"{name}@localhost" for name in ("limsm", "pw", "neb"))
TEMPERATURE_K = 900.0
#: Of the MD whose jumps are counted: at 900 K its silicon begins to move.
HOPPING_K = 700.0
#: A shifted 2×2×2 mesh in this cell.
KPOINTS = {"kpoints_distance": 0.75}
DATASET = {"stride": 4, "gap_frames": "auto", "skip_frames": 0}
#: Of the kinds of jump in the model.
RANKS = (1, 2, 3)
RATTLE_ANGSTROM = 0.08
SETS_PER_JUMP = 3
#: Those of protocol balanced.
THRESHOLDS = {
    "max_force_rmse_mev_per_angstrom": 100.0,
    "max_energy_rmse_mev_per_atom": 10.0,
    "min_rdf_overlap": 0.9,
    "max_barrier_error_mev": 50.0,
}


def finished(builder: Any) -> Any:
    """Run a workchain and return its outputs, or stop with its words."""
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise SystemExit(f"{node.process_label}<{node.pk}>: {node.exit_message}")
    return outputs


def reference(vacancy: Atoms) -> Any:
    """AIMD, isolated atoms and a dataset with held-out blocks of time."""
    return finished(
        ReferenceWorkChain.get_builder_from_protocol(
            PW,
            {"vacancy": orm.StructureData(ase=vacancy)},
            temperatures_k=[TEMPERATURE_K],
            protocol="fast",
            overrides={
                "aimd": {"steps": 700, "equilibration_steps": 80, **KPOINTS},
                "dataset": DATASET,
            },
        )
    )


def tuned(dataset: orm.Data, epochs: int) -> Any:
    """Fine-tune the demo's foundation model."""
    return finished(
        FineTuneWorkChain.get_builder_from_protocol(
            LIMSM, dataset, demo_foundation(), protocol="fast",
            overrides={"train": {"max_epochs": epochs}},
        )
    )["potential"]  # fmt: skip


def frequent_jumps(crystal: Atoms, vacancy: Atoms, potential: orm.Data) -> list[Any]:
    """MD, a Markov model of it, and the end points of its most frequent kinds of jump."""
    md = finished(
        MolecularDynamicsWorkChain.get_builder_from_protocol(
            LIMSM, orm.StructureData(ase=vacancy.repeat([2, 2, 1])), potential,
            temperature_k=HOPPING_K, length_ns=0.025, protocol="fast",
            overrides={"md": {"frame_interval_steps": 20}},
        )
    )  # fmt: skip
    sites = orm.StructureData(ase=crystal)
    model = finished(
        MarkovWorkChain.get_builder_from_protocol(
            LIMSM, sites, {"md": md["trajectory"]}, protocol="fast"
        )
    )["markov_model"]
    return [jump_endpoints(model, sites, orm.Int(rank), orm.List([1, 1, 1])) for rank in RANKS]


def validated(potential: orm.Data, made: Any, jumps: list[Any]) -> Any:
    """Judge a potential; rejection is an outcome, not an error."""
    outputs, node = run_get_node(
        ValidateWorkChain.get_builder_from_protocol(
            LIMSM, potential, made["dataset"], demo_foundation(), aimd=made["aimd"],
            jumps={
                f"jump_{rank}": (ends["initial"], ends["final"])
                for rank, ends in zip(RANKS, jumps, strict=True)
            },
            pw_code=PW, neb_code=NEB, protocol="fast",
            overrides={
                "thresholds": THRESHOLDS,
                "md": {"md": {"steps": 4000, "equilibration_steps": 400}},
                "neb": {"base": KPOINTS},
            },
        )
    )  # fmt: skip
    print(f"{node.process_label}<{node.pk}>: {node.exit_status} {node.exit_message or ''}")
    return outputs


def with_frames_along(jumps: list[Any], made: Any) -> orm.Data:
    """Label rattled frames between the ends of each jump, and add them to the training."""
    random = np.random.default_rng(1)
    frames = []
    for ends in jumps:
        start, end = (ends[name].get_ase() for name in ("initial", "final"))
        for image in interpolate_band(start, end, 5) * SETS_PER_JUMP:
            image = image.copy()
            image.positions += random.normal(scale=RATTLE_ANGSTROM, size=image.positions.shape)
            frames.append(orm.StructureData(ase=image))
    labels = finished(
        LabelWorkChain.get_builder_from_protocol(
            PW, frames, protocol="fast", overrides={"base": KPOINTS}
        )
    )["labels"]
    return build_dataset(
        orm.Dict(DATASET), isolated_atoms=made["isolated_atoms"], **made["aimd"], **labels
    )


def write(outputs: Any, jumps: list[Any], folder: Path) -> None:
    """Write figures and text."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [verdict_text(Verdict.model_validate(outputs["verdict"].get_dict()))]
    for label, node in outputs.get("rdf", {}).items():
        results = CompareResults.model_validate(node.get_dict())
        curves = outputs["curves"][label].get_content("rb")
        (folder / COMPARISON_FILENAME).write_bytes(curves)
        draw_comparison(results, folder)
        parts.append(comparison_text(results))
    for rank, ends in zip(RANKS, jumps, strict=True):
        about, label = ends["jump"].get_dict(), f"jump_{rank}"
        parts.append(
            f"{label}: {about['from']} → {about['to']} {about['image']}, "
            f"{about['distance_angstrom']:.2f} Å, {about['mechanism']}, {about['count']} jumps "
            f"({about['share']:.0%})"
        )
        if label in outputs.get("barriers", {}):
            found = PathComparison.model_validate(outputs["barriers"][label].get_dict())
            parts.append(paths_text(found))
        if label in outputs.get("figures", {}):
            (folder / f"{label}.png").write_bytes(outputs["figures"][label].get_content("rb"))
    text = "\n\n".join(parts)
    (folder / "verdict.txt").write_text(text + "\n", encoding="utf-8")
    print(text)


def main(folder: Path) -> None:
    """Judge, train longer, add frames along the jumps, and judge each."""
    crystal = lithium_silicide("LiSi", primitive=True)
    vacancy = crystal.copy()
    del vacancy[0]
    made = reference(vacancy)
    short = tuned(made["dataset"], 60)
    jumps = frequent_jumps(crystal, vacancy, short)
    write(validated(short, made, jumps), jumps, folder / "aimd_60")
    longer = tuned(made["dataset"], 200)
    write(validated(longer, made, jumps), jumps, folder / "aimd_200")
    informed = tuned(with_frames_along(jumps, made), 200)
    write(validated(informed, made, jumps), jumps, folder / "jumps_200")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("lisi"))
