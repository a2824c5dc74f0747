"""The job `limsm compare`: real trajectories of several formats, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.compare import run_compare
from aiida_limsm.compute.compare_file import THZ_TO_CM1, read_curves
from aiida_limsm.compute.compare_models import CompareInput, CompareResults
from aiida_limsm.trajectory.h5md import H5mdFile, Trajectory

EXAMPLE = Path(__file__).parents[2] / "examples/li3si/md.h5"
PAIRS = ["Li-Li", "Li-Si", "Si-Si"]


def compare(folder: Path, *files: Any, **changes: Any) -> CompareResults:
    job = CompareInput(trajectory_files=tuple(str(file) for file in files), **changes)
    return run_compare(job, folder, lambda line: None)


def refused(folder: Path, *files: Any, **changes: Any) -> str:
    with pytest.raises(JobError) as caught:
        compare(folder, *files, **changes)
    assert caught.value.status is Status.TRAJECTORY_UNUSABLE
    assert "\n" not in caught.value.message
    assert not list(folder.glob("comparison.h5*"))
    assert not list(folder.glob("frames-*"))
    return caught.value.message


@pytest.fixture
def aimd(tmp_path: Path, aimd_frames: list[Any]) -> Path:
    import ase.io

    ase.io.write(tmp_path / "aimd.xyz", aimd_frames)
    return tmp_path / "aimd.xyz"


def vibrating(seed: int, frames: int, frequency_thz: float, interval_ps: float) -> Any:
    """D0₃ Li3Si whose atoms vibrate at one frequency: positions and velocities."""
    from aiida_limsm.atomistic.crystals import li3si

    atoms = li3si()
    rng = np.random.default_rng(seed)
    omega = 2 * np.pi * frequency_thz
    phase = omega * interval_ps * np.arange(frames)[:, None, None]
    phase = phase + rng.uniform(0, 2 * np.pi, atoms.positions.shape)
    positions = atoms.positions + 0.1 * np.sin(phase)
    return atoms, positions, 0.1 * omega * np.cos(phase)


def write_vibrating(
    path: Path, seed: int, frequency_thz: float = 8.0, velocities: bool = True, **changes: Any
) -> Path:
    interval = changes.get("interval_ps", 0.01)
    frames = changes.get("frames", 800)
    atoms, positions, speed = vibrating(seed, frames, frequency_thz, interval)
    fields = ("velocity",) if velocities else ()
    with H5mdFile(path, atoms.numbers, atoms.cell.array, interval, fields=fields) as file:
        file.append(
            positions, np.arange(frames), np.full(frames, 300.0),
            velocities=speed if velocities else None,
        )  # fmt: skip
    return path


def test_two_real_trajectories(tmp_path: Path, aimd: Path) -> None:
    found = compare(tmp_path, aimd, EXAMPLE, labels=("AIMD", "MLFF"))
    assert found.status is Status.FINISHED
    assert found.message == "2 trajectories, 1 comparison"
    first, second = found.sources
    assert (first.label, first.frames, first.duration_ps) == ("AIMD", 16, None)
    assert first.no_vdos == "aimd.xyz holds no times: give its frame interval (--frame-interval-fs)"
    assert first.atoms_per_angstrom3 == pytest.approx(second.atoms_per_angstrom3, rel=1e-3)
    assert second.vdos_from == "positions"
    # of two trajectories one has a spectrum: nothing to compare
    assert [(o.quantity, o.name) for o in found.overlaps] == [("rdf", pair) for pair in PAIRS]
    for entry in found.overlaps:
        assert 0.5 < entry.overlap < 1
        assert 0 < entry.overlap_error < 0.2
        assert (entry.first, entry.second) == ("AIMD", "MLFF")
    assert 2.4 < second.highest_peaks["Li-Si"].r_angstrom < 2.9
    assert 0.9 < second.rdf_halves["Si-Si"] < 1
    assert found.warnings[0].startswith("no vibrational density of states: aimd.xyz holds no times")
    assert "AIMD: beyond 3.06 Å, half its cell, atoms see periodic images" in found.warnings
    rdf, vdos = read_curves(tmp_path / "comparison.h5")
    assert vdos is not None
    assert (list(rdf.curves), list(vdos.curves)) == (["AIMD", "MLFF"], ["MLFF"])
    curve = rdf.curves["MLFF"]["Li-Si"]
    assert curve.coordination is not None
    # fourteen Li around every Si of D0₃ Li3Si, one place in twelve empty; 44 Li and 16 Si
    around_li = curve.coordination[np.searchsorted(rdf.x, 3.6)]
    assert around_li == pytest.approx(14 * 11 / 12 * 16 / 44, rel=0.1)
    assert vdos.curves["MLFF"]["all"].value.sum() * vdos.x[1] == pytest.approx(1.0)
    # light atoms vibrate faster
    means = {n: (vdos.x * vdos.curves["MLFF"][n].value).sum() * vdos.x[1] for n in ("Li", "Si")}
    assert means["Li"] > 1.2 * means["Si"]


def test_a_known_vibration_from_velocities_positions_and_other_formats(tmp_path: Path) -> None:
    from ase.io import write
    from ase.units import fs

    stored = write_vibrating(tmp_path / "stored.h5", 1)
    bare = write_vibrating(tmp_path / "bare.h5", 1, velocities=False)
    atoms, positions, speed = vibrating(1, 800, 8.0, 0.01)
    images = []
    for x, v in zip(positions, speed, strict=True):
        image = atoms.copy()
        image.positions = x
        image.set_velocities(v / (1000 * fs))
        image.wrap()
        images.append(image)
    write(tmp_path / "frames.traj", images)
    write(tmp_path / "XDATCAR", images, format="vasp-xdatcar")
    found = compare(
        tmp_path, stored, bare, tmp_path / "frames.traj", tmp_path / "XDATCAR",
        frame_intervals_fs=(None, None, 10.0, 10.0),
    )  # fmt: skip
    assert [source.label for source in found.sources] == ["stored", "bare", "frames", "XDATCAR"]
    assert [source.vdos_from for source in found.sources] == [
        "velocities", "positions", "velocities", "positions",
    ]  # fmt: skip
    assert found.resolution_thz == pytest.approx(0.5)
    _, vdos = read_curves(tmp_path / "comparison.h5")
    assert vdos is not None
    for curves in vdos.curves.values():
        for curve in curves.values():
            assert vdos.x[curve.value.argmax()] == pytest.approx(8.0, abs=0.15)
    assert all(entry.overlap > 0.995 for entry in found.overlaps)
    assert len(found.overlaps) == 6 * (3 + 3)
    import h5py

    with h5py.File(tmp_path / "comparison.h5") as file:
        np.testing.assert_allclose(file["vdos/frequency_cm1"], vdos.x * THZ_TO_CM1)
        assert file["vdos/frequency_mev"][-1] == pytest.approx(25 * 4.135667696)
        assert file["vdos/frequency"].attrs["unit"] == "THz"
    assert not list(tmp_path.glob("frames-*"))


def test_other_vibrations_do_not_overlap(tmp_path: Path) -> None:
    slow = write_vibrating(tmp_path / "slow.h5", 1, 6.0)
    fast = write_vibrating(tmp_path / "fast.h5", 2, 9.0)
    overlaps = {
        (entry.quantity, entry.name): entry for entry in compare(tmp_path, slow, fast).overlaps
    }
    assert overlaps["vdos", "Li"].overlap < 0.05
    assert overlaps["vdos", "Li"].overlap_error < 0.02
    assert overlaps["rdf", "Li-Si"].overlap > 0.9


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    source = write_vibrating(tmp_path / "md.h5", 3)
    contents = []
    for _ in range(2):
        compare(tmp_path, source)
        contents.append((tmp_path / "comparison.h5").read_bytes())
    assert contents[0] == contents[1]


def test_skipping_and_a_cell_of_another_size(tmp_path: Path) -> None:
    source = write_vibrating(tmp_path / "md.h5", 3)
    found = compare(tmp_path, source, skip_ps=2.0)
    assert (found.sources[0].frames, found.overlaps) == (600, ())
    assert found.message == "1 trajectory, 0 comparisons"
    with Trajectory(source) as trajectory:
        larger = tmp_path / "larger.h5"
        with H5mdFile(larger, trajectory.numbers, 1.02 * trajectory.cell, 0.01) as file:
            for block in trajectory.iter_blocks():
                file.append(1.02 * block, np.arange(len(block)))
    warnings = compare(tmp_path, source, larger).warnings
    assert "larger is 5.8% less dense than md: peaks of g(r) are shifted" in warnings


def test_frames_too_far_apart_or_too_few(tmp_path: Path) -> None:
    far = write_vibrating(tmp_path / "far.h5", 1, interval_ps=0.021)
    short = write_vibrating(tmp_path / "short.h5", 1, frames=33)
    found = compare(tmp_path, far, short)
    assert [source.no_vdos for source in found.sources] == [
        "far has frames 21 fs apart, vibrations up to 25 THz need frames every ≤ 20 fs",
        "short is 0.32 ps long: 0.35 ps are needed at least",
    ]
    assert found.resolution_thz is None
    assert read_curves(tmp_path / "comparison.h5")[1] is None
    (tmp_path / "comparison.h5").unlink()
    assert "every ≤ 20 fs" in refused(tmp_path, far, vdos="required")
    assert "need frames every ≤ 3.85 fs" in refused(
        tmp_path, short, vdos="required", max_frequency_thz=130
    )
    assert compare(tmp_path, far, max_frequency_thz=20).sources[0].no_vdos == ""
    assert compare(tmp_path, far, vdos="off").sources[0].no_vdos == "not asked for"


def test_a_short_run_lowers_the_resolution_and_says_so(tmp_path: Path) -> None:
    long, short = (
        write_vibrating(tmp_path / f"{name}.h5", 1, frames=frames)
        for name, frames in (("long", 800), ("short", 101))
    )
    found = compare(tmp_path, long, short)
    assert found.resolution_thz == pytest.approx(2.88)
    assert found.warnings[0] == (
        "the density of states is resolved to 2.9 THz, not 0.5: short is 1 ps long, 5.8 ps are "
        "needed"
    )


def test_fast_vibrations_that_fold_are_told(tmp_path: Path) -> None:
    source = write_vibrating(tmp_path / "md.h5", 1, 24.5, interval_ps=0.02)
    (warning,) = [text for text in compare(tmp_path, source).warnings if "folded" in text]
    assert warning.endswith("faster vibrations may be folded into it: write frames more often")


def test_refusals(tmp_path: Path, aimd: Path) -> None:
    import ase.io

    assert refused(tmp_path, "none.h5") == f"{tmp_path}/none.h5 does not exist"
    assert "is a folder" in refused(tmp_path, ".")
    assert "given twice" in refused(tmp_path, aimd, aimd)
    assert "holds no times: skip_ps needs" in refused(tmp_path, aimd, skip_ps=0.1)
    frames = ase.io.read(aimd, index=":")
    for frame in frames:
        frame.symbols[0] = "Na"
    ase.io.write(tmp_path / "na.xyz", frames)
    assert refused(tmp_path, aimd, "na.xyz") == (
        "na holds Li, Na, Si, aimd Li, Si: compare trajectories of the same elements"
    )
    frames[3].set_cell(frames[3].cell * 1.01)
    ase.io.write(tmp_path / "npt.xyz", frames)
    assert "the cell changes at frame 3" in refused(tmp_path, "npt.xyz")
    broken = tmp_path / "broken.h5"
    positions = np.zeros((3, 2, 3))
    positions[1] = np.nan
    with H5mdFile(broken, [3, 14], np.eye(3) * 5, 0.01) as file:
        file.append(positions, np.arange(3))
    assert "broken.h5: positions of some frames are not finite" in refused(tmp_path, broken)
    assert "choose between 2 and" in refused(tmp_path, aimd, bin_width_angstrom=8.0)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": ("a",)}, "give 2, one per trajectory, not 1"),
        ({"labels": ("a", "a")}, "each must be another"),
        ({"labels": ("a/b", "c")}, "String should match pattern"),
        ({"frame_intervals_fs": (1.0, 2.0, 3.0)}, "give one, or 2, one per trajectory, not 3"),
        ({"trajectory_files": ()}, "at least 1 item"),
    ],
)
def test_inputs_that_make_no_sense(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        CompareInput(**{"trajectory_files": ("a.h5", "b.h5"), **changes})


def test_a_file_that_holds_no_curves(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("none")
    with pytest.raises(ValueError, match="holds no curves of limsm compare"):
        read_curves(tmp_path / "x.h5")
