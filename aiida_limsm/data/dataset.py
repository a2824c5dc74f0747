"""Frames labelled by DFT, split into train, validation and test, as one node."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import Data

from aiida_limsm.report.format import format_table

from ._content import check_only_files, check_stored_sha256
from ._dataset_text import statistics_text, summary_lines
from ._extxyz import (
    FrameError,
    frame_id,
    frame_to_text,
    iterate_frames,
    read_frame_ids,
    stress_of,
)
from .dataset_statistics import SplitStatistics, composition, split_statistics

if TYPE_CHECKING:
    from ase import Atoms

SPLITS = ("train", "valid", "test")
UNITS = {
    "energy": "eV",
    "forces": "eV/Å",
    "stress": "eV/Å³ (tension positive, ASE)",
    "positions": "Å",
}


class ReferenceDatasetData(Data):
    """Labelled frames in ``train.xyz``, ``valid.xyz`` and ``test.xyz``, as MACE reads them.

    Parameters
    ----------
    splits : mapping of str to sequence of ase.Atoms
        Keys ``train``, ``valid``, ``test``. A frame carries ``info['REF_energy']`` (eV),
        ``arrays['REF_forces']`` (eV/Å), optionally ``info['REF_stress']`` (nine numbers, eV/Å³,
        tension positive), and where it comes from: ``info['source_index']`` and
        ``info['frame_index']``. Of other ``info`` keys only ``config_type`` and ``head`` are kept.
    e0s_ev : mapping of str to float
        Energy zero of every element, in eV: isolated atoms of the same DFT settings, or a fit.
    dft_settings : mapping
        Functional, cutoffs, k-points and pseudopotentials behind the labels; plain JSON.
    sources : sequence of str, optional
        Name of each source, so that ``sources[source_index]`` is the link label with which the
        trajectory went into the calculation that made the dataset (``aiida-limsm trace`` reads
        it). No UUIDs: equal content is an equal node.
    e0s_are : str
        Where the energy zeros come from: ``isolated`` atoms, ``fitted`` to the frames, or ``given``
        by hand.
    selection : mapping, optional
        How the frames were chosen: settings, stride, gap and correlation of each source, what was
        removed; plain JSON, as ``build_dataset`` writes it.
    outliers : sequence of mapping
        Frames with unusual forces: ``source``, ``frame``, ``split``,
        ``max_force_ev_per_angstrom``, and whether they were ``kept``.
    allow_empty : sequence of str
        Splits that may be empty: ``valid`` and/or ``test``.

    Raises
    ------
    ValueError
        Naming split and frame of the first label that cannot be used.
    """

    def __init__(
        self,
        splits: Mapping[str, Sequence[Atoms]],
        e0s_ev: Mapping[str, float],
        dft_settings: Mapping[str, Any],
        *,
        sources: Sequence[str] = (),
        e0s_are: Literal["isolated", "fitted", "given"] = "given",
        selection: Mapping[str, Any] | None = None,
        outliers: Sequence[Mapping[str, Any]] = (),
        allow_empty: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        _check_split_names(splits, allow_empty)
        seen: dict[tuple[int, int], str] = {}
        counts: dict[str, int] = {}
        checksums: dict[str, str] = {}
        formulas: Counter[str] = Counter()
        per_source: dict[str, dict[str, int]] = {}
        elements: set[str] = set()
        has_stress = True
        for split in SPLITS:
            frames = splits.get(split, ())
            texts = []
            for number, atoms in enumerate(frames):
                try:
                    texts.append(frame_to_text(atoms))
                    origin = frame_id(atoms)
                    if origin in seen:
                        where = f"frame {origin[1]} of source {origin[0]}"
                        raise FrameError(f"{where} is already in '{seen[origin]}'")
                except FrameError as error:
                    raise ValueError(f"{split}, frame {number}: {error}") from None
                seen[origin] = split
                source = per_source.setdefault(str(origin[0]), dict.fromkeys(SPLITS, 0))
                source[split] += 1
                formulas[composition(atoms)] += 1
                elements.update(atoms.symbols)
                has_stress &= stress_of(atoms) is not None
            content = "".join(texts).encode("utf-8")
            counts[split] = len(frames)
            checksums[split] = hashlib.sha256(content).hexdigest()
            self.base.repository.put_object_from_bytes(content, f"{split}.xyz")

        if sources and (largest := max(source for source, _ in seen)) >= len(sources):
            raise ValueError(
                f"a frame has source_index {largest}, but only {len(sources)} sources are named"
            )
        self.base.attributes.set_many(
            {
                "counts": counts,
                "sha256": checksums,
                "elements": sorted(elements),
                "formulas": dict(sorted(formulas.items())),
                "has_stress": has_stress,
                "e0s_ev": {symbol: float(energy) for symbol, energy in sorted(e0s_ev.items())},
                "e0s_are": e0s_are,
                "selection": dict(selection or {}),
                "outliers": [dict(outlier) for outlier in outliers],
                "dft_settings": dict(dft_settings),
                "sources": list(sources),
                "frames_per_source": per_source,
                "units": UNITS,
            }
        )
        try:
            self._check_attributes()
        except ValidationError as error:
            raise ValueError(str(error)) from None

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that hold frames."""
        return tuple(split for split in SPLITS if self.counts[split])

    @property
    def counts(self) -> dict[str, int]:
        """Frames per split."""
        return dict(self.base.attributes.get("counts"))

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols in the frames."""
        return tuple(self.base.attributes.get("elements"))

    @property
    def formulas(self) -> dict[str, int]:
        """Frames per chemical formula (Hill order), over all splits."""
        return dict(self.base.attributes.get("formulas"))

    @property
    def has_stress(self) -> bool:
        """Whether every frame has a stress label."""
        return bool(self.base.attributes.get("has_stress"))

    @property
    def e0s_ev(self) -> dict[str, float]:
        """Energy zero of each element, in eV."""
        return dict(self.base.attributes.get("e0s_ev"))

    @property
    def e0s_are(self) -> str:
        """Where the energy zeros come from: ``isolated``, ``fitted`` or ``given``."""
        return str(self.base.attributes.get("e0s_are", "given"))

    @property
    def selection(self) -> dict[str, Any]:
        """How the frames were chosen: settings, stride and gap of each source, what was removed."""
        return dict(self.base.attributes.get("selection", {}))

    @property
    def outliers(self) -> list[dict[str, Any]]:
        """Frames with unusual forces."""
        return list(self.base.attributes.get("outliers", []))

    @property
    def dft_settings(self) -> dict[str, Any]:
        """Settings of the DFT behind the labels."""
        return dict(self.base.attributes.get("dft_settings"))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in the order of ``source_index``; empty when not named."""
        return tuple(self.base.attributes.get("sources"))

    @property
    def frames_per_source(self) -> dict[int, dict[str, int]]:
        """Frames per split, for each ``source_index``."""
        stored: dict[str, dict[str, int]] = self.base.attributes.get("frames_per_source")
        return {int(index): dict(counts) for index, counts in sorted(stored.items())}

    @contextmanager
    def open_split(self, split: str) -> Iterator[TextIO]:
        """Open the extxyz text of one split for reading."""
        with self.base.repository.open(_filename(split), mode="r") as handle:
            yield handle

    def frame_ids(self, split: str) -> list[tuple[int, int]]:
        """Return (source_index, frame_index) of every frame, without reading the frames."""
        with self.open_split(split) as handle:
            return read_frame_ids(handle)

    def iterate(self, split: str) -> Iterator[Atoms]:
        """Return the frames of one split one by one, so that not all are in memory."""
        with self.open_split(split) as handle:
            yield from iterate_frames(handle)

    def read(self, split: str | None = None) -> list[Atoms]:
        """Return the frames of one split, or of all where none is named.

        Labels are in ``info`` and ``arrays`` as in the files: ``REF_energy`` (eV), ``REF_forces``
        (eV/Å), ``REF_stress`` (eV/Å³, nine numbers, tension positive).

        Raises
        ------
        ValueError
            For a split that there is not.
        """
        return [atoms for name in ([split] if split else SPLITS) for atoms in self.iterate(name)]

    def to_ase(self, split: str, index: int) -> Atoms:
        """Return one frame of a split.

        Raises
        ------
        IndexError
            If there are fewer frames.
        """
        count = self.counts.get(split, 0)
        number = index + count if index < 0 else index
        found = list(islice(self.iterate(split), number, number + 1)) if number >= 0 else []
        if not found:
            raise IndexError(f"'{split}' has {count} frames, no frame {index}")
        return found[0]

    def statistics(self) -> dict[str, SplitStatistics]:
        """Return size and spread of the labels, per split, element and composition."""
        e0s = self.e0s_ev
        return {split: split_statistics(self.iterate(split), e0s) for split in SPLITS}

    def statistics_text(self) -> str:
        """Return :meth:`statistics` as a table for people."""
        return statistics_text(self.statistics())

    def headline(self) -> str:
        """Return one line for a listing."""
        counts = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        return f"{', '.join(self.formulas)}: {counts} frames"

    def summary(self) -> str:
        """Return a few lines that say what the dataset holds, from the attributes alone."""
        return "Reference dataset\n" + format_table(summary_lines(self.base.attributes.all))

    def _validate(self) -> bool:
        super()._validate()
        check_only_files(self, (f"{split}.xyz" for split in SPLITS))
        # The constructor checked every frame; the checksums say these are still those frames.
        checksums = self.base.attributes.get("sha256")
        for split in SPLITS:
            check_stored_sha256(self, f"{split}.xyz", checksums[split])
        self._check_attributes()
        return True

    def _check_attributes(self) -> None:
        if not self.counts["train"]:
            raise ValidationError("train: has no frames")
        e0s = self.e0s_ev
        if missing := [symbol for symbol in self.elements if symbol not in e0s]:
            raise ValidationError(
                f"e0s_ev: no energy for {', '.join(missing)}; "
                f"the frames hold {', '.join(self.elements)}"
            )
        if wrong := [symbol for symbol, energy in e0s.items() if not np.isfinite(energy)]:
            raise ValidationError(f"e0s_ev: not a finite number for {', '.join(wrong)}")


def _filename(split: str) -> str:
    if split not in SPLITS:
        raise ValueError(f"no split '{split}': choose one of {', '.join(SPLITS)}")
    return f"{split}.xyz"


def _check_split_names(splits: Mapping[str, Sequence[Atoms]], allow_empty: Sequence[str]) -> None:
    if unknown := sorted({*splits, *allow_empty} - set(SPLITS)):
        raise ValueError(f"no split '{unknown[0]}': choose from {', '.join(SPLITS)}")
    for split in SPLITS:
        if not splits.get(split) and (split == "train" or split not in allow_empty):
            remedy = "" if split == "train" else f", or say allow_empty=('{split}',)"
            raise ValueError(f"{split}: has no frames: give some{remedy}")
