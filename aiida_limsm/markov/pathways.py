"""Which jumps and which ways through the crystal carry the diffusion along a direction.

Under a small gradient along a unit vector e the net current through the transition (i, j, n) is
J = x(i, j, n) (d + χ_j − χ_i)·e / τ, with x the equilibrium flux and χ the correctors of the model.
This is the reactive current of transition path theory (Metzner, Schütte & Vanden-Eijnden,
Multiscale Model. Simul. 7, 1192 (2009)) between two faces of an endless crystal: r·e + χ·e is the
committor up to a linear map. Two sums over transitions give e·D·e exactly:

- Σ x ((d + χ_j − χ_i)·e)² / 2τ, the heat in the resistors of a network (Thomson's principle;
  Doyle & Snell, Random Walks and Electric Networks, 1984): shares of single transitions.
- Σ_{J>0} J d·e: J has no sources, so it is a sum of closed ways through the periodic cell, and a
  way with current c and net translation T carries the share c T·e / e·D·e: shares of ways.

Transitions are those of the model: at a lag in which ions jump more than once, several jumps in a
row are transitions of their own. A model of a short lag shows single jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray, sum_by
from .decomposition import widest_cycles
from .model import MarkovModel
from .packed import unique_rows

__all__ = [
    "DirectionShares",
    "Pathway",
    "direction_shares",
    "dominant_pathways",
    "net_current",
]

NEGLIGIBLE = 1e-12
SAME_DISTANCE = 0.01
"""Distances that differ by less than this (Å) are one kind of jump."""


@dataclass(frozen=True)
class DirectionShares:
    """Kinds of jumps and how much of the diffusion along a direction each carries, largest first.

    Attributes
    ----------
    from_site, to_site, vector
        One jump of each kind, shapes (n_kinds,), (n_kinds,) and (n_kinds, 3), Å.
    members
        Jumps of the kind in a cell, a jump and its reverse counted once, shape (n_kinds,).
    share
        Share of e·D·e, shape (n_kinds,); adds up to 1.
    diffusion_cm2_s
        e·D·e, the sum over all transitions.
    """

    from_site: IntArray
    to_site: IntArray
    vector: FloatArray
    members: IntArray
    share: FloatArray
    diffusion_cm2_s: float

    def __len__(self) -> int:
        return len(self.share)


@dataclass(frozen=True)
class Pathway:
    """A closed way through the periodic cell.

    Attributes
    ----------
    sites
        Sites passed, the first one again at the end in another cell.
    images
        Cell of each of them, the first in cell (0, 0, 0).
    vectors
        Jump vectors between them, Å.
    transitions
        Rows of the model's transitions taken, in order.
    translation
        Lattice vector gained in one round, three integers.
    share
        Share of the diffusion along the direction that it carries.
    bottleneck
        Row of the transition with the smallest current among those of the way.
    """

    sites: tuple[int, ...]
    images: tuple[tuple[int, int, int], ...]
    vectors: tuple[tuple[float, float, float], ...]
    transitions: tuple[int, ...]
    translation: tuple[int, int, int]
    share: float
    bottleneck: int


def net_current(model: MarkovModel, direction: npt.ArrayLike) -> FloatArray:
    """Return the net current of every transition along a unit vector, shape (n_channels,), Å/ps.

    Under a unit gradient; a transition and its reverse have opposite signs.
    """
    return model.flux * _potential(model, _unit(direction)) / model.lag_ps


def direction_shares(
    model: MarkovModel, direction: npt.ArrayLike, group_by: Literal["jump", "orbit"] = "jump"
) -> DirectionShares:
    """Share the diffusion along a direction out among kinds of jumps.

    Parameters
    ----------
    model
        The chain.
    direction
        Cartesian; its length does not matter.
    group_by
        ``jump``: a kind is a jump (i, j, n) with its reverse. ``orbit``: all jumps of one
        distance between sites of two Wyckoff orbits.

    Returns
    -------
    DirectionShares
        Without kinds that carry nothing; empty where nothing diffuses along the direction.
    """
    heat = model.flux * _potential(model, _unit(direction)) ** 2
    scale = float(model.flux @ (model.jump_vectors**2).sum(axis=1))
    kind = _jump_kinds(model) if group_by == "jump" else _orbit_kinds(model)
    number = int(kind.max(initial=-1)) + 1
    carried = sum_by(kind, heat, number)
    if carried.sum() <= NEGLIGIBLE * scale:
        carried[:] = 0.0
    kept = np.flatnonzero(carried > NEGLIGIBLE * max(carried.sum(), 1e-300))
    order = kept[np.argsort(-carried[kept], kind="stable")]
    first = np.full(number, len(kind), dtype=np.int64)
    np.minimum.at(first, kind, np.arange(len(kind)))
    pairs = np.unique(np.column_stack([kind, _jump_kinds(model)]), axis=0)[:, 0]
    rows = first[order]
    return DirectionShares(
        from_site=model.from_site[rows],
        to_site=model.to_site[rows],
        vector=model.jump_vectors[rows],
        members=np.bincount(pairs, minlength=number)[order],
        share=carried[order] / max(float(carried.sum()), 1e-300),
        diffusion_cm2_s=float(carried.sum()) / 2 / model.lag_ps * ANGSTROM2_PER_PS_TO_CM2_PER_S,
    )


def dominant_pathways(
    model: MarkovModel, direction: npt.ArrayLike, number: int = 5
) -> tuple[Pathway, ...]:
    """Decompose the current into ways, the one with the widest bottleneck first.

    Parameters
    ----------
    model
        Of a short lag, so that transitions are single jumps.
    direction
        Cartesian; its length does not matter.
    number
        Ways wanted; the shares of all of them together would add up to 1.

    Returns
    -------
    tuple
        Empty where nothing diffuses along the direction.
    """
    unit = _unit(direction)
    potential = _potential(model, unit)
    scale = float(model.flux @ (model.jump_vectors**2).sum(axis=1))
    if float(model.flux @ potential**2) <= NEGLIGIBLE * scale:
        return ()
    current = model.flux * potential
    rows = np.flatnonzero(current > NEGLIGIBLE * current.max())
    along = model.jump_vectors[rows] @ unit
    whole = float(current[rows] @ along)
    cycles = widest_cycles(model.from_site[rows], model.to_site[rows], current[rows], model.n_sites)
    ways = []
    for cycle, left in islice(cycles, number):
        share = float(left.min() * along[cycle].sum()) / whole
        ways.append(_pathway(model, rows[cycle], share, int(rows[cycle[np.argmin(left)]])))
    return tuple(ways)


def _pathway(model: MarkovModel, taken: IntArray, share: float, bottleneck: int) -> Pathway:
    cells = np.vstack([np.zeros((1, 3), dtype=np.int64), np.cumsum(model.image[taken], axis=0)])
    images = tuple((int(a), int(b), int(c)) for a, b, c in cells)
    return Pathway(
        sites=(*(int(s) for s in model.from_site[taken]), int(model.from_site[taken[0]])),
        images=images,
        vectors=tuple((float(x), float(y), float(z)) for x, y, z in model.jump_vectors[taken]),
        transitions=tuple(int(row) for row in taken),
        translation=images[-1],
        share=share,
        bottleneck=bottleneck,
    )


def _unit(direction: npt.ArrayLike) -> FloatArray:
    vector = np.asarray(direction, dtype=np.float64)
    length = float(np.linalg.norm(vector))
    if vector.shape != (3,) or not 0 < length < np.inf:
        raise ValueError(f"a direction is three finite numbers, not all zero; got {vector}")
    return np.asarray(vector / length)


def _potential(model: MarkovModel, unit: FloatArray) -> FloatArray:
    """Return (d + χ_j − χ_i)·e of every transition, Å."""
    chi = model.correctors @ unit
    return np.asarray(model.jump_vectors @ unit + chi[model.to_site] - chi[model.from_site])


def _jump_kinds(model: MarkovModel) -> IntArray:
    """Give a transition and its reverse one number."""
    there = np.column_stack([model.from_site, model.to_site, model.image])
    back = np.column_stack([model.to_site, model.from_site, -model.image])
    column = np.argmax(there != back, axis=1)
    every = np.arange(len(there))
    swapped = there[every, column] > back[every, column]
    return unique_rows(np.where(swapped[:, None], back, there))[1]


def _orbit_kinds(model: MarkovModel) -> IntArray:
    """Give transitions of one distance between two orbits, in either order, one number."""
    orbit = np.unique(np.array(model.lattice.orbits), return_inverse=True)[1].reshape(-1)
    ends = np.sort(np.column_stack([orbit[model.from_site], orbit[model.to_site]]), axis=1)
    distance = np.linalg.norm(model.jump_vectors, axis=1)
    order = np.argsort(distance, kind="stable")
    shell = np.empty(len(order), dtype=np.int64)
    shell[order] = np.cumsum(np.diff(distance[order], prepend=0.0) > SAME_DISTANCE)
    return unique_rows(np.column_stack([ends, shell]))[1]
