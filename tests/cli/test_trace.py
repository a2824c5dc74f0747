from __future__ import annotations

import io
import json
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory
from click.testing import CliRunner

from aiida_limsm.cli._provenance import walk_back
from aiida_limsm.cli.trace import trace, trace_command
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.data.potential import PotentialData

E0S_EV = {"Li": -190.5, "Si": -110.25}
PW = "aiida.calculations:quantumespresso.pw"
QE_MD = Path(__file__).parents[1] / "data_files" / "qe_md"


def run_process(
    cls: Any, label: str, inputs: dict[str, Any], outputs: dict[str, Any], process_type: str = ""
) -> Any:
    """Store a finished calculation with its links, without running anything."""
    node = cls()
    node.base.attributes.set("process_label", label)
    if process_type:
        node.process_type = process_type
    for name, value in inputs.items():
        if not value.is_stored:
            value.store()
        node.base.links.add_incoming(value, LinkType.INPUT_CALC, name)
    node.set_exit_status(0)
    node.set_process_state("finished")
    node.store()
    for name, value in outputs.items():
        value.base.links.add_incoming(node, LinkType.CREATE, name)
        value.store()
    return node


class Laboratory:
    """Makes the nodes of a small study: AIMD, isolated atoms, dataset, training, MD, analysis."""

    def __init__(self, make_frames: Any, potential_bytes: bytes, info: Any, estimate: Any) -> None:
        self.computer = orm.Computer(
            label="cluster",
            hostname="localhost",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir="/scratch",
        ).store()
        self.rng = np.random.default_rng(0)
        self.make_frames = make_frames
        self.potential_bytes = potential_bytes
        self.info = info
        self.estimate = estimate
        self.structure = orm.StructureData(cell=np.diag([6.0, 6.0, 6.0]))
        for position, symbol in zip(np.eye(4, 3) * 3, ("Li", "Li", "Si", "Li"), strict=True):
            self.structure.append_atom(position=position, symbols=symbol)
        self.structure.store()
        self.pseudos = {}
        upf = DataFactory("pseudo.upf")
        for symbol, name in (("Li", "Li.pbe-nc1e.UPF"), ("Si", "Si.pbe-nc.UPF")):
            with as_file(files("aiida_limsm.resources") / "pseudo" / name) as path:
                self.pseudos[symbol] = upf(path).store()

    def kpoints(self, mesh: int) -> orm.KpointsData:
        node = orm.KpointsData()
        node.set_kpoints_mesh([mesh] * 3)
        return node

    def pw(self, calculation: str, frames: int, parent: Any = None, **changes: Any) -> Any:
        """A pw.x calculation; returns (node, output_trajectory, output_parameters, remote)."""
        system = {"ecutwfc": 30.0, **changes.get("system", {})}
        inputs = {
            "structure": changes.get("structure", self.structure),
            "parameters": orm.Dict({"CONTROL": {"calculation": calculation}, "SYSTEM": system}),
            "kpoints": self.kpoints(changes.get("mesh", 2)),
            **{f"pseudos__{name}": node for name, node in self.pseudos.items()},
        }
        if parent is not None:
            inputs["parent_folder"] = parent
        arrays = orm.TrajectoryData()
        arrays.set_trajectory(["Li", "Li", "Si", "Li"], np.zeros((frames, 4, 3)))
        recorded = changes.get("recorded")
        outputs = {
            "output_trajectory": arrays,
            "retrieved": orm.FolderData(tree=str(QE_MD / recorded) if recorded else None),
            "output_parameters": orm.Dict(
                {
                    "energy": -1.0,
                    "creator_name": "pwscf",
                    "creator_version": "6.7",
                    **changes.get("results", {"dft_exchange_correlation": "PBE"}),
                }
            ),
            "remote_folder": orm.RemoteData(
                remote_path=f"/scratch/{id(arrays)}", computer=self.computer
            ),
        }
        node = run_process(orm.CalcJobNode, "PwCalculation", inputs, outputs, PW)
        return node, arrays, outputs["output_parameters"], outputs["remote_folder"]

    def join(
        self, *segments: Any, frames: int, labels: bool = False, says_segments: bool = True
    ) -> orm.TrajectoryData:
        joined = orm.TrajectoryData()
        cells = np.tile(np.eye(3) * 6.0, (frames, 1, 1))
        positions = self.rng.normal(size=(frames, 4, 3))
        joined.set_trajectory(["Li", "Li", "Si", "Li"], positions, cells=cells)
        if labels:
            joined.set_array("energies_ev", np.arange(frames, dtype=float))
            joined.set_array("forces_ev_per_angstrom", np.zeros((frames, 4, 3)))
            joined.base.attributes.set("dft_settings", {"functional": "PBE"})
        inputs = {f"retrieved_{i:03d}": segment for i, segment in enumerate(segments)}
        if says_segments:
            joined.base.attributes.set("segment_links", list(inputs))
        lengths = [len(segment.get_array("positions")) for segment in segments]
        joined.set_array("segment", np.repeat(np.arange(len(lengths)), lengths)[:frames])
        run_process(orm.CalcFunctionNode, "join_segments", inputs, {"trajectory": joined})
        return joined

    def dataset(
        self, frames: dict[str, list[tuple[int, int]]], sources: list[str], **inputs: Any
    ) -> ReferenceDatasetData:
        """A dataset of the frames (source, index) per split."""
        splits = {
            split: [self.make_frames(1, source, index)[0] for source, index in pairs]
            for split, pairs in frames.items()
        }
        node = ReferenceDatasetData(splits, E0S_EV, {"functional": "PBE"}, sources=sources)
        run_process(orm.CalcFunctionNode, "build_dataset", inputs, {"result": node})
        return node

    def potential(self, **kwargs: Any) -> PotentialData:
        return PotentialData(io.BytesIO(self.potential_bytes), self.info, **kwargs)

    def train(self, **inputs: Any) -> PotentialData:
        node = self.potential()
        run_process(orm.CalcJobNode, "MaceTrainCalculation", inputs, {"potential": node})
        return node

    def diffusion(self, **inputs: Any) -> DiffusionData:
        node = DiffusionData(
            self.estimate,
            temperature_k=600.0,
            cell_angstrom=np.eye(3) * 6,
            n_ions=3,
            species="Li",
            duration_ps=10.0,
        )
        run_process(orm.CalcJobNode, "MarkovCalculation", inputs, {"diffusion": node})
        return node


