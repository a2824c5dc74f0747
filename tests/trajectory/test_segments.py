import os
import resource
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from aiida_limsm.trajectory.h5md import Trajectory
from aiida_limsm.trajectory.segments import SegmentWriter, join_segments, truncate_segments

NUMBERS = [3, 3, 14]
CELL = np.array([[6.0, 0, 0], [1.0, 6.0, 0], [0, 0.5, 7.0]])


def frames(n, seed=0):
    random = np.random.default_rng(seed)
    steps = 0.1 * random.normal(size=(n, 3, 3))
    return (np.cumsum(steps, axis=0) + 2.0).astype(np.float32).astype(float)


def write(folder, x, first=0, initial_step=0, size=4, close=True):
    writer = SegmentWriter(folder, NUMBERS, CELL, 0.02, initial_step, frames_per_segment=size)
    for k in range(first, len(x)):
        writer.append(x[k], 10 * (k + 1), 300.0 + k, -1.0 * k)
    if close:
        writer.flush()
    return writer


def test_round_trip(tmp_path):
    x = frames(10)
    write(tmp_path / "seg", x)
    assert len(list((tmp_path / "seg").glob("segment-*.h5"))) == 3
    join_segments(tmp_path / "seg", tmp_path / "all.h5")
    with Trajectory(tmp_path / "all.h5") as trajectory:
        assert trajectory.n_frames == 10
        assert trajectory.n_atoms == 3
        assert trajectory.symbols == ["Li", "Li", "Si"]
        assert trajectory.frame_interval_ps == 0.02
        np.testing.assert_array_equal(trajectory.cell, CELL)
        np.testing.assert_allclose(trajectory.times_ps, 0.02 * np.arange(10))
        np.testing.assert_array_equal(trajectory.steps, 10 * np.arange(1, 11))
        np.testing.assert_array_equal(trajectory.temperature_k, 300.0 + np.arange(10))
        np.testing.assert_array_equal(trajectory.potential_energy, -1.0 * np.arange(10))
        blocks = list(trajectory.iter_positions(memory_mb=1e-6))
        np.testing.assert_array_equal(np.concatenate(blocks), x)
        picked = np.concatenate(list(trajectory.iter_positions([2, 0], start=3, stop=8)))
        np.testing.assert_array_equal(picked, x[3:8, [2, 0]])
        np.testing.assert_array_equal(trajectory.frame(-1), x[-1])
        atoms = trajectory.to_ase(4)
        np.testing.assert_array_equal(atoms.positions, x[4])
        np.testing.assert_array_equal(atoms.cell.array, CELL)


def test_same_frames_same_bytes_whatever_the_segments(tmp_path):
    x = frames(10)
    write(tmp_path / "a", x, size=4)
    one = join_segments(tmp_path / "a", tmp_path / "a.h5")
    time.sleep(1.1)  # a time stamp would show
    write(tmp_path / "b", x, size=3)
    two = join_segments(tmp_path / "b", tmp_path / "b.h5")
    assert one == two
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_restart_from_a_checkpoint_gives_the_same_file(tmp_path):
    x = frames(20)
    write(tmp_path / "whole", x)
    write(tmp_path / "cut", x[:15])
    # the checkpoint was at step 100, frames went on to step 150
    assert truncate_segments(tmp_path / "cut", 100) == 10
    write(tmp_path / "cut", x, first=10, initial_step=100)
    assert join_segments(tmp_path / "cut", tmp_path / "c.h5") == join_segments(
        tmp_path / "whole", tmp_path / "w.h5"
    )


def test_restart_before_the_last_frame_asks_for_truncation(tmp_path):
    write(tmp_path, frames(6))
    with pytest.raises(ValueError, match="call truncate_segments first"):
        SegmentWriter(tmp_path, NUMBERS, CELL, 0.02, initial_step=30)


def test_truncate_to_nothing(tmp_path):
    write(tmp_path, frames(6))
    assert truncate_segments(tmp_path, 0) == 0
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="no segments"):
        join_segments(tmp_path, tmp_path / "all.h5")


def test_missing_and_overlapping_segments_are_errors(tmp_path):
    write(tmp_path / "a", frames(12))
    (tmp_path / "a" / "segment-000000004.h5").unlink()
    with pytest.raises(ValueError, match="leaves a gap"):
        join_segments(tmp_path / "a", tmp_path / "all.h5")
    write(tmp_path / "b", frames(8))
    (tmp_path / "b" / "segment-000000004.h5").rename(tmp_path / "b" / "segment-000000003.h5")
    with pytest.raises(ValueError, match="overlaps"):
        join_segments(tmp_path / "b", tmp_path / "all.h5")
    assert not (tmp_path / "all.h5").exists()
    assert not (tmp_path / "all.h5.tmp").exists()


def test_uneven_steps_are_an_error(tmp_path):
    with SegmentWriter(tmp_path, NUMBERS, CELL, 0.02) as writer:
        for step in (10, 20, 40):
            writer.append(frames(1)[0], step, 300.0, 0.0)
    with pytest.raises(ValueError, match="evenly spaced"):
        join_segments(tmp_path, tmp_path / "all.h5")


def test_steps_must_grow_and_shapes_fit(tmp_path):
    writer = SegmentWriter(tmp_path, NUMBERS, CELL, 0.02)
    writer.append(frames(1)[0], 10, 300.0, 0.0)
    with pytest.raises(ValueError, match="does not come after"):
        writer.append(frames(1)[0], 10, 300.0, 0.0)
    with pytest.raises(ValueError, match="3 atoms"):
        writer.append(np.zeros((2, 3)), 20, 300.0, 0.0)


def test_kill_loses_the_buffer_only(tmp_path):
    script = textwrap.dedent(
        f"""
        import numpy as np, time
        from aiida_limsm.trajectory.segments import SegmentWriter
        w = SegmentWriter({str(tmp_path)!r}, [3], np.eye(3) * 5, 0.02, frames_per_segment=5)
        for k in range(13):
            w.append(np.full((1, 3), float(k)), k + 1, 300.0, 0.0)
        print("written", flush=True)
        time.sleep(60)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    join_segments(tmp_path, tmp_path / "all.h5")
    with Trajectory(tmp_path / "all.h5") as trajectory:
        assert trajectory.n_frames == 10
        assert trajectory.frame(9)[0, 0] == 9.0


def test_disk_full_raises_and_leaves_earlier_segments(tmp_path):
    script = textwrap.dedent(
        f"""
        import resource, signal, numpy as np
        from aiida_limsm.trajectory.segments import SegmentWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        random = np.random.default_rng(0)
        w = SegmentWriter({str(tmp_path)!r}, [3] * 500, np.eye(3) * 50, 0.02,
                          frames_per_segment=20)
        for k in range(20):
            w.append(random.normal(size=(500, 3)), k + 1, 300.0, 0.0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
        try:
            for k in range(20, 40):
                w.append(random.normal(size=(500, 3)), k + 1, 300.0, 0.0)
        except OSError as error:
            print("OSError", w.n_frames)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "OSError 40" in done.stdout, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["segment-000000000.h5"]
    assert truncate_segments(tmp_path, 1000) == 20


def test_limits_of_this_process_are_untouched():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 30000
