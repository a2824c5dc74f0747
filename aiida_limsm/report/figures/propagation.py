"""Ions that spread: the Markov model beside Fick's law."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aiida_limsm.markov.fick import FickComparison

from .style import BLUE, INK, empty, new_figure, styled, temperature_colours

__all__ = ["propagation_figure"]

MOST_PROFILES = 6
MOST_POINTS = 60
SMALLEST_SHOWN = 1e-12


@styled
def propagation_figure(found: FickComparison, axis: str = "a") -> Figure:
    """Draw profiles at several times, and how far model and law are apart over time.

    Parameters
    ----------
    found
        Profiles, see :func:`aiida_limsm.compute.propagate.read_profiles`.
    axis
        Name of the cell vector across whose planes the profiles are taken.
    """
    figure = new_figure(10.0, 4.2)
    profiles, spread = figure.subplots(1, 2, width_ratios=(1.35, 1.0))
    _draw_profiles(profiles, found, axis)
    _draw_difference(spread, found)
    return figure


def _draw_profiles(ax: Axes, found: FickComparison, axis: str) -> None:
    number = len(found.times_ps)
    if number == 0:
        empty(ax, "no times")
        return
    shown = np.unique(np.linspace(0, number - 1, min(number, MOST_PROFILES)).round().astype(int))
    position = found.position_angstrom
    unit, label = (10.0, "nm") if position[-1] > 200 else (1.0, "Å")
    every = max(1, len(position) // MOST_POINTS)
    colours = temperature_colours(len(shown))
    for colour, k in zip(colours, shown, strict=True):
        ax.plot(position / unit, found.fick[k], color=colour, lw=1.3)
        ax.plot(
            position[::every] / unit, found.model[k, ::every], "o", color=colour, ms=3.6, mew=0,
            label=_time(float(found.times_ps[k])),
        )  # fmt: skip
    # times in one legend; what points and lines are in another
    times = ax.legend(loc="upper right", title="t", handletextpad=0.2)
    ax.add_artist(times)
    ax.legend(
        handles=[
            Line2D([], [], marker="o", ls="", color=INK, ms=4, mew=0, label="Markov model"),
            Line2D([], [], color=INK, lw=1.3, label="Fick's law"),
        ],
        loc="upper left",
    )
    top = float(max(found.model[shown].max(), found.fick[shown].max()))
    ax.set_ylim(min(0.0, float(found.fick[shown].min())), 1.28 * top or 1.0)
    ax.set_xlim(0, float(position[-1]) / unit or 1.0)
    ax.set_xlabel(f"position across the planes of cells along {axis}  ({label})")
    ax.set_ylabel("ions per cell, mean of the plane")
    ax.ticklabel_format(axis="y", scilimits=(-3, 4))
    ax.set_title("profile")


def _draw_difference(ax: Axes, found: FickComparison) -> None:
    good = (found.times_ps > 0) & (found.relative_l2 > SMALLEST_SHOWN)
    if not good.any():
        empty(ax, "model and Fick's law do not differ")
        return
    times = found.times_ps[good]
    ax.loglog(times, found.relative_l2[good], "o-", color=BLUE)
    ax.set_xlabel("t  (ps)")
    ax.set_ylabel("‖model − Fick‖ / ‖Fick‖")
    ax.set_title("relative difference, over all cells")


def _time(value: float) -> str:
    """Return a time with a unit people read: 0.5 ps, 12 ns."""
    for factor, unit in ((1e6, "µs"), (1e3, "ns")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g} ps"