# Storing a hundred nodes takes seconds: one study serves all tests, which only read it.
@pytest.fixture(scope="module")
def lab(
    aiida_profile: Any,
    make_frames: Any,
    potential_bytes: bytes,
    example_potential_info: Any,
    example_diffusion_estimate: Any,
) -> Laboratory:
    aiida_profile.reset_storage()
    return Laboratory(
        make_frames, potential_bytes, example_potential_info, example_diffusion_estimate
    )


@pytest.fixture(scope="module")
def study(lab: Laboratory) -> dict[str, Any]:
    """Two AIMD segments joined, one alone, two isolated atoms; bystanders that lead nowhere."""
    first, frames_first, _, remote = lab.pw("md", 10, recorded="segment_0")
    second, frames_second, _, _ = lab.pw("md", 8, parent=remote, recorded="scf_failed")
    joined = lab.join(frames_first, frames_second, frames=18)
    third, frames_third, _, _ = lab.pw(
        "md", 7, system={"ecutrho": 240.0}, results={}, recorded="runaway"
    )
    box = orm.StructureData(cell=np.eye(3) * 10)
    box.append_atom(position=(5, 5, 5), symbols="Li")
    atom, _, energy, _ = lab.pw("scf", 1, structure=box.store(), mesh=1)
    energies = orm.Dict(E0S_EV)
    run_process(orm.CalcFunctionNode, "isolated_atom_energies", {"Li": energy}, {"r": energies})
    bystander, *_ = lab.pw("md", 5)
    dataset = lab.dataset(
        {
            "train": [(0, 0), (0, 4), (0, 9), (0, 10), (1, 0), (1, 1)],
            "valid": [(0, 14), (1, 4)],
            "test": [(0, 17), (1, 6)],
        },
        ["t300", "t600"],
        t300=joined,
        t600=frames_third,
        isolated_atoms=energies,
    )
    foundation = lab.potential(license="MIT").store()
    potential = lab.train(dataset=dataset, foundation=foundation)
    return {
        "pw": (first, second, third, atom),
        "bystander": bystander,
        "dataset": dataset,
        "foundation": foundation,
        "potential": potential,
        "diffusion": lab.diffusion(potential=potential, sites=lab.structure),
    }


