"""The parsers on what the real jobs left behind (``record_fixtures.py``)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_limsm.calculations.base import EXIT_CODES
from aiida_limsm.compute.base import Status
from aiida_limsm.data.potential import PotentialData

FIXTURES = Path(__file__).parent / "fixtures"
CASES = sorted(f"{path.parent.name}/{path.name}" for path in FIXTURES.glob("*/*"))
Parse = Callable[..., Any]


def recorded(name: str) -> dict[str, Any]:
    return json.loads((FIXTURES / name / "results.json").read_text())


def rounded(value: Any) -> Any:
    """Round all floats: AiiDA keeps fourteen digits of an attribute."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


def test_cases_are_small() -> None:
    assert len(CASES) >= 16
    for name in CASES:
        assert sum(file.stat().st_size for file in (FIXTURES / name).iterdir()) < 600_000, name


@pytest.mark.parametrize("name", CASES)
def test_status_message_and_results(parse: Parse, name: str) -> None:
    parsed = parse(name, {"parameters": orm.Dict({})})
    if not (FIXTURES / name / "results.json").exists():
        assert parsed.exit_status == 302
        assert "killed or never started" in parsed.exit_message
        assert parsed.outputs == {}
        return
    results = recorded(name)
    status = Status(results["status"])
    assert parsed.exit_status == EXIT_CODES.get(status, 0)
    if status is not Status.FINISHED:
        assert parsed.exit_message == results["message"]
        assert "\n" not in parsed.exit_message
    assert rounded(parsed.outputs["output_parameters"].get_dict()) == rounded(results)
    for warning in results["warnings"]:
        assert warning in parsed.logs


def test_md_finished(parse: Parse) -> None:
    trajectory = parse("md/finished").outputs["trajectory"]
    results = recorded("md/finished")
    assert (trajectory.n_frames, trajectory.n_atoms) == (5, 15)
    assert trajectory.sha256 == results["trajectory_sha256"]
    assert trajectory.temperature_k == pytest.approx(results["mean_temperature_k"])
    assert trajectory.frame_interval_ps == pytest.approx(0.02)


@pytest.mark.parametrize("case", ["finished", "several_runs", "framework_unstable"])
def test_md_that_stays_where_it_is(parse: Parse, case: str) -> None:
    """A node that points to a file says the same of it as the file itself would."""
    from aiida_limsm.atomistic.crystals import li11si4

    copied = flat(parse(f"md/{case}").outputs)
    inputs = {"store": orm.Str("remote"), "structure": orm.StructureData(ase=li11si4())}
    files = {path.name for path in (FIXTURES / "md" / case).rglob("*.h5")}
    pointed = flat(parse(f"md/{case}", inputs, without=tuple(files)).outputs)
    assert set(pointed) == set(copied) != set()
    for label, node in pointed.items():
        there = copied[label].base.attributes.all
        here = node.base.attributes.all
        assert here.pop("remote_path").startswith("/scratch/job/")
        assert (here.pop("storage"), there.pop("storage")) == ("remote", "repository")
        # of all frames of the run; those of the mobile ions are at more steps
        mean, own = here.pop("temperature_k"), there.pop("temperature_k")
        assert mean == pytest.approx(own, rel=0.1 if label.endswith("mobile") else 1e-9)
        np.testing.assert_allclose(here.pop("cell_angstrom"), there.pop("cell_angstrom"), rtol=1e-6)
        assert rounded(here) == rounded(there)


def flat(outputs: dict[str, Any]) -> dict[str, Any]:
    """Return trajectories of all levels by name."""
    found = {**outputs, **outputs.get("runs", {})}
    return {name: node for name, node in found.items() if hasattr(node, "n_frames")}


@pytest.mark.parametrize("case", ["forces_exploded", "framework_unstable", "atoms_too_close"])
def test_a_guard_keeps_the_frames(parse: Parse, case: str) -> None:
    parsed = parse(f"md/{case}")
    assert 320 <= parsed.exit_status < 330
    assert parsed.exit_message.startswith("step ")
    assert parsed.outputs["trajectory"].n_frames == recorded(f"md/{case}")["frames"] > 0


def test_md_of_several_runs(parse: Parse) -> None:
    found = parse("md/several_runs").outputs["runs"]
    runs = recorded("md/several_runs")["runs"]
    assert len(runs) == 2
    for number, run in enumerate(runs):
        assert found[f"run_{number}"].sha256 == run["trajectory_sha256"]
        assert found[f"run_{number}_mobile"].sha256 == run["mobile_sha256"]
        assert found[f"run_{number}_mobile"].frame_interval_ps == pytest.approx(0.01)


def test_md_out_of_walltime_has_no_trajectory_yet(parse: Parse) -> None:
    parsed = parse("md/out_of_walltime")
    assert parsed.exit_status == 400
    assert parsed.exit_message.endswith("run it again")
    assert set(parsed.outputs) == {"output_parameters"}


def test_a_trajectory_that_got_lost_or_damaged(parse: Parse) -> None:
    parsed = parse("md/finished", without=("trajectory.h5",))
    assert parsed.exit_status == 303
    assert "trajectory.h5 does not exist" in parsed.exit_message
    assert "output_parameters" in parsed.outputs


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("md/finished", "trajectory.h5"),
        ("analyse/finished", "model.h5"),
        ("train/finished", "potential.model"),
    ],
)
def test_a_file_cut_short(parse: Parse, name: str, file: str) -> None:
    content = (FIXTURES / name / file).read_bytes()
    parsed = parse(name, {"parameters": orm.Dict({})}, changed={file: content[:1000]})
    assert parsed.exit_status == 303
    assert parsed.exit_message.startswith("An output file is missing or damaged: ")


