"""RefineWorkChain: rounds of real training, MD and pw.x, and what it refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import h5py
import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_limsm.calculations.dft_settings import dft_settings, k_point_settings
from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.workchains.label import LabelWorkChain
from aiida_limsm.workchains.refine import RefineWorkChain

from .conftest import make_code

pytestmark = pytest.mark.usefixtures("pseudo_family")

FRAMES = Path(__file__).parents[1] / "data_files" / "li11si4_aimd_16.xyz"
E0S_EV = {"Li": -12.0, "Si": -132.5}
OVERRIDES = {
    "selection": {"number": 1},
    "targets": {"max_spread_ev_per_angstrom": 1e-6},
    "dataset": {"skip_frames": 0, "stride": 1, "gap_frames": 1},
    "finetune": {"train": {"max_epochs": 2}},
    "md": {"md": {"steps": 20, "equilibration_steps": 10, "frame_interval_steps": 10}},
}


@pytest.fixture
def aimd(computer: orm.Computer, crystal: orm.StructureData) -> orm.TrajectoryData:
    """Sixteen frames of AIMD, as AimdWorkChain makes them with the protocol fast."""
    frames = ase.io.read(FRAMES, index=":")
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    label = LabelWorkChain.get_builder_from_protocol(code, [crystal], protocol="fast")
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=list(frames[0].symbols),
        positions=np.array([atoms.positions for atoms in frames]),
        cells=np.array([np.array(atoms.cell) for atoms in frames]),
        pbc=(True, True, True),
        stepids=np.arange(len(frames)),
        times=0.0024189 * np.arange(len(frames)),
    )
    node.set_array("energies_ev", np.array([atoms.info["REF_energy"] for atoms in frames]))
    node.set_array(
        "forces_ev_per_angstrom", np.array([atoms.arrays["REF_forces"] for atoms in frames])
    )
    node.set_array(
        "stress_ev_per_angstrom3",
        np.array([np.reshape(atoms.info["REF_stress"], (3, 3)) for atoms in frames]),
    )
    distance, offset = label.base.kpoints_distance, label.kpoints_offset.get_list()
    settings = dft_settings(
        label.base.pw.parameters.get_dict(),
        k_point_settings(orm.KpointsData(), distance, offset),
        label.pseudos,
        "PBE",
    )
    node.base.attributes.set("dft_settings", settings)
    return node


@pytest.fixture
def build(limsm_code: Any, crystal: Any, foundation: Any, aimd: Any) -> Callable[..., Any]:
    """Return a function that gives a builder of small rounds."""

    def make(pw_code: Any, **inputs: Any) -> Any:
        return RefineWorkChain.get_builder_from_protocol(
            pw_code, limsm_code, crystal, {"aimd": aimd}, foundation,
            isolated_atoms=orm.Dict(E0S_EV), temperature_k=600.0, protocol="fast",
            **{"overrides": OVERRIDES, **inputs},
        )  # fmt: skip

    return make


@pytest.mark.slow
def test_two_rounds_with_a_label_between(build: Callable[..., Any], pw_code: Any) -> None:
    outputs, node = run_get_node(build(pw_code))
    # a target that nothing reaches: the rounds are used up, and all is kept
    assert node.exit_status == 410, node.exit_message
    assert node.exit_message.startswith("No target was reached in 2 rounds: spread 0.")
    first, second = outputs["history"]["rounds"]
    assert (first["md_frames"], first["md_message"]) == (3, second["md_message"])
    assert second["train_frames"] == first["train_frames"] + 1
    assert first["labels"]["labelled"] == 1
    assert "labels" not in second
    assert first["scaling_factor"] > 1
    assert first["spread_ev_per_angstrom"] > 0

    # the label is that of a frame of the MD of the first member
    assert set(outputs["labels"]) == {"round_01_Li11Si4"}
    label = outputs["labels"]["round_01_Li11Si4"]
    runs = [n for n in node.called if n.process_label == "MolecularDynamicsWorkChain"]
    md, later = sorted(runs, key=lambda run: run.pk)
    (number,) = first["selection"]["chosen"]
    np.testing.assert_allclose(
        label.get_positions()[0], md.outputs.trajectory.to_ase(number).positions, atol=1e-5
    )
    assert np.abs(label.get_array("forces_ev_per_angstrom")).max() < 10
    seeds = [run.inputs.md.parameters["seed"] for run in (md, later)]
    assert seeds[1] == seeds[0] + 1

    # the last committee is trained on all labels
    assert outputs["dataset"].sources == ("aimd", "round_01_Li11Si4")
    assert sorted(outputs["committee"]) == ["seed_1", "seed_2"]
    assert outputs["potential"].uuid == outputs["committee"]["seed_1"].uuid
    assert outputs["errors"]["errors"]["train"]["frames"] == second["train_frames"]
    counts = Counter(n.process_label for n in node.called)
    assert counts["FineTuneWorkChain"] == counts["SpreadCalculation"] == 2
    assert counts["LabelWorkChain"] == 1

    # back from the potential to the single point
    from aiida_limsm.cli.trace import trace

    (record,) = trace(outputs["potential"]).calculations
    assert record.role == "single point"


@pytest.fixture
def refused(build: Callable[..., Any], computer: Any) -> Callable[..., str]:
    """Return a function that changes good inputs and gives the line with which they are refused."""

    def run(change: Callable[[Any], None]) -> str:
        made = build(make_code(computer, "/bin/true", "quantumespresso.pw"))
        assert RefineWorkChain.spec().inputs.validate(made._inputs(prune=True)) is None
        change(made)
        error = RefineWorkChain.spec().inputs.validate(made._inputs(prune=True))
        assert error is not None
        assert "\n" not in error.message
        return str(error.message)

    return run


def test_what_is_refused(refused: Callable[..., str], aimd: Any) -> None:
    def md(**fields: Any) -> Callable[[Any], None]:
        def change(made: Any) -> None:
            parameters = {**made.md["md"]["parameters"].get_dict(), **fields}
            made.md["md"]["parameters"] = orm.Dict(parameters)

        return change

    def cutoff(made: Any) -> None:
        parameters = made.label["base"]["pw"]["parameters"].get_dict()
        parameters["SYSTEM"]["ecutwfc"] = 20.0
        made.label["base"]["pw"]["parameters"] = orm.Dict(parameters)

    def head(made: Any) -> None:
        parameters = made.finetune["train"]["parameters"].get_dict()
        made.finetune["train"]["parameters"] = orm.Dict({**parameters, "foundation_head": "pbe"})

    def sodium(made: Any) -> None:
        atoms = made.structure.get_ase()
        atoms.symbols[0] = "Na"
        made.structure = orm.StructureData(ase=atoms)

    for change, line in (
        (lambda made: setattr(made, "max_rounds", orm.Int(0)), "max_rounds: give at least 1"),
        (
            lambda made: made.finetune.__setitem__("committee", orm.Int(1)),
            "finetune.committee: a spread needs at least 2 potentials",
        ),
        (
            lambda made: setattr(made, "sources", {"round_01_Si": aimd}),
            "sources: the name 'round_01_Si' is taken",
        ),
        (lambda made: made.pop("isolated_atoms"), "isolated_atoms: missing; give them"),
        (
            lambda made: setattr(made, "isolated_atoms", orm.Dict({"Li": -1.0})),
            "isolated_atoms: no energy of Si",
        ),
        (sodium, "structure: no frame of the sources holds Na: label some first"),
        (head, "foundation_head: the foundation has no head 'pbe', only Default"),
        (md(steps=21), "md: input: steps (21) must be a multiple"),
        (md(replicas=2), "md: one run at one temperature"),
        (cutoff, "label: differs from the DFT of the sources in ecutwfc_ry"),
        (lambda made: made.label["pseudos"].pop("Si"), "label: "),
    ):
        assert line in refused(change), line


def test_labels_without_settings_are_refused(refused: Callable[..., str], aimd: Any) -> None:
    other = aimd.clone()
    other.base.attributes.delete("dft_settings")
    assert "strange does not say its DFT settings" in refused(
        lambda made: setattr(made, "sources", {"strange": other})
    )


def finished(status: int, message: str, **outputs: orm.Data) -> orm.WorkChainNode:
    """Return a workchain that ended so, with outputs."""
    node = orm.WorkChainNode()
    node.set_process_label("SomeWorkChain")
    node.set_process_state("finished")
    node.set_exit_status(status)
    node.set_exit_message(message)
    node.store()
    for name, value in outputs.items():
        value.store().base.links.add_incoming(node, LinkType.RETURN, name)
    return node


@pytest.fixture
def process(build: Callable[..., Any], computer: Any) -> Any:
    """A RefineWorkChain in its first round, before its first step."""
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    made = instantiate_process(get_manager().get_runner(), build(code))
    made.setup()
    made.ctx.round = 1
    return made


def test_frames_of_md_that_was_stopped_are_used(process: Any, h5md_file: Path) -> None:
    trajectory = MolecularDynamicsData.from_file(h5md_file)
    stopped = orm.Dict({"status": "atoms_too_close", "message": "step 8"})
    outputs = {"trajectory": trajectory, "output_parameters": stopped}
    process.ctx.md = finished(310, "atoms too close", **outputs)
    assert process.inspect_md() is None
    process.ctx.md = finished(310, "it never began")
    ended = process.inspect_md()
    assert ended.status == 320
    assert ended.message.startswith("Round 1: no MD frames: SomeWorkChain<")
    assert ended.message.endswith("it never began")


def test_labels_that_failed(process: Any) -> None:
    summary = {"asked": 2, "labelled": 0}
    process.ctx.label = finished(300, "None of 2", summary=orm.Dict(summary))
    judged = orm.Dict({"converged": False}).store()
    process.ctx.history["judged_01"] = judged.pk
    ended = process.inspect_labels()
    assert ended.status == 340
    # what the rounds found is kept
    (entry,) = process.outputs["history"]["rounds"]
    assert entry == {"round": 1, "converged": False, "labels": summary}


def test_no_frame_to_label(process: Any, crystal: orm.StructureData, tmp_path: Path) -> None:
    atoms = crystal.get_ase()
    with h5py.File(tmp_path / "spread.h5", "w") as file:
        file["frame"] = np.arange(3)
        file["positions"] = np.tile(atoms.positions, (3, 1, 1))
        file["cell"] = np.tile(np.array(atoms.cell), (3, 1, 1))
        file["numbers"] = atoms.numbers
        file["spread"] = np.full((3, len(atoms)), 0.5)
        file["force"] = np.full((3, len(atoms)), 90.0)
    spread = orm.SinglefileData(tmp_path / "spread.h5")
    process.ctx.spread = finished(0, "", spread=spread)
    judged = orm.Dict({"converged": False, "scaling_factor": 1.0}).store()
    process.ctx.history["judged_01"] = judged.pk
    ended = process.select()
    assert ended.status == 411
    assert "(3 frames, 3 of large spread, of which 3 are no crystal)" in ended.message
    assert process.outputs["history"]["rounds"][0]["selection"]["chosen"] == []


def test_no_dataset(process: Any, aimd: orm.TrajectoryData) -> None:
    process.ctx.round = 0
    other = aimd.clone()
    other.base.attributes.set("dft_settings", {"functional": "LDA"})
    process.ctx.sources["other"] = other.store().pk
    ended = process.train()
    assert ended.status == 300
    assert "other and aimd differ in" in ended.message
