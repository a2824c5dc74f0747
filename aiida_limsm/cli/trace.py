"""``aiida-limsm trace PK``: from a number back to every pw.x calculation behind it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
from aiida.cmdline.params import arguments
from aiida.cmdline.utils import decorators, echo

if TYPE_CHECKING:
    from aiida.orm import Node

    from ._provenance import Ancestry, NodeInfo
    from ._pw_record import PwRecord
    from ._sources import SourceRecord


@dataclass(frozen=True)
class ChainNode:
    """One node on the way from structure to target."""

    pk: int
    uuid: str
    kind: str
    description: str


@dataclass(frozen=True)
class Trace:
    """Everything behind one node.

    ``chain`` runs from structures to the node itself and includes the pw.x calculations.
    """

    target: ChainNode
    calculations: tuple[PwRecord, ...]
    sources: tuple[SourceRecord, ...]
    chain: tuple[ChainNode, ...]


def trace(node: Node) -> Trace:
    """Collect every pw.x calculation that contributed to a node, and the steps in between.

    Only links of data provenance are followed. Calculations made by AiiDA's caching are listed
    with the UUID of the calculation that really ran.

    Raises
    ------
    ValueError
        When the node is not stored, or is a workchain: what it returned is to be traced.
    """
    from aiida import orm

    from ._provenance import walk_back
    from ._pw_record import read_pw
    from ._sources import frames_used, read_sources

    if not node.is_stored or node.pk is None:
        raise ValueError("only a stored node has a provenance")
    if isinstance(node, orm.WorkflowNode):
        raise ValueError(
            f"PK {node.pk} is the workchain {node.process_label}, whose results hang on "
            f"calculations: trace one of its outputs ({_outputs_text(node)})"
        )
    ancestry = walk_back(node.pk)
    sources = read_sources(ancestry)
    used = frames_used(sources)
    pw_pks = [pk for pk in sorted(ancestry.nodes) if ancestry.nodes[pk].is_pw]
    return Trace(
        target=_chain_node(node),
        calculations=tuple(read_pw(pk, used.get(pk)) for pk in pw_pks),
        sources=sources,
        chain=tuple(_chain(ancestry)),
    )


def _outputs_text(node: Any) -> str:
    from aiida.common.links import LinkType

    links = node.base.links.get_outgoing(link_type=LinkType.RETURN).all()
    return ", ".join(f"{link.link_label} is PK {link.node.pk}" for link in links) or "none yet"


def _chain(ancestry: Ancestry) -> list[ChainNode]:
    """Pick what tells the story: calculations, our data, and the structures it began with."""
    from aiida import orm

    def belongs(info: NodeInfo) -> bool:
        is_root = not ancestry.parents[info.pk]
        return (
            info.pk == ancestry.target
            or info.is_process
            or info.is_limsm_data
            or (is_root and info.node_type.startswith("data.core.structure."))
        )

    return [
        _chain_node(orm.load_node(pk))
        for pk in ancestry.topological()
        if belongs(ancestry.nodes[pk])
    ]


def _chain_node(node: Node) -> ChainNode:
    from aiida import orm

    if isinstance(node, orm.ProcessNode):
        kind = node.process_label or type(node).__name__
        description = node.label
        if node.exit_status:
            description = f"{description} [exit {node.exit_status}]".strip()
    else:
        kind = type(node).__name__
        describe = getattr(node, "headline", None) or getattr(node, "get_formula", None)
        described = describe() if describe is not None else ""
        description = ": ".join(part for part in (node.label, described) if part)
    return ChainNode(pk=int(node.pk or 0), uuid=node.uuid, kind=kind, description=description)


@click.command("trace")
@arguments.NODE()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@decorators.with_dbenv()
def trace_command(node: Node, as_json: bool) -> None:
    """List every pw.x calculation behind NODE (PK or UUID), and the way from there to it.

    The exit code is 1 when there is none.
    """
    try:
        result = trace(node)
    except ValueError as error:
        echo.echo_critical(str(error))
    if as_json:
        echo.echo(json.dumps(asdict(result), indent=2, ensure_ascii=False))
    else:
        from ._trace_text import print_trace

        print_trace(result)
    if not result.calculations:
        echo.echo_critical(
            f"no pw.x calculation in this profile stands behind PK {node.pk}: "
            "its data were imported, or come from another code"
        )
