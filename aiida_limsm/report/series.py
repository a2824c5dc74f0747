"""D over cell size and temperature in words and as a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_limsm.units import BOLTZMANN_EV_PER_K

from .figures.diffusion import set_log_limits, top_axis
from .figures.style import empty, new_figure, styled, temperature_colours
from .format import format_bound, format_columns, format_table, format_with_error
from .typeset import typeset

__all__ = ["series_figure", "series_text"]

Row = Mapping[str, Any]


def series_text(summary: Mapping[str, Any]) -> str:
    """Write the table, the verdicts and what failed.

    Parameters
    ----------
    summary
        Of :func:`aiida_limsm.calculations.series.collect_series`.
    """
    table = [["supercell", "T (K)", "L (Å)", "ions", "ps", "D (cm²/s)"]]
    for row in summary["rows"]:
        table.append(
            [
                _cell(row), f"{row['mean_temperature_k']:.0f}", f"{row['length_angstrom']:.2f}",
                str(row["n_ions"]), f"{row['duration_ps']:g}", d_text(row),
            ]
        )  # fmt: skip
    axis = summary["length_axis"]
    lines = [format_columns(table), ""]
    lines.append(f"L is the length along {axis}" if axis else "L is the cube root of the volume")
    if summary["size"]:
        lines += ["", "over the size:"]
        lines.append(
            format_table([(f"{e['temperature_k']:g} K", _size_text(e)) for e in summary["size"]])
        )
    if summary["arrhenius"]:
        lines += ["", "over temperature:"]
        lines.append(
            format_table([(_cell(entry), _energy_text(entry)) for entry in summary["arrhenius"]])
        )
    if summary["failed"]:
        lines += ["", "failed:"]
        lines.append(format_table(list(summary["failed"].items())))
    return "\n".join(lines)


def d_text(row: Row) -> str:
    """Write D with its error, or the bound where it is not resolved."""
    if row["resolved"]:
        return format_with_error(row["isotropic_cm2_s"], row["isotropic_error_cm2_s"])
    if row["upper_bound_cm2_s"] is None:
        return "not resolved"
    return f"{format_bound(row['upper_bound_cm2_s'])}, not resolved"


def _cell(entry: Row) -> str:
    return "×".join(str(n) for n in entry["supercell"])


def _size_text(entry: Row) -> str:
    if "infinite_cm2_s" not in entry:
        return str(entry["verdict"])
    value, error = entry["infinite_cm2_s"], entry["infinite_error_cm2_s"]
    return f"{entry['verdict']}; D∞ = {format_with_error(value, error, 'cm²/s')}{_quality(entry)}"


def _energy_text(entry: Row) -> str:
    if "energy_ev" not in entry:
        return str(entry["verdict"])
    prefactor = format_with_error(entry["log_d0_cm2_s"], entry["log_d0_error"])
    return f"{entry['verdict']}; ln D0 = {prefactor} (cm²/s){_quality(entry)}"


def _quality(entry: Row) -> str:
    if not entry["freedom"]:
        return ""
    return f"; χ² = {entry['chi_square']:.2g} for {entry['freedom']} (p = {entry['p_value']:.2g})"


@styled
def series_figure(summary: Mapping[str, Any], title: str = "") -> Figure:
    """Draw D over 1/L for each temperature, and D over 1000/T for each supercell.

    Parameters
    ----------
    summary
        As for :func:`series_text`.
    title
        Above the figure.
    """
    figure = new_figure(9.6, 4.2)
    over_size, over_temperature = figure.subplots(1, 2)
    _draw_size(over_size, summary)
    _draw_temperature(over_temperature, summary["rows"], summary["arrhenius"])
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def _points(ax: Axes, x: Sequence[float], rows: Sequence[Row], colour: Any, label: str) -> None:
    """Draw values with errors, and bounds as triangles that point down."""
    good = [(at, row) for at, row in zip(x, rows, strict=True) if row["resolved"]]
    bad = [(at, row["upper_bound_cm2_s"]) for at, row in zip(x, rows, strict=True)
           if not row["resolved"] and row["upper_bound_cm2_s"] is not None]  # fmt: skip
    if good:
        ax.errorbar(
            [at for at, _ in good],
            [row["isotropic_cm2_s"] for _, row in good],
            yerr=[row["isotropic_error_cm2_s"] for _, row in good],
            fmt="o", color=colour, label=label,
        )  # fmt: skip
    if bad:
        ax.plot(
            [at for at, _ in bad], [bound for _, bound in bad], "v", mfc="none", color=colour,
            label=f"{label}, 95 % bound",
        )  # fmt: skip


def _levels(rows: Sequence[Row]) -> list[float]:
    """Return values that must be inside a picture with a logarithmic axis."""
    levels = []
    for row in rows:
        if row["resolved"]:
            d, error = row["isotropic_cm2_s"], row["isotropic_error_cm2_s"]
            levels += [max(d - error, 0.3 * d), d + error]
        elif row["upper_bound_cm2_s"] is not None:
            levels.append(row["upper_bound_cm2_s"])
    return levels


def _draw_size(ax: Axes, summary: Mapping[str, Any]) -> None:
    temperatures = sorted({row["temperature_k"] for row in summary["rows"]})
    fits = {entry["temperature_k"]: entry for entry in summary["size"]}
    levels = _levels(summary["rows"])
    if not fits or not levels:
        empty(ax, "one cell size: nothing to compare")
        return
    colours = temperature_colours(len(temperatures))
    ax.set_yscale("log")
    for temperature, colour in zip(temperatures, colours, strict=True):
        rows = [row for row in summary["rows"] if row["temperature_k"] == temperature]
        _points(ax, [1 / r["length_angstrom"] for r in rows], rows, colour, f"{temperature:g} K")
        fit = fits.get(temperature, {})
        if "infinite_cm2_s" not in fit:
            continue
        x = np.linspace(0.0, max(1 / row["length_angstrom"] for row in rows), 60)
        line = fit["infinite_cm2_s"] + fit["slope_cm2_angstrom_s"] * x
        ax.plot(x[line > 0], line[line > 0], color=colour, lw=1.0, ls="--")
        if fit["infinite_cm2_s"] > 0:
            levels.append(fit["infinite_cm2_s"])
            ax.errorbar(
                [0.0], [fit["infinite_cm2_s"]], yerr=[fit["infinite_error_cm2_s"]],
                fmt="s", mfc="white", color=colour, clip_on=False,
            )  # fmt: skip
    set_log_limits(ax, levels)
    ax.margins(x=0.08)
    ax.set_xlim(left=0.0)
    axis = summary["length_axis"]
    ax.set_xlabel(f"1/L  (Å⁻¹), L along {axis}" if axis else "1/L  (Å⁻¹), L = V$^{1/3}$")
    ax.set_ylabel("D  (cm²/s)")
    ax.legend(loc="best")


def _draw_temperature(ax: Axes, rows: Sequence[Row], fits: Sequence[Row]) -> None:
    levels = _levels(rows)
    if not fits or not levels:
        empty(ax, "one temperature: nothing to compare")
        return
    ax.set_yscale("log")
    cells = [entry["supercell"] for entry in fits]
    for fit, colour in zip(fits, temperature_colours(len(cells))[::-1], strict=True):
        own = [row for row in rows if row["supercell"] == fit["supercell"]]
        label = _cell(fit)
        if "energy_ev" in fit:
            energy = format_with_error(fit["energy_ev"], fit["energy_error_ev"], "eV")
            label = f"{label}: $E_a$ = {typeset(energy)}"
        _points(ax, [1000 / row["mean_temperature_k"] for row in own], own, colour, label)
        # only as far as it was fitted
        fitted = [row["mean_temperature_k"] for row in own if row["resolved"]]
        if "energy_ev" in fit:
            x = np.linspace(1000 / max(fitted), 1000 / min(fitted), 50)
            slope = fit["energy_ev"] / (1000 * BOLTZMANN_EV_PER_K)
            line = [math.exp(fit["log_d0_cm2_s"] - slope * value) for value in x]
            ax.plot(x, line, color=colour, lw=1.0, ls="--")
    set_log_limits(ax, levels)
    ax.margins(x=0.08)
    ax.set_xlabel("1000/T  (K⁻¹)")
    ax.set_ylabel("D  (cm²/s)")
    ax.legend(loc="best")
    top_axis(ax, sorted({row["temperature_k"] for row in rows}))
