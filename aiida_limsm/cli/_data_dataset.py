"""``verdi data limsm dataset``: what a dataset says for itself, and the files it is written to."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aiida_limsm.data.dataset import SPLITS, ReferenceDatasetData
from aiida_limsm.files import whole_file

if TYPE_CHECKING:
    from aiida_limsm.report.dataset import FrameColumns

STATISTICS_FILE = "statistics.txt"


def describe(dataset: ReferenceDatasetData) -> str:
    """Return summary, statistics and the E0s as ``mace_run_train`` takes them."""
    from ase.data import atomic_numbers

    e0s = ", ".join(f"{atomic_numbers[name]}: {value!r}" for name, value in dataset.e0s_ev.items())
    return f"{dataset.summary()}\n\n{dataset.statistics_text()}\n\nfor MACE: --E0s='{{{e0s}}}'"


def export_paths(dataset: ReferenceDatasetData, output: Path, split: str | None) -> dict[str, Path]:
    """Return which file each split is written to, and the text with the statistics.

    Parameters
    ----------
    output
        Folder; with a split the file itself.
    split
        Only this one.

    Raises
    ------
    ValueError
        If the split has no frames.
    """
    if split is not None:
        if split not in dataset.splits:
            raise ValueError(f"'{split}' has no frames; there are {', '.join(dataset.splits)}")
        return {split: output}
    return {
        **{name: output / f"{name}.xyz" for name in dataset.splits},
        STATISTICS_FILE: output / STATISTICS_FILE,
    }


def export(dataset: ReferenceDatasetData, paths: dict[str, Path]) -> None:
    """Write the files of :func:`export_paths`, each whole or not at all."""
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as target:
            if name == STATISTICS_FILE:
                target.write(describe(dataset) + "\n")
            else:
                with dataset.open_split(name) as source:
                    shutil.copyfileobj(source, target)


def plot(dataset: ReferenceDatasetData, path: Path) -> None:
    """Draw the dataset into a PNG file."""
    from aiida_limsm.report.dataset import dataset_figure
    from aiida_limsm.report.figures.style import png_bytes

    threshold = dataset.selection.get("outlier_threshold_ev_per_angstrom")
    figure = dataset_figure(frame_columns(dataset), dataset.sources, threshold)
    with whole_file(path) as temporary:
        temporary.write_bytes(png_bytes(figure))


def frame_columns(dataset: ReferenceDatasetData) -> FrameColumns:
    """Return what the figure shows of each frame."""
    from aiida_limsm.data.dataset_statistics import energy_per_atom, max_force
    from aiida_limsm.report.dataset import FrameColumns

    e0s = dataset.e0s_ev
    rows = [
        (
            split,
            atoms.info["source_index"],
            atoms.info["frame_index"],
            energy_per_atom(atoms, e0s),
            max_force(atoms),
        )
        for split in SPLITS
        for atoms in dataset.iterate(split)
    ]
    splits, sources, frames, energies, forces = zip(*rows, strict=True)
    return FrameColumns(
        np.array(splits), np.array(sources), np.array(frames), np.array(energies), np.array(forces)
    )
