"""``aiida-limsm demo``: the whole road on a small crystal, with real programs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click


@click.command("demo")
@click.option("--fast", is_flag=True, help="Shorter runs, larger errors: half the time.")
@click.option(
    "--foundation",
    metavar="FILE|NAME",
    help="A MACE model file, or a published name such as medium-mpa-0; default: the demo's own.",
)
@click.option("--pw-code", default="pw@localhost", show_default=True, help="Code of pw.x.")
@click.option("--limsm-code", default="limsm@localhost", show_default=True, help="Code of limsm.")
@click.option("--protocol", default="fast", show_default=True, help="fast, balanced or stringent.")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-report"),
    show_default=True,
    help="Where the report goes.",
)
@click.option("--detach", is_flag=True, help="Submit and return; look later with `follow`.")
def demo_command(
    fast: bool,
    foundation: str | None,
    pw_code: str,
    limsm_code: str,
    protocol: str,
    folder: Path,
    detach: bool,
) -> None:
    """Take a lithium-silicon crystal from DFT to a diffusion coefficient.

    pw.x molecular dynamics labels frames, MACE is fine-tuned on them, its MD is mapped to
    lattice sites, and a Markov state model gives D(T) with errors. The daemon does the work:
    Ctrl-C leaves it running.

    \b
    Examples:
      aiida-limsm demo
      aiida-limsm demo --fast --report my-report
      aiida-limsm demo --foundation medium-mpa-0
    """  # noqa: D301 (click reads the backspace as "keep these lines")
    from aiida import orm
    from aiida.engine import submit

    from .profile import load_limsm_profile

    load_limsm_profile()

    from aiida_limsm.workchains.transport import LithiumTransportWorkChain

    from ._demo_inputs import FAST, FULL, demo_foundation, demo_structures
    from ._follow import follow
    from ._hint import command
    from .report import finish

    pw, limsm = _load_code(pw_code, "quantumespresso.pw"), _load_code(limsm_code, None)
    if foundation is None:
        potential = demo_foundation()
    else:
        from ._inspect import import_potential

        with tempfile.TemporaryDirectory() as scratch:
            potential = import_potential(foundation, folder=Path(scratch))
    structure, sites = demo_structures()
    try:
        builder = LithiumTransportWorkChain.get_builder_from_protocol(
            pw,
            limsm,
            structure,
            potential,
            sites=sites,
            protocol=protocol,
            overrides={**FULL, **(FAST if fast else {})},
        )
        builder.metadata.label = "demo"
        _require_daemon()
        node = submit(builder)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    assert isinstance(node, orm.WorkChainNode)
    click.echo(
        f"LithiumTransportWorkChain<{node.pk}> of {structure.get_formula()} submitted; "
        "Ctrl-C leaves it running"
    )
    if detach:
        hint = command(f"aiida-limsm follow {node.pk} --report {folder}")
        click.echo(f"look with:  {hint}")
        return
    follow(node)
    finish(node, folder)


def _load_code(label: str, plugin: str | None) -> Any:
    """Return a code, or say how to make it."""
    from aiida import orm
    from aiida.common.exceptions import MultipleObjectsError, NotExistent

    try:
        code = orm.load_code(label)
    except (NotExistent, MultipleObjectsError, ValueError):
        raise click.ClickException(
            f"there is no code '{label}': run `aiida-limsm setup`, or name another "
            "(see `verdi code list`)"
        ) from None
    if plugin is not None and code.default_calc_job_plugin != plugin:
        raise click.ClickException(
            f"code '{label}' is for {code.default_calc_job_plugin}, not {plugin}"
        )
    return code


def _require_daemon() -> None:
    """Refuse to submit what nobody would run."""
    from aiida.engine.daemon.client import get_daemon_client

    if not get_daemon_client().is_daemon_running:
        raise click.ClickException(
            "the AiiDA daemon is not running: start it with `verdi daemon start` "
            "(or `aiida-limsm setup --daemon`)"
        )
