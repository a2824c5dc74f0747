"""Curves of one analysis: displacement over time, and what the lag time does to the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from aiida_limsm.compute.results import AnalyseResults, DiffusionEstimate
from aiida_limsm.markov.curves import Curves

from ..judge import bound_of, diffusion_text, is_resolved
from ..study import TemperatureResult
from ..typeset import typeset
from .curves import draw_msd
from .style import BLUE, GREY, INK, ORBIT_COLOURS, VERMILION, empty, new_figure, styled

__all__ = ["chapman_kolmogorov_figure", "d_of_lag_figure", "msd_figure", "plain_log"]

FloatArray = npt.NDArray[np.float64]

SIZE = (5.6, 4.0)
NO_JUMP = "no jump was seen"
MOST_GROUPS = len(ORBIT_COLOURS)

NOTHING_CM2_S = 1e-14
"""A model's D below this is rounding of an exact zero: the jumps seen lead nowhere."""

LOG_FROM_RATIO = 8.0
"""D(τ) goes on a log axis where it changes by more than this."""

SHORT_AXIS = 60.0
"""A logarithmic axis over a smaller ratio gets labels between the powers of ten."""


@styled
def msd_figure(results: AnalyseResults, curves: Curves) -> Figure:
    """Draw MSD(t) of the ions, of the sites they are on, and of the model."""
    figure = new_figure(*SIZE)
    ax = figure.add_subplot()
    if not np.isfinite(curves.msd_md_angstrom2).any():
        empty(ax, "no mean-square displacement stored")
        return figure
    draw_msd(ax, TemperatureResult(results.temperature_k or np.nan, results, curves))
    ax.set_title(f"MSD: {_quoted(results, 'msd')}\nMarkov model: {_quoted(results, 'markov')}")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


@styled
def d_of_lag_figure(results: AnalyseResults, curves: Curves) -> Figure:
    """Draw D(τ) with errors, the chosen lag, and what is quoted from the model and the MSD."""
    figure = new_figure(*SIZE)
    ax = figure.add_subplot()
    lag, d = curves.lag_ps, curves.d_of_lag_cm2_s
    if results.n_jumps == 0:
        empty(ax, f"D(τ): {NO_JUMP}")
        return figure
    if not (np.nan_to_num(d) > NOTHING_CM2_S).any():
        empty(ax, "D(τ) = 0: ions come back to where they were, or make no second jump")
        return figure
    found = results.diffusion
    resolved = found is not None and is_resolved(found.markov)
    error = np.where(curves.d_of_lag_error_cm2_s >= 0, curves.d_of_lag_error_cm2_s, np.nan)
    ax.errorbar(
        lag, d, yerr=error, fmt="o" if resolved else "o:", color=BLUE, ms=4.5, lw=1, zorder=3,
        mfc=BLUE if resolved else "white", label="D(τ) ± 1 σ" + ("" if resolved else ", for show"),
    )  # fmt: skip
    if found is not None:
        _draw_quoted(ax, found.markov, BLUE, "Markov model", lag)
        _draw_quoted(ax, found.msd, VERMILION, "MSD", lag)
    _mark_lag(ax, results)
    ax.set_xscale("log")
    positive = d[np.isfinite(d) & (d > NOTHING_CM2_S)]
    bound = None if found is None else bound_of(found.markov)
    top = max(float(positive.max()), bound or 0.0)
    if top > LOG_FROM_RATIO * positive.min():
        unit = "cm²/s"
        ax.set_yscale("log")
        ax.set_ylim(float(positive.min()) / 2.0, top * 2.0)
    else:
        ax.set_ylim(bottom=0)
        unit = _scale_axis(ax, top)
    plain_log(ax.xaxis)
    ax.set_xlabel("lag time τ  (ps)")
    ax.set_ylabel(f"D(τ)  ({unit})")
    ax.set_title(f"Markov model: {_quoted(results, 'markov')}")
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def chapman_kolmogorov_figure(results: AnalyseResults, curves: Curves) -> Figure:
    """Draw probabilities to be on the same site after kτ, and observed less predicted ones."""
    figure = new_figure(5.6, 4.9)
    if results.n_jumps == 0 or curves.ck_predicted.size == 0:
        why = NO_JUMP if results.n_jumps == 0 else "not made: the file holds none, or it is short"
        empty(figure.add_subplot(), f"Chapman-Kolmogorov test: {why}")
        return figure
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    time = curves.ck_lag_ps
    missed = np.nan_to_num(np.abs(curves.ck_observed - curves.ck_predicted)).max(axis=0)
    shown = np.sort(np.argsort(-missed, kind="stable")[:MOST_GROUPS])
    for place, group in enumerate(shown):
        colour = ORBIT_COLOURS[place]
        predicted, observed = curves.ck_predicted[:, group], curves.ck_observed[:, group]
        bars = np.where(curves.ck_error[:, group] >= 0, curves.ck_error[:, group], np.nan)
        top.plot(np.append(0, time), np.append(1, predicted), color=colour, lw=1.3)
        top.errorbar(
            time, observed, yerr=bars, fmt="o", ms=4.5, color=colour, lw=1,
            label=f"sites {curves.ck_groups[group]}",
        )  # fmt: skip
        aside = 0.006 * time[-1] * (place - (len(shown) - 1) / 2)
        bottom.errorbar(
            time + aside, observed - predicted, yerr=bars, fmt="o", ms=4, color=colour, lw=1
        )
    top.plot([], [], color=INK, lw=1.3, label="model")
    top.plot([], [], "o", color=INK, ms=4.5, label="observed ± 1 σ")
    top.set_ylabel("P(same site and cell)")
    bottom.axhline(0.0, color=INK, lw=0.9)
    bottom.set_ylabel("obs. − model")
    bottom.set_xlabel("time kτ  (ps)")
    bottom.set_xlim(0, 1.03 * time[-1])
    left_out = len(missed) - len(shown)
    top.set_title(_deviation(results) + (f"; {left_out} groups not drawn" if left_out else ""))
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _quoted(results: AnalyseResults, name: str) -> str:
    if results.diffusion is None:
        return "not computed"
    estimate: DiffusionEstimate = getattr(results.diffusion, name)
    text = typeset(diffusion_text(estimate))
    return f"D = {text}" if is_resolved(estimate) else f"not resolved, D {text}"


