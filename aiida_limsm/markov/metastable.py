"""Metastable sets of sites: PCCA+ (Deuflhard & Weber, Linear Algebra Appl. 398, 161 (2005)).

Memberships χ = ψ A are a linear map of the slowest right eigenvectors, between 0 and 1 and adding
up to 1 on every site. A starts from the inner simplex (the most extreme sites are its corners) and
is then made as crisp as it can be (Röblitz & Weber, Adv. Data Anal. Classif. 7, 147 (2013)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray
from .model import MarkovModel
from .spectrum import timescales_of

__all__ = ["MetastableSets", "metastable_sets"]


GAP = 3.0
"""Two following timescales this many times apart separate slow from fast processes."""

MOST_SETS = 10

MOST_STEPS = 6000
"""Of the search for the crispest memberships, which starts from the inner simplex."""


@dataclass(frozen=True)
class MetastableSets:
    """Sets of sites in which an ion stays long.

    Attributes
    ----------
    memberships
        How far each site belongs to each set, (n_sites, m); rows sum to 1, zero on unseen sites.
    assignment
        Set of the largest membership, (n_sites,); −1 on unseen sites.
    number, reason
        m and why.
    populations
        Share of the ions in each set, (m,).
    lifetimes_ps
        −τ / ln of the probability to stay in the set for one lag, (m,); infinite where no ion
        leaves, NaN where the set is left at once.
    """

    memberships: FloatArray
    assignment: IntArray
    number: int
    reason: str
    populations: FloatArray
    lifetimes_ps: FloatArray


def metastable_sets(model: MarkovModel, number: int | None = None) -> MetastableSets:
    """Group the sites of a model into metastable sets.

    Parameters
    ----------
    model
        The chain; of one pooled over lattice translations the sets are kinds of sites.
    number
        How many sets; None for the largest gap between following timescales, one set where no
        gap reaches a factor of three. Never fewer than the connected sets.

    Raises
    ------
    ValueError
        More sets are asked than there are sites with ions, or than PCCA+ can tell apart.
    """
    pi = model.stationary_distribution
    seen = np.flatnonzero(pi > 0)
    labels, set_of = np.unique(model.connected_sets[seen], return_inverse=True)
    spectrum = model.spectrum(MOST_SETS if number is None else max(number, MOST_SETS))
    found, reason = _largest_gap(spectrum.timescales_ps, len(labels), len(seen))
    if number is not None:
        if not len(labels) <= number <= len(labels) + len(spectrum.eigenvalues):
            raise ValueError(
                f"{number} metastable sets asked: between {len(labels)} (connected sets) and "
                f"{len(labels) + len(spectrum.eigenvalues)} are possible"
            )
        found, reason = number, "asked"
    # the first vector is constant; one more for every further connected set
    local = (set_of.reshape(-1)[:, None] == np.arange(len(labels))) * 1.0
    if found > len(labels):
        constant = np.copy(local)
        constant[:, 0] = 1.0
        vectors = np.concatenate([constant, spectrum.right[seen][:, : found - len(labels)]], axis=1)
        local = _memberships(_orthonormal(vectors, pi[seen]))
    memberships = np.zeros((model.n_sites, found))
    memberships[seen] = local
    assignment = np.full(model.n_sites, -1, dtype=np.int64)
    assignment[seen] = np.argmax(np.round(local, 9), axis=1)
    coarse = local.T @ (model.flux_matrix[seen][:, seen] @ local)
    overlap = local.T @ (pi[seen, None] * local)
    stay = np.diag(np.linalg.solve(overlap, coarse))
    return MetastableSets(
        memberships=memberships,
        assignment=assignment,
        number=found,
        reason=reason,
        populations=pi @ memberships,
        lifetimes_ps=timescales_of(np.where(stay > 1 - 1e-12, 1.0, stay), model.lag_ps),
    )


def _largest_gap(scales: FloatArray, connected: int, sites: int) -> tuple[int, str]:
    """Return the number of sets before the largest gap in the timescales."""
    known = scales[np.isfinite(scales)][:MOST_SETS]
    if connected > 1:
        return connected, f"{connected} connected sets"
    ratios = known[:-1] / known[1:]
    if len(ratios) == 0 or ratios.max() < GAP:
        return 1, f"no timescale is {GAP:g} times the next: one set"
    place = int(np.argmax(ratios))
    return place + 2, f"timescale {place + 1} is {ratios[place]:.3g} times the next"


def _orthonormal(vectors: FloatArray, pi: FloatArray) -> FloatArray:
    """Gram-Schmidt with the weights π; the first vector stays 1."""
    root = np.sqrt(pi)[:, None]
    columns, triangle = np.linalg.qr(root * vectors)
    return columns * np.sign(np.diag(triangle)) / root


def _memberships(vectors: FloatArray) -> FloatArray:
    """PCCA+ on orthonormal slow vectors (n, m), m ≥ 2, the first of them constant."""
    number = vectors.shape[1]
    start = np.asarray(np.linalg.inv(vectors[_corners(vectors)]), dtype=np.float64)
    free = start[1:, 1:].shape

    def crispness(rotation: FloatArray) -> float:
        filled = _feasible(rotation.reshape(free), vectors)
        return float(-(filled**2 / filled[0]).sum())

    best: FloatArray = start[1:, 1:].reshape(-1)
    if number > 2:  # two sets have one feasible solution
        from scipy.optimize import minimize

        options = {"maxiter": MOST_STEPS, "xatol": 1e-8, "fatol": 1e-10}
        found = minimize(crispness, best, method="Nelder-Mead", options=options)
        best = np.asarray(found.x, dtype=np.float64)
    memberships = np.clip(vectors @ _feasible(best.reshape(free), vectors), 0.0, 1.0)
    return np.asarray(memberships / memberships.sum(axis=1, keepdims=True))


def _corners(vectors: FloatArray) -> IntArray:
    """Inner simplex: sites whose rows are farthest from each other, one after the other."""
    rows = vectors.copy()
    corners = [int(np.argmax(np.linalg.norm(rows, axis=1).round(9)))]
    rows = rows - rows[corners[0]]
    for _ in range(vectors.shape[1] - 1):
        length = np.linalg.norm(rows, axis=1)
        corners.append(int(np.argmax(length.round(9))))
        if length[corners[-1]] < 1e-9:
            raise ValueError("the slow eigenvectors do not tell so many metastable sets apart")
        along = rows[corners[-1]] / length[corners[-1]]
        rows = rows - np.outer(rows @ along, along)
    return np.array(corners, dtype=np.int64)


def _feasible(rotation: FloatArray, vectors: FloatArray) -> FloatArray:
    """Complete the free part of A so that memberships are not negative and add up to 1."""
    number = vectors.shape[1]
    filled = np.empty((number, number))
    filled[1:, 1:] = rotation
    filled[1:, 0] = -rotation.sum(axis=1)
    filled[0] = -(vectors[:, 1:] @ filled[1:]).min(axis=0)
    return filled / filled[0].sum()
