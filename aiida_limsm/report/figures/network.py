"""The jump network: sites in their cell, arrows as wide as the rates."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke

from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.sites import SiteLattice

from ..judge import value_text
from ..study import Study, TemperatureResult
from ..typeset import typeset
from .projection import Channel, View, best_view, find_channels, site_cell
from .style import GREY, ORBIT_COLOURS, empty, new_figure, styled

__all__ = [
    "HALO",
    "draw_cell",
    "draw_framework",
    "draw_network",
    "most_jumps",
    "network_figure",
    "worth_drawing",
]

FloatArray = npt.NDArray[np.float64]

MAX_CHANNELS = 220
WEAKEST = 0.02
"""Channels below this fraction of the fastest would be hairlines: they are counted, not drawn."""

WIDEST_POINTS = 4.0
ROOMY_SITES = 12
"""Up to this many sites there is room for arrows and labels of full size."""

LABELLED_SITES = 60
"""Up to this many sites their labels can be read."""

LEGEND_CHARACTERS = 64
FRAMEWORK = "#b3bcc6"
ARROWS = "#52606d"
EDGE = 1e-3
"""Fraction of the cell within which an atom is on a face of it."""

HALO = [withStroke(linewidth=2.2, foreground="white")]


@styled
def network_figure(study: Study, index: int | None = None) -> Figure:
    """Draw the jump network of one temperature.

    Parameters
    ----------
    study
        The study.
    index
        Position in ``study.by_temperature``; by default the one with most jumps.
    """
    figure = new_figure(5.6, 5.2)
    ax = figure.add_subplot()
    results = study.by_temperature
    if not results:
        empty(ax, "no temperature was analysed")
        return figure
    draw_network(ax, most_jumps(study) if index is None else results[index], study)
    return figure


def most_jumps(study: Study) -> TemperatureResult:
    """Return the result that rests on most jumps: its rates are the best known."""
    return max(study.by_temperature, key=lambda result: result.analysis.n_jumps)


def draw_network(ax: Axes, result: TemperatureResult, study: Study) -> None:
    """Draw the jump network of one temperature into a panel, seen as all of its study are."""
    found = result.analysis
    cell = site_cell(result)
    if not found.sites or cell is None:
        empty(ax, f"{result.temperature_k:.0f} K: the cell of the sites is not known")
        return
    positions = np.array([site.frac for site in found.sites]) @ cell
    channels = find_channels(found)
    drawn = worth_drawing(channels)
    view = _view(study, result, cell, positions)
    draw_cell(ax, cell, view)
    framework = result.lattice is not None and draw_framework(ax, result.lattice, view)
    colours = _orbit_colours(found)
    areas = _areas(found)
    _draw_channels(ax, drawn, positions, view, areas, [colours[s.orbit] for s in found.sites])
    _draw_sites(ax, found, view(positions), areas, colours, _free_sides(drawn, positions, view))
    _finish(ax, result, drawn, len(channels) - len(drawn), colours, framework)


def draw_framework(ax: Axes, lattice: SiteLattice, view: View) -> bool:
    """Draw the framework's atoms, those on faces of the cell on all of them; tell if there are."""
    scaled = lattice.framework_positions @ np.linalg.inv(lattice.cell)
    scaled -= np.floor(scaled + EDGE)
    images = np.array(list(product((0, 1), repeat=3)))
    points = (scaled[:, None] + images).reshape(-1, 3)
    inside = view(points[(points < 1 + EDGE).all(axis=1)] @ lattice.cell)
    size = float(np.clip(250.0 / max(len(inside), 1), 3.0, 14.0))
    ax.scatter(inside[:, 0], inside[:, 1], s=size, color=FRAMEWORK, zorder=1)
    return len(inside) > 0


def worth_drawing(channels: list[Channel]) -> list[Channel]:
    """Return the channels that are no hairlines beside the fastest."""
    return [c for c in channels if c.strength >= WEAKEST * channels[0].strength][:MAX_CHANNELS]


