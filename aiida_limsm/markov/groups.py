"""Ions put together where there are more of them than error bars need."""

from __future__ import annotations

__all__ = ["group_number"]

MOST_GROUPS = 1024
"""The error of a bootstrap over so many units is uncertain by two per cent; more cost more."""


def group_number(n_ions: int) -> int:
    """Return into how many groups ions fall, ion k into group k modulo this number.

    Each ion is its own group up to 1024; beyond, groups of equal size (but for one ion).
    """
    size = -(-n_ions // MOST_GROUPS)
    return -(-n_ions // size) if n_ions else 0
