"""How good the potential is: forces on held-out frames, and the course of the training."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..study import Study
from .style import BLUE, GREY, INK, empty, new_figure, styled

__all__ = ["draw_parity", "draw_training", "parity_figure", "training_figure"]

HEXBIN_FROM = 3000
"""More points than this hide each other: bins are drawn instead."""

_BLUES = LinearSegmentedColormap.from_list("limsm-blues", ["#cfe3f1", BLUE, "#06263b"])


@styled
def parity_figure(study: Study) -> Figure:
    """Draw forces of the fine-tuned potential against DFT on held-out frames."""
    figure = new_figure(5.6, 4.6)
    draw_parity(figure.add_subplot(), study)
    return figure


def draw_parity(ax: Axes, study: Study) -> None:
    """Draw the force parity into a panel; the title holds RMSE before → after."""
    forces = study.parity_forces
    if forces is None or len(forces) == 0:
        empty(ax, "no forces on held-out frames stored")
        return
    reference = np.asarray(forces)[:, 0].ravel()
    predicted = np.asarray(forces)[:, 1].ravel()
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
    ax.plot([-limit, limit], [-limit, limit], color=INK, lw=0.8, ls="--", zorder=1)
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-limit, limit)
    ax.set_aspect("equal", anchor="W")
    ax.set_xlabel("force, DFT  (eV/Å)")
    ax.set_ylabel("force, fine-tuned  (eV/Å)")
    ax.set_title(rmse_title(study))


def rmse_title(study: Study) -> str:
    """Return the force RMSE before → after, as far as it is known."""
    before, after = study.held_out_before, study.held_out_after
    known = [
        f"{summary.rmse_forces_mev_per_angstrom:.0f}" for summary in (before, after) if summary
    ]
    if not known:
        return "held-out frames"
    what = "RMSE" if before and after else ("RMSE after" if after else "RMSE before")
    return f"held-out force {what}: {' → '.join(known)} meV/Å"


@styled
def training_figure(study: Study) -> Figure:
    """Draw the force RMSE on the validation set over the epochs."""
    figure = new_figure(5.6, 4.2)
    draw_training(figure.add_subplot(), study)
    return figure


def draw_training(ax: Axes, study: Study) -> None:
    """Draw the course of the training into a panel."""
    points = [
        (record.epoch, record.rmse_forces_mev_per_angstrom)
        for record in study.history
        if np.isfinite(record.rmse_forces_mev_per_angstrom)
        and record.rmse_forces_mev_per_angstrom > 0
    ]
    if not points:
        empty(ax, "no training history stored")
        return
    epoch, rmse = np.array(points).T
    ax.plot(epoch, rmse, "o-", color=BLUE, ms=3.5, lw=1.2)
    best = int(np.argmin(rmse))
    ax.axhline(rmse[best], color=GREY, lw=0.9, ls=":", zorder=1)
    ax.annotate(
        f"best {rmse[best]:.0f} meV/Å, epoch {epoch[best]:.0f}",
        xy=(1.0, rmse[best]), xycoords=("axes fraction", "data"),
        xytext=(0, -4), textcoords="offset points", ha="right", va="top", color=GREY, fontsize=8.5,
    )  # fmt: skip
    if rmse.max() > 8 * rmse.min():
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.55 * rmse.min())
    else:
        ax.set_ylim(0, 1.1 * rmse.max())
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation force RMSE  (meV/Å)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