def _view(study: Study, result: TemperatureResult, cell: FloatArray, positions: FloatArray) -> View:
    """Choose the view by the run with most jumps, so that temperatures can be compared."""
    richest = most_jumps(study)
    if len(richest.analysis.sites) != len(positions):
        richest = result
    return best_view(cell, positions, worth_drawing(find_channels(richest.analysis)))


def _orbit_colours(found: AnalyseResults) -> dict[str, str]:
    orbits = list(dict.fromkeys(site.orbit for site in found.sites))
    return {orbit: ORBIT_COLOURS[k % len(ORBIT_COLOURS)] for k, orbit in enumerate(orbits)}


def _areas(found: AnalyseResults) -> FloatArray:
    """Return marker areas, points²: proportional to occupancy, smaller where sites are many."""
    full = float(np.clip(2200.0 / len(found.sites), 55.0, 330.0))
    return np.array([max(full * site.occupancy, 0.08 * full) for site in found.sites])


def draw_cell(ax: Axes, cell: FloatArray, view: View) -> None:
    """Draw the edges of the cell, with the names of its vectors."""
    for corner in product((0, 1), repeat=3):
        for axis in range(3):
            if corner[axis] == 0:
                end = np.array(corner) + np.eye(3)[axis]
                line = view(np.array([corner, end]) @ cell)
                ax.plot(*line.T, color="#c3cad2", lw=0.8, zorder=0)
    for axis, name in enumerate("abc"):
        # a little beyond the end of the vector; one seen head-on has no direction in the picture
        tip = view(cell[axis])
        if np.linalg.norm(tip) > 0.15 * np.linalg.norm(cell[axis]):
            away = 6 * tip / np.linalg.norm(tip)
            ax.annotate(
                name, (tip[0], tip[1]), xytext=(away[0], away[1]), textcoords="offset points",
                style="italic", color=GREY, ha="center", va="center",
            )  # fmt: skip


def _draw_channels(
    ax: Axes,
    channels: list[Channel],
    positions: FloatArray,
    view: View,
    areas: FloatArray,
    colours: list[str],
) -> None:
    """Draw the arrows, and ghosts of the sites outside the cell that they lead to."""
    if not channels:
        return
    fastest = channels[0].strength
    scale = float(np.clip((ROOMY_SITES / len(positions)) ** 0.6, 0.3, 1.0))
    radii = np.sqrt(areas / np.pi)
    home = {tuple(np.round(p, 2) + 0.0) for p in positions}
    for channel in channels:
        begin = positions[channel.start]
        end = begin + channel.vector
        if tuple(np.round(end, 2) + 0.0) not in home:
            x, y = view(end)
            ax.scatter(
                x, y, s=0.55 * areas[channel.end], facecolor="white",
                edgecolor=colours[channel.end], lw=0.9, zorder=2,
            )  # fmt: skip
        a, b = view(begin), view(end)
        trim = (radii[channel.start] + 1.5, 0.75 * radii[channel.end] + 1.5)
        if channel.start == channel.end:
            # one crystal site: forth and back are the same jump, with one rate
            _arrow(ax, (a, b), channel.strength / fastest, scale, trim, "<|-|>")
            continue
        for start, stop, rate, cut in (
            (a, b, channel.rate_per_ps, trim),
            (b, a, channel.back_rate_per_ps, trim[::-1]),
        ):
            if rate > 0:
                _arrow(ax, (start, stop), rate / fastest, scale, cut, "-|>")


def _arrow(
    ax: Axes,
    ends: tuple[FloatArray, FloatArray],
    strength: float,
    scale: float,
    trim: tuple[float, float],
    head: str,
) -> None:
    """Draw one arrow; those of one direction are bent, so that both ways can be told apart."""
    start, stop = ends
    if np.linalg.norm(stop - start) < 1e-3:  # seen head-on
        return
    width = max(WIDEST_POINTS * strength * scale, 0.35)
    style: Any = f"{head},head_length={0.28 + 0.06 * width},head_width={0.14 + 0.03 * width}"
    # not add_patch: it would trace every arrow for the limits, which the sites set already
    ax.add_artist(
        FancyArrowPatch(
            (float(start[0]), float(start[1])),
            (float(stop[0]), float(stop[1])),
            arrowstyle=style,
            mutation_scale=13 * max(scale, 0.5),
            connectionstyle="arc3,rad=0.10" if head == "-|>" else "arc3",
            shrinkA=trim[0],
            shrinkB=trim[1],
            lw=width,
            color=ARROWS,
            alpha=0.35 + 0.5 * strength,
            zorder=1.5,
        )
    )


