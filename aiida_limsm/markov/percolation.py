"""Where a periodic network of jumps leads through the crystal, and its bottlenecks.

Jumps are added one by one, the fastest first. Sites that hang together are kept in a union-find
structure with the lattice vector from each site to its root (Newman & Ziff, Phys. Rev. E 64, 016706
(2001), section III); a jump that closes a cycle with a net translation makes its piece endless
along that translation. This is Kruskal's solution of the widest-path problem on a periodic graph.

Jumps come as arrays (from, to, image, weight), so that transitions of a model (weight: the
equilibrium flux x) and counted jumps serve alike. The equilibrium flux of a jump and of its reverse
is the same; a rate is not, and would rank the way out of a rarely visited site too high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray, IntArray

__all__ = ["Bottleneck", "Percolation", "bottlenecks", "lattice_normals", "percolation"]

PARALLEL = 1e-6
"""Cosine below which a translation does not lead along a direction."""

SAME_WEIGHT = 1e-9
"""Weights that differ by less than this (relative) are equal: jumps alike by symmetry."""

Vector = tuple[int, int, int]


@dataclass(frozen=True)
class Bottleneck:
    """Where a network first percolates along a direction when jumps are added, fastest first.

    ``weight`` is that of the last jump that was needed, ``jump`` its row; None where even the
    whole network does not percolate. ``dimensionality`` is that of its piece of the network, all
    jumps of the same weight included.
    """

    weight: float | None
    jump: int | None
    dimensionality: int


@dataclass(frozen=True)
class Percolation:
    """Pieces of a network on the endless lattice.

    Attributes
    ----------
    piece
        Number of the piece of every site, shape (n_sites,), from 0 in the order of the sites.
    dimensionality
        In how many dimensions the piece of every site is endless, 0 to 3, shape (n_sites,).
    translations
        For every piece, independent lattice vectors along which it is endless, (0 to 3, 3).
    """

    piece: IntArray
    dimensionality: IntArray
    translations: tuple[IntArray, ...]


class _Network:
    """Union-find over the sites of one cell.

    Site i of cell R hangs together with ``parent[i]`` of cell R + ``offset[i]``.
    """

    def __init__(self, n_sites: int) -> None:
        self.parent = list(range(n_sites))
        self.size = [1] * n_sites
        self.offset: list[Vector] = [(0, 0, 0)] * n_sites
        self.translations: dict[int, list[Vector]] = {}

    def root(self, site: int) -> tuple[int, Vector]:
        """Return the root and the lattice vector to it, and shorten the way there."""
        way = []
        while self.parent[site] != site:
            way.append(site)
            site = self.parent[site]
        total = (0, 0, 0)
        for step in reversed(way):  # nearest to the root first
            total = _add(self.offset[step], total)
            self.parent[step], self.offset[step] = site, total
        return site, total

    def add(self, start: int, end: int, image: Vector) -> int | None:
        """Add a jump; return the root of its piece if that got new translations."""
        a, from_a = self.root(start)
        b, from_b = self.root(end)
        left = _add(_add(image, from_b), _negative(from_a))
        if a == b:
            return a if self._extend(a, [left]) else None
        if self.size[a] > self.size[b]:
            a, b, left = b, a, _negative(left)
        self.parent[a], self.offset[a] = b, left
        self.size[b] += self.size[a]
        moved = self.translations.pop(a, [])
        return b if self._extend(b, moved) else None

    def _extend(self, root: int, translations: list[Vector]) -> bool:
        known = self.translations.get(root, [])
        grown = list(known)
        for translation in translations:
            if _independent(grown, translation):
                grown.append(translation)
        if grown:
            self.translations[root] = grown
        return len(grown) > len(known)


def bottlenecks(
    start: IntArray,
    end: IntArray,
    image: IntArray,
    weight: FloatArray,
    cell: FloatArray,
    directions: npt.ArrayLike,
) -> list[Bottleneck]:
    """Find the bottleneck along each direction.

    Parameters
    ----------
    start, end, image
        Jumps (i, j, n), shapes (n_jumps,) and (n_jumps, 3); one direction of each is enough.
    weight
        The larger the faster, such as the equilibrium flux of each jump, shape (n_jumps,).
    cell
        Rows are the lattice vectors, Å.
    directions
        Unit vectors, (n_directions, 3): ``numpy.eye(3)`` for x, y and z, :func:`lattice_normals`
        for the ways between opposite faces of the cell.

    Returns
    -------
    list
        One for each direction. A network leads along a direction when one of its translations has
        a component along it.
    """
    along = np.atleast_2d(np.asarray(directions, dtype=np.float64))
    network = _Network(int(max(start.max(initial=-1), end.max(initial=-1))) + 1)
    needed: dict[int, int] = {}  # direction → last jump that was needed
    found: dict[int, Bottleneck] = {}

    def close(threshold: float) -> None:
        for k in needed.keys() - found.keys():
            if weight[needed[k]] > threshold:
                root = network.root(int(start[needed[k]]))[0]
                rank = len(network.translations[root])
                found[k] = Bottleneck(float(weight[needed[k]]), needed[k], rank)

    for jump, i, j, n in _jumps(start, end, image, np.argsort(-weight, kind="stable")):
        close(weight[jump] * (1.0 + SAME_WEIGHT))
        if len(found) == len(along):
            break
        grown = network.add(i, j, n)
        if grown is None:
            continue
        moves = np.array(network.translations[grown]) @ cell
        cosines = np.abs(along @ (moves / np.linalg.norm(moves, axis=1)[:, None]).T)
        for k in np.flatnonzero((cosines > PARALLEL).any(axis=1)):
            needed.setdefault(int(k), jump)
    close(-np.inf)
    return [found.get(k, Bottleneck(None, None, 0)) for k in range(len(along))]


def percolation(
    start: IntArray,
    end: IntArray,
    image: IntArray,
    n_sites: int,
    weight: FloatArray | None = None,
    threshold: float = 0.0,
) -> Percolation:
    """Return the pieces of a network, of jumps of at least ``threshold`` where weights are given.

    Other parameters as in :func:`bottlenecks`.
    """
    rows = np.arange(len(start)) if weight is None else np.flatnonzero(weight >= threshold)
    network = _Network(n_sites)
    for _, i, j, n in _jumps(start, end, image, rows):
        network.add(i, j, n)
    roots = np.array([network.root(site)[0] for site in range(n_sites)], dtype=np.int64)
    kept, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
    rank = np.empty(len(kept), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(kept))
    translations = tuple(
        np.array(network.translations.get(int(root), []), dtype=np.int64).reshape(-1, 3)
        for root in kept[np.argsort(first)]
    )
    piece = rank[inverse.reshape(-1)]
    dimensions = np.array([len(vectors) for vectors in translations], dtype=np.int64)
    return Percolation(piece, dimensions[piece], translations)


def lattice_normals(cell: FloatArray) -> FloatArray:
    """Return the unit normals of the cell's faces, (3, 3), row k across cell vector k."""
    normals = np.linalg.inv(cell).T
    return np.asarray(normals / np.linalg.norm(normals, axis=1)[:, None])


def _jumps(
    start: IntArray, end: IntArray, image: IntArray, rows: IntArray
) -> list[tuple[int, int, int, Vector]]:
    """Return row, sites and image as plain integers: many times faster to loop over."""
    images = [tuple(n) for n in image[rows].tolist()]
    return list(zip(rows.tolist(), start[rows].tolist(), end[rows].tolist(), images, strict=True))


def _add(a: Vector, b: Vector) -> Vector:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def _negative(a: Vector) -> Vector:
    return (-a[0], -a[1], -a[2])


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def _independent(known: list[Vector], new: Vector) -> bool:
    """Tell, exactly, whether ``new`` is no linear combination of independent ``known`` vectors."""
    if len(known) == 0:
        return any(new)
    if len(known) == 1:
        return any(_cross(known[0], new))
    if len(known) == 2:
        normal = _cross(known[0], known[1])
        return normal[0] * new[0] + normal[1] * new[1] + normal[2] * new[2] != 0
    return False
