"""Pool transition counts over the space group of the lattice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .arrays import IntArray, sum_by
from .counts import TransitionCounts
from .operations import SiteOperations
from .packed import pack_rows, unique_keys, unpack_keys

__all__ = ["pool_counts"]


def pool_counts(counts: TransitionCounts, operations: SiteOperations) -> TransitionCounts:
    """Share the counts of every transition with all that symmetry makes equal to it.

    A transition (i, j, n) and its images (g(i), g(j), n′) have the same probability, so the
    likelihood of a model with this symmetry depends on the sum of their counts alone: pooled
    counts give its maximum-likelihood estimate. The channels are closed under the group and under
    reversal; a transition and its reverse stay apart unless an operation joins them (detailed
    balance is the estimator's concern).

    Parameters
    ----------
    counts
        On the sites of the lattice that the operations were found for.
    operations
        See :func:`.operations.site_operations`.

    Returns
    -------
    TransitionCounts
        With ``orbit``; ``total(weights)`` sums by orbit and shares equally, as cheap as before.

    Raises
    ------
    ValueError
        The operations are of another lattice, or jumps reach beyond what can be numbered.
    """
    sites = counts.n_sites
    if operations.permutation.shape[1] != sites:
        raise ValueError(
            f"operations of {operations.permutation.shape[1]} sites cannot pool counts on {sites}"
        )
    reach = int(np.abs(counts.image).max(initial=0)) * 3 * int(np.abs(operations.rotations).max())
    reach += 2 * int(np.abs(operations.shift).max())
    low = np.array([0, 0, -reach, -reach, -reach])
    span = np.array([sites, sites, 2 * reach + 1, 2 * reach + 1, 2 * reach + 1])

    def image_keys(operation: int, rows: IntArray) -> IntArray:
        start, end, image = operations.map_transitions(
            operation, rows[:, 0], rows[:, 1], rows[:, 2:]
        )
        keys = pack_rows(np.column_stack([start, end, image]), low, span)
        if keys is None:
            raise ValueError("jumps across too many cells to pool: use a shorter lag")
        return keys

    seen = np.column_stack([counts.from_site, counts.to_site, counts.image])
    smallest = np.full(len(seen), np.iinfo(np.int64).max)
    for g in range(len(operations)):
        np.minimum(smallest, image_keys(g, seen), out=smallest)
    _, first, orbit_of_seen = np.unique(smallest, return_index=True, return_inverse=True)
    first_rows = seen[first]
    # reversal commutes with the operations, so the orbits of a closed list are closed under it too
    members = np.concatenate([image_keys(g, first_rows) for g in range(len(operations))])
    owner = np.tile(np.arange(len(first_rows)), len(operations))
    keys, place = unique_keys(members)
    orbit = np.empty(len(keys), dtype=np.int64)
    orbit[place] = owner
    rows = unpack_keys(keys, low, span)
    back = np.column_stack([rows[:, 1], rows[:, 0], -rows[:, 2:]])
    back_keys = pack_rows(back, low, span)
    assert back_keys is not None  # the same ranges as above
    holder = np.empty(len(first_rows), dtype=np.int64)  # the channel that carries an orbit's counts
    holder[orbit[::-1]] = np.arange(len(orbit))[::-1]
    records, index = np.unique(
        counts.unit * len(rows) + holder[orbit_of_seen.reshape(-1)[counts.channel]],
        return_inverse=True,
    )
    return replace(
        counts,
        from_site=rows[:, 0],
        to_site=rows[:, 1],
        image=rows[:, 2:],
        reverse=np.searchsorted(keys, back_keys),
        unit=records // len(rows),
        channel=records % len(rows),
        count=sum_by(index, counts.count, len(records)),
        orbit=orbit,
    )
