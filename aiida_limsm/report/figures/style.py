"""One look for all figures, independent of the user's matplotlibrc, and bytes that repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from io import BytesIO, StringIO
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = [
    "AMBER", "BLUE", "GREEN", "GREY", "INK", "METHOD_COLOURS", "ORBIT_COLOURS", "PURPLE", "STYLE",
    "VERMILION", "empty", "fit_height", "new_figure", "panel_grid", "png_bytes", "styled",
    "svg_bytes", "temperature_colours",
]  # fmt: skip

# Okabe & Ito's palette, told apart with every common form of colour blindness.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
AMBER = "#E69F00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
INK = "#1f2933"
GREY = "#7b8794"
#: Of what is compared, the reference first.
METHOD_COLOURS = (INK, VERMILION, BLUE, GREEN, PURPLE)
ORBIT_COLOURS = (BLUE, AMBER, GREEN, PURPLE, VERMILION, SKY, "#999933", "#882255")

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.formatter.use_mathtext": True,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "errorbar.capsize": 2.5,
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "mathtext.default": "regular",
    "svg.fonttype": "path",
    "svg.hashsalt": "aiida-limsm",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 9,
    "ytick.color": INK,
    "ytick.labelsize": 9,
}

P = ParamSpec("P")


def styled(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a figure function with this style, over matplotlib's defaults."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(STYLE, after_reset=True):
            return function(*args, **kwargs)

    return inside


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) that draws without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel_grid(
    number: int, columns: int = 3, size: tuple[float, float] = (4.2, 3.4)
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``number`` panels, at most ``columns`` beside each other."""
    number = max(number, 1)
    columns = min(columns, number)
    rows = -(-number // columns)
    # a single panel gets the width of a text column, else its labels look oversized
    width = 5.6 if columns == 1 else size[0] * columns
    figure = new_figure(width, (3.8 if rows == columns == 1 else size[1] * rows))
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(number)]
    return figure, axes


def fit_height(figure: Figure, ax: Axes, extra: float, panels: tuple[int, int] = (1, 1)) -> None:
    """Give a figure the height that its panels with equal scales fill.

    Parameters
    ----------
    figure
        Its width stays.
    ax
        One of the panels, drawn.
    extra
        Height of what stands around each row of panels, inches.
    panels
        Rows and columns.
    """
    rows, columns = panels
    bounds = ax.dataLim
    width = figure.get_figwidth() / columns
    shape = float(np.clip(bounds.height / max(bounds.width, 1e-9), 0.3, 1.15))
    figure.set_figheight(rows * (width * shape + extra))


def empty(ax: Axes, message: str) -> None:
    """Say in a panel why it is empty."""
    ax.set_axis_off()
    ax.text(
        0.5, 0.5, message, ha="center", va="center", transform=ax.transAxes, color=GREY, wrap=True
    )


def temperature_colours(number: int) -> list[Any]:
    """Return colours from cold to hot, even in lightness, none too pale for white paper."""
    if number == 1:
        return [BLUE]
    return list(mpl.colormaps["plasma"](np.linspace(0.05, 0.78, max(number, 1))))


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    """Render as PNG; equal figures give equal bytes."""
    stream = BytesIO()
    _save(figure, stream, "png", dpi, {"Software": None})
    return stream.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """Render as SVG; equal figures give equal bytes."""
    stream = StringIO()
    _save(figure, stream, "svg", 150, {"Date": None, "Creator": None})
    return stream.getvalue().encode()


def _save(
    figure: Figure,
    stream: BytesIO | StringIO,
    kind: Literal["png", "svg"],
    dpi: int,
    metadata: dict[str, Any],
) -> None:
    # some settings (hash salt, math text) act when drawing, not when the figure is made
    with matplotlib.style.context(STYLE, after_reset=True):
        figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
