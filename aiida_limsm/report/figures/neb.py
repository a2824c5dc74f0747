"""Energy along a migration path, by one method or several."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..neb_paths import DFT, MethodPath
from .style import INK, ORBIT_COLOURS, empty, new_figure, styled

__all__ = ["neb_figure"]


@styled
def neb_figure(paths: Iterable[MethodPath]) -> Figure:
    """Draw energies above the first image over the normalised length of the path.

    Points are images, lines the cubic fit through energies and forces. DFT is black; energies of
    one method on the path of another are open circles in the colour of the path.
    """
    figure = new_figure(5.6, 4.2)
    draw_neb(figure.add_subplot(), paths)
    return figure


def draw_neb(ax: Axes, paths: Iterable[MethodPath]) -> None:
    """Draw the paths into a panel."""
    paths = list(paths)
    if not paths:
        empty(ax, "no path")
        return
    potentials = [owner for owner in dict.fromkeys(p.path_of for p in paths) if owner != DFT]
    colours = {name: ORBIT_COLOURS[k % len(ORBIT_COLOURS)] for k, name in enumerate(potentials)}
    colours[DFT] = INK
    for path in paths:
        profile, colour = path.profile, colours[path.path_of]
        single = path.path_of != path.energies_of
        barrier = "no barrier" if profile.monotonic else f"{profile.barrier_forward_ev:.3f} eV"
        ax.plot(
            profile.coordinate, np.array(profile.energy_ev) - profile.energy_ev[0], "o",
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
    ax.margins(y=0.12)
    ax.legend(loc="best", title="barrier forwards")
