"""Figure of an ab initio MD run: temperature, energies and SCF cycles, with its joins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .figures.style import AMBER, BLUE, GREY, INK, VERMILION, new_figure, styled

__all__ = ["AimdColumns", "aimd_figure"]


@dataclass(frozen=True)
class AimdColumns:
    """Frames of a run as columns of equal length.

    Attributes
    ----------
    times_ps, temperature_k
        Per frame.
    total_mev_per_atom, conserved_mev_per_atom
        Potential plus kinetic energy, and that less the heat of the thermostat, both from the
        first frame's on.
    scf_cycles
        SCF iterations.
    segment
        Number of the job that computed the frame.
    """

    times_ps: NDArray[np.float64]
    temperature_k: NDArray[np.float64]
    total_mev_per_atom: NDArray[np.float64]
    conserved_mev_per_atom: NDArray[np.float64]
    scf_cycles: NDArray[np.int64]
    segment: NDArray[np.int64]


@styled
def aimd_figure(
    frames: AimdColumns,
    temperature_k: float,
    starts: Sequence[str],
    equilibration_ps: float = 0.0,
    title: str = "",
) -> Figure:
    """Draw temperature, energies and SCF iterations against time, with the joins of the jobs.

    Parameters
    ----------
    frames
        At least one.
    temperature_k
        That was asked for.
    starts
        How each segment began: ``start``, ``restart`` (from the folder) or ``velocities``.
    equilibration_ps
        Length of the equilibration, shaded.
    title
        Above the figure.
    """
    figure = new_figure(8.4, 6.0)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.2])
    times = frames.times_ps
    hot, energies, cycles = panels
    hot.plot(times, frames.temperature_k, color=BLUE, lw=0.8)
    count = np.arange(1, len(times) + 1)
    hot.plot(times, np.cumsum(frames.temperature_k) / count, color=INK, lw=1.2, label="mean so far")
    hot.axhline(temperature_k, color=GREY, lw=0.9, ls="--", label=f"asked: {temperature_k:g} K")
    hot.set_ylabel("temperature (K)")
    hot.legend(loc="upper right", ncols=2)
    energies.plot(times, frames.total_mev_per_atom, color=AMBER, lw=0.8, label="total energy")
    energies.plot(
        times, frames.conserved_mev_per_atom, color=VERMILION, lw=1.2, label="less thermostat heat"
    )
    energies.set_ylabel("energy (meV/atom)")
    energies.legend(loc="upper left", ncols=2)
    cycles.plot(times, frames.scf_cycles, color=INK, lw=0.8, drawstyle="steps-mid")
    cycles.set_ylabel("SCF cycles")
    cycles.set_ylim(bottom=0)
    cycles.set_xlabel("time (ps)")
    for ax in (hot, energies):
        ax.margins(y=0.22)  # room for the legend
    joins = np.flatnonzero(np.diff(frames.segment)) + 1
    for ax in panels:
        if equilibration_ps > 0:
            ax.axvspan(times[0], times[0] + equilibration_ps, color=GREY, alpha=0.18, lw=0)
        for join in joins:
            killed = starts[int(frames.segment[join])] == "velocities"
            ax.axvline(
                times[join], color=VERMILION if killed else GREY, lw=0.8, ls="-" if killed else ":"
            )
    if title:
        hot.set_title(title, loc="left")
    return figure