def _draw_quoted(
    ax: Axes, estimate: DiffusionEstimate, colour: str, name: str, lag: FloatArray
) -> None:
    """Draw a quoted value with its error: a band, with a bar at its end; or its bound."""
    ends = np.array([lag.min() / 1.3, lag.max() * 1.5])
    bound = bound_of(estimate)
    if is_resolved(estimate):
        value, error = estimate.isotropic_cm2_s, estimate.isotropic_error_cm2_s
        # two bands on each other would mix to a third colour
        alpha = 0.13 if name != "MSD" else 0.0
        ax.fill_between(ends, value - error, value + error, color=colour, alpha=alpha, lw=0)
        ax.plot(ends, [value, value], color=colour, lw=1, ls="--")
        end = ends[1] * (1.0 if name != "MSD" else 1.12)
        ax.errorbar(
            end, value, yerr=error, fmt="s", color=colour, ms=5.5, lw=1.4, label=f"{name}, quoted"
        )
    elif bound is not None:
        ax.plot(ends, [bound, bound], color=colour, lw=1, ls=":", label=f"{name}: bound (95 %)")


def _scale_axis(ax: Axes, top: float) -> str:
    """Take the power of ten off the labels of the y axis; return it with the unit."""
    exponent = int(np.floor(np.log10(top)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value / 10.0**exponent:.4g}")
    return typeset(f"1e{exponent:+d} cm²/s").removeprefix("1 × ")


def _mark_lag(ax: Axes, results: AnalyseResults) -> None:
    if results.lag_time_ps:
        ax.axvline(results.lag_time_ps, color=GREY, lw=1.1, ls="-.", label="chosen lag", zorder=1)


def _deviation(results: AnalyseResults) -> str:
    if results.ck_max_deviation is None:
        return "Chapman-Kolmogorov test"
    sigma = results.ck_max_deviation_sigma
    return f"Chapman-Kolmogorov test: largest deviation {results.ck_max_deviation:.2g}" + (
        "" if sigma is None else f" ({sigma:.1f} σ)"
    )


def plain_log(axis: Axis) -> None:
    """Label a logarithmic axis 0.1, 1, 10 rather than with powers; short ones 1, 2, 5, too."""
    low, high = sorted(axis.get_view_interval())
    short = high < SHORT_AXIS * low

    def label(value: float, position: float = 0.0) -> str:
        return f"{value:g}"

    def minor(value: float, position: float = 0.0) -> str:
        first = round(value / 10.0 ** np.floor(np.log10(value)))
        return f"{value:g}" if short and first in (2, 5) else ""

    axis.set_major_formatter(label)
    axis.set_minor_formatter(minor)
