"""Distinct rows of integer tables, by packing each row into one integer and hashing it."""

from __future__ import annotations

import numpy as np
from numba import njit

from .arrays import IntArray

__all__ = ["pack_rows", "unique_keys", "unique_rows", "unpack_keys"]

KEY_BITS = 62
FIBONACCI = np.uint64(11400714819323198485)  # 2⁶⁴ / golden ratio: spreads neighbouring keys

TABLE_BITS = (12, 15, 18)
"""Sizes of the hash table tried; a larger one leaves the cache, and sorting is faster then."""


@njit(cache=True, nogil=True)
def _hash_index(keys, table, number, unique, multiplier, shift):  # type: ignore[no-untyped-def]
    """Write the rank of first appearance of every key into ``number``; return how many differ.

    ``table`` (a power of two, all −1) holds rows of ``unique``. Returns −1 when half of the table
    is taken: call again with a larger one.
    """
    mask = len(table) - 1
    limit = len(table) // 2
    found = 0
    for row in range(len(keys)):
        key = keys[row]
        slot = np.int64((np.uint64(key) * multiplier) >> shift)
        while True:
            entry = table[slot]
            if entry < 0:
                if found == limit:
                    return -1
                table[slot] = found
                unique[found] = key
                number[row] = found
                found += 1
                break
            if unique[entry] == key:
                number[row] = entry
                break
            slot = (slot + 1) & mask
    return found


def unique_keys(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Return the sorted distinct keys, and the index of every key among them.

    The same as ``np.unique(keys, return_inverse=True)``, several times faster where few are
    distinct.
    """
    number = np.empty(len(keys), dtype=np.int64)
    for bits in TABLE_BITS:
        unique = np.empty(2 ** (bits - 1), dtype=np.int64)
        table = np.full(2**bits, -1, dtype=np.int64)
        found = int(_hash_index(keys, table, number, unique, FIBONACCI, np.uint64(64 - bits)))
        if found >= 0:
            break
    else:
        distinct, index = np.unique(keys, return_inverse=True)
        return distinct, index.reshape(-1)
    order = np.argsort(unique[:found])
    rank = np.empty(found, dtype=np.int64)
    rank[order] = np.arange(found)
    return unique[:found][order], rank[number]


def pack_rows(rows: IntArray, low: IntArray, span: IntArray) -> IntArray | None:
    """Return one integer per row that sorts as the rows do; None where 62 bits are too few.

    Column ``c`` must lie in ``low[c]`` … ``low[c] + span[c] − 1``.
    """
    if np.log2(span.astype(np.float64)).sum() >= KEY_BITS:
        return None
    key = np.zeros(len(rows), dtype=np.int64)
    for column in range(rows.shape[1]):
        key = key * span[column] + (rows[:, column] - low[column])
    return key


def unpack_keys(keys: IntArray, low: IntArray, span: IntArray) -> IntArray:
    """Return the rows that :func:`pack_rows` made the keys of."""
    rows = np.empty((len(keys), len(span)), dtype=np.int64)
    for column in range(len(span) - 1, -1, -1):
        rows[:, column] = keys % span[column] + low[column]
        keys = keys // span[column]
    return rows


def unique_rows(rows: IntArray) -> tuple[IntArray, IntArray]:
    """Return the sorted distinct rows of an integer table and the index of every row among them.

    The same as ``np.unique(rows, axis=0, return_inverse=True)``, many times faster.
    """
    if len(rows) == 0:
        return rows.copy(), np.zeros(0, dtype=np.int64)
    low = rows.min(axis=0)
    span = rows.max(axis=0) - low + 1
    packed = pack_rows(rows, low, span)
    if packed is None:
        unique, index = np.unique(rows, axis=0, return_inverse=True)
        return unique, index.reshape(-1)
    keys, index = unique_keys(packed)
    return unpack_keys(keys, low, span), index
