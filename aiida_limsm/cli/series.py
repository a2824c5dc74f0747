"""``aiida-limsm series PK``: D over cell size and temperature, in words and as a picture."""

from __future__ import annotations

from pathlib import Path

import click
from aiida import orm
from aiida.cmdline.params import arguments

from ._figure import figure_options, refuse_existing, require_workchain, write_figure


@click.command(
    "series",
    epilog="""\b
Examples:
  aiida-limsm series 1234                table of D, convergence, activation energies
  aiida-limsm series 1234 -o series.png  the same as a picture""",
)
@arguments.NODE()
@figure_options
def series_command(node: orm.Node, output: Path | None, force: bool) -> None:
    """Show what the DiffusionSeriesWorkChain NODE gave, also where members failed."""
    run = require_workchain(node, "DiffusionSeriesWorkChain", "gave no D")
    refuse_existing(output, force)
    from aiida_limsm.report.series import series_text

    summary = run.outputs.summary.get_dict()
    click.echo(f"{run.process_label} PK {run.pk}\n{series_text(summary)}")
    if output is None:
        return
    from aiida_limsm.report.figures.series import series_figure

    figure = series_figure(summary, f"{run.inputs.structure.get_formula()}, PK {run.pk}")
    write_figure(figure, output)