def test_every_pw_calculation_and_no_other(study: dict[str, Any]) -> None:
    found = trace(study["diffusion"])
    assert [record.pk for record in found.calculations] == sorted(n.pk for n in study["pw"])
    assert study["bystander"].pk not in walk_back(study["diffusion"].pk).nodes


def test_settings(study: dict[str, Any], lab: Laboratory) -> None:
    records = {record.pk: record for record in trace(study["diffusion"]).calculations}
    first, second, third, atom = (records[node.pk] for node in study["pw"])
    assert [r.role for r in (first, second, third, atom)] == ["AIMD segment"] * 3 + [
        "isolated atom"
    ]
    assert (first.functional, first.functional_from) == ("PBE", "pw.x output")
    assert (third.functional, third.functional_from) == ("PBE", "pseudopotentials")
    assert (first.ecutwfc_ry, first.ecutrho_ry, third.ecutrho_ry) == (30.0, 120.0, 240.0)
    assert (first.k_points, atom.k_points) == ("2×2×2", "1×1×1")
    assert (first.formula, first.atoms, atom.atoms) == ("Li3Si", 4, 1)
    assert first.code_version == "PWSCF 6.7"
    assert [(p.element, p.filename, p.md5) for p in first.pseudopotentials] == [
        (name, node.filename, node.md5) for name, node in sorted(lab.pseudos.items())
    ]


def test_frames_are_counted_per_segment(study: dict[str, Any]) -> None:
    found = trace(study["diffusion"])
    records = {record.pk: record for record in found.calculations}
    first, second, third, atom = (records[node.pk] for node in study["pw"])
    # whole frames in pw.x's own text; the second run ended with an SCF that failed
    assert [r.frames_parsed for r in (first, second, third, atom)] == [3, 1, 6, 1]
    # Segment 0 wrote frames 0 to 9 of source 0, segment 1 frames 10 to 17.
    assert [r.frames_used for r in (first, second, third, atom)] == [3, 3, 4, None]
    assert [source.name for source in found.sources] == ["t300", "t600"]
    assert found.sources[0].frames == {"train": 4, "valid": 1, "test": 1}


def test_a_trajectory_that_does_not_say_its_segments_is_not_guessed(lab: Laboratory) -> None:
    first, frames_first, *_ = lab.pw("md", 10)
    second, frames_second, *_ = lab.pw("md", 10)
    joined = lab.join(frames_first, frames_second, frames=15, says_segments=False)
    dataset = lab.dataset(
        {"train": [(0, 0)], "valid": [(0, 3)], "test": [(0, 6)]}, ["t300"], t300=joined
    )
    found = trace(dataset)
    assert found.sources[0].pw_frames == {first.pk: None, second.pk: None}
    assert [record.frames_used for record in found.calculations] == [None, None]


def test_sources_of_the_real_calculation(lab: Laboratory) -> None:
    """The names in a dataset are the link labels of the calculation function that made it."""
    from aiida_limsm.calculations.dataset import build_dataset

    trajectories, calculations = {}, []
    for name in ("t600", "t300"):
        pw, segment, *_ = lab.pw("md", 20)
        joined = lab.join(segment, frames=20, labels=True)
        trajectories[name] = joined
        calculations.append(pw)
    parameters = orm.Dict(
        {"stride": 1, "gap_frames": 1, "train_fraction": 0.6, "valid_fraction": 0.2}
    )
    dataset = build_dataset(parameters=parameters, isolated_atoms=orm.Dict(E0S_EV), **trajectories)
    found = trace(dataset)
    assert [source.name for source in found.sources] == ["t300", "t600"]
    assert [dict(source.pw_frames) for source in found.sources] == [
        {calculations[1].pk: 18},
        {calculations[0].pk: 18},
    ]


