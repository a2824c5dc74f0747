"""Seeds of the MD runs that a workchain starts."""

from __future__ import annotations

import zlib


def run_seed(seed: int, member: str, replica: int) -> int:
    """Return the seed of one run.

    With one seed for all temperatures the noise of a global thermostat is the same there, and the
    temperatures of all runs wander together; by the label, since it stays with the member when
    others are added.
    """
    return (seed + replica + zlib.crc32(member.encode())) % 2**31
