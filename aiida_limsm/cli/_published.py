"""Licence and citation of the foundation models that MACE downloads by name."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Origin", "published_origin"]

#: As mace-torch 0.3.16 says when it downloads them: Academic Software License, no commercial use.
_ACADEMIC = {"small-omat-0", "medium-omat-0", "mace-matpes-pbe-0", "mace-matpes-r2scan-0"}
#: Of these it says nothing.
_UNKNOWN = {"mh-0", "mh-1"}
_MACE_MP = "I. Batatia et al., arXiv:2401.00096 (MACE-MP-0)"


@dataclass(frozen=True)
class Origin:
    """Licence of a model and what to cite; None where unknown."""

    license: str | None
    citation: str | None


def published_origin(name: str) -> Origin:
    """Return licence and citation of a model that MACE downloaded by that name."""
    if name in _UNKNOWN:
        return Origin(None, _MACE_MP)
    return Origin("ASL" if name in _ACADEMIC else "MIT", _MACE_MP)
