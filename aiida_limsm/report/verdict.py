"""The verdict on a potential: checks beside their thresholds, and in words."""

from __future__ import annotations

from aiida_limsm.compute.base import LimsmModel

from .format import format_columns

__all__ = ["Check", "Verdict", "three_digits", "verdict_text"]


class Check(LimsmModel):
    """One number beside its threshold; ``passed`` is None where it was not checked.

    ``least`` says that the value is to reach the threshold, not to stay below it. ``foundation`` is
    the same number of the foundation model, where there is one.
    """

    name: str
    unit: str
    value: float | None
    threshold: float | None
    passed: bool | None
    least: bool = False
    foundation: float | None = None
    note: str = ""


class Verdict(LimsmModel):
    """Whether a potential is good enough, the ``reasons`` why not, and what was not looked at."""

    accepted: bool
    reasons: tuple[str, ...]
    not_checked: tuple[str, ...]
    checks: tuple[Check, ...]


def verdict_text(verdict: Verdict) -> str:
    """Write a verdict as a table, with the reasons below."""
    rows = [["", "value", "asked", "foundation", ""]]
    for check in verdict.checks:
        bound = "≥" if check.least else "≤"
        rows.append(
            [
                f"{check.name} ({check.unit})" if check.unit else check.name,
                _number(check.value, check.unit),
                "" if check.threshold is None else f"{bound} {check.threshold:g}",
                _number(check.foundation, check.unit),
                {True: "good", False: "not good", None: "not checked"}[check.passed],
            ]
        )
    lines = [format_columns(rows), "", "accepted" if verdict.accepted else "rejected because:"]
    lines += [f"- {reason}" for reason in verdict.reasons]
    if verdict.not_checked:
        lines += ["not checked:", *(f"- {text}" for text in verdict.not_checked)]
    return "\n".join(lines)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    # numbers without a unit are overlaps, between 0 and 1
    return three_digits(value) if unit else f"{value:.2f}"


def three_digits(value: float) -> str:
    """Write a number with three digits, or all of them before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
