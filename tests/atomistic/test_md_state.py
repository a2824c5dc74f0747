from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiida_limsm.atomistic.md_state import (
    Checkpoint,
    Moments,
    RunningStatistics,
    Trend,
    read_checkpoints,
    write_checkpoints,
)

ARRAYS = ("positions", "momenta", "cell", "reference", "reference_cell")


def make_checkpoint(seed: int = 3, anchored: bool = True) -> Checkpoint:
    rng = np.random.default_rng(seed)
    statistics = RunningStatistics(frames=2)
    statistics.conserved_ev.add(0.0, -0.1 / 3)
    statistics.temperature.add(600.0)
    return Checkpoint(
        step=40,
        positions=rng.normal(size=(4, 3)),
        momenta=rng.normal(size=(4, 3)),
        cell=rng.normal(size=(3, 3)),
        reference=rng.normal(size=(4, 3)),
        reference_cell=rng.normal(size=(3, 3)),
        random_state=rng.bit_generator.state,
        integrator={"_eta": rng.normal(size=3).tolist(), "_eps": 1 / 3},
        statistics=statistics,
        anchor=(rng.normal(size=(4, 3)), rng.normal(size=(3, 3))) if anchored else None,
        ended=None if anchored else ("forces", "step 40: too large"),
    )


def test_moments() -> None:
    series = Moments()
    assert series.mean is None
    series.add(500.0)
    assert (series.mean, series.std) == (500.0, None)
    values = [500.0, 620.0, 555.0]
    series.add(values[1])
    series.add(values[2])
    assert series.mean == pytest.approx(np.mean(values))
    assert series.std == pytest.approx(np.std(values))


def test_equal_values_have_no_spread() -> None:
    series = Moments()
    for _ in range(7):
        series.add(0.1)  # rounding must not give the root of a negative number
    assert series.std == pytest.approx(0.0, abs=1e-8)


def test_trend() -> None:
    trend = Trend()
    assert trend.slope is None
    steps = np.arange(50) * 7.0
    energies = -1e5 + 3e-6 * steps + 1e-3 * np.sin(steps)
    for step, energy in zip(steps, energies, strict=True):
        trend.add(step, energy)
    assert trend.slope == pytest.approx(np.polyfit(steps, energies, 1)[0], rel=1e-6)


def test_mean_cell() -> None:
    assert RunningStatistics().mean_cell is None
    statistics = RunningStatistics(frames=4, cell_sum=(8.0 * np.eye(3)).tolist())
    np.testing.assert_array_equal(statistics.mean_cell, 2.0 * np.eye(3))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    written = {0: make_checkpoint(), 7: make_checkpoint(4, anchored=False)}
    identity = {"temperature_k": 600.0, "cell": [[0.1, 0.2, 0.3]]}
    write_checkpoints(path, written, identity)
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.npz"]
    read, found = read_checkpoints(path)
    assert found == identity
    assert list(read) == [0, 7]
    for key, old in written.items():
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(read[key], name), getattr(old, name))
        for name in ("step", "random_state", "integrator", "statistics", "ended"):
            assert getattr(read[key], name) == getattr(old, name)
    np.testing.assert_array_equal(read[0].anchor[0], written[0].anchor[0])
    np.testing.assert_array_equal(read[0].anchor[1], written[0].anchor[1])
    assert read[7].anchor is None
    one, two = np.random.default_rng(), np.random.default_rng()
    one.bit_generator.state, two.bit_generator.state = (
        written[0].random_state, read[0].random_state,
    )  # fmt: skip
    np.testing.assert_array_equal(one.normal(size=5), two.normal(size=5))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short(tmp_path: Path, part: float) -> None:
    path = tmp_path / "checkpoint.npz"
    write_checkpoints(path, {0: make_checkpoint()}, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match="is not a readable checkpoint: remove it to start anew"):
        read_checkpoints(path)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    for content in (b"text", b"PK\x03\x04 not a zip archive"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a readable checkpoint"):
            read_checkpoints(path)
    np.savez(path, positions=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        read_checkpoints(path)
    np.savez(path, meta=np.array("[]"), positions=np.zeros(1), objects=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        read_checkpoints(path)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        read_checkpoints(tmp_path / "none.npz")
