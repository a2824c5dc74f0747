"""One run of ``limsm propagate``: its figure, and its summary for the terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aiida_limsm.compute.base import PROPAGATION_FILENAME
from aiida_limsm.compute.results import PropagateResults

__all__ = ["FIGURE", "draw_propagation", "propagation_text"]

FIGURE = "propagation.png"
MOST_ROWS = 12


def draw_propagation(results: PropagateResults, folder: Path) -> tuple[str, ...]:
    """Draw profiles and difference into ``folder``, which holds the profiles; return the name.

    Raises
    ------
    ValueError
        The folder holds no profiles.
    """
    from aiida_limsm.compute.propagate import read_profiles

    from .figures.propagation import propagation_figure
    from .figures.style import png_bytes

    found = read_profiles(folder / PROPAGATION_FILENAME)
    figure = propagation_figure(found, results.axis or "a")
    (folder / FIGURE).write_bytes(png_bytes(figure))
    return (FIGURE,)


def propagation_text(results: PropagateResults) -> str:
    """Write the summary of one propagation for the terminal."""
    cells = " × ".join(str(n) for n in results.cells or ())
    lines = [
        f"{results.n_sites} sites in {cells} cells, {results.start} along {results.axis}; "
        f"method {results.method}, lag {results.lag_time_ps:.4g} ps",
    ]
    if results.d_axis_cm2_s is not None:
        lines.append(
            f"D along {results.axis}: {results.d_axis_cm2_s:.3e} cm²/s of the model "
            "(its error is in the results of the analysis)"
        )
    lines += ["", "          t (ps)   spread (Å)   by Fick (Å)   difference from Fick's law"]
    number = len(results.times_ps)
    shown = np.unique(np.linspace(0, number - 1, min(number, MOST_ROWS)).round().astype(int))
    for k in shown:
        model, fick = results.variance_model_angstrom2[k], results.variance_fick_angstrom2[k]
        lines.append(
            f"  {results.times_ps[k]:14.5g} {np.sqrt(max(model, 0)):12.5g} "
            f"{np.sqrt(max(fick, 0)):13.5g} {results.relative_l2[k]:12.1e}"
        )
    lines.append(f"number of ions kept to {max(results.ions_drift, 1e-16):.0e}")
    lines += [f"warning: {text}" for text in results.warnings]
    return "\n".join(lines)
