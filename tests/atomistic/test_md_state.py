from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiida_limsm.atomistic.md_state import Checkpoint, RunningStatistics


def make_checkpoint() -> Checkpoint:
    rng = np.random.default_rng(3)
    statistics = RunningStatistics()
    statistics.add(600.0, 0.1)
    return Checkpoint(
        step=40,
        positions=rng.normal(size=(4, 3)),
        momenta=rng.normal(size=(4, 3)),
        reference=rng.normal(size=(4, 3)),
        random_state=rng.bit_generator.state,
        statistics=statistics,
        identity={"temperature_k": 600.0, "cell": [[0.1, 0.2, 0.3]]},
    )


def test_statistics() -> None:
    statistics = RunningStatistics()
    assert statistics.mean_temperature_k is None
    statistics.add(500.0, 0.1)
    assert (statistics.mean_temperature_k, statistics.std_temperature_k) == (500.0, None)
    values = [500.0, 620.0, 555.0]
    statistics.add(values[1], 0.2)
    statistics.add(values[2], 0.15)
    assert statistics.frames == 3
    assert statistics.mean_temperature_k == pytest.approx(np.mean(values))
    assert statistics.std_temperature_k == pytest.approx(np.std(values))
    assert statistics.framework_msd_angstrom2 == 0.15


def test_equal_temperatures_have_no_spread() -> None:
    statistics = RunningStatistics()
    for _ in range(7):
        statistics.add(0.1, 0.0)  # rounding must not give the root of a negative number
    assert statistics.std_temperature_k == pytest.approx(0.0, abs=1e-8)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    written = make_checkpoint()
    written.write(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.npz"]
    read = Checkpoint.read(path)
    for name in ("positions", "momenta", "reference"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    for name in ("step", "random_state", "statistics", "identity"):
        assert getattr(read, name) == getattr(written, name)
    one, two = np.random.default_rng(), np.random.default_rng()
    one.bit_generator.state, two.bit_generator.state = written.random_state, read.random_state
    np.testing.assert_array_equal(one.normal(size=5), two.normal(size=5))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short(tmp_path: Path, part: float) -> None:
    path = tmp_path / "checkpoint.npz"
    make_checkpoint().write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="is not a readable checkpoint: remove it to start anew"):
        Checkpoint.read(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    for content in (b"text", b"PK\x03\x04 not a zip archive"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            Checkpoint.read(path)
    np.savez(path, positions=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        Checkpoint.read(path)
    np.savez(path, meta=np.array("{}"), positions=np.zeros(1), objects=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        Checkpoint.read(path)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        Checkpoint.read(tmp_path / "none.npz")
