"""ValidateWorkChain with real jobs, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.workchains.validate import ValidateWorkChain

FRAMES = Path(__file__).parents[1] / "data_files" / "li11si4_aimd_16.xyz"
E0S_EV = {"Li": -12.0, "Si": -132.5}
MD = {"md": {"steps": 60, "equilibration_steps": 20, "frame_interval_steps": 4}}


@pytest.fixture
def frames() -> list[Any]:
    return ase.io.read(FRAMES, index=":")


@pytest.fixture
def dataset(aiida_profile: Any, frames: list[Any]) -> ReferenceDatasetData:
    for index, atoms in enumerate(frames):
        atoms.info.update(source_index=0, frame_index=index)
        atoms.info["REF_stress"] = atoms.info["REF_stress"].reshape(9)
    splits = {"train": frames[:2], "test": frames[12:15]}
    return ReferenceDatasetData(splits, E0S_EV, {"functional": "PBE"}, allow_empty=("valid",))


@pytest.fixture
def aimd(aiida_profile: Any, frames: list[Any]) -> orm.TrajectoryData:
    """The same frames as a trajectory."""
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=list(frames[0].symbols),
        positions=np.array([atoms.positions for atoms in frames]),
        cells=np.array([np.array(atoms.cell) for atoms in frames]),
        pbc=(True, True, True),
        stepids=np.arange(len(frames)),
        times=0.01 * np.arange(len(frames)),
    )
    node.set_array("temperature_k", np.full(len(frames), 600.0))
    return node


def builder(limsm_code: Any, foundation: Any, dataset: Any, **inputs: Any) -> Any:
    overrides = {"md": MD, **inputs.pop("overrides", {})}
    return ValidateWorkChain.get_builder_from_protocol(
        limsm_code, foundation, dataset, protocol="fast", overrides=overrides, **inputs
    )


@pytest.mark.slow
def test_rejected_with_reasons_and_everything_kept(
    limsm_code: Any, foundation: Any, dataset: Any, aimd: Any
) -> None:
    thresholds: dict[str, Any] = {"max_energy_rmse_mev_per_atom": None}
    thresholds |= {"max_force_rmse_mev_per_angstrom": 1.0, "min_rdf_overlap": None}
    made = builder(
        limsm_code,
        foundation,
        dataset,
        aimd={"T600K": aimd, "plasma": aimd},
        overrides={"thresholds": thresholds},
    )
    made.temperatures = orm.Dict({"plasma": 50000.0})
    made.foundation = foundation
    outputs, node = run_get_node(made)
    assert node.exit_status == 420, node.exit_message
    assert node.exit_message.startswith("Rejected because: force RMSE on 'test' ")
    verdict = outputs["verdict"].get_dict()
    assert not verdict["accepted"]
    forces, plasma = verdict["reasons"]
    assert forces.endswith("meV/Å, at most 1 asked")
    assert plasma.startswith("MD, plasma: MolecularDynamicsWorkChain<")
    assert set(outputs["rdf"]) == {"T600K"}
    by_name = {check["name"].split(",")[0]: check for check in verdict["checks"]}
    forces = by_name["force RMSE on 'test'"]
    assert forces["value"] == pytest.approx(
        outputs["errors"]["errors"]["test"]["rmse_forces_mev_per_angstrom"]
    )
    assert 10 < forces["value"] < 1000
    rdf = by_name["overlap of g(r)"]
    overlaps = [o for o in outputs["rdf"]["T600K"]["overlaps"] if o["quantity"] == "rdf"]
    assert rdf["value"] == min(o["overlap"] for o in overlaps)
    assert 0.5 < rdf["value"] < 1.0
    assert rdf["passed"] is None
    assert by_name["error of the barrier"]["note"] == "no path beside DFT"
    # the same model, seed and temperature: the same run
    assert rdf["foundation"] == rdf["value"]
    assert forces["foundation"] == forces["value"]
    ours, theirs = (outputs["mlff"][key] for key in ("T600K", "foundation_T600K"))
    assert ours.n_frames == 16
    assert ours.sha256 == theirs.sha256
    assert outputs["curves"]["T600K"].filename == "comparison.h5"
    runs = [n for n in node.called if n.process_label == "MolecularDynamicsWorkChain"]
    md, *_ = sorted(runs, key=lambda run: run.pk)
    assert md.inputs.md.parameters["temperature_k"] == 600.0
    assert md.inputs.md.structure.creator.process_label == "md_start"

    # what was computed serves another verdict
    thresholds |= {"max_force_rmse_mev_per_angstrom": 2000.0, "min_rdf_overlap": 0.5}
    again = builder(
        limsm_code, foundation, dataset, aimd={"T600K": aimd},
        mlff={"T600K": outputs["mlff"]["T600K"]},
        overrides={"thresholds": thresholds},
    )  # fmt: skip
    outputs, node = run_get_node(again)
    assert node.is_finished_ok, node.exit_message
    assert outputs["verdict"]["accepted"]
    assert [check["passed"] for check in outputs["verdict"]["checks"]] == [True, None, True, None]
    assert "MolecularDynamicsWorkChain" not in {n.process_label for n in node.called}


@pytest.mark.slow
def test_barriers_beside_neb_x(
    limsm_code: Any,
    pw_code: Any,
    neb_code: Any,
    pseudo_family: None,
    foundation: Any,
    dataset: Any,
    lithium_hop: list[orm.StructureData],
) -> None:
    """The foundation model never saw lithium in silicon: 0.1 eV where DFT has 0.45."""
    dft = {"kpoints_distance": 0.6, "pw": {"parameters": {"SYSTEM": {"ecutwfc": 14.0}}}}
    neb = {"n_images": 3, "relax_ends": False, "path": {"path_thr": 0.3}, "base": dft}

    def judged(limit_mev: float) -> tuple[Any, orm.WorkChainNode]:
        thresholds = {"max_barrier_error_mev": limit_mev, "max_energy_rmse_mev_per_atom": None}
        made = builder(
            limsm_code, foundation, dataset, jumps={"hop": lithium_hop}, pw_code=pw_code,
            neb_code=neb_code,
            overrides={"thresholds": thresholds, "neb": {**neb, "mlff": {"max_steps": 100}}},
        )  # fmt: skip
        found: tuple[Any, orm.WorkChainNode] = run_get_node(made)
        return found

    with enable_caching(identifier="aiida.calculations:*"):
        outputs, node = judged(100.0)
        again, accepted = judged(900.0)
    assert node.exit_status == 420, node.exit_message
    assert node.exit_message.startswith("Rejected because: error of the barrier, hop ")
    assert node.exit_message.endswith(" meV, at most 100 asked")
    methods = outputs["barriers"]["hop"]["methods"]
    dft_ev, own_ev = (methods[key]["profile"]["barrier_forward_ev"] for key in ("dft", "finetuned"))
    assert 0.3 < dft_ev < 0.7
    assert 0.0 < own_ev < 0.3
    barrier = outputs["verdict"]["checks"][-1]
    assert barrier["value"] == pytest.approx(1e3 * abs(dft_ev - own_ev), abs=5.0)
    assert barrier["passed"] is False
    assert outputs["figures"]["hop"].get_content("rb").startswith(b"\x89PNG")
    assert set(methods) == {"dft", "finetuned", "finetuned on the path of dft"}

    # the same jobs, out of the cache, under another threshold
    assert accepted.is_finished_ok, accepted.exit_message
    assert again["verdict"]["accepted"]
    assert again["verdict"]["checks"][-1]["value"] == barrier["value"]
    jobs = [n for n in accepted.called_descendants if n.process_label == "NebCalculation"]
    assert [job.base.caching.is_created_from_cache for job in jobs] == [True] * len(jobs)
    assert jobs


@pytest.fixture
def refused(limsm_code: Any, foundation: Any, dataset: Any, aimd: Any) -> Callable[..., str]:
    """Return a function that changes good inputs and gives the line with which they are refused."""

    def run(change: Callable[[Any], None]) -> str:
        made = builder(limsm_code, foundation, dataset, aimd={"T600K": aimd})
        assert ValidateWorkChain.spec().inputs.validate(made._inputs(prune=True)) is None
        change(made)
        error = ValidateWorkChain.spec().inputs.validate(made._inputs(prune=True))
        assert error is not None
        assert "\n" not in error.message
        return str(error.message)

    return run


def test_what_is_refused(refused: Callable[..., str], make_splits: Any) -> None:
    def without(*path: str) -> Callable[[Any], None]:
        def change(made: Any) -> None:
            for name in path[:-1]:
                made = made[name]
            made.pop(path[-1])

        return change

    def set_to(name: str, value: Any) -> Callable[[Any], None]:
        return lambda made: setattr(made, name, value)

    empty = ReferenceDatasetData(
        {"train": make_splits()["train"]}, E0S_EV, {}, allow_empty=("valid", "test")
    )
    assert "dataset: has no frames in 'test', on which it would be judged" in refused(
        set_to("dataset", empty)
    )
    assert "aimd.T600K: needs MD to compare with: give mlff.T600K, or md" in refused(without("md"))
    assert "compare.code: comparing trajectories needs" in refused(without("compare"))
    assert "temperatures: there is no aimd.T500K to compare it with" in refused(
        set_to("temperatures", orm.Dict({"T500K": 500.0}))
    )
    with pytest.raises(ValueError, match="max_force_rmse_mev_per_angstrom: Input should be great"):
        refused(set_to("thresholds", orm.Dict({"max_force_rmse_mev_per_angstrom": 0})))


def test_aimd_without_temperatures(refused: Callable[..., str], aimd: Any) -> None:
    def change(made: Any) -> None:
        other = aimd.clone()
        other.delete_array("temperature_k")
        made.aimd = {"T600K": other}

    assert "aimd.T600K: holds no temperatures: give it in `temperatures`" in refused(change)


def test_jumps_are_checked_with_both_potentials(refused: Callable[..., str], aimd: Any) -> None:
    assert "neb: jumps need its inputs" in refused(
        lambda made: setattr(made, "jumps", {"hop": aimd})
    )


def test_the_potential_goes_into_the_band(
    limsm_code: Any, foundation: Any, dataset: Any, crystal: Any
) -> None:
    end = crystal.get_ase()
    end.positions[0] += [0.6, 0.0, 0.0]
    ends = [crystal, orm.StructureData(ase=end)]
    made = builder(limsm_code, foundation, dataset, jumps={"hop": ends})
    assert ValidateWorkChain.spec().inputs.validate(made._inputs(prune=True)) is None
    assert made.jumps["hop"].creator.process_label == "join_images"
    made.neb.dft = orm.Str("neb")
    error = ValidateWorkChain.spec().inputs.validate(made._inputs(prune=True))
    assert error.message.startswith("jumps.hop: base: dft 'neb' needs the inputs of pw.x")