def _draw_sites(
    ax: Axes,
    found: AnalyseResults,
    points: FloatArray,
    areas: FloatArray,
    colours: dict[str, str],
    sides: FloatArray,
) -> None:
    ax.scatter(
        points[:, 0], points[:, 1], s=areas, c=[colours[site.orbit] for site in found.sites],
        edgecolor="white", lw=0.8, zorder=3,
    )  # fmt: skip
    if len(found.sites) > LABELLED_SITES:
        return
    size = float(np.clip(9.0 * (ROOMY_SITES / len(found.sites)) ** 0.3, 5.0, 9.0))
    for site, point, area, side in zip(found.sites, points, areas, sides, strict=True):
        # labels are wider than high: sideways they need more room
        away = side * (np.sqrt(area / np.pi) + size * np.array([1.25, 0.75]))
        ax.annotate(
            site.label, (point[0], point[1]), xytext=(away[0], away[1]),
            textcoords="offset points", ha="center", va="center", fontsize=size,
            path_effects=HALO, zorder=4,
        )  # fmt: skip


def _free_sides(channels: list[Channel], positions: FloatArray, view: View) -> FloatArray:
    """Return for every site the direction (unit vector) with fewest arrows, for its label."""
    angles = np.pi / 2 + np.linspace(0, 2 * np.pi, 16, endpoint=False)
    sides = np.column_stack([np.cos(angles), np.sin(angles)])
    crowding = np.zeros((len(positions), len(sides)))
    for channel in channels:
        along = view(channel.vector)
        length = float(np.linalg.norm(along))
        if length > 1e-3:
            crowding[channel.start] += np.exp(6 * (sides @ along / length - 1))
            home = np.linalg.norm(positions[channel.start] + channel.vector
                                  - positions[channel.end]) < 0.05  # fmt: skip
            if home:
                crowding[channel.end] += np.exp(6 * (-sides @ along / length - 1))
    return np.asarray(sides[np.argmin(np.round(crowding, 6), axis=1)])


def _finish(
    ax: Axes,
    result: TemperatureResult,
    drawn: list[Channel],
    left_out: int,
    colours: dict[str, str],
    framework: bool,
) -> None:
    found = result.analysis
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_axis_off()
    ax.margins(0.08)
    ax.set_title(f"{result.temperature_k:.0f} K: {_fastest(found) if drawn else 'no jump seen'}")
    handles = []
    for orbit, colour in colours.items():
        sites = [site for site in found.sites if site.orbit == orbit]
        handles.append(
            Line2D([], [], marker="o", ls="", ms=7, color=colour,
                   label=f"{orbit} ({len(sites)} site{'s' if len(sites) > 1 else ''})")
        )  # fmt: skip
    if framework:
        handles.append(Line2D([], [], marker="o", ls="", ms=4, color=FRAMEWORK, label="framework"))
    if drawn:
        handles.append(Line2D([], [], color=ARROWS, lw=2.5, label="jumps, width by rate"))
    if left_out:
        kinds = f"{left_out} slower kind{'s' if left_out > 1 else ''}"
        handles.append(Line2D([], [], ls="", label=f"{kinds} not drawn"))
    # a legend wider than the panel would shrink the picture
    longest = max(len(str(handle.get_label())) for handle in handles) + 6
    columns = int(np.clip(LEGEND_CHARACTERS // longest, 1, len(handles)))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=columns)


def _fastest(found: AnalyseResults) -> str:
    row = max(found.jumps, key=lambda row: row.rate_per_ps)
    rate = typeset(value_text(row.rate_per_ps, row.rate_error, "/ps"))
    return f"fastest {row.from_site} → {row.to_site}, {rate}"
