"""D against 1000/T, of both methods, with bounds where nothing is resolved."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aiida_limsm.compute.results import DiffusionEstimate

from ..format import format_with_error
from ..judge import bound_of, fit_arrhenius, is_resolved
from ..study import Study, TemperatureResult
from ..typeset import typeset
from .style import BLUE, GREY, INK, VERMILION, empty, new_figure, styled

__all__ = ["diffusion_figure", "draw_diffusion", "set_log_limits", "top_axis"]

METHODS = (("markov", "Markov state model", BLUE, "o", -1), ("msd", "MSD slope", VERMILION, "s", 1))
MAX_TOP_TICKS = 6


@styled
def diffusion_figure(study: Study) -> Figure:
    """Draw D(T) of the Markov model and of the mean-square displacement."""
    figure = new_figure(5.6, 4.3)
    draw_diffusion(figure.add_subplot(), study)
    return figure


def draw_diffusion(ax: Axes, study: Study) -> None:
    """Draw D(T) into a panel."""
    results = study.by_temperature
    shown = [result for result in results if _levels(result)]
    if not shown:
        empty(ax, "no diffusion coefficient and no bound to show")
        return
    ax.set_yscale("log")
    inverse = np.array([1000.0 / result.temperature_k for result in shown])
    span = float(np.ptp(inverse)) or 0.3 * float(inverse.mean())
    ax.set_xlim(inverse.min() - 0.12 * span, inverse.max() + 0.12 * span)
    set_log_limits(ax, [level for result in shown for level in _levels(result)])
    handles = []
    for name, label, colour, marker, side in METHODS:
        estimates = [getattr(result, name) for result in shown]
        handles += _draw_method(ax, inverse + side * 0.011 * span, estimates, label, colour, marker)
    if any(bound_of(e) for r in shown for e in (r.markov, r.msd)):
        handles.append(
            Line2D([], [], color=GREY, marker=r"$\downarrow$", ms=8, ls="",
                   label="not resolved: 95 % upper bound")
        )  # fmt: skip
    handles += _draw_fit(ax, study)
    ax.set_xlabel("1000/T  (K⁻¹)")
    ax.set_ylabel("D  (cm²/s)")
    ax.legend(handles=handles, loc="best")
    top_axis(ax, [result.temperature_k for result in shown])


def _draw_method(
    ax: Axes,
    x: npt.NDArray[np.float64],
    estimates: list[DiffusionEstimate | None],
    label: str,
    colour: str,
    marker: str,
) -> list[Line2D]:
    """Draw the points and bounds of one method; return what the legend must show."""
    handles = []
    points = [(at, e) for at, e in zip(x, estimates, strict=True) if e and is_resolved(e)]
    if points:
        ax.errorbar(
            [at for at, _ in points],
            [e.isotropic_cm2_s for _, e in points],
            yerr=[e.isotropic_error_cm2_s for _, e in points],
            fmt=marker,
            color=colour,
            ms=5,
            elinewidth=1.3,
        )
        handles.append(Line2D([], [], color=colour, marker=marker, ls="", label=label))
    bounds = [(at, bound) for at, e in zip(x, estimates, strict=True) if (bound := bound_of(e))]
    for at, bound in bounds:
        ax.plot([at], [bound], marker="_", ms=11, mew=1.6, color=colour)
        ax.annotate(
            "",
            xy=(at, bound),
            xytext=(0, -24),
            textcoords="offset points",
            arrowprops={
                "arrowstyle": "<|-",
                "color": colour,
                "lw": 1.2,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
    if bounds and not points:  # else the colour is in the legend already
        handles.append(Line2D([], [], color=colour, marker="_", ms=10, ls="", label=label))
    return handles


def _draw_fit(ax: Axes, study: Study) -> list[Line2D]:
    fit = fit_arrhenius(study)
    if fit is None:
        return []
    # only as far as it was fitted: beyond, a line suggests a knowledge that nobody has
    fitted = [r.temperature_k for r in study.temperatures if is_resolved(r.markov)]
    x = np.linspace(1000.0 / max(fitted), 1000.0 / min(fitted), 50)
    y = [fit.d_cm2_s(1000.0 / value) for value in x]
    energy = typeset(format_with_error(fit.energy_ev, fit.energy_error_ev, "eV"))
    return list(
        ax.plot(x, y, color=GREY, lw=1.1, ls="--", zorder=1, label=f"$E_a$ = {energy} (Markov)")
    )


def _levels(result: TemperatureResult) -> list[float]:
    """Return the values of D that must be inside the picture."""
    levels = []
    for estimate in (result.markov, result.msd):
        if estimate is not None and is_resolved(estimate):
            d, error = estimate.isotropic_cm2_s, estimate.isotropic_error_cm2_s
            # an error bar that reaches zero has no end on a log axis: let it leave the picture
            levels += [max(d - error, 0.3 * d), d + error]
        elif (bound := bound_of(estimate)) is not None:
            levels += [bound, 0.5 * bound]
    return levels


def set_log_limits(ax: Axes, levels: list[float]) -> None:
    """Show at least one decade: a log axis of a few per cent has no readable ticks."""
    low, high = math.log10(min(levels)), math.log10(max(levels))
    pad = max(0.12 * (high - low), 0.5 * (1.2 - (high - low)))
    ax.set_ylim(10 ** (low - pad), 10 ** (high + pad))


def top_axis(ax: Axes, temperatures: list[float]) -> None:
    """Put temperatures above an axis of 1000/T."""

    def swap(value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        array = np.asarray(value, dtype=np.float64)
        return 1000.0 / np.where(array == 0, 1e-9, array)

    top = ax.secondary_xaxis("top", functions=(swap, swap))
    ticks = sorted(set(temperatures))
    step = -(-len(ticks) // MAX_TOP_TICKS)
    top.set_xticks(ticks[::step], labels=[f"{tick:.0f}" for tick in ticks[::step]])
    top.set_xlabel("T  (K)")
    top.tick_params(colors=INK)
    top.minorticks_off()
