"""The figure of the committee benchmark: error over spread, atom by atom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from aiida_limsm.report.figures.style import (
    GREY,
    INK,
    ORBIT_COLOURS,
    new_figure,
    png_bytes,
    styled,
)

Points = Mapping[str, tuple[np.ndarray, np.ndarray]]


def draw(committees: Mapping[str, Points], path: Path) -> None:
    """Write a PNG; ``committees`` holds spread and error (eV/Å) by committee and kind of frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(_figure(committees)))


@styled
def _figure(committees: Mapping[str, Points]) -> Figure:
    figure = new_figure(3.4 * len(committees), 4.4)
    axes = figure.subplots(1, len(committees), sharex=True, sharey=True, squeeze=False)[0]
    line = np.array([1e-5, 10.0])
    for panel, (name, kinds) in zip(axes, committees.items(), strict=True):
        for colour, (kind, (spread, error)) in zip(ORBIT_COLOURS, kinds.items(), strict=False):
            panel.loglog(1e3 * spread, 1e3 * error, ".", ms=3.5, color=colour, label=kind)
        spread, error = (np.concatenate([points[k] for points in kinds.values()]) for k in (0, 1))
        factor = np.sqrt(np.mean(error**2) / np.mean(spread**2))
        panel.loglog(1e3 * line, 1e3 * line, "--", color=GREY, lw=1)
        panel.loglog(1e3 * line, 1e3 * factor * line, color=INK, lw=1)
        panel.set_title(f"{name}, α = {factor:.1f}")
        panel.set_xlabel("spread, meV/Å")
    axes[0].set_xlim(0.1, 2000)
    axes[0].set_ylim(1, 8000)
    axes[0].set_ylabel("error of the mean force, meV/Å")
    axes[0].text(
        30, 20, "error = spread", color=GREY, va="top", rotation=45, rotation_mode="anchor"
    )
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), markerscale=3, frameon=False
    )
    return figure