def test_a_broken_installation_is_shown(parse: Parse) -> None:
    parsed = parse("md/broken_installation")
    assert parsed.exit_status == 302
    assert parsed.logs == ["ImportError: libstdc++.so.6: not found"]


def test_a_kill_leaves_nothing_to_show(parse: Parse) -> None:
    assert parse("md/killed").logs == []


def test_no_streams_at_all(parse: Parse) -> None:
    assert parse("md/killed", without=("stderr.txt", "stdout.txt")).exit_status == 302


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"status": "fini', "results.json: input: Invalid JSON"),
        (b'{"status": "well"}', "results.json: status: Input should be"),
        (b'{"status": "finished", "speed": 1}', "results.json: speed: Extra inputs"),
    ],
)
def test_results_that_are_none(parse: Parse, content: bytes, line: str) -> None:
    parsed = parse("md/finished", changed={"results.json": content})
    assert parsed.exit_status == 302
    (log,) = parsed.logs
    assert log.startswith(line)


def test_train_finished(parse: Parse) -> None:
    parsed = parse("train/finished")
    potential = parsed.outputs["potential"]
    content = (FIXTURES / "train/finished/potential.model").read_bytes()
    assert potential.sha256 == hashlib.sha256(content).hexdigest()
    assert potential.elements == ("Li", "Si")
    assert potential.e0s_ev == pytest.approx({"Li": -12.0, "Si": -132.5})
    assert (potential.license, potential.citation) == (None, None)
    assert len(parsed.outputs["output_parameters"]["history"]) == 2


def test_train_with_replay(parse: Parse) -> None:
    outputs = parse("train/replay").outputs
    assert outputs["potential"].heads == ("Default",)
    assert outputs["multihead"].heads == ("pt_head", "Default")
    assert outputs["potential"].e0s_ev == pytest.approx({"Li": -12.0, "Si": -132.5})
    results = outputs["output_parameters"].get_dict()
    assert {head: sorted(errors) for head, errors in results["errors"].items()} == {
        "Default": ["train", "valid"],
        "pt_head": ["train", "valid"],
    }
    for errors in (results["initial"], results["history"][0]):
        assert errors["replay_rmse_forces_mev_per_angstrom"] > 0


def test_licence_and_citation_are_the_foundation_s(
    parse: Parse, potential_file: Path, potential_info: dict[str, Any]
) -> None:
    foundation = PotentialData(potential_file, potential_info, license="MIT", citation="10.1/x")
    potential = parse("train/finished", {"foundation": foundation}).outputs["potential"]
    assert (potential.license, potential.citation) == ("MIT", "10.1/x")


@pytest.mark.parametrize("case", ["loss_not_finite", "out_of_walltime", "invalid_input"])
def test_failed_trainings_have_no_potential(parse: Parse, case: str) -> None:
    assert set(parse(f"train/{case}").outputs) == {"output_parameters"}


def test_spread(parse: Parse) -> None:
    import h5py

    parsed = parse("spread/finished")
    results = parsed.outputs["output_parameters"].get_dict()
    assert (results["members"], results["frames"], results["atoms"]) == (2, 3, 15)
    with parsed.outputs["spread"].as_path() as path, h5py.File(path) as file:
        assert file["spread"].shape == (3, 15)
        largest = 1e3 * file["spread"][()].max()
    assert results["max_largest_spread_mev_per_angstrom"] == pytest.approx(largest)
    failed = parse("spread/trajectory_unusable")
    assert failed.exit_status == 340
    assert set(failed.outputs) == {"output_parameters"}
    assert parse("spread/finished", without=("spread.h5",)).exit_status == 303


def test_evaluate(parse: Parse) -> None:
    import h5py

    parsed = parse("evaluate/finished")
    parity = parsed.outputs["parity"]
    with parity.open(mode="rb") as handle, h5py.File(handle) as file:
        assert sorted(file) == ["test", "valid"]
        difference = file["test/forces"][:, 1] - file["test/forces"][:, 0]
    rmse = parsed.outputs["output_parameters"]["errors"]["test"]["rmse_forces_mev_per_angstrom"]
    assert 1e3 * np.sqrt(np.mean(difference**2)) == pytest.approx(rmse)


def test_evaluate_without_its_points(parse: Parse) -> None:
    assert parse("evaluate/finished", without=("parity.h5",)).exit_status == 303


def test_analyse(parse: Parse) -> None:
    outputs = parse("analyse/finished").outputs
    results = recorded("analyse/finished")
    assert set(outputs) == {"output_parameters", "markov_model", "diffusion", "diffusion_msd"}
    assert outputs["diffusion"].species == "Li"
    for label, method in (("diffusion", "markov"), ("diffusion_msd", "msd")):
        expected = results["diffusion"][method]["isotropic_cm2_s"]
        assert outputs[label].isotropic_cm2_s == pytest.approx(expected)
    assert outputs["diffusion"].temperature_k == pytest.approx(results["temperature_k"])
    assert results["n_jumps"] > 0
    assert results["jumps"][0]["from"] in {site.label for site in outputs["markov_model"].sites}


def test_unresolved_is_an_answer_too(parse: Parse) -> None:
    parsed = parse("analyse/unresolved")
    assert parsed.exit_status == 0
    assert not parsed.outputs["diffusion"].resolved
    assert "markov_model" in parsed.outputs


def test_trajectories_without_a_temperature(parse: Parse) -> None:
    results = {**recorded("analyse/finished"), "temperature_k": None}
    changed = {"results.json": json.dumps(results).encode()}
    parsed = parse("analyse/finished", changed=changed)
    assert parsed.exit_status == 0
    assert set(parsed.outputs) == {"output_parameters", "markov_model"}
    (log,) = [line for line in parsed.logs if line.startswith("no diffusion:")]
    assert log.endswith("give temperature_k in the parameters")