def test_chain_runs_from_structure_to_result(study: dict[str, Any]) -> None:
    chain = trace(study["diffusion"]).chain
    kinds = [node.kind for node in chain]
    pks = [node.pk for node in chain]
    order = [
        "StructureData", "PwCalculation", "join_segments", "build_dataset",
        "ReferenceDatasetData", "MaceTrainCalculation", "MarkovCalculation", "DiffusionData",
    ]  # fmt: skip
    positions = [kinds.index(kind) for kind in order]
    assert positions == sorted(positions)
    assert kinds[-1] == "DiffusionData"
    assert len(pks) == len(set(pks))
    # The foundation has no DFT of this profile behind it, but the result rests on it.
    assert study["foundation"].pk in pks


def test_workchain_links_are_not_followed(study: dict[str, Any], lab: Laboratory) -> None:
    caller = orm.WorkChainNode()
    caller.base.attributes.set("process_label", "LithiumTransportWorkChain")
    caller.base.links.add_incoming(
        study["bystander"].outputs.output_parameters, LinkType.INPUT_WORK, "extra"
    )
    caller.store()
    study["diffusion"].base.links.add_incoming(caller, LinkType.RETURN, "diffusion")
    found = trace(study["diffusion"])
    assert study["bystander"].pk not in [record.pk for record in found.calculations]
    with pytest.raises(ValueError, match=f"diffusion is PK {study['diffusion'].pk}"):
        trace(caller)


def test_many_paths_cost_nothing(lab: Laboratory) -> None:
    """Twelve diamonds in a row: more than 3^12 paths between some fifty nodes."""
    pw, *_, remote = lab.pw("md", 3)
    node: Any = orm.Dict({"generation": 0})
    run_process(orm.CalcFunctionNode, "start", {"folder": remote}, {"result": node})
    expected = set(walk_back(node.pk).nodes)
    for generation in range(1, 13):
        following = orm.Dict({"generation": generation})
        # The same node on three links, and through two calculations.
        side = orm.Dict({"side": generation})
        process = run_process(orm.CalcFunctionNode, "side", {"a": node}, {"result": side})
        inputs = {"a": node, "b": node, "c": side}
        main = run_process(orm.CalcFunctionNode, "step", inputs, {"result": following})
        expected |= {process.pk, side.pk, main.pk, following.pk}
        node = following
    ancestry = walk_back(node.pk)
    assert set(ancestry.nodes) == expected
    assert len(list(ancestry.topological())) == len(expected)
    found = trace(node)
    assert [record.pk for record in found.calculations] == [pw.pk]


def test_node_without_pw_ancestors(lab: Laboratory) -> None:
    potential = lab.potential().store()
    node = lab.diffusion(potential=potential)
    assert trace(node).calculations == ()
    result = CliRunner().invoke(trace_command, [str(node.pk)])
    assert result.exit_code == 1
    assert f"no pw.x calculation in this profile stands behind PK {node.pk}" in result.output
    assert "MarkovCalculation" in result.output


def test_unstored_node_is_refused() -> None:
    with pytest.raises(ValueError, match="only a stored node"):
        trace(orm.Int(1))


def test_text(study: dict[str, Any], lab: Laboratory) -> None:
    result = CliRunner().invoke(trace_command, [study["diffusion"].uuid])
    assert result.exit_code == 0, result.output
    text = result.output
    assert "(2.00 ± 0.09)e-06 cm²/s" in text
    assert "4 pw.x calculations" in text
    assert lab.pseudos["Li"].md5 in text
    assert "t300" in text
    assert text.index("From structure to result") < text.index("MaceTrainCalculation")


def test_json(study: dict[str, Any]) -> None:
    result = CliRunner().invoke(trace_command, [str(study["diffusion"].pk), "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.output)
    assert content["target"]["pk"] == study["diffusion"].pk
    assert len(content["calculations"]) == 4
    assert content["calculations"][0]["pseudopotentials"][0]["md5"]
    assert content["sources"][1]["pw_frames"] == {str(study["pw"][2].pk): 4}
