"""What commands that show one workchain and draw it have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options ``--output`` and ``--force``."""
    output = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write a figure (png, pdf, svg).",
    )
    force = click.option("-f", "--force", is_flag=True, help="Overwrite what is there.")
    return output(force(command))


def refuse_existing(output: Path | None, force: bool) -> None:
    """Refuse to overwrite a figure that was not meant."""
    if output is not None and output.exists() and not force:
        raise click.ClickException(f"{output} exists: choose another name, or add --force")


def require_workchain(node: Any, label: str, gave_nothing: str) -> Any:
    """Return a workchain of a kind that has a summary, or say what the node is instead."""
    if getattr(node, "process_label", None) != label:
        raise click.ClickException(
            f"PK {node.pk} is no {label}: see `verdi process list -a -L {label}`"
        )
    if "summary" not in node.outputs:
        state = "still runs" if not node.is_terminated else f"{gave_nothing}: {node.exit_message}"
        raise click.ClickException(f"PK {node.pk} {state}; see `verdi process report {node.pk}`")
    return node


def write_figure(figure: Figure, output: Path) -> None:
    """Write a figure whole or not at all, and say so."""
    from aiida_limsm.files import whole_file

    try:
        with whole_file(output) as partial:
            figure.savefig(partial, format=output.suffix.lstrip(".") or "png")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{output} cannot be written: {error}") from None
    click.echo(f"wrote {output}")
