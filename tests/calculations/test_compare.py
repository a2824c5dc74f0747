"""The CalcJob `limsm.compare`: what it writes, and what it refuses before a job exists."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_limsm.calculations.compare import CompareCalculation, _write_h5md
from aiida_limsm.compute.compare import run_compare
from aiida_limsm.compute.compare_file import read_curves
from aiida_limsm.compute.compare_models import CompareInput
from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.trajectory.h5md import Trajectory

FRAMES = Path(__file__).parents[1] / "data_files" / "li11si4_aimd_16.xyz"
COMMON = ["results.json", "limsm.log", "stdout.txt", "stderr.txt"]
Prepare = Callable[..., Any]
Refuse = Callable[..., str]


def trajectory_data(**changes: Any) -> orm.TrajectoryData:
    """Real AIMD frames as `limsm.aimd` keeps them."""
    import ase.io

    frames = ase.io.read(FRAMES, index=":")
    positions = np.array([frame.positions for frame in frames])
    arrays = {
        "symbols": frames[0].get_chemical_symbols(),
        "positions": positions,
        "cells": np.array([frame.cell.array for frame in frames]),
        "times": 0.0024188843 * np.arange(len(frames)),
        "velocities": np.gradient(positions, 0.0024188843, axis=0),
        **changes,
    }
    node = orm.TrajectoryData()
    node.set_trajectory(**{key: value for key, value in arrays.items() if value is not None})
    node.set_array("temperature_k", np.full(len(frames), 650.0))
    return node


@pytest.fixture
def md(aiida_profile: Any, h5md_file: Path) -> MolecularDynamicsData:
    return MolecularDynamicsData.from_file(h5md_file).store()


@pytest.fixture
def inputs(code: orm.Code, md: MolecularDynamicsData) -> dict[str, Any]:
    return {"code": code, "trajectories": {"mlff": md, "aimd": trajectory_data()}}


@pytest.fixture
def prepared_folder(inputs: dict[str, Any], tmp_path: Path) -> Path:
    """What `prepare_for_submission` wrote."""
    from aiida.common.folders import SandboxFolder
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    process = instantiate_process(get_manager().get_runner(), CompareCalculation, **inputs)
    target = tmp_path / "job"
    target.mkdir()
    with SandboxFolder() as folder:
        info = process.prepare_for_submission(folder)
        for name in folder.get_content_list():
            (target / name).write_bytes(Path(folder.get_abs_path(name)).read_bytes())
    assert info.codes_info[0].cmdline_params == ["compare", "input.json"]
    assert info.retrieve_list == [*COMMON, "comparison.h5"]
    assert [entry[2] for entry in info.local_copy_list] == ["mlff.h5"]
    return target


def test_a_trajectory_data_becomes_h5md(prepared_folder: Path) -> None:
    assert sorted(path.name for path in prepared_folder.iterdir()) == ["aimd.h5", "input.json"]
    job = CompareInput.model_validate_json((prepared_folder / "input.json").read_bytes())
    assert job == CompareInput(trajectory_files=("aimd.h5", "mlff.h5"), labels=("aimd", "mlff"))
    node = trajectory_data()
    with Trajectory(prepared_folder / "aimd.h5") as found:
        assert found.symbols == node.symbols
        assert found.frame_interval_ps == pytest.approx(0.0024188843)
        assert found.mean_temperature_k() == 650.0
        np.testing.assert_allclose(found.cell, node.get_array("cells")[0])
        blocks = list(found.iter_blocks())
        np.testing.assert_allclose(np.concatenate(blocks), node.get_array("positions"), atol=1e-6)
        assert found.has_velocities
        moves = np.concatenate(list(found.iter_velocities()))
        np.testing.assert_allclose(moves, node.get_array("velocities"), rtol=1e-5, atol=1e-5)


def test_the_job_runs_on_what_was_written(prepared_folder: Path, md: MolecularDynamicsData) -> None:
    with md.as_path() as path:
        (prepared_folder / "mlff.h5").write_bytes(path.read_bytes())
    job = CompareInput.model_validate_json((prepared_folder / "input.json").read_bytes())
    found = run_compare(job, prepared_folder, lambda line: None)
    assert [source.label for source in found.sources] == ["aimd", "mlff"]
    assert [entry.name for entry in found.overlaps] == ["Li-Li", "Li-Si"]  # there is one Si in md


def test_equal_nodes_are_equal_files(aiida_profile: Any, tmp_path: Path) -> None:
    contents = []
    for name in ("a.h5", "b.h5"):
        _write_h5md("aimd", trajectory_data(), tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_refusals(refuse: Refuse, inputs: dict[str, Any], code: orm.Code) -> None:
    def refused(**trajectories: Any) -> str:
        line = refuse(CompareCalculation, code=code, trajectories=trajectories)
        return line.removeprefix("compare: ")

    assert refused() == "trajectories: give at least one"
    times = 0.001 * np.arange(16.0) ** 2
    assert "aimd: frames are not evenly spaced" in refused(aimd=trajectory_data(times=times))
    assert "aimd holds no times" in refused(aimd=trajectory_data(times=None, velocities=None))
    cells = np.array([np.eye(3) * (6 + 0.01 * k) for k in range(16)])
    assert "aimd: the cell changes" in refused(aimd=trajectory_data(cells=cells))
    assert "aimd holds no cells" in refused(aimd=trajectory_data(cells=None))
    symbols = ["Na"] * 15
    assert refused(a=trajectory_data(), b=trajectory_data(symbols=symbols)) == (
        "trajectories.b holds Na, trajectories.a Li, Si: compare trajectories of the same elements"
    )
    inputs["parameters"] = orm.Dict({"labels": ["x"]})
    assert "labels come from other inputs" in refuse(CompareCalculation, **inputs)
    inputs["parameters"] = orm.Dict({"vdos": "maybe"})
    assert refuse(CompareCalculation, **inputs).startswith("compare: vdos: Input should be 'auto'")


def test_a_trajectory_that_stayed(
    prepare: Prepare, refuse: Refuse, inputs: dict[str, Any], remote: Any, aiida_computer_local: Any
) -> None:
    def stayed(where: orm.RemoteData) -> MolecularDynamicsData:
        return MolecularDynamicsData.from_remote(
            where, "trajectory.h5", sha256="0" * 64, symbols=["Li"] * 3 + ["Si"], n_frames=1000,
            cell_angstrom=np.eye(3) * 6, frame_interval_ps=0.02,
        ).store()  # fmt: skip

    made = prepare(CompareCalculation, code=inputs["code"], trajectories={"a": stayed(remote)})
    path = f"{remote.get_remote_path()}/trajectory.h5"
    assert made.calcinfo.remote_symlink_list == [(remote.computer.uuid, path, "a.h5")]
    other = orm.RemoteData(computer=aiida_computer_local(label="elsewhere"), remote_path="/tmp/x")
    inputs["trajectories"]["mlff"] = stayed(other)
    assert refuse(CompareCalculation, **inputs) == (
        "compare: trajectories.mlff lies on elsewhere: use a limsm code of that computer"
    )


@pytest.mark.slow
def test_a_real_job(
    aiida_code_installed: Any, aiida_localhost: Any, inputs: dict[str, Any], tmp_path: Path
) -> None:
    """AIMD with velocities beside MLFF through the daemonless engine, and what comes back."""
    from aiida.engine import run_get_node

    inputs["code"] = aiida_code_installed(
        default_calc_job_plugin="limsm.compare",
        computer=aiida_localhost,
        filepath_executable=str(Path(sys.executable).with_name("limsm")),
    )
    inputs["parameters"] = orm.Dict({"r_max_angstrom": 5.0})
    outputs, node = run_get_node(CompareCalculation, **inputs)
    assert node.is_finished_ok, node.exit_message
    found = outputs["output_parameters"].get_dict()
    assert [source["label"] for source in found["sources"]] == ["aimd", "mlff"]
    assert found["sources"][0]["temperature_k"] == pytest.approx(650.0)
    assert {entry["name"] for entry in found["overlaps"]} == {"Li-Li", "Li-Si"}
    path = tmp_path / "comparison.h5"
    path.write_bytes(outputs["curves"].get_content("rb"))
    rdf, _ = read_curves(path)
    assert rdf.x[-1] == pytest.approx(4.975)
    assert set(rdf.curves["aimd"]) == {"Li-Li", "Li-Si", "Si-Si"}
