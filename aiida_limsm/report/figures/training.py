"""The course of one training: loss and validation errors over the epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from aiida_limsm.compute.train_results import TrainResults

from .style import BLUE, GREY, VERMILION, empty, new_figure, styled

__all__ = ["history_figure"]


@styled
def history_figure(results: TrainResults) -> Figure:
    """Draw loss and force RMSE of a training; dashed lines are the errors before it.

    Parameters
    ----------
    results
        Of ``limsm train``, finished or not.
    """
    figure = new_figure(9.2, 3.8)
    loss, forces = figure.subplots(1, 2)
    if not results.history:
        empty(loss, "no epoch done")
        empty(forces, "no epoch done")
        return figure
    epochs = [record.epoch + 1 for record in results.history]
    _curve(loss, epochs, [r.train_loss for r in results.history], GREY, "training")
    _curve(loss, epochs, [r.loss for r in results.history], BLUE, "validation")
    _finish(loss, "loss")
    before = results.initial
    _curve(
        forces, epochs, [r.rmse_forces_mev_per_angstrom for r in results.history], BLUE,
        "validation", before.rmse_forces_mev_per_angstrom if before else None,
    )  # fmt: skip
    replay = [r.replay_rmse_forces_mev_per_angstrom for r in results.history]
    if any(value is not None for value in replay):
        _curve(
            forces, epochs, replay, VERMILION, "replay",
            before.replay_rmse_forces_mev_per_angstrom if before else None,
        )  # fmt: skip
    _finish(forces, "force RMSE  (meV/Å)")
    if before is not None:
        forces.set_title("dashed: before training")
    return figure


def _curve(
    ax: Axes,
    epochs: Sequence[int],
    values: Sequence[float | None],
    colour: str,
    label: str,
    before: float | None = None,
) -> None:
    heights = np.array([np.nan if value is None else value for value in values])
    if np.isnan(heights).all():
        return
    mark = "o-" if len(epochs) < 60 else "-"
    ax.plot(epochs, heights, mark, color=colour, ms=3, lw=1.2, label=label)
    if before is not None:
        ax.axhline(before, color=colour, lw=1.0, ls="--")


def _finish(ax: Axes, label: str) -> None:
    ax.set_xlabel("epoch")
    ax.set_ylabel(label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = ax.dataLim.y0, ax.dataLim.y1
    if low > 0 and high > 8 * low:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.legend()
