"""How good the potential is: forces on held-out frames, and the course of the training."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..study import Study
from .parity import draw_force_parity
from .style import BLUE, GREY, empty, new_figure, styled

__all__ = ["draw_parity", "draw_training", "parity_figure", "training_figure"]


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
    draw_force_parity(ax, forces, ("DFT", "fine-tuned"))
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
