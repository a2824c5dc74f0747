"""Curves behind the numbers: mean-square displacement over time, D over the lag time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..judge import is_resolved
from ..study import Study, TemperatureResult
from .style import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    empty,
    new_figure,
    panel_grid,
    styled,
    temperature_colours,
)

__all__ = ["draw_msd", "draw_msd_overlay", "draw_plateau", "msd_figure", "plateau_figure"]

LOG_FROM_RATIO = 5.0
"""D(τ) of several temperatures goes on a log axis when they differ by more than this."""

FloatArray = npt.NDArray[np.float64]


@styled
def msd_figure(study: Study) -> Figure:
    """Draw MSD(t) of the ions, of their sites and of the model; one panel per temperature."""
    results = study.by_temperature
    figure, panels = panel_grid(len(results), columns=2 if len(results) == 4 else 3)
    if not results:
        empty(panels[0], "no temperature was analysed")
    for ax, result in zip(panels, results, strict=False):
        draw_msd(ax, result)
    # one legend for all panels, outside: the flat curves of a cold run leave no free corner
    known = next((ax for ax in panels if ax.get_legend_handles_labels()[0]), None)
    if known is not None:
        columns = 2 if len(panels) == 1 else 4
        figure.legend(*known.get_legend_handles_labels(), loc="outside upper center", ncols=columns)
    return figure


def draw_msd(ax: Axes, result: TemperatureResult) -> None:
    """Draw the three MSD curves of one temperature."""
    curves = result.curves
    if curves is None or not np.isfinite(curves.msd_md_angstrom2).any():
        empty(ax, f"{result.temperature_k:.0f} K: no mean-square displacement stored")
        return
    ax.set_title(f"{result.temperature_k:.0f} K")
    time = curves.msd_time_ps
    error = np.nan_to_num(curves.msd_md_error_angstrom2, nan=0.0)
    mean = curves.msd_md_angstrom2
    ax.fill_between(
        time, np.maximum(mean - error, 0), mean + error, color=INK, alpha=0.16, lw=0,
        label="± 1 σ of MD",
    )  # fmt: skip
    ax.plot(time, mean, color=INK, label="MD, ions")
    ax.plot(
        time, curves.msd_projected_angstrom2, color=VERMILION, ls=(0, (4, 2)), label="MD, on sites"
    )
    ax.plot(time, curves.msd_model_angstrom2, color=BLUE, ls="-.", label="Markov model")
    ax.set_xlim(0, float(time.max()) or 1.0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("t  (ps)")
    ax.set_ylabel("MSD  (Å²)")


def draw_msd_overlay(ax: Axes, study: Study) -> None:
    """Draw MSD(t) of all temperatures into one panel: MD with its band, the model dashed."""
    shown = [result for result in study.by_temperature if result.curves is not None]
    if not shown:
        empty(ax, "no mean-square displacement stored")
        return
    for colour, result in zip(temperature_colours(len(shown)), shown, strict=True):
        curves = result.curves
        assert curves is not None
        time, mean = curves.msd_time_ps, curves.msd_md_angstrom2
        error = np.nan_to_num(curves.msd_md_error_angstrom2, nan=0.0)
        ax.fill_between(
            time, np.maximum(mean - error, 0), mean + error, color=colour, alpha=0.18, lw=0
        )
        ax.plot(time, mean, color=colour, label=f"{result.temperature_k:.0f} K, MD ± 1 σ")
        ax.plot(time, curves.msd_model_angstrom2, color=colour, ls="--")
    ax.plot([], [], color=GREY, ls="--", label="Markov model")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("t  (ps)")
    ax.set_ylabel("MSD  (Å²)")
    ax.legend(loc="upper left")


@styled
def plateau_figure(study: Study) -> Figure:
    """Draw D(τ) with errors, the chosen lag marked."""
    figure = new_figure(5.6, 4.3)
    draw_plateau(figure.add_subplot(), study)
    return figure


def draw_plateau(ax: Axes, study: Study) -> None:
    """Draw D(τ) of all temperatures into a panel."""
    shown = [(result, part) for result in study.by_temperature if (part := _usable(result))]
    if not shown:
        empty(ax, "no D(τ) to show: no curves stored, or no jump was seen")
        return
    # D of too few jumps is no number to show beside others; alone, it shows what there is
    resolved = [item for item in shown if is_resolved(item[0].markov)]
    hidden = [item[0] for item in shown if not is_resolved(item[0].markov)]
    if resolved:
        shown = resolved
    else:
        hidden = []
    levels = [float(np.median(d)) for _, (_, d, _) in shown]
    logarithmic = max(levels) > LOG_FROM_RATIO * min(levels)
    low, high = np.inf, 0.0
    marks: set[str] = set()
    for colour, (result, (lag, d, error)) in zip(
        temperature_colours(len(shown)), shown, strict=True
    ):
        label = f"{result.temperature_k:.0f} K" + ("" if resolved else ", not resolved")
        ax.errorbar(
            lag, d, yerr=error, fmt="o-" if resolved else "o:", color=colour, ms=4, lw=1,
            label=label,
        )  # fmt: skip
        marks.add(_mark_lag(ax, result, lag, d, colour))
        bars = np.nan_to_num(error, nan=0.0)
        low = min(low, float(np.maximum(d - bars, 0.3 * d).min()))
        high = max(high, float((d + bars).max()))
    if "ring" in marks:
        ax.plot([], [], "o", mfc="none", mec=INK, ms=11, mew=1.3, ls="", label="chosen lag")
    elif "line" in marks:
        ax.plot([], [], color=INK, lw=0.9, ls=":", label="chosen lag")
    for result in hidden:
        ax.plot([], [], ls="", label=f"{result.temperature_k:.0f} K not resolved, not shown")
    ax.set_xscale("log")
    if logarithmic:
        ax.set_yscale("log")
        ax.set_ylim(low / 1.5, high * 1.5)
    else:
        ax.set_ylim(0, 1.15 * high)
    ax.set_xlabel("lag time τ  (ps)")
    ax.set_ylabel("D(τ)  (cm²/s)")
    ax.legend(loc="best", ncols=2 if len(shown) > 2 else 1)


def _usable(result: TemperatureResult) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Return lags, D and errors where D is positive; None when nowhere."""
    curves = result.curves
    if curves is None:
        return None
    d = curves.d_of_lag_cm2_s
    good = np.isfinite(d) & (d > 0)
    if not good.any():
        return None
    error = curves.d_of_lag_error_cm2_s[good]
    return curves.lag_ps[good], d[good], np.where(error >= 0, error, np.nan)


def _mark_lag(
    ax: Axes, result: TemperatureResult, lag: FloatArray, d: FloatArray, colour: Any
) -> str:
    """Mark the chosen lag; return how: ``ring``, ``line`` or nothing."""
    chosen = result.analysis.lag_time_ps
    if chosen is None or chosen <= 0:
        return ""
    nearest = int(np.argmin(np.abs(np.log(lag / chosen))))
    # an asked lag need not be one of the scanned ones: then the ring would sit on a wrong point
    if abs(lag[nearest] - chosen) < 0.02 * chosen:
        ax.plot(lag[nearest], d[nearest], "o", mfc="none", mec=colour, ms=11, mew=1.6)
        return "ring"
    ax.axvline(chosen, color=colour, lw=0.9, ls=":")
    return "line"
