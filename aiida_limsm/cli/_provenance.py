"""Walking back through the data provenance, level by level.

Only the links of data provenance are followed (INPUT_CALC and CREATE): what a number was made
of, not which workchain asked for it. A node is visited once, whatever the number of paths to
it: ``QueryBuilder``'s ``with_descendants`` counts paths instead, and those explode when
trainings and trajectories feed each other over generations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter

from aiida import orm
from aiida.common.links import LinkType

PW_PROCESS_TYPE = "aiida.calculations:quantumespresso.pw"
#: SQLite refuses statements with too many parameters.
_CHUNK = 500
_DATA_LINKS = [LinkType.INPUT_CALC.value, LinkType.CREATE.value]


@dataclass(frozen=True)
class Parent:
    """One incoming link: its label and the node it comes from."""

    label: str
    pk: int


@dataclass(frozen=True)
class NodeInfo:
    """What the listing needs of a node without loading it."""

    pk: int
    node_type: str
    process_type: str | None

    @property
    def is_pw(self) -> bool:
        """Whether it is a pw.x calculation of aiida-quantumespresso."""
        return self.process_type == PW_PROCESS_TYPE

    @property
    def is_process(self) -> bool:
        """Whether it is a calculation, of any kind."""
        return self.node_type.startswith("process.")

    @property
    def is_limsm_data(self) -> bool:
        """Whether it is one of this package's data nodes."""
        return self.node_type.startswith("data.limsm.")


@dataclass(frozen=True)
class Ancestry:
    """All ancestors of one node (itself included) and the links between them."""

    target: int
    parents: dict[int, tuple[Parent, ...]]
    nodes: dict[int, NodeInfo]

    def topological(self) -> Iterator[int]:
        """Yield all nodes so that every node comes after what it was made of; ties by PK."""
        sorter = TopologicalSorter(
            {pk: {parent.pk for parent in parents} for pk, parents in self.parents.items()}
        )
        sorter.prepare()
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            yield from ready
            sorter.done(*ready)

    def nearest_pw(self, pk: int) -> tuple[int, ...]:
        """Return the pw.x calculations a node was made by.

        The walk back stops at a pw.x calculation: an earlier segment, whose
        folder it restarted from, did not write these frames.
        """
        found: set[int] = set()
        visited: set[int] = set()
        frontier = {pk}
        while frontier:
            visited |= frontier
            found |= {node for node in frontier if self.nodes[node].is_pw}
            frontier = {
                parent.pk
                for node in frontier
                if not self.nodes[node].is_pw
                for parent in self.parents[node]
            } - visited
        return tuple(sorted(found))


def walk_back(pk: int) -> Ancestry:
    """Collect all ancestors of a stored node, breadth-first."""
    parents: dict[int, list[Parent]] = {pk: []}
    frontier: list[int] = [pk]
    while frontier:
        following: list[int] = []
        for child, label, parent in _incoming(frontier):
            parents[child].append(Parent(label, parent))
            if parent not in parents:
                parents[parent] = []
                following.append(parent)
        frontier = following
    ordered = {
        child: tuple(sorted(links, key=lambda link: (link.label, link.pk)))
        for child, links in parents.items()
    }
    return Ancestry(pk, ordered, _node_infos(ordered))


def _chunks(pks: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(pks)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]


def _incoming(pks: Collection[int]) -> Iterable[tuple[int, str, int]]:
    """Yield (child, link label, parent) for all data links into some nodes, one query a chunk."""
    for chunk in _chunks(pks):
        query = orm.QueryBuilder()
        query.append(orm.Node, filters={"id": {"in": chunk}}, tag="child", project=["id"])
        query.append(
            orm.Node,
            with_outgoing="child",
            edge_tag="link",
            edge_filters={"type": {"in": _DATA_LINKS}},
            edge_project=["label"],
            tag="parent",
            project=["id"],
        )
        for row in query.iterdict():
            yield row["child"]["id"], row["link"]["label"], row["parent"]["id"]


def _node_infos(pks: Collection[int]) -> dict[int, NodeInfo]:
    infos: dict[int, NodeInfo] = {}
    for chunk in _chunks(pks):
        query = orm.QueryBuilder()
        query.append(
            orm.Node,
            filters={"id": {"in": chunk}},
            project=["id", "node_type", "process_type"],
        )
        infos.update({row[0]: NodeInfo(*row) for row in query.all()})
    return infos
