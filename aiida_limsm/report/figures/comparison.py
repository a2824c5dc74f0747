"""Trajectories side by side: g(r) of element pairs above, vibrations of elements below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_limsm.compute.compare_file import THZ_TO_CM1, Curve, CurveSet
from aiida_limsm.compute.compare_models import CompareResults

from ..comparison import overlap_text
from .style import GREY, INK, METHOD_COLOURS, new_figure, styled

__all__ = ["comparison_figure"]

MOST_COLUMNS = 4
PANEL = (3.5, 2.9)
MOST_NOTES = 3
#: Height of a panel over that of its curves: the overlaps are written above them.
HEADROOM = 1.45


@styled
def comparison_figure(results: CompareResults, rdf: CurveSet, vdos: CurveSet | None) -> Figure:
    """Draw all curves of all trajectories, with bands of one standard error and the overlaps.

    Parameters
    ----------
    results
        Of ``limsm compare``.
    rdf, vdos
        Its curves, see :func:`aiida_limsm.compute.compare_file.read_curves`.
    """
    pairs = _names(rdf)
    elements = [] if vdos is None else _names(vdos)
    if len(elements) == 2:  # one element, and all: the same
        elements = elements[:1]
    columns = min(MOST_COLUMNS, max(len(pairs), len(elements), 1))
    upper, lower = (-(-len(names) // columns) for names in (pairs, elements))
    width = max(PANEL[0] * columns, 5.6)
    figure = new_figure(width, PANEL[1] * (upper + lower) + 0.5)
    grid = figure.add_gridspec(upper + lower, columns)
    axes = []
    for number, name in enumerate(pairs):
        ax = figure.add_subplot(grid[number // columns, number % columns])
        _draw_rdf(ax, results, rdf, name, first=number % columns == 0)
        axes.append(ax)
    for number, name in enumerate(elements):
        assert vdos is not None
        ax = figure.add_subplot(grid[upper + number // columns, number % columns])
        _draw_vdos(ax, results, vdos, name, first=number % columns == 0)
        axes.append(ax)
    if len(rdf.curves) > 1:
        handles = axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(rdf.curves))
    return figure


def _names(found: CurveSet) -> list[str]:
    return list(next(iter(found.curves.values())))


def _lines(ax: Axes, x: np.ndarray, curves: Mapping[str, Mapping[str, Curve]], name: str) -> None:
    """Draw the curves of one name; the first trajectory, the reference, on top and dashed."""
    for number, (label, of_label) in enumerate(curves.items()):
        curve, colour = of_label[name], METHOD_COLOURS[number % len(METHOD_COLOURS)]
        reference = number == 0 and len(curves) > 1
        ax.plot(
            x, curve.value, color=colour, lw=1.5, ls=(0, (4, 1.5)) if reference else "-",
            zorder=3 if reference else 2, label=label,
        )  # fmt: skip
        if np.isfinite(curve.error).all():
            ax.fill_between(
                x, curve.value - curve.error, curve.value + curve.error,
                color=colour, alpha=0.18, lw=0, zorder=1,
            )  # fmt: skip


def _draw_rdf(ax: Axes, results: CompareResults, rdf: CurveSet, name: str, first: bool) -> None:
    _lines(ax, rdf.x, rdf.curves, name)
    ax.axhline(1.0, color=GREY, lw=0.7, zorder=0)
    begin = min(rdf.x[np.argmax(of_label[name].value > 0)] for of_label in rdf.curves.values())
    ax.set_xlim(max(0.0, begin - 0.5), float(rdf.x[-1]))
    top = max(float(of_label[name].value.max()) for of_label in rdf.curves.values())
    ax.set_ylim(0, HEADROOM * top or 1.0)
    ax.set_title(f"g(r)  {name.replace('-', '–')}")
    ax.set_xlabel("r  (Å)")
    if first:
        ax.set_ylabel("g(r)")
    _note(ax, results, "rdf", name)


def _draw_vdos(ax: Axes, results: CompareResults, vdos: CurveSet, name: str, first: bool) -> None:
    _lines(ax, vdos.x, vdos.curves, name)
    ax.set_xlim(0, _last(vdos, name))
    top = max(float(of_label[name].value.max()) for of_label in vdos.curves.values())
    ax.set_ylim(0, HEADROOM * top or 1.0)
    ax.set_title("vibrations  " + ("all atoms" if name == "all" else name))
    ax.set_xlabel("frequency  (THz)")
    if first:
        ax.set_ylabel("density of states  (1/THz)")
    above = ax.secondary_xaxis(-0.28, functions=(_to_cm1, _to_thz))
    above.set_xlabel("(cm⁻¹)")
    _note(ax, results, "vdos", name)


def _to_cm1(thz: Any) -> Any:
    return np.asarray(thz) * THZ_TO_CM1


def _to_thz(cm1: Any) -> Any:
    return np.asarray(cm1) / THZ_TO_CM1


def _last(vdos: CurveSet, name: str) -> float:
    """Return the frequency below which all but a thousandth of every spectrum lies."""
    ends = []
    for of_label in vdos.curves.values():
        total = np.cumsum(of_label[name].value)
        ends.append(vdos.x[np.searchsorted(total, 0.999 * total[-1])])
    return float(min(1.1 * max(ends), vdos.x[-1])) or float(vdos.x[-1])


def _note(ax: Axes, results: CompareResults, quantity: str, name: str) -> None:
    """Write the overlaps with the reference, the first trajectory, into a panel."""
    reference = results.sources[0].label
    entries = [
        entry
        for entry in results.overlaps
        if (entry.quantity, entry.name) == (quantity, name)
        and reference in (entry.first, entry.second)
    ]
    lines = [f"{entry.first} / {entry.second}: {overlap_text(entry)}" for entry in entries]
    if not lines:
        return
    ax.text(
        0.98, 0.97, "\n".join(["overlap", *lines[:MOST_NOTES]]), transform=ax.transAxes,
        ha="right", va="top", fontsize=7.5, color=INK,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )  # fmt: skip
