"""Figures of a study, each one function ``study → matplotlib Figure``."""

from .curves import msd_figure, plateau_figure
from .diffusion import diffusion_figure
from .network import network_figure
from .potential import parity_figure, training_figure
from .style import png_bytes, svg_bytes
from .summary import summary_figure

__all__ = [
    "diffusion_figure",
    "msd_figure",
    "network_figure",
    "parity_figure",
    "plateau_figure",
    "png_bytes",
    "summary_figure",
    "svg_bytes",
    "training_figure",
]
