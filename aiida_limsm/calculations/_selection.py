"""Which frames of which sources go into which split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_limsm.data.dataset import SPLITS

from ._correlation import Correlation, measure_correlation
from ._dataset_settings import DatasetSettings
from ._duplicates import continues, first_occurrences
from ._labelled import LabelledFrames
from ._outliers import force_threshold
from ._split import gap_for, time_blocks, zones


@dataclass(frozen=True)
class Selection:
    """Frames of a dataset.

    Attributes
    ----------
    frames
        Per split: (source, frame) in order.
    report
        What was measured and removed; plain JSON.
    outliers
        Frames with unusual forces; plain JSON.
    """

    frames: dict[str, list[tuple[int, int]]]
    report: dict[str, Any]
    outliers: list[dict[str, Any]]


@dataclass
class _Source:
    """One source with its blocks."""

    labelled: LabelledFrames
    blocks: dict[str, list[int]]
    zones: NDArray[np.int8]
    #: Frames of another split are at least so far away.
    distance: int
    report: dict[str, Any]


def select_frames(sources: Sequence[LabelledFrames], settings: DatasetSettings) -> Selection:
    """Cut each source into blocks, then remove duplicates and what is asked to be removed.

    Raises
    ------
    ValueError
        With one line, if a trajectory is too short or a split ends up empty.
    """
    cut = [_cut(labelled, settings) for labelled in sources]
    duplicates, beside = _remove_duplicates(cut, settings.duplicate_tolerance_angstrom)
    threshold, outliers = _find_outliers(cut, settings)
    removed = {"duplicates": duplicates, "beside_duplicates": beside, "above_max_force": 0}
    if settings.max_force_ev_per_angstrom is not None:
        removed["above_max_force"] = len(outliers)
        for entry in outliers:
            source = next(each for each in cut if each.labelled.name == entry["source"])
            source.blocks[entry["split"]].remove(entry["frame"])
    frames = {
        split: [(number, index) for number, each in enumerate(cut) for index in each.blocks[split]]
        for split in SPLITS
    }
    _check_not_empty(frames, removed, cut)
    report = {
        "settings": settings.model_dump(mode="json"),
        "sources": {source.labelled.name: source.report for source in cut},
        "removed": removed,
        "outlier_threshold_ev_per_angstrom": threshold,
    }
    return Selection(frames, report, outliers)


def _cut(labelled: LabelledFrames, settings: DatasetSettings) -> _Source:
    """Divide the frames of one source."""
    try:
        return (
            _cut_series(labelled, settings)
            if labelled.is_series
            else _cut_batch(labelled, settings)
        )
    except ValueError as error:
        raise ValueError(f"{labelled.name}: {error}") from None


def _fractions(settings: DatasetSettings) -> tuple[float, float]:
    return settings.train_fraction, settings.valid_fraction


def _cut_batch(labelled: LabelledFrames, settings: DatasetSettings) -> _Source:
    frames = len(labelled)
    blocks: dict[str, list[int]] = {split: [] for split in SPLITS}
    if settings.label_split == "train":
        blocks["train"] = list(range(frames))
    else:
        blocks = time_blocks(frames, 0, 1, 0, _fractions(settings))
    report = {"kind": "single points", "frames": frames}
    return _Source(labelled, blocks, zones(blocks, frames), 0, report)


def _cut_series(labelled: LabelledFrames, settings: DatasetSettings) -> _Source:
    """Cut a trajectory into blocks; one that is too short for that is for the training."""
    frames, skip = len(labelled), settings.skip_frames
    found = measure_correlation(labelled.forces[skip:], labelled.energies[skip:])
    stride, gap = _spacing(found, settings, frames - skip)
    report: dict[str, Any] = {
        "kind": "trajectory",
        "frames": frames,
        "skip_frames": skip,
        "stride": stride,
        "gap_frames": gap,
        "frame_interval_fs": labelled.interval_fs,
        **_correlation_report(found, labelled.interval_fs),
    }
    try:
        blocks = time_blocks(frames, skip, stride, gap, _fractions(settings))
        where = zones(blocks, frames)
    except ValueError as error:
        blocks = {split: [] for split in SPLITS}
        blocks["train"] = list(range(skip, frames, stride))
        where = np.full(frames, SPLITS.index("train"), dtype=np.int8)
        report["training_only"] = str(error)
    return _Source(labelled, blocks, where, (gap + 1) * stride, report)


def _spacing(found: Correlation | None, settings: DatasetSettings, frames: int) -> tuple[int, int]:
    """Return stride and gap, as given or as measured."""
    stride, gap = settings.stride, settings.gap_frames
    if found is None:
        if frames < len(SPLITS):  # nothing to measure, and nothing to split
            return 1 if stride == "auto" else stride, 0 if gap == "auto" else gap
        if stride == "auto" or gap == "auto":
            raise ValueError(
                "its forces or its energy do not vary: stride and gap_frames cannot be measured, "
                "give numbers"
            )
        return stride, gap
    if stride == "auto":
        stride = found.stride
    if gap == "auto":
        gap = gap_for(found.decay, stride)
    return stride, gap


def _correlation_report(found: Correlation | None, interval_fs: float | None) -> dict[str, Any]:
    if found is None:
        return {}
    report: dict[str, Any] = {}
    for label, inefficiency, decay in (
        ("force", found.force_inefficiency, found.force_decay),
        ("energy", found.energy_inefficiency, found.energy_decay),
    ):
        report[f"{label}_inefficiency_frames"] = inefficiency
        report[f"{label}_decay_frames"] = decay
        if interval_fs is not None:
            # g = 1 + 2τ; noise can take g below 1
            time_fs = max(0.0, (inefficiency - 1) / 2) * interval_fs
            report[f"{label}_autocorrelation_time_fs"] = time_fs
    return report


def _remove_duplicates(sources: list[_Source], tolerance: float) -> tuple[int, int]:
    """Drop frames that repeat another one, and those beside them that would leak.

    MD trajectories come first, so a label batch loses what is also a frame of a trajectory: even
    one that stride or gap left out, because it lies next to frames that are used. Where two
    trajectories share a frame, or one goes on where another ends, frames near there that lie in
    another split are as near to each other as those of one run: they go too.

    Returns
    -------
    duplicates, beside : int
    """
    order = sorted(range(len(sources)), key=lambda n: not sources[n].labelled.is_series)
    owners = np.concatenate([np.full(len(sources[n].labelled), n) for n in order])
    indices = np.concatenate([np.arange(len(sources[n].labelled)) for n in order])
    original = first_occurrences([sources[n].labelled.geometry for n in order], tolerance)
    copies = np.flatnonzero(original != np.arange(len(original)))
    drop: list[set[int]] = [set() for _ in sources]
    beside: list[set[int]] = [set() for _ in sources]
    for copy, first in zip(copies.tolist(), original[copies].tolist(), strict=True):
        number, index, partner = int(owners[copy]), int(indices[copy]), sources[owners[first]]
        drop[number].add(index)
        if sources[number].labelled.is_series and partner.labelled.is_series:
            beside[number] |= _leaking(sources[number], index, partner, int(indices[first]))
    series = [number for number in order if sources[number].labelled.is_series]
    for number, other in permutations(series, 2):
        source, partner = sources[number], sources[other]
        if continues(partner.labelled.geometry, source.labelled.geometry):
            # its first frame is the one after the partner's last
            beside[number] |= _leaking(source, -1, partner, len(partner.labelled) - 1)
    counts = [0, 0]
    for number, source in enumerate(sources):
        for split, kept in source.blocks.items():
            counts[0] += sum(index in drop[number] for index in kept)
            left = [index for index in kept if index not in drop[number]]
            source.blocks[split] = [index for index in left if index not in beside[number]]
            counts[1] += len(left) - len(source.blocks[split])
    return counts[0], counts[1]


def _leaking(source: _Source, index: int, partner: _Source, partner_index: int) -> set[int]:
    """Return the frames near one that is also the partner's, but in another split than there."""
    reach = max(source.distance, partner.distance) - 1
    start = max(0, index - reach)
    other = source.zones[start : index + reach + 1] != partner.zones[partner_index]
    return set((start + np.flatnonzero(other)).tolist())


