"""The figure of the exactness benchmark: D over exact with error bars, and coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aiida_limsm.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    new_figure,
    png_bytes,
    styled,
)

SHOWN = 40
"""Short runs shown of each crystal."""


def draw(found: dict[str, Any], path: Path) -> None:
    """Write a PNG with long runs, short runs and coverage."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(_figure(found)))


@styled
def _figure(found: dict[str, Any]) -> Figure:
    figure = new_figure(11.0, 7.2)
    grid = figure.add_gridspec(2, 2)
    axes = [figure.add_subplot(grid[0, :]), *(figure.add_subplot(grid[1, k]) for k in range(2))]
    names = list(dict.fromkeys(row["network"] for row in found["short"]))
    for k, row in enumerate(found["short"]):
        place = k + np.linspace(-0.4, 0.4, SHOWN)
        ratio, error = np.array(row["ratios"][:SHOWN]), np.array(row["errors"][:SHOWN])
        missed = np.abs(ratio - 1.0) >= 2.0 * error
        for rows, colour, label in (
            (~missed, BLUE, "exact D within 2σ"),
            (missed, VERMILION, "outside"),
        ):
            axes[0].errorbar(
                place[: len(ratio)][rows], ratio[rows], yerr=2.0 * error[rows], fmt="o", ms=3,
                lw=1, color=colour, label=label if k == 0 else None,
            )  # fmt: skip
    axes[0].axhline(1.0, color=GREY)
    axes[0].set_xticks(range(len(names)), names)
    axes[0].set_ylabel("D / exact, bars 2σ")
    axes[0].set_title("24 ions for 20 ps: 40 runs of each crystal")
    axes[0].legend(loc="upper right")
    for k, row in enumerate(found["long"]):
        axes[1].errorbar(k, row["ratio"], yerr=2.0 * row["ratio_error"], fmt="o", ms=4, color=BLUE)
    axes[1].axhspan(0.98, 1.02, color=GREY, alpha=0.2, lw=0)
    axes[1].axhline(1.0, color=GREY)
    seeds = len(found["long"]) // len(names)
    axes[1].set_xticks(
        np.arange(len(names)) * seeds + (seeds - 1) / 2, names, rotation=30, ha="right"
    )
    axes[1].set_ylabel("D / exact, bars 2σ")
    axes[1].set_title("104 ions, 100 000 frames; band: 2 %")
    for shift, key, colour, label in (
        (-0.2, "markov_2sigma", BLUE, "D (Markov)"),
        (0.0, "elements_2sigma", GREEN, "its elements"),
        (0.2, "msd_2sigma", VERMILION, "D (MSD)"),
    ):
        share = [100.0 * row[key] for row in found["short"]]
        axes[2].plot(np.arange(len(names)) + shift, share, "o", color=colour, label=label)
    axes[2].axhspan(90, 99, color=GREY, alpha=0.2, lw=0)
    axes[2].set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes[2].set_ylim(80, 101)
    axes[2].set_ylabel("truth within 2σ, %")
    axes[2].set_title("Coverage; band: 90 to 99 %")
    axes[2].legend(loc="lower right", ncols=3)
    return figure
