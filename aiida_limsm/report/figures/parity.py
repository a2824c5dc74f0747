"""Predictions of a potential against labels, and the spread of a committee against its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure

from aiida_limsm.compute.evaluate_results import (
    CommitteeSummary,
    ErrorDetails,
    ForceErrorSummary,
)

from .style import BLUE, GREY, INK, VERMILION, empty, panel_grid, styled

__all__ = ["draw_force_parity", "evaluation_figure"]

FloatArray = npt.NDArray[np.float64]

HEXBIN_FROM = 3000
"""More points than this hide each other: bins are drawn instead."""

_BLUES = LinearSegmentedColormap.from_list("limsm-blues", ["#cfe3f1", BLUE, "#06263b"])


@styled
def evaluation_figure(
    details: ErrorDetails, committee: CommitteeSummary | None, points: Mapping[str, FloatArray]
) -> Figure:
    """Draw forces and energies against labels, errors by size of the force, and the committee.

    Parameters
    ----------
    details, committee
        Of one dataset.
    points
        Of the same, see :func:`aiida_limsm.compute.evaluate_file.read_points`.
    """
    figure, axes = panel_grid(3 if committee is None else 4, columns=2, size=(5.0, 4.1))
    draw_force_parity(axes[0], points["forces"])
    axes[0].set_title(f"forces: RMSE {details.forces.rmse_mev_per_angstrom:.0f} meV/Å")
    _draw_energies(axes[1], points)
    axes[1].set_title(
        f"energies: RMSE {details.energy.std_mev_per_atom:.1f} meV/atom, "
        f"shift {details.energy.mean_mev_per_atom:+.0f}"
    )
    _draw_groups(axes[2], details)
    if committee is not None:
        _draw_calibration(axes[3], committee, points)
    return figure


def draw_force_parity(
    ax: Axes, forces: npt.ArrayLike, what: tuple[str, str] = ("label", "potential")
) -> None:
    """Draw force components, predicted against labelled, on equal axes.

    Parameters
    ----------
    forces
        Labels and predictions, (n_atoms, 2, 3), eV/Å; what is not finite is left out.
    what
        Names of the two for the axes.
    """
    values = np.asarray(forces, dtype=float)
    reference, predicted = values[:, 0].ravel(), values[:, 1].ravel()
    finite = np.isfinite(reference) & np.isfinite(predicted)
    reference, predicted = reference[finite], predicted[finite]
    if len(reference) == 0:
        empty(ax, "the forces on held-out frames are not finite")
        return
    limit = 1.05 * float(max(np.abs(reference).max(), np.abs(predicted).max(), 1e-6))
    if len(reference) > HEXBIN_FROM:
        bins = ax.hexbin(
            reference, predicted, gridsize=55, norm=LogNorm(vmin=1), mincnt=1, cmap=_BLUES,
            extent=(-limit, limit, -limit, limit), linewidths=0.1,
        )  # fmt: skip
        # inside the panel's own frame: a colour bar that takes room would squeeze the square
        ax.figure.colorbar(
            bins, cax=ax.inset_axes((1.03, 0.0, 0.035, 1.0)), label="force components per bin"
        )
    else:
        # thousands of points as pixels, also in an SVG
        ax.plot(
            reference, predicted, ".", color=BLUE, ms=3.5, alpha=0.55, mec="none", rasterized=True
        )
    _diagonal(ax, -limit, limit)
    ax.set_xlabel(f"force, {what[0]}  (eV/Å)")
    ax.set_ylabel(f"force, {what[1]}  (eV/Å)")


def _diagonal(ax: Axes, low: float, high: float) -> None:
    ax.plot([low, high], [low, high], color=INK, lw=0.8, ls="--", zorder=1)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal", anchor="W")


def _draw_energies(ax: Axes, points: Mapping[str, FloatArray]) -> None:
    """Draw energies per atom, each from its mean: a constant shift pushes no atom."""
    energy = 1e3 * points["energy"] / points["n_atoms"][:, None]
    energy = energy - energy.mean(axis=0)
    ax.plot(energy[:, 0], energy[:, 1], ".", color=BLUE, ms=4.5, alpha=0.7, mec="none")
    low, high = float(energy.min()), float(energy.max())
    room = 0.06 * (high - low) or 1.0
    _diagonal(ax, low - room, high + room)
    ax.set_xlabel("energy, label  (meV/atom, from its mean)")
    ax.set_ylabel("energy, potential  (meV/atom, from its mean)")


def _draw_groups(ax: Axes, details: ErrorDetails) -> None:
    """Draw the force RMSE per element and per size of the labelled force, as bars."""
    rows: list[tuple[str, ForceErrorSummary]] = list(details.forces_per_element.items())
    elements = len(rows)
    for group in details.forces_by_magnitude:
        end = group.to_ev_per_angstrom
        begin = f"{group.from_ev_per_angstrom:g}"
        rows.append((f"> {begin}" if end is None else f"{begin} – {end:g}", group))
    place = np.arange(len(rows)) + 0.6 * (np.arange(len(rows)) >= elements)
    values = [row.rmse_mev_per_angstrom for _, row in rows]
    colours = [BLUE] * elements + [GREY] * (len(rows) - elements)
    ax.bar(place, values, color=colours, width=0.75)
    for x, (_, row) in zip(place, rows, strict=True):
        relative = "" if row.relative_percent is None else f"{row.relative_percent:.0f} %"
        ax.annotate(
            relative, (x, row.rmse_mev_per_angstrom), xytext=(0, 2), textcoords="offset points",
            ha="center", va="bottom", fontsize=8,
        )  # fmt: skip
    ax.set_xticks(place, [name for name, _ in rows], fontsize=7.5)
    ax.grid(visible=False, axis="x")
    ax.set_ylim(0, 1.15 * max(values) or 1.0)
    ax.set_xlabel("element;  size of the labelled force (eV/Å)")
    ax.set_ylabel("force RMSE  (meV/Å)")
    ax.set_title("by element and size; in % of the labels")


def _draw_calibration(
    ax: Axes, committee: CommitteeSummary, points: Mapping[str, FloatArray]
) -> None:
    """Draw error over spread: atoms, groups of equally many, and the line of α."""
    spread, error = 1e3 * points["committee_spread"], 1e3 * points["committee_error"]
    seen = (spread > 0) & (error > 0)
    if not seen.any():
        empty(ax, "the committee does not differ")
        return
    ax.plot(
        spread[seen], error[seen], ".", color=GREY, ms=2.5, alpha=0.35, mec="none", rasterized=True
    )
    groups: Sequence[Any] = committee.calibration
    x = np.array([group.spread_mev_per_angstrom for group in groups])
    ax.plot(
        x, [group.error_mev_per_angstrom for group in groups], "o", color=VERMILION,
        label="a tenth of the atoms each",
    )  # fmt: skip
    line = np.array([x[x > 0].min(), x.max()])
    ax.plot(line, line, color=INK, lw=0.8, ls="--", label="error = spread")
    if committee.scaling_factor is not None:
        ax.plot(
            line, committee.scaling_factor * line, color=BLUE,
            label=f"error = {committee.scaling_factor:.2g} × spread",
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    for values, limit in ((spread[seen], ax.set_xlim), (error[seen], ax.set_ylim)):
        low, high = np.quantile(values, [0.01, 1.0])
        limit(0.5 * low, 1.5 * high)
    ax.set_xlabel("spread of the committee  (meV/Å)")
    ax.set_ylabel("error of its mean  (meV/Å)")
    rank = committee.rank_correlation_atoms
    ax.set_title(
        f"committee of {committee.members}"
        + ("" if rank is None else f": rank correlation {rank:.2f}")
    )
    ax.legend(loc="lower right")
