"""Frames that are the same frame: equal atoms, cell and positions, whatever the periodic image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]

#: Frames that differ by more are not neighbours in time.
_FURTHEST_ANGSTROM = 0.3


@dataclass(frozen=True)
class Geometry:
    """Frames of one composition.

    Attributes
    ----------
    symbols
        One per atom.
    pbc
        Periodic along which cell vectors.
    positions
        In Å, shape (frames, atoms, 3).
    cells
        In Å, shape (frames, 3, 3), rows are the cell vectors; none without volume.
    """

    symbols: tuple[str, ...]
    pbc: tuple[bool, ...]
    positions: FloatArray
    cells: FloatArray


def continues(earlier: Geometry, later: Geometry) -> bool:
    """Return whether one trajectory begins where another ends.

    That is so where no atom moves further from the last frame of one to the first of the other than
    three times the longest step near there: one frame may be missing between them. Where atoms move
    far in one step, neighbouring frames are not alike and nothing has to be found.

    Parameters
    ----------
    earlier, later
        Frames that are equal steps in time.
    """
    same = (earlier.symbols, earlier.pbc) == (later.symbols, later.pbc)
    if not same or min(len(earlier.positions), len(later.positions)) < 2:
        return False
    cell = earlier.cells[-1]

    def moved(one: FloatArray, other: FloatArray) -> float:
        shifts = _wrapped((other - one) @ np.linalg.inv(cell), earlier.pbc) @ cell
        return float(np.linalg.norm(shifts, axis=1).max())

    step = max(moved(*earlier.positions[-2:]), moved(*later.positions[:2]))
    bound = min(3 * step, _FURTHEST_ANGSTROM)
    strained = np.abs(later.cells[0] - cell).max() > bound
    return not strained and moved(earlier.positions[-1], later.positions[0]) <= bound


def first_occurrences(sources: Sequence[Geometry], tolerance: float) -> NDArray[np.int64]:
    """Return for each frame which one it repeats: the first equal one, or itself.

    Two frames are equal if each entry of their cells agrees within the tolerance and each atom of
    one has an atom of its element in the other, within the tolerance, in fractional coordinates
    wrapped along the periodic directions and taken times the cell. The order of atoms does not
    matter. Rotated cells and other choices of cell vectors are not recognised.

    Parameters
    ----------
    sources
        Frames are numbered through all of them.
    tolerance
        In Å, small against the distance of atoms.

    Returns
    -------
    array
        Shape (frames of all sources,).

    Notes
    -----
    Candidates come from a k-d tree over fingerprints that two equal frames cannot have further
    apart than the tolerance, so none is missed; the time grows as N log N.
    """
    starts = np.cumsum([0, *(len(source.positions) for source in sources)])
    original = np.arange(starts[-1])
    groups: dict[tuple[tuple[str, ...], tuple[bool, ...]], list[int]] = {}
    for number, source in enumerate(sources):
        groups.setdefault((tuple(sorted(source.symbols)), source.pbc), []).append(number)
    for (symbols, pbc), members in groups.items():
        ids = np.concatenate([np.arange(starts[n], starts[n + 1]) for n in members])
        if len(ids):
            repeated = _within_group(symbols, pbc, [sources[n] for n in members], tolerance)
            original[ids] = ids[repeated]
    return original


def _within_group(
    symbols: tuple[str, ...], pbc: tuple[bool, ...], sources: list[Geometry], tolerance: float
) -> NDArray[np.int64]:
    cells = np.concatenate([source.cells for source in sources])
    inverse = np.linalg.inv(cells)
    positions = np.concatenate(
        [source.positions[:, np.argsort(source.symbols, kind="stable")] for source in sources]
    )
    fractional = positions @ inverse
    species = _slices(symbols)
    prints = _fingerprints(fractional, cells, inverse, species)
    radius = tolerance * 1.001 + 1e-9
    tree = cKDTree(prints)
    original = np.arange(len(prints))
    neighbours = tree.query_ball_point(prints, radius, p=np.inf, return_length=True)
    for index in np.flatnonzero(neighbours > 1):
        if original[index] != index:
            continue
        near = np.asarray(tree.query_ball_point(prints[index], radius, p=np.inf))
        near = np.sort(near[(near > index) & (original[near] == near)])
        near = near[np.abs(cells[near] - cells[index]).max(axis=(1, 2)) <= tolerance]
        for block in np.array_split(near, max(1, len(near) // 1000)):
            shifts = _wrapped(fractional[block] - fractional[index], pbc) @ cells[index]
            same = np.linalg.norm(shifts, axis=2).max(axis=1, initial=0.0) <= tolerance
            original[block[same]] = index
            for other in block[~same]:
                if _same_in_other_order(
                    fractional[index], fractional[other], cells[index], pbc, species, tolerance
                ):
                    original[other] = index
    return original


def _slices(symbols: tuple[str, ...]) -> list[slice]:
    """Return where each element lies in sorted symbols."""
    _, starts = np.unique(symbols, return_index=True)
    ends = [*starts[1:], len(symbols)]
    return [slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _wrapped(fractional: FloatArray, pbc: tuple[bool, ...]) -> FloatArray:
    return fractional - np.where(pbc, np.rint(fractional), 0.0)


def _fingerprints(
    fractional: FloatArray, cells: FloatArray, inverse: FloatArray, species: list[slice]
) -> FloatArray:
    """Return numbers per frame that images and order of atoms leave alone.

    Of each element and each reciprocal vector b_i: Σ_j exp(2πi s_ij), divided by the number of
    atoms and |b_i|. An atom that moves by d turns its term by at most d·|b_i|, so no number changes
    by more than the largest d.
    """
    columns = [cells.reshape(len(cells), 9)]
    lengths = 2 * np.pi * np.linalg.norm(inverse, axis=1).max(axis=0)
    for atoms in species:
        for axis in range(3):
            phase = np.exp(2j * np.pi * fractional[:, atoms, axis])
            value = phase.mean(axis=1) / lengths[axis]
            columns.append(np.stack([value.real, value.imag], axis=1))
    return np.concatenate(columns, axis=1)


def _same_in_other_order(
    one: FloatArray,
    other: FloatArray,
    cell: FloatArray,
    pbc: tuple[bool, ...],
    species: list[slice],
    tolerance: float,
) -> bool:
    for atoms in species:
        shifts = _wrapped(one[atoms, None] - other[None, atoms], pbc) @ cell
        distances = np.linalg.norm(shifts, axis=2)
        partner = distances.argmin(axis=1)
        furthest = distances[np.arange(len(partner)), partner].max()
        if furthest > tolerance or len(np.unique(partner)) < len(partner):
            return False
    return True
