"""``aiida-limsm potential``: bring MACE models into the database."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click


@click.group("potential")
def potential_group() -> None:
    """Import and list MACE potentials.

    \b
    Examples:
      aiida-limsm potential import my.model --trust --license MIT
      aiida-limsm potential import medium-mpa-0       downloaded by MACE, needs a network
      aiida-limsm potential import demo               the small model of the demo
      aiida-limsm potential list
    """  # noqa: D301 (click reads the backspace as "keep these lines")
    from .profile import load_limsm_profile

    load_limsm_profile()


@potential_group.command("import")
@click.argument("source", metavar="FILE|NAME")
@click.option("--license", "license_name", help="Licence of the model.")
@click.option("--citation", help="What to cite.")
@click.option("--label", help="Label of the node.")
@click.option("--trust", is_flag=True, help="The file comes from where it should.")
def import_command(
    source: str,
    license_name: str | None,
    citation: str | None,
    label: str | None,
    trust: bool,
) -> None:
    """Store a model file, or a published model by name. The same content is stored once.

    A model file is a pickle: loading it runs code from it. Here a file is read without running
    anything; without --trust the command says what is in it and stops.
    """
    from ._demo_inputs import demo_foundation
    from ._inspect import import_potential

    if source == "demo":
        node = demo_foundation()
    else:
        with tempfile.TemporaryDirectory() as folder:
            node = import_potential(
                source,
                license=license_name,
                citation=citation,
                folder=Path(folder),
                trusted=trust,
            )
    if label:
        node.label = label
    click.echo(f"PotentialData<{node.pk}> {node.label}\n{node.summary()}")


@potential_group.command("list")
def list_command() -> None:
    """List the potentials of the profile."""
    from aiida import orm

    from aiida_limsm.data.potential import PotentialData

    nodes = orm.QueryBuilder().append(PotentialData).all(flat=True)
    for node in nodes:
        elements = ", ".join(node.elements[:8]) + (" …" if len(node.elements) > 8 else "")
        click.echo(f"{node.pk:>7}  {node.label or '(no label)':<28} {elements}")
    if not nodes:
        click.echo("No potential yet: `aiida-limsm potential import FILE` stores one.")
