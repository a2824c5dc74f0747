"""All figures of one analysis, as PNG files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from PIL import Image

from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.model import MarkovModel

from .analysis_curves import chapman_kolmogorov_figure, d_of_lag_figure, msd_figure
from .analysis_maps import eigenvectors_figure, network_figure
from .analysis_spectrum import implied_timescales_figure, spectrum_figure
from .style import STYLE

__all__ = ["draw_all"]

DPI = 110


def draw_all(
    results: AnalyseResults, model: MarkovModel, curves: Curves, folder: Path
) -> tuple[str, ...]:
    """Write the figures into ``folder``; return the names of the files."""
    figures = {
        "msd.png": msd_figure(results, curves),
        "d_of_lag.png": d_of_lag_figure(results, curves),
        "implied_timescales.png": implied_timescales_figure(results, curves),
        "chapman_kolmogorov.png": chapman_kolmogorov_figure(results, curves),
        "spectrum.png": spectrum_figure(results),
        "eigenvectors.png": eigenvectors_figure(results, model, curves),
        "network.png": network_figure(results, model, curves),
    }
    for name, figure in figures.items():
        (folder / name).write_bytes(_png(figure))
    return tuple(figures)


def _png(figure: Figure) -> bytes:
    """Render as PNG in one pass; ``savefig`` would lay out and draw all twice."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, ScalarFormatter):
                formatter.set_useMathText(False)  # plain text is drawn much faster
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    with matplotlib.style.context(STYLE, after_reset=True):
        canvas.draw()
    stream = BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(stream, "png")
    return stream.getvalue()