def _find_outliers(
    sources: list[_Source], settings: DatasetSettings
) -> tuple[float | None, list[dict[str, Any]]]:
    """Return the force above which a kept frame is an outlier, and those frames."""
    threshold = settings.max_force_ev_per_angstrom
    are_kept = threshold is None
    if threshold is None:
        forces = [
            source.labelled.max_forces[kept]
            for source in sources
            for kept in source.blocks.values()
        ]
        threshold = force_threshold(np.concatenate(forces), settings.outlier_deviations)
    if threshold is None:
        return None, []
    outliers = [
        {
            "source": source.labelled.name,
            "frame": index,
            "split": split,
            "max_force_ev_per_angstrom": float(source.labelled.max_forces[index]),
            "kept": are_kept,
        }
        for source in sources
        for split in SPLITS
        for index in source.blocks[split]
        if source.labelled.max_forces[index] > threshold
    ]
    return threshold, outliers


def _check_not_empty(
    frames: dict[str, list[tuple[int, int]]], removed: dict[str, int], sources: list[_Source]
) -> None:
    empty = [split for split in SPLITS if not frames[split]]
    if not empty:
        return
    short = [source for source in sources if "training_only" in source.report]
    lost = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in removed.items() if count
    )
    if lost:
        remedy = f"removed were {lost}; give more frames"
    elif short:
        raise ValueError(f"{short[0].labelled.name}: {short[0].report['training_only']}")
    else:
        remedy = "give an MD trajectory too, or label_split='blocks'"
    raise ValueError(f"no frames are left in {', '.join(empty)}: {remedy}")
