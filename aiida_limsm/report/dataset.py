"""Figure of a reference dataset: energies and forces of its frames, by split and source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .figures.style import AMBER, BLUE, GREY, INK, VERMILION, new_figure, styled

__all__ = ["FrameColumns", "dataset_figure"]

COLOURS = {"train": BLUE, "valid": AMBER, "test": VERMILION}
NARROWEST = 0.12
"""A short source gets this share of the longest one's width, or it would not be seen."""
MOST_LEVEL_NAMES = 4
MOST_BINS, LEAST_BINS = 40, 8


@dataclass(frozen=True)
class FrameColumns:
    """Frames of a dataset as columns of equal length.

    Attributes
    ----------
    split
        ``train``, ``valid`` or ``test``.
    source, frame
        Index of the source, and of the frame therein.
    energy_ev_per_atom
        Over the energy zeros.
    max_force_ev_per_angstrom
        Longest force vector.
    """

    split: NDArray[np.str_]
    source: NDArray[np.int64]
    frame: NDArray[np.int64]
    energy_ev_per_atom: NDArray[np.float64]
    max_force_ev_per_angstrom: NDArray[np.float64]


@styled
def dataset_figure(
    frames: FrameColumns, sources: Sequence[str], threshold: float | None = None
) -> Figure:
    """Draw energy per atom and largest force by frame, with their histograms.

    Parameters
    ----------
    frames
        At least one.
    sources
        Name of each source; number where there are none.
    threshold
        Force above which a frame is an outlier, eV/Å.
    """
    figure = new_figure(9.2, 5.8)
    panels = figure.subplots(2, 2, sharey="row", sharex="col", width_ratios=[4, 1])
    place, edges, centres = _places(frames)
    number = int(np.clip(len(frames.split) // 4, LEAST_BINS, MOST_BINS))
    for row, values, label in (
        (0, frames.energy_ev_per_atom, "energy over E0s (eV/atom)"),
        (1, frames.max_force_ev_per_angstrom, "largest force (eV/Å)"),
    ):
        ax, histogram = panels[row]
        low, high = float(values.min()), float(values.max())
        bins = np.linspace(low, high if high > low else low + 1e-3, number + 1)
        for split, colour in COLOURS.items():
            chosen = frames.split == split
            ax.plot(
                place[chosen], values[chosen], ".", color=colour, ms=4, mec="none", rasterized=True,
                label=f"{split} ({int(chosen.sum())})",
            )  # fmt: skip
            if chosen.any():
                histogram.hist(
                    values[chosen], bins=bins, orientation="horizontal", histtype="step",
                    color=colour, lw=1.3,
                )  # fmt: skip
        ax.set_ylabel(label)
        ax.grid(visible=False, axis="x")
        ax.tick_params(axis="x", length=0)
        for edge in edges[1:-1]:
            ax.axvline(edge, color=GREY, lw=0.7)
    if threshold is not None and threshold < 2 * float(frames.max_force_ev_per_angstrom.max()):
        panels[1, 0].axhline(threshold, color=INK, lw=0.9, ls="--")
        panels[1, 0].annotate(
            "outlier above", (edges[0], threshold), xytext=(3, 3), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
    panels[1, 1].set_xlabel("frames")
    _name_sources(panels[1, 0], [_name(sources, n) for n in np.unique(frames.source)], centres)
    panels[1, 0].set_xlim(edges[0], edges[-1])
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=3,
        markerscale=2.5,
    )
    return figure


def _places(
    frames: FrameColumns,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Put the sources beside each other: place of each frame, edges and centres of the sources."""
    numbers, which = np.unique(frames.source, return_inverse=True)
    first = np.array([frames.frame[which == n].min() for n in range(len(numbers))])
    span = np.array([np.ptp(frames.frame[which == n]) + 1 for n in range(len(numbers))])
    width = np.maximum(span, NARROWEST * span.max())
    edges = np.concatenate([[0.0], np.cumsum(width)])
    inside = (frames.frame - first[which] + 0.5) / span[which]
    return edges[which] + inside * width[which], edges, 0.5 * (edges[1:] + edges[:-1])


def _name(sources: Sequence[str], number: int) -> str:
    return sources[number] if number < len(sources) else f"source {number}"


def _name_sources(ax: Axes, names: list[str], centres: NDArray[np.float64]) -> None:
    level = len(names) <= MOST_LEVEL_NAMES
    ax.set_xticks(
        centres.tolist(), names, rotation=0 if level else 40, ha="center" if level else "right"
    )
    ax.set_xlabel("frames, in order, of each source")
