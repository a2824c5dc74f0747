"""``aiida-limsm follow`` and ``report``: look at a transport study, running or done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from aiida import orm
from aiida.cmdline.params import arguments

_FOLDER = click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("limsm-report"),
    show_default=True,
    help="Where the report goes.",
)


def _require_study(node: Any) -> orm.WorkChainNode:
    if getattr(node, "process_label", None) != "LithiumTransportWorkChain":
        raise click.ClickException(
            f"PK {node.pk} is no LithiumTransportWorkChain: give the number that `demo` or "
            "`submit` printed (`verdi process list -a`)"
        )
    study: orm.WorkChainNode = node
    return study


@click.command("follow")
@arguments.NODE()
@_FOLDER
def follow_command(node: orm.Node, folder: Path) -> None:
    """Follow the study NODE to its end, then write its report. Ctrl-C only stops the looking."""
    from ._follow import follow

    study = _require_study(node)
    follow(study)
    finish(study, folder)


@click.command("report")
@arguments.NODE()
@_FOLDER
def report_command(node: orm.Node, folder: Path) -> None:
    """Write the report of the finished study NODE: HTML page, pictures and a CSV of D(T)."""
    finish(_require_study(node), folder)


def finish(node: orm.WorkChainNode, folder: Path) -> None:
    """Write the report, print D(T) and where it came from; exit 1 if the study failed."""
    from aiida_limsm.report.html import write_report

    from ._collect import collect_study
    from ._hint import command
    from ._trace_text import print_trace
    from .trace import trace

    if not node.is_terminated:
        raise click.ClickException(f"PK {node.pk} still runs: `aiida-limsm follow {node.pk}`")
    if "diffusion" not in node.outputs:
        raise click.ClickException(
            f"the study ended without a result: {node.exit_message or node.process_state}; see "
            f"`verdi process report {node.pk}`"
        )
    page = write_report(collect_study(node), folder)
    click.echo()
    for name in sorted(node.outputs.diffusion):
        markov, msd = node.outputs.diffusion[name], node.outputs.diffusion_msd[name]
        click.echo(
            f"D({markov.temperature_k:.0f} K)  Markov {markov.format_d()}   MSD {msd.format_d()}"
        )
    first = node.outputs.diffusion[sorted(node.outputs.diffusion)[0]]
    click.echo()
    print_trace(trace(first))
    click.echo(f"\nReport: {page}\nTrace again:  {command(f'aiida-limsm trace {first.pk}')}")
    if not node.is_finished_ok:
        click.echo(f"warning: {node.exit_message}", err=True)
        raise SystemExit(1)
