"""Which frames go where: nothing that two splits share, or nearly share, whatever the sources."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from aiida_limsm.calculations._dataset_settings import read_settings
from aiida_limsm.calculations._duplicates import Geometry
from aiida_limsm.calculations._labelled import LabelledFrames
from aiida_limsm.calculations._selection import select_frames
from aiida_limsm.data.dataset import SPLITS

#: All frames, in blocks, as few as can be.
ALL = {"stride": 1, "gap_frames": 0, "train_fraction": 0.6, "valid_fraction": 0.2}


def source(name: str, positions: np.ndarray, is_series: bool = True) -> LabelledFrames:
    frames = len(positions)
    rng = np.random.default_rng(frames)
    cells = np.tile(5.0 * np.eye(3), (frames, 1, 1))
    return LabelledFrames(
        name=name,
        geometry=Geometry(("Li", "Li", "Si"), (True, True, True), positions, cells),
        energies=rng.normal(size=frames),
        forces=rng.normal(size=(frames, 3, 3)),
        stress=None,
        is_series=is_series,
        interval_fs=2.0 if is_series else None,
        dft_settings={},
    )


def world(steps: int = 300) -> np.ndarray:
    """One long smooth run of which pieces are cut; 0.05 Å a step at most."""
    rng = np.random.default_rng(7)
    rates, phases = rng.uniform(0.02, 0.06, size=(2, 3, 3)) * np.array([1, 100])[:, None, None]
    return 0.5 * np.sin(rates * np.arange(steps)[:, None, None] + phases) + [[0], [1.5], [3.0]]


@settings(max_examples=60, deadline=None)
@given(
    starts=st.lists(st.integers(0, 120), min_size=2, max_size=3),
    lengths=st.lists(st.integers(4, 80), min_size=3, max_size=3),
    abut=st.booleans(),
    stride=st.integers(1, 3),
    gap=st.integers(0, 4),
    skip=st.integers(0, 5),
    labels=st.lists(st.integers(0, 200), max_size=6, unique=True),
)
def test_pieces_of_one_run_do_not_leak(
    starts: list[int],
    lengths: list[int],
    abut: bool,
    stride: int,
    gap: int,
    skip: int,
    labels: list[int],
) -> None:
    """Whatever overlaps: frames of two splits are at least the gap apart in time, none is twice."""
    distance = (gap + 1) * stride
    if abut:
        starts[1] = starts[0] + lengths[0]
    pieces = list(zip(starts, lengths, strict=False))
    for one, length in pieces:
        # a hole of more than one frame is not seen
        assume(not any(1 < other - one - length < distance for other, _ in pieces))
    positions = world()
    sources = []
    for number, (start, length) in enumerate(pieces):
        sources.append(source(f"piece{number}", positions[start : start + length]))
    if labels:
        sources.append(source("points", positions[labels], is_series=False))
    chosen = read_settings(
        {"skip_frames": skip, "stride": stride, "gap_frames": gap, "train_fraction": 0.6,
         "valid_fraction": 0.2}
    )  # fmt: skip
    try:
        selection = select_frames(sources, chosen)
    except ValueError:  # nothing left of a short piece
        reject()
    at: dict[str, list[int]] = {split: [] for split in SPLITS}
    everything = []
    for split, frames in selection.frames.items():
        for number, index in frames:
            is_series = sources[number].is_series
            everything.append(pieces[number][0] + index if is_series else labels[index])
            if is_series:
                at[split].append(everything[-1])
    assert len(everything) == len(set(everything))
    for one, other in combinations(SPLITS, 2):
        near = np.abs(np.subtract.outer(at[one], at[other]))
        assert near.min(initial=distance) >= distance


def test_runs_with_one_start_share_it_once() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 30, 3, 3))
    second[0] = first[0]
    selection = select_frames([source("a", first), source("b", second)], read_settings(ALL))
    assert selection.report["removed"]["duplicates"] == 1
    assert selection.report["removed"]["beside_duplicates"] == 0
    assert (1, 0) not in selection.frames["train"]
    assert (1, 1) in selection.frames["train"]


def test_a_run_that_goes_on_in_another_source() -> None:
    """As equilibration and production given apart: the second one begins beside the test."""
    first = source("a", world()[:40])
    chosen = read_settings({**ALL, "gap_frames": 3})
    second = source("b", world()[40:80] + np.array([5.0, 0.0, 0.0]))
    selection = select_frames([first, second], chosen)
    assert selection.report["removed"]["beside_duplicates"] == 3
    assert next(index for number, index in selection.frames["train"] if number == 1) == 3
    apart = select_frames([first, source("b", world()[60:100])], chosen)
    assert apart.report["removed"]["beside_duplicates"] == 0
