"""MolecularDynamicsWorkChain with real jobs: restarts, and failures that keep their frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.files import sha256_of
from aiida_limsm.workchains.md import MolecularDynamicsWorkChain

pytestmark = pytest.mark.slow


def builder(limsm_code, crystal, foundation, **fields):
    md = {
        "steps": 60,
        "equilibration_steps": 20,
        "frame_interval_steps": 20,
        "temperature_k": 600.0,
        **fields,
    }
    return MolecularDynamicsWorkChain.get_builder_from_protocol(
        limsm_code, crystal, foundation, protocol="fast", overrides={"md": md}
    )


def test_restarted_until_complete(limsm_code, crystal, foundation):
    """A walltime of next to nothing: every job does one interval, the whole is one trajectory."""
    whole, node = run_get_node(builder(limsm_code, crystal, foundation))
    assert node.is_finished_ok, node.exit_message
    pieces, node = run_get_node(builder(limsm_code, crystal, foundation, max_seconds=1e-3))
    assert node.is_finished_ok, node.exit_message
    jobs = [n for n in node.called if isinstance(n, orm.CalcJobNode)]
    assert len(jobs) >= 3
    assert pieces["output_parameters"]["restarts"] == len(jobs) - 1
    assert pieces["trajectory"].n_frames == 4
    # bit for bit the run that was never interrupted
    assert pieces["trajectory"].sha256 == whole["trajectory"].sha256


def test_a_guard_ends_it_and_keeps_the_frames(limsm_code, crystal, foundation):
    outputs, node = run_get_node(
        builder(limsm_code, crystal, foundation, max_framework_msd_angstrom2=1e-6)
    )
    assert node.exit_status == 310
    assert "framework moved" in node.exit_message
    assert outputs["trajectory"].n_frames >= 1
    assert len([n for n in node.called if isinstance(n, orm.CalcJobNode)]) == 1


def test_a_trajectory_that_stays_where_it_was_written(limsm_code, crystal, foundation):
    inputs = builder(limsm_code, crystal, foundation, mobile_interval_steps=5)
    inputs.md.store = orm.Str("remote")
    pointed, node = run_get_node(inputs)
    assert node.is_finished_ok, node.exit_message
    for name, file, frames in (("trajectory", "trajectory.h5", 4), ("mobile", "mobile.h5", 13)):
        assert (pointed[name].storage, pointed[name].n_frames) == ("remote", frames)
        assert sha256_of(Path(pointed[name].remote_path)) == pointed[name].sha256
        assert Path(pointed[name].remote_path).name == file
    job = next(n for n in node.called if isinstance(n, orm.CalcJobNode))
    assert not [name for name in job.outputs.retrieved.list_object_names() if name.endswith(".h5")]
    assert pointed["equilibration"]["runs"][0]["rows"] == 4


def test_a_job_killed_at_its_start_is_repeated(limsm_code, computer, crystal, foundation, tmp_path):
    """A node that fails twice, not in a row, costs two jobs and nothing else."""
    program, starts = tmp_path / "failing-node", tmp_path / "starts"
    program.write_text(
        f"#!/bin/bash\necho >> {starts}\n"
        # the first job dies before its first step, the second does one interval, the third dies
        f"case $(wc -l < {starts}) in 1|3) kill -9 $$;; esac\n"
        f'exec {limsm_code.filepath_executable} "$@"\n'
    )
    program.chmod(0o755)
    whole, _ = run_get_node(builder(limsm_code, crystal, foundation))
    outputs, node = run_get_node(
        builder(make_code(computer, str(program)), crystal, foundation, max_seconds=1e-3)
    )
    assert node.is_finished_ok, node.exit_message
    jobs = sorted((n for n in node.called if isinstance(n, orm.CalcJobNode)), key=lambda n: n.pk)
    assert [job.exit_status for job in jobs[:4]] == [302, 400, 302, 400]
    assert "parent_folder" not in jobs[1].inputs
    # the fourth began where the third had begun, at the checkpoint of the second
    assert jobs[3].inputs.parent_folder == jobs[2].inputs.parent_folder
    assert jobs[3].inputs.parent_folder == jobs[1].outputs.remote_folder
    assert outputs["trajectory"].sha256 == whole["trajectory"].sha256


def test_a_job_that_never_got_on_is_not_tried_for_ever(computer, crystal, foundation):
    node = run_get_node(builder(make_code(computer, "/bin/false"), crystal, foundation)).node
    assert node.exit_status == 310
    assert "second job in a row that was killed" in node.exit_message
    jobs = [n for n in node.called if isinstance(n, orm.CalcJobNode)]
    assert [job.exit_status for job in jobs] == [302, 302]


def make_code(computer, path):
    return orm.InstalledCode(
        label=Path(path).name, computer=computer, filepath_executable=path,
        default_calc_job_plugin="limsm.md", prepend_text="export OMP_NUM_THREADS=1", with_mpi=False,
    ).store()  # fmt: skip
