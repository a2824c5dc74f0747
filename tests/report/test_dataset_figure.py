from __future__ import annotations

import numpy as np
import pytest

from aiida_limsm.report.dataset import FrameColumns, dataset_figure
from aiida_limsm.report.figures import png_bytes


def columns(sources: int = 2, frames: int = 40) -> FrameColumns:
    rng = np.random.default_rng(0)
    frame = np.tile(np.arange(frames), sources)
    return FrameColumns(
        split=np.where(frame < 28, "train", np.where(frame < 32, "valid", "test")),
        source=np.repeat(np.arange(sources), frames),
        frame=frame,
        energy_ev_per_atom=rng.normal(size=sources * frames),
        max_force_ev_per_angstrom=np.exp(rng.normal(size=sources * frames)),
    )


def drawn(figure) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Points of the energy panel per split."""
    lines = figure.axes[0].lines
    return {
        line.get_label().split()[0]: (line.get_xdata(), line.get_ydata())
        for line in lines
        if "(" in line.get_label()
    }


def test_every_frame_is_drawn_once_in_its_colour() -> None:
    frames = columns()
    figure = dataset_figure(frames, ["t600", "t700"], threshold=3.0)
    points = drawn(figure)
    for split, (_, values) in points.items():
        np.testing.assert_array_equal(values, frames.energy_ev_per_atom[frames.split == split])
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["t600", "t700"]
    counted = sum(np.histogram(values, bins=40)[0].sum() for _, values in points.values())
    assert counted == 80
    assert [text.get_text() for text in figure.axes[2].texts] == ["outlier above"]


def test_sources_lie_beside_each_other_in_order() -> None:
    points = drawn(dataset_figure(columns(3), []))
    places = np.sort(np.concatenate([x for x, _ in points.values()]))
    assert len(np.unique(places)) == 120
    first = np.sort(np.concatenate([x[: len(x) // 3] for x, _ in points.values()]))
    np.testing.assert_array_equal(first, places[:40])


@pytest.mark.parametrize("sources", [1, 12])
def test_equal_frames_are_equal_pictures(sources: int) -> None:
    pictures = {png_bytes(dataset_figure(columns(sources), [], 1e6)) for _ in range(2)}
    assert len(pictures) == 1
    assert pictures.pop().startswith(b"\x89PNG")


def test_one_frame() -> None:
    frames = FrameColumns(
        np.array(["train"]), np.array([0]), np.array([7]), np.array([1.0]), np.array([0.0])
    )
    assert drawn(dataset_figure(frames, ["a"]))["train"][1].tolist() == [1.0]
