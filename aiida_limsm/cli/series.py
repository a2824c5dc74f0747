"""``aiida-limsm series PK``: D over cell size and temperature, in words and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from aiida import orm
from aiida.cmdline.params import arguments


@click.command(
    "series",
    epilog="""\b
Examples:
  aiida-limsm series 1234                table of D, convergence, activation energies
  aiida-limsm series 1234 -o series.png  the same as a picture""",
)
@arguments.NODE()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a figure (png, pdf, svg).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite what is there.")
def series_command(node: orm.Node, output: Path | None, force: bool) -> None:
    """Show what the DiffusionSeriesWorkChain NODE gave, also where members failed."""
    run = _require_series(node)
    if output is not None and output.exists() and not force:
        raise click.ClickException(f"{output} exists: choose another name, or add --force")
    from aiida_limsm.report.series import series_text

    summary = run.outputs.summary.get_dict()
    click.echo(f"{run.process_label} PK {run.pk}\n{series_text(summary)}")
    if output is None:
        return
    from aiida_limsm.files import whole_file
    from aiida_limsm.report.series import series_figure

    figure = series_figure(summary, f"{run.inputs.structure.get_formula()}, PK {run.pk}")
    try:
        with whole_file(output) as partial:
            figure.savefig(partial, format=output.suffix.lstrip(".") or "png")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{output} cannot be written: {error}") from None
    click.echo(f"wrote {output}")


def _require_series(node: Any) -> Any:
    if getattr(node, "process_label", None) != "DiffusionSeriesWorkChain":
        raise click.ClickException(
            f"PK {node.pk} is no DiffusionSeriesWorkChain: see "
            "`verdi process list -a -L DiffusionSeriesWorkChain`"
        )
    if "summary" not in node.outputs:
        state = "still runs" if not node.is_terminated else f"gave no D: {node.exit_message}"
        raise click.ClickException(f"PK {node.pk} {state}; see `verdi process report {node.pk}`")
    return node
