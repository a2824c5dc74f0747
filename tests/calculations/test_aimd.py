"""Calcfunctions of ab initio MD, on recorded outputs of pw.x."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_limsm import resources
from aiida_limsm.calculations.aimd import (
    conserved_energy_drift,
    initial_velocities,
    join_segments,
    masses_of,
    read_segment,
    restart_point,
)
from aiida_limsm.units import (
    BOLTZMANN_EV_PER_K,
    EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2,
    RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS,
)

PSEUDO = Path(resources.__file__).parent / "pseudo"
PARAMETERS = {
    "CONTROL": {"calculation": "md", "dt": 50.0, "nstep": 3, "tstress": True},
    "SYSTEM": {"ecutwfc": 12.0, "ecutrho": 48.0, "smearing": "mv", "degauss": 0.02},
}
DT_FS = 50 * 0.0483776865


@pytest.fixture
def structure(aiida_profile: Any) -> orm.StructureData:
    from aiida_limsm.atomistic.crystals import li11si4

    return orm.StructureData(ase=li11si4()).store()


@pytest.fixture
def pseudos(aiida_profile: Any) -> dict[str, Any]:
    from aiida_pseudo.data.pseudo import UpfData

    return {
        "Li": UpfData(PSEUDO / "Li.pbe-nc1e.UPF").store(),
        "Si": orm.UpfData(str(PSEUDO / "Si.pbe-nc.UPF")).store(),  # AiiDA's own node type
    }


@pytest.fixture
def join(structure: orm.StructureData, pseudos: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    def run(*jobs: orm.CalcJobNode, equilibration: int = 0, **inputs: Any) -> dict[str, Any]:
        return join_segments(
            structure=structure,
            parameters=orm.Dict(PARAMETERS),
            kpoints=jobs[0].inputs.kpoints,
            equilibration_steps=orm.Int(equilibration),
            **{f"retrieved_{index:03d}": job.outputs.retrieved for index, job in enumerate(jobs)},
            **{f"pseudo_{kind}": node for kind, node in pseudos.items()},
            **inputs,
        )

    return run


def test_two_segments_are_one_trajectory(
    join: Callable[..., Any], pw_job: Callable[..., Any], pseudos: dict[str, Any]
) -> None:
    jobs = [pw_job("segment_0"), pw_job("segment_1")]
    outputs = join(*jobs)
    trajectory = outputs["trajectory"]
    # aiida-quantumespresso reads the XML file, with more digits
    for name, theirs, tolerance in (
        ("energies_ev", "energy", 1e-4),  # its Rydberg is that of CODATA 2006
        ("forces_ev_per_angstrom", "forces", 1e-6),
        ("positions", "positions", 1e-9),
    ):
        expected = np.concatenate([job.outputs.output_trajectory.get_array(theirs) for job in jobs])
        np.testing.assert_allclose(trajectory.get_array(name), expected, atol=tolerance)
    stress = np.concatenate([job.outputs.output_trajectory.get_array("stress") for job in jobs])
    np.testing.assert_allclose(
        trajectory.get_array("stress_ev_per_angstrom3"), -stress / 160.21766208, atol=1e-6
    )
    np.testing.assert_allclose(trajectory.get_times(), np.arange(6) * DT_FS / 1000, rtol=1e-7)
    # velocities in Å/ps give the temperatures that pw.x printed, with 42 degrees of freedom
    squares = (trajectory.get_array("velocities") ** 2).sum(axis=2) * 1e-6
    twice = squares @ masses_of(jobs[0].inputs.structure) / EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2
    np.testing.assert_allclose(
        twice / (42 * BOLTZMANN_EV_PER_K), trajectory.get_array("temperature_k"), rtol=1e-5
    )
    assert np.ptp(trajectory.get_array("conserved_energy_ev")) < 5e-3
    assert trajectory.get_array("segment").tolist() == [0, 0, 0, 1, 1, 1]
    assert trajectory.base.attributes.get("segment_links") == ["retrieved_000", "retrieved_001"]
    assert {len(trajectory.get_array(name)) for name in trajectory.get_arraynames()} == {6}

    summary = outputs["summary"].get_dict()
    assert (summary["frames"], summary["equilibration_frames"]) == (6, 0)
    assert summary["time_step_fs"] == pytest.approx(DT_FS)
    assert summary["duration_ps"] == pytest.approx(6 * DT_FS / 1000)
    assert [(s["first_frame"], s["frames"], s["start"]) for s in summary["segments"]] == [
        (0, 3, "start"),
        (3, 3, "restart"),
    ]
    settings = summary["dft_settings"]
    assert settings == trajectory.base.attributes.get("dft_settings")
    assert settings["functional"] == "PBE"
    assert settings["k_points"] == {"mesh": [2, 2, 2], "offset": [0.5, 0.5, 0.5]}
    assert (settings["ecutwfc_ry"], settings["degauss_ry"]) == (12.0, 0.02)
    assert settings["pseudopotentials"] == {
        "Li": {"file": "Li.pbe-nc1e.UPF", "md5": pseudos["Li"].md5},
        "Si": {"file": "Si.pbe-nc.UPF", "md5": pseudos["Si"].md5sum},
    }


def test_equilibration_is_apart(join: Callable[..., Any], pw_job: Callable[..., Any]) -> None:
    jobs = [pw_job("segment_0"), pw_job("segment_1")]
    whole, parts = join(*jobs), join(*jobs, equilibration=4)
    assert "equilibration" not in whole
    for name in whole["trajectory"].get_arraynames():
        both = np.concatenate(
            [parts[part].get_array(name) for part in ("equilibration", "trajectory")]
        )
        np.testing.assert_array_equal(both, whole["trajectory"].get_array(name))
    assert parts["summary"]["equilibration_frames"] == 4
    only = join(pw_job("segment_0"), equilibration=10)
    assert set(only) == {"equilibration", "summary"}


def test_failed_segments_give_their_whole_frames(
    join: Callable[..., Any], pw_job: Callable[..., Any]
) -> None:
    # its XML file is that of segment 0, whose frames must not be taken twice
    outputs = join(pw_job("segment_0"), pw_job("killed"), pw_job("scf_failed"))
    assert len(outputs["trajectory"].get_positions()) == 4
    segments = outputs["summary"]["segments"]
    assert [segment["frames"] for segment in segments] == [3, 0, 1]
    assert segments[2]["message"].startswith("convergence NOT achieved")
    assert outputs["trajectory"].get_array("segment").tolist() == [0, 0, 0, 2]


def test_the_same_inputs_give_the_same_node(
    join: Callable[..., Any], pw_job: Callable[..., Any]
) -> None:
    jobs = [pw_job("segment_0"), pw_job("segment_1")]
    first, second = join(*jobs)["trajectory"], join(*jobs)["trajectory"]
    assert first.base.caching.compute_hash() == second.base.caching.compute_hash()


def test_warnings(join: Callable[..., Any], pw_job: Callable[..., Any]) -> None:
    remarks = orm.List(["something happened"])
    assert join(pw_job("segment_0"), remarks=remarks)["summary"]["warnings"] == [
        "something happened"
    ]


def test_drift_of_a_line() -> None:
    times_ps = np.arange(200) * 2.0 / 1000
    energies = -700 + 0.03 * times_ps
    assert conserved_energy_drift(energies, 10, 2.0) == pytest.approx(3.0)
    assert conserved_energy_drift(energies[:1], 10, 2.0) is None


def test_restart_point(structure: orm.StructureData, pw_job: Callable[..., Any]) -> None:
    job = pw_job("killed_midway")
    settings = orm.Dict({"gamma_only": False})
    point = restart_point(
        structure=structure,
        parameters=orm.Dict(PARAMETERS),
        retrieved=job.outputs.retrieved,
        settings=settings,
    )
    segment = read_segment(job.outputs.retrieved)
    positions = np.array([site.position for site in point["structure"].sites])
    np.testing.assert_allclose(positions, segment.next_positions_angstrom[-2], atol=1e-12)
    assert [s.kind_name for s in point["structure"].sites] == [s.kind_name for s in structure.sites]
    assert point["structure"].cell == structure.cell
    found = point["settings"].get_dict()
    assert found["gamma_only"] is False
    velocities = np.array(found["ATOMIC_VELOCITIES"]) * RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS
    kinetic = 0.5 * ((velocities**2).sum(1) @ masses_of(structure))
    assert kinetic / EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2 == pytest.approx(
        segment.kinetic_energies_ev[-1], abs=1e-6
    )


def test_no_restart_point_without_a_frame(
    structure: orm.StructureData, pw_job: Callable[..., Any]
) -> None:
    with pytest.raises(ValueError, match=r"^no whole frame to restart from: the output ends"):
        restart_point(
            structure=structure,
            parameters=orm.Dict(PARAMETERS),
            retrieved=pw_job("killed").outputs.retrieved,
        )


def test_start_velocities(structure: orm.StructureData) -> None:
    """Exactly the temperature, no momentum, and the seed decides."""

    def draw(temperature: float, seed: int, **inputs: Any) -> Any:
        return initial_velocities(structure, orm.Float(temperature), orm.Int(seed), **inputs)

    node = draw(700.0, 1, settings=orm.Dict({"cmdline": ["-nk", "1"]}))
    assert node["cmdline"] == ["-nk", "1"]
    velocities = np.array(node["ATOMIC_VELOCITIES"]) * RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS
    masses = masses_of(structure)
    np.testing.assert_allclose(masses @ velocities, 0, atol=1e-9)
    twice = (velocities**2).sum(1) @ masses / EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2
    assert twice == pytest.approx(42 * BOLTZMANN_EV_PER_K * 700.0, rel=1e-6)
    assert draw(700.0, 1)["ATOMIC_VELOCITIES"] == node["ATOMIC_VELOCITIES"]
    assert draw(700.0, 2)["ATOMIC_VELOCITIES"] != node["ATOMIC_VELOCITIES"]
    # Maxwell and Boltzmann: over many draws every atom has its share
    draws = np.array([draw(300.0, seed)["ATOMIC_VELOCITIES"] for seed in range(40)])
    energies = (draws**2).sum(axis=2).mean(axis=0) * masses
    light, heavy = energies[masses < 10].mean(), energies[masses > 10].mean()
    assert light / heavy == pytest.approx(1.0, abs=0.25)
