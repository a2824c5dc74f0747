"""Relaxation within the cell: timescales over the lag, and the spectrum at the chosen lag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.metastable import GAP

from ..format import format_with_error
from .analysis_curves import plain_log
from .style import BLUE, GREY, INK, VERMILION, empty, new_figure, styled, temperature_colours

__all__ = ["caveat", "implied_timescales_figure", "nothing_relaxes", "spectrum_figure"]

FloatArray = npt.NDArray[np.float64]

SIZE = (5.6, 4.0)
MOST_PROCESSES = 6


def nothing_relaxes(results: AnalyseResults) -> str:
    """Return why there is no relaxing process; empty where there is one."""
    if len(results.sites) < 2:
        return "one site in the cell: nothing relaxes within it"
    if results.n_jumps == 0:
        return "no jump was seen"
    return "" if results.implied_timescales_ps else "no jump between different sites of the cell"


def caveat(results: AnalyseResults) -> str:
    """Return why nothing may be quoted from the model, short; empty where it may."""
    if results.diffusion is None or results.diffusion.markov.resolved:
        return ""
    reason = results.diffusion.markov.reason.split(":")[0]
    return f"for show only: {reason}" if reason else "for show only: not resolved"


@styled
def implied_timescales_figure(results: AnalyseResults, curves: Curves) -> Figure:
    """Draw the slowest implied timescales over the lag: flat where the model has no memory."""
    figure = new_figure(*SIZE)
    ax = figure.add_subplot()
    lag, scales = curves.lag_ps, _finite(curves.timescales_ps)
    why = nothing_relaxes(results)
    if why or not np.isfinite(scales).any():
        empty(ax, f"Implied timescales: {why or 'none stored with the model'}")
        return figure
    errors = _finite(curves.timescale_errors_ps)
    shown = min(scales.shape[1], MOST_PROCESSES)
    scales, errors = scales[:, :shown], errors[:, :shown]
    known = errors < scales
    colours = temperature_colours(shown)
    for k in range(shown):
        ax.plot(lag, scales[:, k], "o-", color=colours[k], ms=3.5, lw=1.1)
        middle, bar = scales[:, k], np.where(known[:, k], errors[:, k], np.nan)
        ax.fill_between(lag, middle - bar, middle + bar, color=colours[k], alpha=0.2, lw=0)
    low, high = float(np.nanmin(scales)), float(np.nanmax(scales))
    low = min(low / 2.0, float(lag.max()) / 3.0)
    ends = np.geomspace(lag.min() / 1.3, lag.max() * 1.3, 50)
    ax.fill_between(
        ends, low, np.maximum(ends, low), color=GREY, alpha=0.22, lw=0, label="t < τ: out of reach"
    )
    if results.lag_time_ps:
        ax.axvline(results.lag_time_ps, color=INK, lw=1.1, ls="-.", label="chosen lag")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(ends[0], ends[-1])
    ax.set_ylim(low, 2.0 * high)
    ax.set_xlabel("lag time τ  (ps)")
    ax.set_ylabel("implied timescale  (ps)")
    plain_log(ax.xaxis)
    plain_log(ax.yaxis)
    ax.plot([], [], "o-", color=colours[0], ms=3.5, lw=1.1, label="slowest first, bands ± 1 σ")
    if (np.isfinite(scales) & ~known).any():
        ax.plot([], [], ls="", label="no band: not resolved")
    ax.set_title(_slowest(results))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def spectrum_figure(results: AnalyseResults) -> Figure:
    """Draw the relaxation times at the chosen lag as a ladder, the largest gap marked."""
    figure = new_figure(*SIZE)
    ax = figure.add_subplot()
    why = nothing_relaxes(results)
    if why:
        empty(ax, f"Spectrum: {why}")
        return figure
    times = np.array(results.implied_timescales_ps)
    given = results.implied_timescales_error_ps
    errors = np.array([np.nan if e is None else e for e in given])
    number = np.arange(1, len(times) + 1)
    known = errors < times
    floor = min(float(times.min()), results.lag_time_ps or np.inf) / 2.0
    ax.vlines(number, floor, times, color=BLUE, lw=1.4, alpha=0.5)
    if known.any():
        ax.errorbar(
            number[known], times[known], yerr=errors[known], fmt="o", color=BLUE, label="± 1 σ"
        )
    if not known.all():
        ax.plot(
            number[~known], times[~known], "o", color=BLUE, mfc="white",
            label="not resolved",
        )  # fmt: skip
    if not caveat(results):
        _mark_gap(ax, times)
    if results.lag_time_ps:
        ax.axhline(results.lag_time_ps, color=INK, lw=1.1, ls="-.", label="chosen lag")
    ax.set_yscale("log")
    ax.set_xlim(0.4, len(times) + 0.6)
    ax.set_ylim(floor, 2.5 * float(times.max()))
    ax.set_xticks(number)
    ax.set_xlabel("relaxing process, slowest first")
    ax.set_ylabel("relaxation time  (ps)")
    plain_log(ax.yaxis)
    ax.set_title(_slowest(results))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _mark_gap(ax: Axes, times: FloatArray) -> None:
    """Shade the largest gap, where it is one by the rule of the metastable sets."""
    ratios = times[:-1] / times[1:]
    if len(ratios) == 0 or ratios.max() < GAP:
        return
    k = int(np.argmax(ratios))
    ax.axhspan(times[k + 1], times[k], color=VERMILION, alpha=0.10, lw=0)
    ax.text(
        0.985, np.sqrt(times[k] * times[k + 1]), f"gap: × {ratios[k]:.1f}", color=VERMILION,
        ha="right", va="center", transform=ax.get_yaxis_transform(),
    )  # fmt: skip


def _slowest(results: AnalyseResults) -> str:
    """Return the slowest relaxation time in words."""
    remark = caveat(results)
    if remark:
        return f"Relaxation within the cell: not resolved\n{remark}"
    time, error = results.implied_timescales_ps[0], results.implied_timescales_error_ps[0]
    if error is None or error >= time:
        return "Slowest relaxation within the cell: time not resolved"
    return f"Slowest relaxation within the cell: {format_with_error(time, error, 'ps')}"


def _finite(values: FloatArray) -> FloatArray:
    return np.where(np.isfinite(values), values, np.nan)
