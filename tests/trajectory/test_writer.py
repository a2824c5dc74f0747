import os
import signal

import h5py
import numpy as np
import pytest

from aiida_limsm.trajectory.formats import convert_to_h5md
from aiida_limsm.trajectory.h5md import Trajectory
from aiida_limsm.trajectory.writer import FLUSH_BYTES, H5mdFile

NUMBERS = [3, 3, 3, 14]


def write(path, x, cell, **options):
    file = H5mdFile(path, NUMBERS, cell, 0.02, **options)
    file.append(x, 10 * np.arange(len(x)), np.full(len(x), 700.0), np.arange(len(x)))
    file.close()


def everything(trajectory):
    return np.concatenate(list(trajectory.iter_blocks()))


def test_what_is_written_is_read(tmp_path, walk, triclinic):
    x = walk(3000).astype(np.float32)
    write(tmp_path / "md.h5", x, triclinic)
    with Trajectory(tmp_path / "md.h5") as trajectory:
        np.testing.assert_array_equal(everything(trajectory), x)
        np.testing.assert_array_equal(trajectory.cell, triclinic)
        np.testing.assert_array_equal(trajectory.steps, 10 * np.arange(3000))
        np.testing.assert_allclose(trajectory.times_ps, 0.02 * np.arange(3000))
        np.testing.assert_array_equal(trajectory.potential_energy, np.arange(3000))
        assert trajectory.mean_temperature_k(17) == pytest.approx(700)
        assert trajectory.symbols == ["Li", "Li", "Li", "Si"]
        assert (trajectory.n_frames, trajectory.n_atoms) == (3000, 4)
        assert (trajectory.frame_interval_ps, trajectory.warnings) == (0.02, ())
        assert trajectory.cell_changes_at is None
        np.testing.assert_array_equal(trajectory.frame(-1), x[-1])
        atoms = trajectory.to_ase(5)
        np.testing.assert_array_equal(atoms.positions, x[5])
        with pytest.raises(IndexError):
            trajectory.frame(3000)


@pytest.mark.parametrize("memory_mb", [1e-6, 0.01, 1.0])
def test_blocks_of_any_size_are_the_same_frames(tmp_path, walk, triclinic, memory_mb):
    x = walk(1500).astype(np.float32)
    write(tmp_path / "md.h5", x, triclinic)
    with Trajectory(tmp_path / "md.h5") as trajectory:
        blocks = list(trajectory.iter_blocks(memory_mb, start=30, stop=1400))
        np.testing.assert_array_equal(np.concatenate(blocks), x[30:1400])
        most = max(1, int(memory_mb * 1e6 / 48))
        assert max(len(block) for block in blocks) <= most
        chosen = np.concatenate(list(trajectory.iter_positions([2, 0], memory_mb, 1, 9)))
        np.testing.assert_array_equal(chosen, x[1:9, [2, 0]])


def test_optional_fields_and_a_cell_per_frame(tmp_path, walk, triclinic):
    x = walk(10)
    cells = triclinic * (1 + 0.001 * np.arange(10))[:, None, None]
    file = H5mdFile(
        tmp_path / "md.h5", NUMBERS, None, 0.02, fields=("velocity", "forces", "stress")
    )
    with pytest.raises(ValueError, match="give cells"):
        file.append(x, np.arange(10))
    with pytest.raises(ValueError, match=r"forces: shape \(10, 4, 3\) wanted"):
        file.append(x, np.arange(10), cells=cells, forces=np.zeros((10, 3)))
    file.append(x, np.arange(10), cells=cells, velocities=-x, forces=2 * x, stresses=cells)
    file.close()
    with h5py.File(tmp_path / "md.h5") as raw:
        np.testing.assert_allclose(raw["particles/all/forces/value"], 2 * x, rtol=1e-6)
        np.testing.assert_allclose(raw["particles/all/velocity/value"], -x, rtol=1e-6)
        np.testing.assert_allclose(raw["observables/stress/value"], cells)
        assert np.isnan(raw["observables/temperature/value"][()]).all()
    with Trajectory(tmp_path / "md.h5") as trajectory:
        assert trajectory.cell_changes_at == 1
        assert trajectory.mean_temperature_k() is None
    with pytest.raises(ValueError, match="charge is none of"):
        H5mdFile(tmp_path / "no.h5", NUMBERS, triclinic, 0.02, fields=("charge",))


@pytest.mark.parametrize("parts", [[2500], [1, 999, 1500], [700] * 3 + [400]])
def test_the_same_frames_give_the_same_file(tmp_path, walk, triclinic, parts):
    """However they were appended, and in however many sittings: content decides the hash."""
    x = walk(2500)
    write(tmp_path / "whole.h5", x, triclinic)
    done = 0
    file = H5mdFile(tmp_path / "parts.h5", NUMBERS, triclinic, 0.02)
    for part in parts:
        rows = np.arange(done, done + part)
        file.append(x[rows], 10 * rows, np.full(part, 700.0), rows)
        done += part
    file.close()
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "parts.h5").read_bytes()


