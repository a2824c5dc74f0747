"""D over the size of the cell and over temperature, with the fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aiida_limsm.units import BOLTZMANN_EV_PER_K

from ..format import format_with_error
from ..series import cell_text, is_anisotropic, resolved_d
from ..typeset import typeset
from .diffusion import set_log_limits, top_axis
from .style import GREY, empty, new_figure, panel_grid, styled, temperature_colours

__all__ = ["series_figure"]

Row = Mapping[str, Any]

#: Values within this factor are shown on a linear axis, which starts at zero.
LINEAR_WITHIN = 5.0
#: Marker and line of the mean, and of D along the lattice vectors.
MEAN = ("o", "--")
ALONG = {"a": ("^", ":"), "b": ("s", ":"), "c": ("D", ":")}


@styled
def series_figure(summary: Mapping[str, Any], title: str = "") -> Figure:
    """Draw D over 1/L for each temperature, and D over 1000/T for each supercell.

    A panel without anything to compare is left out.

    Parameters
    ----------
    summary
        Of :func:`aiida_limsm.calculations.series.collect_series`.
    title
        Above the figure.
    """
    panels = [
        draw
        for name, draw in (("size", _draw_size), ("arrhenius", _draw_temperature))
        if summary[name] and _levels(_points(summary["rows"]))
    ]
    figure = new_figure(9.6, 4.2) if len(panels) == 2 else panel_grid(0)[0]
    if not panels:
        empty(figure.axes[0], "nothing to compare: one member, or none with a value or a bound")
    elif len(panels) == 1:
        panels[0](figure.axes[0], summary)
    else:
        for draw, ax in zip(panels, figure.subplots(1, 2), strict=True):
            draw(ax, summary)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


@dataclass(frozen=True)
class Point:
    """D of a row: a value with its error, or a bound, or neither."""

    row: Row
    value: tuple[float, float] | None
    bound: float | None


def _points(rows: Sequence[Row], axis: str | None = None) -> list[Point]:
    """Return the mean of each row, or D along a lattice vector, of which no bound is known."""
    points = []
    for row in rows:
        value = resolved_d(row, axis)
        bound = row["upper_bound_cm2_s"] if value is None and axis is None else None
        points.append(Point(row, value, bound))
    return points


def _levels(points: Sequence[Point]) -> list[float]:
    """Return values that must be inside a picture with a logarithmic axis."""
    levels = []
    for point in points:
        if point.value is not None:
            d, error = point.value
            levels += [max(d - error, 0.3 * d), d + error]
        elif point.bound is not None:
            levels.append(point.bound)
    return levels


def _draw_points(
    ax: Axes,
    x: Sequence[float],
    points: Sequence[Point],
    colour: Any,
    marker: str,
    label: str | None = None,
) -> None:
    """Draw values with errors, and bounds as triangles that point down."""
    good = [(at, *point.value) for at, point in zip(x, points, strict=True) if point.value]
    bad = [(at, point.bound) for at, point in zip(x, points, strict=True) if point.bound]
    if good:
        ax.errorbar(
            [at for at, _, _ in good],
            [d for _, d, _ in good],
            yerr=[error for _, _, error in good],
            fmt=marker, color=colour, mfc=colour if marker == MEAN[0] else "white", label=label,
        )  # fmt: skip
    if bad:
        ax.plot([at for at, _ in bad], [bound for _, bound in bad], "v", mfc="none", color=colour)


def _draw_size(ax: Axes, summary: Mapping[str, Any]) -> None:
    axis, entries = summary["length_axis"], summary["size"]
    rows = {
        entry["temperature_k"]: [
            row for row in summary["rows"] if row["temperature_k"] == entry["temperature_k"]
        ]
        for entry in entries
    }
    largest = max(1 / row["length_angstrom"] for own in rows.values() for row in own)
    levels: list[float] = []
    for entry, colour in zip(entries, temperature_colours(len(entries)), strict=True):
        own = rows[entry["temperature_k"]]
        inverse = np.array([1 / row["length_angstrom"] for row in own])
        label = f"{entry['temperature_k']:g} K"
        levels += _levels(points := _points(own))
        _draw_points(ax, inverse.tolist(), points, colour, MEAN[0], label)
        levels += _draw_extrapolation(ax, entry, 0.0, inverse.max(), colour, MEAN)
        for name, part in entry["along"].items():
            # beside the mean, or equal values would hide each other
            aside = 0.015 * largest
            levels += _levels(points := _points(own, name))
            _draw_points(ax, (inverse + aside).tolist(), points, colour, ALONG[name][0])
            levels += _draw_extrapolation(ax, part, aside, inverse.max(), colour, ALONG[name])
    if max(levels) > LINEAR_WITHIN * min(levels):
        ax.set_yscale("log")
        set_log_limits(ax, levels)
    else:
        ax.set_ylim(0.0, 1.2 * max(levels))
    ax.set_xlim(-0.02 * largest, 1.08 * largest)
    ax.set_xlabel(f"1/L  (Å⁻¹), L along {axis}" if axis else "1/L  (Å⁻¹), L = V$^{1/3}$")
    ax.set_ylabel("D  (cm²/s)")
    marks = {"mean of the axes": MEAN, f"along {axis}": ALONG[axis]} if axis else {}
    _legend(ax, [p for own in rows.values() for p in _points(own)], marks)


def _legend(
    ax: Axes,
    points: Sequence[Point],
    marks: Mapping[str, tuple[str, str]],
    place: Literal["best", "lower left"] = "best",
) -> None:
    """Name colours, then kinds of points in grey."""
    handles = ax.get_legend_handles_labels()[0]
    if any(point.bound for point in points):
        marks = {**marks, "not resolved: 95 % bound": ("v", "")}
    handles += [
        Line2D([], [], color=GREY, marker=marker, ls=line, label=name, lw=1.0,
               mfc=GREY if marker == MEAN[0] else "white")
        for name, (marker, line) in marks.items()
    ]  # fmt: skip
    ax.legend(handles=handles, loc=place)
    if ax.get_yscale() == "log":
        # many names do not find a place among the points
        low, high = ax.get_ylim()
        ax.set_ylim(high * (low / high) ** (1.0 + 0.1 * max(len(handles) - 3, 0)), high)


def _draw_extrapolation(
    ax: Axes, fit: Row, aside: float, largest: float, colour: Any, style: tuple[str, str]
) -> list[float]:
    """Draw D∞ + c / L and D∞; return what must be inside the picture."""
    if "infinite_cm2_s" not in fit:
        return []
    x = np.linspace(0.0, largest, 60)
    line = fit["infinite_cm2_s"] + fit["slope_cm2_angstrom_s"] * x
    ax.plot(x[line > 0] + aside, line[line > 0], color=colour, lw=1.0, ls=style[1])
    if fit["infinite_cm2_s"] <= 0:
        return []
    ax.errorbar(
        [aside], [fit["infinite_cm2_s"]], yerr=[fit["infinite_error_cm2_s"]],
        fmt=style[0], mfc="white", color=colour, clip_on=False,
    )  # fmt: skip
    return [float(fit["infinite_cm2_s"])]


def _draw_temperature(ax: Axes, summary: Mapping[str, Any]) -> None:
    fits = summary["arrhenius"]
    levels: list[float] = []
    shown: list[Row] = []
    for fit, colour in zip(fits, temperature_colours(len(fits))[::-1], strict=True):
        own = [row for row in summary["rows"] if row["supercell"] == fit["supercell"]]
        shown += own
        parts = [(None, fit, MEAN)]
        # of the largest cell alone: four lines for each would hide one another
        if fit is fits[0] and is_anisotropic(own, fit):
            parts += [(axis, part, ALONG[axis]) for axis, part in fit["along"].items()]
        for axis, part, style in parts:
            levels += _draw_arrhenius(ax, _points(own, axis), part, colour, style, fit, axis)
    ax.set_yscale("log")
    set_log_limits(ax, levels)
    ax.margins(x=0.08)
    ax.set_xlabel("1000/T  (K⁻¹)")
    ax.set_ylabel("D  (cm²/s)")
    top_axis(ax, sorted({row["temperature_k"] for row in shown}))
    _legend(ax, _points(shown), {}, "lower left")  # below lines that fall


def _draw_arrhenius(
    ax: Axes,
    points: Sequence[Point],
    part: Row,
    colour: Any,
    style: tuple[str, str],
    fit: Row,
    axis: str | None,
) -> list[float]:
    label = cell_text(fit) + (f" along {axis}" if axis else "")
    if "energy_ev" in part:
        energy = format_with_error(part["energy_ev"], part["energy_error_ev"], "eV")
        label = f"{label}: $E_a$ = {typeset(energy)}"
        # only as far as it was fitted
        fitted = [1000 / p.row["mean_temperature_k"] for p in points if p.value]
        x = np.linspace(min(fitted), max(fitted), 50)
        slope = part["energy_ev"] / (1000 * BOLTZMANN_EV_PER_K)
        line = [math.exp(part["log_d0_cm2_s"] - slope * value) for value in x]
        ax.plot(x, line, color=colour, lw=1.0, ls=style[1])
    inverse = [1000 / point.row["mean_temperature_k"] for point in points]
    _draw_points(ax, inverse, points, colour, style[0], label)
    return _levels(points)
