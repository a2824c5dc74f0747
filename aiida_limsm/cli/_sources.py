"""Which pw.x calculation wrote which frames of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_limsm.data.dataset import SPLITS, ReferenceDatasetData

if TYPE_CHECKING:
    from ._provenance import Ancestry


@dataclass(frozen=True)
class SourceRecord:
    """Frames that one source gave to one dataset, and the pw.x calculations that wrote it.

    ``pw_frames`` maps their PKs to the number of frames used, None where the trajectory does not
    say which of several segments a frame came from.
    """

    dataset_pk: int
    source_index: int
    name: str
    frames: Mapping[str, int]
    pw_frames: Mapping[int, int | None]


def read_sources(ancestry: Ancestry) -> tuple[SourceRecord, ...]:
    """Match the sources of every dataset on the way with the links its calculation took in."""
    records: list[SourceRecord] = []
    for pk in sorted(ancestry.nodes):
        if ancestry.nodes[pk].is_limsm_data:
            node = orm.load_node(pk)
            if isinstance(node, ReferenceDatasetData):
                records += _sources_of(ancestry, pk, node)
    return tuple(records)


def frames_used(sources: tuple[SourceRecord, ...]) -> dict[int, int]:
    """Return frames used per pw.x calculation, where that is known.

    The largest dataset counts: another one on the way may hold the same frames again.
    """
    per_dataset: dict[int, Counter[int]] = {}
    for source in sources:
        for pk, count in source.pw_frames.items():
            if count is not None:
                per_dataset.setdefault(source.dataset_pk, Counter())[pk] += count
    used: dict[int, int] = {}
    for counts in per_dataset.values():
        for pk, count in counts.items():
            used[pk] = max(used.get(pk, 0), count)
    return used


def _sources_of(ancestry: Ancestry, pk: int, dataset: ReferenceDatasetData) -> list[SourceRecord]:
    links = {
        link.label: link.pk
        for creator in ancestry.parents[pk]
        for link in ancestry.parents[creator.pk]
    }
    indices: dict[int, list[int]] = {}
    for split in SPLITS:
        for source, frame in dataset.frame_ids(split):
            indices.setdefault(source, []).append(frame)
    records = []
    for source, frames in dataset.frames_per_source.items():
        name = dataset.sources[source] if dataset.sources else ""
        origin = links.get(name)
        pw_frames = {} if origin is None else _pw_frames(ancestry, origin, indices[source])
        records.append(SourceRecord(pk, source, name, frames, pw_frames))
    return records


def _pw_frames(ancestry: Ancestry, origin: int, indices: list[int]) -> dict[int, int | None]:
    """Count the used frames of a trajectory per pw.x calculation that wrote a part of it."""
    writers = ancestry.nearest_pw(origin)
    if len(writers) == 1:
        return {writers[0]: len(indices)}
    node: Any = orm.load_node(origin)
    links: list[str] = node.base.attributes.get("segment_links", [])
    if not links:
        return dict.fromkeys(writers)
    inputs = {
        link.label: link.pk
        for joiner in ancestry.parents[origin]
        for link in ancestry.parents[joiner.pk]
    }
    segments = node.get_array("segment")[indices]
    counts = Counter(inputs[links[segment]] for segment in segments)
    per_writer: Counter[int] = Counter()
    for file, count in counts.items():
        for writer in ancestry.nearest_pw(file):
            per_writer[writer] += count
    return {writer: per_writer[writer] for writer in writers}
