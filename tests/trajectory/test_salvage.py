import h5py
import numpy as np
import pytest

from aiida_limsm.trajectory.h5md import Trajectory
from aiida_limsm.trajectory.salvage import open_cut_short, stored_size, whole_rows
from aiida_limsm.trajectory.writer import H5mdFile

FRAMES = 6000


@pytest.fixture
def whole(tmp_path, walk, triclinic):
    """Path of a file, and its frames."""
    x = walk(FRAMES, 60).astype(np.float32)
    file = H5mdFile(tmp_path / "md.h5", [3] * 60, triclinic, 0.02)
    for begin in range(0, FRAMES, 500):
        rows = np.arange(begin, begin + 500)
        file.append(x[rows], rows, np.full(500, 700.0), rows)
    file.close()
    return tmp_path / "md.h5", x


@pytest.mark.parametrize("share", [0.08, 0.3, 0.5, 0.77, 0.99, 0.9999])
def test_a_file_cut_short_is_used_as_far_as_it_is_whole(whole, share):
    path, x = whole
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with Trajectory(path) as trajectory:
        (warning,) = trajectory.warnings
        kept = trajectory.n_frames
        assert f"cut short: {kept} of its {FRAMES} frames" in warning
        assert kept > share * FRAMES - 1000  # three chunks of positions, or one of times
        np.testing.assert_array_equal(np.concatenate(list(trajectory.iter_blocks())), x[:kept])
        np.testing.assert_array_equal(trajectory.steps, np.arange(kept))
        np.testing.assert_allclose(trajectory.times_ps, 0.02 * np.arange(kept))
        assert (trajectory.n_atoms, trajectory.frame_interval_ps) == (60, 0.02)


def test_what_is_lost_altogether_is_said(whole, tmp_path):
    path, _ = whole
    data = path.read_bytes()
    assert stored_size(path) == len(data)
    path.write_bytes(data[: 20 * 1024])
    with pytest.raises(ValueError, match=r"md.h5 .*(no whole frame|lost|no HDF5 file)"):
        Trajectory(path)
    path.write_bytes(data[:30])
    with pytest.raises(ValueError, match="no HDF5 file, or damaged"):
        Trajectory(path)
    assert stored_size(path) is None
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(ValueError, match="no HDF5 file, or damaged"):
        Trajectory(tmp_path / "text.h5")
    with pytest.raises(ValueError, match="does not exist"):
        Trajectory(tmp_path / "no.h5")
    with pytest.raises(OSError, match="not an HDF5 file that was cut short"):
        open_cut_short(tmp_path / "text.h5")


@pytest.mark.parametrize("packed", [None, "gzip"])
def test_chunks_of_any_shape_and_size(tmp_path, packed):
    x = np.random.default_rng(0).normal(size=(3000, 20, 3)).astype(np.float32)
    path = tmp_path / "other.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("x", data=x, chunks=(50, 10, 3), compression=packed)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_cut_short(path) as file:
        kept = whole_rows(file["x"], len(data) // 2)
        assert 500 < kept < 2000
        np.testing.assert_array_equal(file["x"][:kept], x[:kept])


def test_rows_in_one_piece(tmp_path):
    x = np.random.default_rng(0).normal(size=(3000, 20, 3)).astype(np.float32)
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_cut_short(path) as file:
        kept = whole_rows(file["x"], len(data) // 2)
        assert 1000 < kept <= 1500
        np.testing.assert_array_equal(file["x"][:kept], x[:kept])
