"""A trace as text for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ._pw_record import Pseudopotential, PwRecord
    from ._sources import SourceRecord
    from .trace import ChainNode, Trace

#: A pipe has no width of its own; tables must not be cut to 80 columns there.
_WIDTH_WITHOUT_TERMINAL = 160


def print_trace(trace: Trace, console: Console | None = None) -> None:
    """Print calculations, settings, pseudopotentials, frames and the chain."""
    if console is None:
        width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
        console = Console(width=width, highlight=False)
    console.print(_line(trace.target), markup=False)
    if trace.calculations:
        console.print()
        console.print(_calculations_table(trace.calculations))
        console.print(_pseudopotentials_table(trace.calculations))
    if trace.sources:
        console.print(_sources_table(trace.sources))
    console.print("From structure to result:")
    for line in _chain_lines(trace.chain):
        console.print(f"  {line}", markup=False)


def _text(value: object) -> str:
    return "–" if value is None or value == "" else str(value)


def _line(node: ChainNode) -> str:
    described = f": {node.description}" if node.description else ""
    return f"{node.kind} (PK {node.pk}){described}"


def _calculations_table(records: Iterable[PwRecord]) -> Table:
    records = list(records)
    plural = "" if len(records) == 1 else "s"
    table = Table(title=f"{len(records)} pw.x calculation{plural}", title_justify="left")
    for name in ("PK", "role", "label", "cell", "functional", "cutoffs (Ry)", "k-points"):
        table.add_column(name)
    for name in ("frames", "used"):
        table.add_column(name, justify="right")
    table.add_column("code")
    for record in records:
        cutoffs = f"{record.ecutwfc_ry:g}/{record.ecutrho_ry:g}" if record.ecutwfc_ry else None
        role = record.role
        if record.exit_status:
            role += f" [exit {record.exit_status}]"
        if record.cached_from:
            role += " (cached)"
        cells = (
            record.pk, role, record.label, record.formula, record.functional, cutoffs,
            record.k_points, record.frames_parsed, record.frames_used, record.code_version,
        )  # fmt: skip
        table.add_row(*(_text(cell).replace("[", r"\[") for cell in cells))
    return table


def _pseudopotentials_table(records: Iterable[PwRecord]) -> Table:
    users: dict[Pseudopotential, int] = {}
    for record in records:
        for pseudo in record.pseudopotentials:
            users[pseudo] = users.get(pseudo, 0) + 1
    table = Table(title="Pseudopotentials", title_justify="left")
    for name in ("element", "file", "md5", "functional"):
        table.add_column(name)
    table.add_column("calculations", justify="right")
    for pseudo, count in sorted(users.items(), key=lambda item: (item[0].element, item[0].md5)):
        cells = (pseudo.element, pseudo.filename, pseudo.md5, pseudo.functional, count)
        table.add_row(*(_text(cell) for cell in cells))
    return table


def _sources_table(sources: Iterable[SourceRecord]) -> Table:
    table = Table(title="Frames in the datasets", title_justify="left")
    for name in ("dataset PK", "source", "frames", "written by pw.x PK"):
        table.add_column(name)
    for source in sources:
        table.add_row(
            str(source.dataset_pk),
            source.name or f"number {source.source_index}",
            ", ".join(f"{split} {count}" for split, count in source.frames.items()),
            ", ".join(_text(pk) for pk in source.pw_frames) or "unknown",
        )
    return table


def _chain_lines(chain: Iterable[ChainNode]) -> Iterable[str]:
    """One line a node; a run of equal steps becomes one line."""
    for _, group in groupby(chain, key=lambda node: (node.kind, node.description)):
        nodes = list(group)
        if len(nodes) == 1:
            yield _line(nodes[0])
        else:
            pks = ", ".join(str(node.pk) for node in nodes)
            described = f": {nodes[0].description}" if nodes[0].description else ""
            yield f"{len(nodes)} × {nodes[0].kind} (PK {pks}){described}"
