"""Maps over the sites of the cell: the slowest processes, and the jump network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.model import MarkovModel

from ..judge import value_text
from ..study import Study, TemperatureResult
from ..typeset import typeset
from .analysis_spectrum import caveat, nothing_relaxes
from .network import HALO, draw_cell, draw_framework, draw_network, worth_drawing
from .projection import View, best_view, find_channels
from .style import BLUE, GREY, INK, VERMILION, empty, fit_height, new_figure, styled

__all__ = ["eigenvectors_figure", "network_figure"]

FloatArray = npt.NDArray[np.float64]

MOST_PANELS = 4
MOST_LABELS = 12
MOST_SITES = 200
"""Of larger cells the network is a tangle, and its best view takes seconds to find."""

MOST_POINTS = 150
"""The view of the maps minds the jumps, as that of the network does, up to so many points."""

COLOURS = LinearSegmentedColormap.from_list("exchange", [BLUE, "#f7f7f7", VERMILION])


@styled
def eigenvectors_figure(results: AnalyseResults, model: MarkovModel, curves: Curves) -> Figure:
    """Draw the slowest processes over the sites: ions move between orange and blue ones."""
    vectors = curves.right_eigenvectors
    why = nothing_relaxes(results) or ("" if vectors.size else "none stored with the model")
    if why:
        figure = new_figure(5.6, 4.0)
        empty(figure.add_subplot(), f"Slowest processes: {why}")
        return figure
    number = min(vectors.shape[1], MOST_PANELS, len(results.implied_timescales_ps))
    columns = 2 if number == 4 else number
    rows = -(-number // columns)
    figure = new_figure((5.2, 7.6, 9.6)[columns - 1], 3.6 * rows)
    lattice = model.lattice
    some = lattice.positions[:: -(-lattice.n_sites // MOST_SITES)]
    channels = worth_drawing(find_channels(results))
    if lattice.n_sites + 2 * len(channels) > MOST_POINTS:
        channels = []
    view = best_view(lattice.cell, some, channels)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for k, ax in enumerate(panels):
        colours = _draw_process(ax, vectors[:, k], model, view)
        ax.set_title(f"{k + 1}: {_time(results, k)}")
    fit_height(figure, panels[0], 0.3 + 0.9 / rows, (rows, columns))
    bar = figure.colorbar(
        colours, ax=list(panels), orientation="horizontal", shrink=0.5, aspect=36, pad=0.03
    )
    bar.set_label(
        "right eigenvector ψ over its largest value: ions move between orange and blue sites"
    )
    bar.set_ticks([-1, 0, 1])
    bar.outline.set_visible(False)
    remark = caveat(results)
    if remark:
        figure.suptitle(remark, fontsize=10)
    return figure


def _draw_process(ax: Axes, vector: FloatArray, model: MarkovModel, view: View) -> Any:
    lattice, pi = model.lattice, model.stationary_distribution
    draw_cell(ax, lattice.cell, view)
    draw_framework(ax, lattice, view)
    points = view(lattice.positions)
    full = float(np.clip(3600.0 / len(points), 70.0, 420.0))
    # large ones first: small ones stay visible on top
    order = np.argsort(-pi, kind="stable")
    shade = vector / np.abs(vector).max()
    areas = np.maximum(full * pi / pi.max(), 0.06 * full)
    drawn = ax.scatter(
        points[order, 0], points[order, 1], s=areas[order], c=shade[order],
        cmap=COLOURS, vmin=-1.0, vmax=1.0, edgecolor=GREY, lw=0.7, zorder=3,
    )  # fmt: skip
    if len(points) <= MOST_LABELS:
        for label, point, area in zip(lattice.labels, points, areas, strict=True):
            ax.annotate(
                label, (point[0], point[1]), xytext=(0, -np.sqrt(area / np.pi) - 2.0),
                textcoords="offset points", ha="center", va="top", fontsize=8, color=INK,
                path_effects=HALO, zorder=4,
            )  # fmt: skip
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_axis_off()
    ax.margins(0.12)
    return drawn


def _time(results: AnalyseResults, k: int) -> str:
    time, error = results.implied_timescales_ps[k], results.implied_timescales_error_ps[k]
    if caveat(results) or error is None or error >= time:
        return "time not resolved"
    return value_text(time, error, "ps")


@styled
def network_figure(results: AnalyseResults, model: MarkovModel, curves: Curves) -> Figure:
    """Draw the jump network: sites in their cell, arrows as wide as the rates."""
    figure = new_figure(5.6, 5.2)
    ax = figure.add_subplot()
    if len(results.sites) > MOST_SITES:
        empty(ax, f"Jump network: {len(results.sites)} sites are too many to draw")
        return figure
    one = TemperatureResult(results.temperature_k or 0.0, results, curves, lattice=model.lattice)
    draw_network(ax, one, Study("", "", "", "", results.species, "", temperatures=(one,)))
    ax.set_title(_fastest(results))
    fit_height(figure, ax, 1.4)
    return figure


def _fastest(results: AnalyseResults) -> str:
    if not results.jumps:
        return "Jump network: no jump was seen"
    row = max(results.jumps, key=lambda row: row.rate_per_ps)
    rate = typeset(value_text(row.rate_per_ps, row.rate_error, "/ps"))
    return f"Fastest jump: {row.from_site} → {row.to_site}, {rate}"
