"""`limsm md` with the real demo model on 15 atoms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md
from aiida_limsm.compute.results import MdResults

MakeFolder = Callable[..., Path]
Compare = Callable[[Path, Path], None]
INPUT = {
    "temperature_k": 700.0,
    "steps": 12,
    "equilibration_steps": 5,
    "frame_interval_steps": 2,
    "checkpoint_interval_steps": 4,
    "seed": 3,
}


def run(folder: Path, **changes: Any) -> MdResults:
    return run_md(MdInput(**{**INPUT, **changes}), folder, lambda line: None)


def refused(folder: Path, **changes: Any) -> str:
    with pytest.raises(JobError) as caught:
        run(folder, **changes)
    assert caught.value.status is Status.INVALID_INPUT
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_run_finishes(make_md_folder: MakeFolder, assert_same_run: Compare) -> None:
    from aiida_limsm.files import sha256_of
    from aiida_limsm.trajectory.h5md import Trajectory

    folder = make_md_folder()
    lines: list[str] = []
    results = run_md(MdInput(**INPUT), folder, lines.append)
    assert (results.status, results.message) == (Status.FINISHED, "12 steps done")
    assert (results.frames, results.steps_done, results.restarts) == (7, 12, 0)
    assert results.frame_interval_ps == pytest.approx(0.004)
    assert results.trajectory_sha256 == sha256_of(folder / "trajectory.h5")
    with Trajectory(folder / "trajectory.h5") as trajectory:
        assert trajectory.n_frames == 7
        assert trajectory.steps.tolist() == list(range(0, 14, 2))
        assert trajectory.symbols == ["Li"] * 11 + ["Si"] * 4
        assert results.mean_temperature_k == pytest.approx(trajectory.temperature_k.mean())
        assert results.std_temperature_k == pytest.approx(trajectory.temperature_k.std())
    assert lines[-1].startswith("step 17/17  ")
    (one,) = results.runs
    assert one.trajectory_sha256 == results.trajectory_sha256
    assert one.mean_volume_angstrom3 == pytest.approx(6.12**3)
    np.testing.assert_allclose(one.mean_cell_angstrom, 6.12 * np.eye(3), atol=1e-12)
    assert 0.1 < results.force_share < 1.0
    table = np.genfromtxt(folder / "thermo.csv", delimiter=",", names=True)
    assert table["step"].tolist() == [-4, -2, *range(0, 14, 2)]
    time_ns, energies = table["time_ps"][2:] / 1000, table["conserved_energy_ev"][2:] / 15
    slope = np.polyfit(time_ns, energies - energies[0], 1)[0]
    assert one.conserved_drift_ev_per_atom_ns == pytest.approx(slope, rel=1e-2)
    assert table["temperature_k"][2:].mean() == pytest.approx(results.mean_temperature_k)

    # more steps of the same folder go on where it ended
    more = run(folder, steps=16)
    assert (more.frames, more.steps_done, more.restarts) == (9, 16, 1)
    whole = make_md_folder("whole")
    run(whole, steps=16)
    assert_same_run(folder, whole)


def test_pieces_equal_the_whole(make_md_folder: MakeFolder, assert_same_run: Compare) -> None:
    whole, pieces = make_md_folder("whole"), make_md_folder("pieces")
    run(whole)
    stops = []
    while (results := run(pieces, max_seconds=1e-6)).status is Status.OUT_OF_WALLTIME:
        stops.append(results.steps_done)
        assert results.trajectory_file is None
        assert results.message.startswith("stopped by max_seconds (1e-06 s) at step ")
    assert stops == [0, 0, 0, 2, 4, 6, 8, 10]  # three stops in the equilibration
    assert results.restarts == len(stops)
    assert_same_run(whole, pieces)


def test_frames_after_the_checkpoint_are_redone(
    make_md_folder: MakeFolder, assert_same_run: Compare
) -> None:
    whole, killed = make_md_folder("whole"), make_md_folder("killed")
    run(whole)
    run(killed, max_seconds=1e-6)
    saved = (killed / "checkpoint.npz").read_bytes()
    run(killed)
    # as if the process had died after writing frames and before writing their checkpoint
    (killed / "checkpoint.npz").write_bytes(saved)
    (killed / "trajectory.h5").unlink()
    run(killed)
    assert_same_run(whole, killed)
    # and as if it had died before the first checkpoint
    (killed / "checkpoint.npz").unlink()
    run(killed)
    assert_same_run(whole, killed)


def test_missing_and_unreadable_files(make_md_folder: MakeFolder) -> None:
    folder = make_md_folder()
    (folder / "structure.extxyz").write_text("nonsense\n")
    assert "structure.extxyz cannot be read" in refused(folder)
    (folder / "structure.extxyz").unlink()
    assert refused(folder) == f"{folder}/structure.extxyz does not exist"
    (folder / "potential.model").unlink()
    assert refused(folder) == f"{folder}/potential.model does not exist"
    assert not (folder / "segments").exists()


def test_element_and_head_that_the_potential_lacks(make_md_folder: MakeFolder) -> None:
    from ase import Atoms

    salt = make_md_folder("salt", Atoms("NaLi", [[0, 0, 0], [2.8, 0, 0]], cell=[5.6] * 3, pbc=True))
    assert refused(salt) == (
        "the potential knows Li, Si but the structure holds Na: use a potential trained with Na"
    )
    assert refused(make_md_folder("head"), head="dft").startswith("the potential has no head 'dft'")
    text = make_md_folder("text")
    (text / "potential.model").write_text("no model")
    assert "cannot be loaded as a MACE model" in refused(text)


def test_checkpoints_that_do_not_belong(make_md_folder: MakeFolder) -> None:
    import ase.io

    from aiida_limsm.atomistic.crystals import li3si

    folder = make_md_folder()
    run(folder, max_seconds=1e-6)
    before = sorted((folder / "segments").iterdir())
    for change in ({"temperature_k": 600.0}, {"time_step_fs": 1.0}, {"seed": 4}):
        assert refused(folder, **change) == (
            f"checkpoint.npz is of a run with another {next(iter(change))}: use another folder, or "
            "remove it and 'segments' to start anew"
        )
    ase.io.write(folder / "structure.extxyz", li3si())
    assert "is of a run with another structure" in refused(folder)
    checkpoint = folder / "checkpoint.npz"
    content = checkpoint.read_bytes()
    for damage in (b"", content[: len(content) // 2], b"not a checkpoint", b"PK\x03\x04damaged"):
        checkpoint.write_bytes(damage)
        assert (
            refused(folder) == f"{checkpoint} is not a readable checkpoint: remove it to start anew"
        )
    assert sorted((folder / "segments").iterdir()) == before


@pytest.mark.parametrize(
    ("changes", "status", "line"),
    [
        ({"max_force_ev_per_angstrom": 0.8}, Status.FORCES_EXPLODED, "a force of"),
        ({"max_temperature_factor": 1.4, "friction_per_ps": 100.0},
         Status.TEMPERATURE_RUNAWAY, "exceeds 980 K"),
        ({"min_temperature_factor": 0.9, "thermostat": "nve"}, Status.TEMPERATURE_RUNAWAY, "below"),
        ({"min_distance_fraction": 0.97}, Status.ATOMS_TOO_CLOSE, "Å apart"),
        ({"max_framework_msd_angstrom2": 1e-9}, Status.FRAMEWORK_UNSTABLE, "the framework moved"),
    ],
)  # fmt: skip
def test_guards_stop_the_run(
    make_md_folder: MakeFolder, changes: dict[str, Any], status: Status, line: str
) -> None:
    folder = make_md_folder()
    results = run(folder, **{"equilibration_steps": 0, "steps": 200, **changes})
    assert results.status is status
    assert line in results.message
    assert "\n" not in results.message
    # the frame of step 0 was good and is kept
    assert results.frames >= 1
    assert results.trajectory_file == "trajectory.h5"
    assert (folder / "trajectory.h5").is_file()


def test_a_structure_that_is_off_limits_is_not_begun(make_md_folder: MakeFolder) -> None:
    results = run(make_md_folder(), equilibration_steps=0, min_distance_angstrom=2.9)
    assert results.status is Status.ATOMS_TOO_CLOSE
    assert results.message.startswith("step 0: ")
    assert (results.frames, results.trajectory_file) == (0, None)


def test_a_committee_that_disagrees(make_md_folder: MakeFolder, demo_model: Path) -> None:
    import torch

    from aiida_limsm.atomistic.potential import load_model

    folder = make_md_folder()
    model = load_model(demo_model)
    with torch.no_grad():
        model.scale_shift.scale *= 1.2
    torch.save(model, folder / "other.model")
    changes = {"committee_files": ["other.model"], "committee_interval_steps": 2, "steps": 200}
    assert refused(folder, committee_files=["none.model"]) == f"{folder}/none.model does not exist"
    results = run(folder, **changes, max_committee_spread_ev_per_angstrom=0.15)
    assert results.status is Status.COMMITTEE_DISAGREES
    assert "(limit 0.15): label this structure" in results.message
    assert results.frames >= 1
    same = make_md_folder("same")
    (one,) = run(same, committee_files=["potential.model"]).runs
    # one engine with a skin and stress left out, the other as MACE has it: rounding only
    assert one.largest_committee_spread_ev_per_angstrom < 1e-5
    table = np.genfromtxt(same / "thermo.csv", delimiter=",", names=True)
    asked = np.isfinite(table["committee_spread_ev_per_angstrom"])
    assert table["step"][asked].tolist() == [0]  # every 100 steps


def test_an_absurd_time_step_is_stopped(make_md_folder: MakeFolder) -> None:
    hot = run(make_md_folder(), time_step_fs=10.0, temperature_k=5000.0, steps=200, max_seconds=60)
    assert hot.status in (
        Status.FORCES_EXPLODED, Status.TEMPERATURE_RUNAWAY, Status.ATOMS_TOO_CLOSE,
    )  # fmt: skip


def test_a_guard_in_the_equilibration_leaves_no_trajectory(make_md_folder: MakeFolder) -> None:
    results = run(make_md_folder(), min_distance_angstrom=2.9)
    assert results.status is Status.ATOMS_TOO_CLOSE
    assert (results.frames, results.trajectory_file, results.steps_done) == (0, None, 0)


def test_a_full_disk_is_said(
    make_md_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, assert_same_run: Compare
) -> None:
    from aiida_limsm.trajectory.segments import SegmentWriter

    whole, full = make_md_folder("whole"), make_md_folder("full")
    run(whole)
    flush, calls = SegmentWriter.flush, []

    def failing(self: SegmentWriter) -> None:
        calls.append(1)
        if len(calls) == 4:
            raise OSError("Can't write data (error message = 'No space left on device')")
        flush(self)

    monkeypatch.setattr(SegmentWriter, "flush", failing)
    results = run(full)
    assert results.status is Status.DISK_FULL
    assert "free some and run again" in results.message
    assert run(full).status is Status.FINISHED
    assert_same_run(whole, full)


@pytest.mark.slow
def test_pieces_of_several_runs_equal_the_whole(
    make_md_folder: MakeFolder, assert_same_run: Compare
) -> None:
    """One run is stopped by a guard on the way: the others go on, after a restart as well."""
    whole, pieces = make_md_folder("whole"), make_md_folder("pieces")
    changes = {
        "replicas": 2, "more_temperatures_k": [2500.0], "batch_size": 3, "thermostat": "csvr",
        "min_distance_fraction": 0.8, "mobile_interval_steps": 4, "frame_interval_steps": 4,
        "steps": 24,
    }  # fmt: skip
    done = run(whole, **changes)
    assert done.status is Status.ATOMS_TOO_CLOSE
    assert [one.seed for one in done.runs] == [3, 4, 5, 6]
    assert [one.temperature_k for one in done.runs] == [700.0, 700.0, 2500.0, 2500.0]
    ended = [one.status is Status.ATOMS_TOO_CLOSE for one in done.runs]
    assert ended[:2] == [False, False]
    assert ended[2]  # in a group with the first two
    assert done.runs[0].steps_done == 24 > done.runs[2].steps_done
    assert done.message.startswith(f"{sum(ended)} of 4 runs: step ")
    for one in done.runs[:2]:
        assert (whole / one.trajectory_file).is_file()
        assert (whole / one.mobile_file).is_file()
    while run(pieces, **changes, max_seconds=1e-6).status is Status.OUT_OF_WALLTIME:
        pass
    assert_same_run(whole, pieces)


def test_other_batches_are_refused(make_md_folder: MakeFolder) -> None:
    folder = make_md_folder()
    assert run(folder, replicas=2, steps=2).batch_size == 2
    assert refused(folder, replicas=2, steps=2, batch_size=1) == (
        "checkpoint-0.npz is of runs of which 2 shared a graph, not 1: set batch_size to 2"
    )


def test_replicas_are_no_copies(make_md_folder: MakeFolder) -> None:
    from aiida_limsm.trajectory.h5md import Trajectory

    folder = make_md_folder()
    results = run(folder, replicas=2)
    assert results.batch_size == 2
    frames = []
    for one in results.runs:
        with Trajectory(folder / one.trajectory_file) as trajectory:
            frames.append(trajectory.frame(-1))
    assert np.abs(frames[0] - frames[1]).max() > 0.01
    # the first is the run that the seed gives alone, up to the last digits of its forces
    alone = make_md_folder("alone")
    run(alone)
    with Trajectory(alone / "trajectory.h5") as trajectory:
        np.testing.assert_allclose(trajectory.frame(-1), frames[0], atol=1e-4)


def test_a_barostat_writes_its_cells(make_md_folder: MakeFolder) -> None:
    from aiida_limsm.trajectory.h5md import Trajectory

    folder = make_md_folder()
    results = run(folder, thermostat="nose_hoover_chain", barostat="isotropic", steps=40)
    (one,) = results.runs
    with Trajectory(folder / "trajectory.h5") as trajectory:
        volumes = np.linalg.det(trajectory.cells())
    assert np.ptp(volumes) > 0.1
    assert one.mean_volume_angstrom3 == pytest.approx(volumes.mean())
    assert one.std_volume_angstrom3 == pytest.approx(volumes.std(), rel=1e-3)
    table = np.genfromtxt(folder / "thermo.csv", delimiter=",", names=True)
    assert one.mean_pressure_gpa == pytest.approx(table["pressure_gpa"][2:].mean())


def test_mobile_ions_can_be_analysed(make_md_folder: MakeFolder) -> None:
    import ase.io

    from aiida_limsm.atomistic.crystals import li3si
    from aiida_limsm.compute.analyse import run_analyse
    from aiida_limsm.compute.inputs import AnalyseInput
    from aiida_limsm.trajectory.h5md import Trajectory

    folder = make_md_folder()
    run(folder, steps=200, frame_interval_steps=20, mobile_interval_steps=2)
    with Trajectory(folder / "mobile.h5") as mobile, Trajectory(folder / "trajectory.h5") as whole:
        assert (mobile.n_frames, whole.n_frames) == (101, 11)
        assert mobile.symbols == ["Li"] * 11
        assert mobile.framework_at_rest
        silicon = whole.frame(-1)[11:] - whole.frame(0)[11:]
        ions = whole.frame(-1)[:11] - whole.frame(0)[:11] - silicon.mean(axis=0)
        np.testing.assert_allclose(mobile.frame(-1) - mobile.frame(0), ions, atol=2e-6)
    ase.io.write(folder / "sites.extxyz", li3si())
    job = AnalyseInput(
        trajectory_files=("mobile.h5",), structure_file="sites.extxyz", bootstrap_samples=20
    )
    found = run_analyse(job, folder, lambda line: None)
    assert (found.n_ions, found.n_frames) == (11, 101)
    assert found.frame_interval_fs == pytest.approx(4.0)
    assert any("holds the mobile ions alone" in warning for warning in found.warnings)


def test_a_molecule_in_a_box_is_refused(make_md_folder: MakeFolder) -> None:
    from ase import Atoms

    folder = make_md_folder("open", Atoms("Li2", [[0, 0, 0], [0, 0, 3.0]]))
    assert refused(folder).endswith("is not periodic in three directions: give it a cell")
    one = make_md_folder("one", Atoms("Li", [[0, 0, 0]], cell=[3.0] * 3, pbc=True))
    assert "holds 1 atom(s)" in refused(one)


def test_no_gpu(make_md_folder: MakeFolder) -> None:
    import torch

    assert not torch.cuda.is_available()
    assert refused(make_md_folder(), device="cuda") == (
        "device 'cuda' was asked for but torch sees no GPU: use device 'cpu'"
    )
