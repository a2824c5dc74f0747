"""Segments of ab initio MD: recorded outputs of pw.x, read by aiida-quantumespresso's parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.plugins import ParserFactory

from aiida_limsm import resources
from aiida_limsm.calculations.aimd import dft_settings, join_segments, whole_frames

RECORDED = Path(__file__).parents[1] / "data_files" / "qe_md"
PSEUDO = Path(resources.__file__).parent / "pseudo"
PARAMETERS = {
    "CONTROL": {"calculation": "md", "dt": 50.0, "nstep": 3, "tstress": True},
    "SYSTEM": {"ecutwfc": 12.0, "ecutrho": 48.0, "smearing": "mv", "degauss": 0.02},
}
DT_FS = 50 * 0.0483776865
RY = 13.605693
KBAR = 0.1 / 160.21766  # in eV/Å³


@pytest.fixture
def kpoints(aiida_profile: Any) -> orm.KpointsData:
    node = orm.KpointsData()
    node.set_kpoints_mesh([2, 2, 2], offset=[0.5, 0.5, 0.5])
    return node.store()


@pytest.fixture
def pseudos(aiida_profile: Any) -> dict[str, Any]:
    from aiida_pseudo.data.pseudo import UpfData

    return {
        "Li": UpfData(PSEUDO / "Li.pbe-nc1e.UPF").store(),
        "Si": orm.UpfData(str(PSEUDO / "Si.pbe-nc.UPF")).store(),  # AiiDA's own node type
    }


@pytest.fixture
def segment(
    aiida_localhost: orm.Computer, kpoints: orm.KpointsData
) -> Callable[[str], dict[str, Any]]:
    """Return a function that parses a recorded run; its outputs are those of a calculation."""
    from aiida_limsm.atomistic.crystals import li11si4

    def parse(name: str) -> dict[str, Any]:
        node = orm.CalcJobNode(
            computer=aiida_localhost, process_type="aiida.calculations:quantumespresso.pw"
        )
        node.set_option("input_filename", "aiida.in")
        node.set_option("output_filename", "aiida.out")
        node.set_option("resources", {"num_machines": 1})
        inputs = {
            "parameters": orm.Dict(PARAMETERS).store(),
            "structure": orm.StructureData(ase=li11si4()).store(),
            "kpoints": kpoints,
        }
        for label, value in inputs.items():
            node.base.links.add_incoming(value, LinkType.INPUT_CALC, label)
        node.store()
        retrieved = orm.FolderData(tree=str(RECORDED / name))
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        outputs, finished = ParserFactory("quantumespresso.pw").parse_from_node(
            node, store_provenance=False
        )
        trajectory = outputs["output_trajectory"]
        trajectory.base.links.add_incoming(node, LinkType.CREATE, "output_trajectory")
        trajectory.store()
        return {
            "trajectory": trajectory,
            "retrieved": retrieved,
            "output": outputs["output_parameters"].store(),
            "exit_status": finished.exit_status,
        }

    return parse


def joined(
    segments: list[dict[str, Any]], kpoints: orm.KpointsData, pseudos: dict[str, Any]
) -> dict[str, Any]:
    nodes = {
        f"{name}_{index:03d}": segment[name]
        for index, segment in enumerate(segments)
        for name in ("trajectory", "retrieved", "output")
    }
    nodes |= {f"pseudo_{kind}": pseudo for kind, pseudo in pseudos.items()}
    return join_segments(parameters=orm.Dict(PARAMETERS), kpoints=kpoints, **nodes)


def stdout(name: str) -> str:
    return (RECORDED / name / "aiida.out").read_text()


def numbers(pattern: str, name: str) -> list[float]:
    return [float(text) for text in re.findall(pattern, stdout(name))]


def test_two_segments_are_one_trajectory(
    segment: Any, kpoints: orm.KpointsData, pseudos: dict[str, Any]
) -> None:
    parts = [segment("segment_0"), segment("segment_1")]
    assert [whole_frames(part["trajectory"]) for part in parts] == [3, 3]
    outputs = joined(parts, kpoints, pseudos)
    trajectory = outputs["trajectory"]
    names = ("segment_0", "segment_1")

    energies = [e * RY for name in names for e in numbers(r"!\s+total energy\s+=\s+(\S+) Ry", name)]
    np.testing.assert_allclose(trajectory.get_array("energies_ev"), energies, rtol=1e-7)
    temperatures = [t for name in names for t in numbers(r"temperature\s+=\s+(\S+) K", name)]
    temperatures = [t for t in temperatures if t != 700.0]  # the thermostat's own line
    np.testing.assert_allclose(trajectory.get_array("temperature_k"), temperatures)
    conserved = [
        e * RY for name in names for e in numbers(r"Ekin \+ Etot \(const\)\s+=\s+(\S+) Ry", name)
    ]
    np.testing.assert_allclose(trajectory.get_array("conserved_energy_ev"), conserved, rtol=1e-7)
    np.testing.assert_allclose(trajectory.get_times(), np.arange(6) * DT_FS / 1000, rtol=1e-6)

    # Quantum ESPRESSO counts compression as positive pressure, ASE tension as positive stress
    pressure = [p for name in names for p in numbers(r"P=\s*(\S+)", name)]
    stress = trajectory.get_array("stress_ev_per_angstrom3")
    trace = np.trace(stress, axis1=1, axis2=2) / 3
    np.testing.assert_allclose(trace, -KBAR * np.array(pressure), atol=0.01 * KBAR)
    assert np.abs(trace).max() > 1 * KBAR

    forces = trajectory.get_array("forces_ev_per_angstrom")
    block = stdout("segment_0").split("Forces acting on atoms")[2]
    first = [float(x) for x in re.search(r"force =\s+(\S+)\s+(\S+)\s+(\S+)", block).groups()]
    np.testing.assert_allclose(forces[1, 0], np.array(first) * RY / 0.529177, atol=1e-5)

    # continuous: no frame twice, none missing where one segment ends and the next begins
    steps = np.linalg.norm(np.diff(trajectory.get_positions(), axis=0), axis=2).mean(axis=1)
    assert steps.min() > 0.3 * steps.mean()
    assert steps.max() < 2.0 * steps.mean()

    summary = outputs["summary"].get_dict()
    assert (summary["frames"], summary["segments"]) == (6, 2)
    assert summary["time_step_fs"] == pytest.approx(DT_FS)
    assert summary["duration_ps"] == pytest.approx(6 * DT_FS / 1000)
    assert summary["mean_temperature_k"] == pytest.approx(np.mean(temperatures))
    settings = summary["dft_settings"]
    assert settings == trajectory.base.attributes.get("dft_settings")
    assert settings["functional"] == "PBE"
    assert settings["k_points"] == {"mesh": [2, 2, 2], "offset": [0.5, 0.5, 0.5]}
    assert (settings["ecutwfc_ry"], settings["degauss_ry"]) == (12.0, 0.02)
    assert settings["pseudopotentials"] == {
        "Li": {"file": "Li.pbe-nc1e.UPF", "md5": pseudos["Li"].md5},
        "Si": {"file": "Si.pbe-nc.UPF", "md5": pseudos["Si"].md5sum},
    }


def test_an_scf_that_fails_inside_the_run(
    segment: Any, kpoints: orm.KpointsData, pseudos: dict[str, Any]
) -> None:
    assert "convergence NOT achieved" in stdout("scf_failed")
    failed = segment("scf_failed")
    # aiida-quantumespresso sees nothing wrong
    assert failed["exit_status"] == 0
    assert whole_frames(failed["trajectory"]) == 1
    outputs = joined([segment("segment_0"), failed], kpoints, pseudos)
    trajectory = outputs["trajectory"]
    assert len(trajectory.get_positions()) == 4
    assert np.isfinite(trajectory.get_array("temperature_k")).all()
    assert {len(trajectory.get_array(name)) for name in trajectory.get_arraynames()
            if name != "symbols"} == {4}  # fmt: skip


def test_a_killed_segment_shows_the_frames_of_the_one_before(
    segment: Any, kpoints: orm.KpointsData, pseudos: dict[str, Any]
) -> None:
    killed = segment("killed")
    # three frames, all of them segment 0's: its XML file was copied, and never written anew
    assert len(killed["trajectory"].get_positions()) == 3
    assert whole_frames(killed["trajectory"]) == 0
    outputs = joined([segment("segment_0"), killed], kpoints, pseudos)
    assert len(outputs["trajectory"].get_positions()) == 3


def test_frames_without_energies_do_not_count(aiida_profile: Any) -> None:
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=["Li"], positions=np.zeros((4, 1, 3)), cells=np.tile(np.eye(3), (4, 1, 1)),
        pbc=(True, True, True),
    )  # fmt: skip
    assert whole_frames(trajectory) == 0
    trajectory.set_array("energy", np.zeros(3))
    trajectory.set_array("forces", np.zeros((4, 1, 3)))
    assert whole_frames(trajectory) == 3
    trajectory.set_array("stress", np.zeros((2, 3, 3)))
    assert whole_frames(trajectory) == 2
    assert whole_frames(trajectory, "!    total energy\n") == 1


def test_settings_of_a_list_of_kpoints(aiida_profile: Any) -> None:
    kpoints = orm.KpointsData()
    kpoints.set_kpoints([[0.25, 0.25, 0.25]], weights=[1.0])
    found = dft_settings({"SYSTEM": {"ecutwfc": 12.0}}, kpoints, {})
    assert found["k_points"] == {"list": [[0.25, 0.25, 0.25]]}
    assert (found["ecutrho_ry"], found["functional"]) == (48.0, None)