def test_append_after_a_restart(tmp_path, walk, triclinic):
    x = walk(2500).astype(np.float32)
    write(tmp_path / "md.h5", x[:1100], triclinic)
    file = H5mdFile.append_to(tmp_path / "md.h5")
    assert file.n_frames == 1100
    rows = np.arange(1100, 2500)
    file.append(x[rows], 10 * rows, np.full(1400, 700.0), rows)
    file.close()
    with Trajectory(tmp_path / "md.h5") as trajectory:
        np.testing.assert_array_equal(everything(trajectory), x)
        np.testing.assert_allclose(trajectory.times_ps, 0.02 * np.arange(2500))
        np.testing.assert_array_equal(trajectory.steps, 10 * np.arange(2500))


def killed_while(write_frames):
    """Run in a process that ends by SIGKILL, as a node that fails does."""
    child = os.fork()
    if child == 0:
        file = write_frames()  # held: HDF5 closes what nobody refers to
        assert file.n_frames
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_frames_survive_a_kill_and_can_be_saved(tmp_path, triclinic):
    """A file of a killed writer holds all but the last bytes; `limsm convert` makes it whole."""
    x = np.random.default_rng(0).normal(size=(400, 20000, 3)).astype(np.float32)

    def work():
        file = H5mdFile(tmp_path / "md.h5", [3] * 20000, 50 * np.eye(3), 0.02)
        for begin in range(0, 400, 10):
            file.append(x[begin : begin + 10], np.arange(begin, begin + 10))
        return file

    killed_while(work)
    with Trajectory(tmp_path / "md.h5") as trajectory:
        (warning,) = trajectory.warnings
        assert "was not closed" in warning
        assert f"the {trajectory.n_frames} frames written so far" in warning
        lost = (400 - trajectory.n_frames) * x[0].nbytes
        assert lost <= FLUSH_BYTES + 10 * x[0].nbytes
        np.testing.assert_array_equal(everything(trajectory), x[: trajectory.n_frames])
    with pytest.raises(ValueError, match=r"limsm convert md\.h5 new\.h5"):
        H5mdFile.append_to(tmp_path / "md.h5")
    saved = convert_to_h5md(tmp_path / "md.h5", tmp_path / "saved.h5")
    file = H5mdFile.append_to(tmp_path / "saved.h5")
    assert file.n_frames == saved.frames
    file.close()


def test_a_kill_while_appending_costs_no_earlier_frame(tmp_path, walk, triclinic):
    x = walk(1300).astype(np.float32)
    write(tmp_path / "md.h5", x, triclinic)

    def work():
        file = H5mdFile.append_to(tmp_path / "md.h5")
        file.append(walk(900), np.arange(900))
        return file

    killed_while(work)
    with Trajectory(tmp_path / "md.h5") as trajectory:
        np.testing.assert_array_equal(everything(trajectory)[:1300], x)


def test_a_file_can_be_read_while_it_is_written(tmp_path, walk, triclinic):
    x = walk(1500).astype(np.float32)
    file = H5mdFile(tmp_path / "md.h5", NUMBERS, triclinic, 0.02)
    file.append(x[:1000], np.arange(1000))
    file.flush()
    with Trajectory(tmp_path / "md.h5") as trajectory:
        np.testing.assert_array_equal(everything(trajectory), x[:1000])
    file.append(x[1000:], np.arange(1000, 1500))
    file.close()
    with Trajectory(tmp_path / "md.h5") as trajectory:
        np.testing.assert_array_equal(everything(trajectory), x)


def test_appending_to_another_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not written by this version"):
        H5mdFile.append_to(tmp_path / "other.h5")


def test_mdanalysis_reads_it(tmp_path, walk, triclinic):
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_vectors

    x = walk(1200)
    write(tmp_path / "md.h5", x, triclinic, fields=("velocity", "forces"))
    universe = MDAnalysis.Universe.empty(4, trajectory=True)
    universe.load_new(str(tmp_path / "md.h5"), format="H5MD")
    assert universe.trajectory.n_frames == 1200
    for frame in (0, 700, 1199):
        step = universe.trajectory[frame]
        np.testing.assert_allclose(step.positions, x[frame], atol=1e-5)
        np.testing.assert_allclose(triclinic_vectors(step.dimensions), triclinic, atol=1e-5)
        assert step.time == pytest.approx(0.02 * frame)
        assert step.data["temperature"] == 700.0


def test_znh5md_reads_it(tmp_path, walk, triclinic):
    import znh5md

    x = walk(1200)
    write(tmp_path / "md.h5", x, triclinic)
    frames = znh5md.IO(str(tmp_path / "md.h5"))[[0, 700, 1199]]
    for atoms, frame in zip(frames, (0, 700, 1199), strict=True):
        np.testing.assert_allclose(atoms.positions, x[frame], atol=1e-5)
        np.testing.assert_allclose(atoms.cell.array, triclinic)
        assert atoms.get_chemical_symbols() == ["Li", "Li", "Li", "Si"]
        assert atoms.pbc.all()
