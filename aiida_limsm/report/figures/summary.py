"""One wide picture of a whole study."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..study import Study
from ..typeset import subscript_formula
from .curves import draw_msd_overlay, draw_plateau
from .diffusion import draw_diffusion
from .network import draw_network, most_jumps
from .potential import draw_parity, draw_training
from .style import empty, new_figure, styled

__all__ = ["summary_figure"]

Panel = Callable[[Axes, Study], None]


@styled
def summary_figure(study: Study) -> Figure:
    """Draw the answer and what it rests on, in the order of the work: 2 rows of 3 panels."""
    figure = new_figure(15.0, 8.6)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    panels: tuple[tuple[str, Panel], ...] = (
        ("diffusion coefficient", draw_diffusion),
        ("mean-square displacement", draw_msd_overlay),
        ("D over the lag time", draw_plateau),
        ("", draw_parity),
        ("training", draw_training),
        ("", _draw_network),
    )
    for index, (title, draw) in enumerate(panels):
        ax = figure.add_subplot(2, 3, index + 1)
        draw(ax, study)
        title = ax.get_title(loc="left") or title
        # y is given so that the titles of a row stand level, also above panel a's second axis
        ax.set_title(
            f"{'abcdef'[index]}   {title}", loc="left", fontweight="bold", fontsize=10.5, y=1.0,
            pad=38 if index < 3 else 10,
        )  # fmt: skip
    figure.suptitle(
        f"{study.mobile_species} in {subscript_formula(study.formula)}, cell {study.supercell}",
        fontsize=13, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _draw_network(ax: Axes, study: Study) -> None:
    if study.temperatures:
        draw_network(ax, most_jumps(study), study)
    else:
        empty(ax, "no temperature was analysed")
