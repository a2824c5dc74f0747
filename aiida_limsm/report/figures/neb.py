"""Energy along a migration path, by one method or several."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..neb_paths import DFT, MethodPath
from .style import INK, METHOD_COLOURS, empty, new_figure, styled

__all__ = ["neb_figure"]


@styled
def neb_figure(paths: Iterable[MethodPath]) -> Figure:
    """Draw energies above the first image over the normalised length of the path.

    Points are images, lines the cubic fit through energies and forces. DFT is black. Energies of a
    method on the path of another have the colour of the potential, dotted lines and open markers:
    circles for the potential, squares for DFT.
    """
    paths = list(paths)
    legend_width = 3.0 if len(paths) > 1 else 0.0
    figure = new_figure(5.6 + legend_width, 4.2)
    draw_neb(figure.add_subplot(), paths)
    return figure


def draw_neb(ax: Axes, paths: Iterable[MethodPath]) -> None:
    """Draw the paths into a panel; the legend of several is on its right."""
    paths = list(paths)
    if not paths:
        empty(ax, "no path")
        return
    labels = dict.fromkeys(name for p in paths for name in (p.path_of, p.energies_of))
    potentials = [name for name in labels if name != DFT]
    palette = METHOD_COLOURS[1:]
    colours = {name: palette[k % len(palette)] for k, name in enumerate(potentials)}
    for path in paths:
        profile = path.profile
        potential = path.path_of if path.energies_of == DFT else path.energies_of
        colour = colours.get(potential, INK)
        single = path.path_of != path.energies_of
        barrier = "no barrier" if profile.monotonic else f"{profile.barrier_forward_ev:.3f} eV"
        ax.plot(
            profile.coordinate, np.array(profile.energy_ev) - profile.energy_ev[0],
            "s" if single and path.energies_of == DFT else "o",
            color=colour, ms=5.5, mfc="white" if single else colour,
            label=f"{path.name.replace(DFT, 'DFT')}: {barrier}",
        )  # fmt: skip
        ax.plot(
            profile.fit_coordinate, profile.fit_energy_ev, color=colour,
            lw=1.0 if single else 1.6, ls=":" if single else "-", zorder=1.5,
        )  # fmt: skip
    ax.set_xlabel("length of the path, normalised")
    ax.set_ylabel("energy above the first image  (eV)")
    ax.set_xlim(-0.02, 1.02)
    ax.margins(y=0.08)
    if len(paths) > 1:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="barrier forwards")
    else:
        ax.legend(loc="best", title="barrier forwards")
