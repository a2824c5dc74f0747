"""Results of one analysis in words: every number with its error, or why there is none."""

from __future__ import annotations

import math

from aiida_limsm.compute.results import (
    AnalyseResults,
    Bottleneck,
    HavenRatio,
    PrincipalAxis,
    Ratio,
)

from .format import format_with_error

__all__ = [
    "axis_text",
    "bottleneck_text",
    "deviation_text",
    "haven_text",
    "ratio_text",
    "timescale_texts",
]

SAME_ANGSTROM = 1e-3


def ratio_text(ratio: Ratio | None) -> str:
    """Write a ratio with its error, or why it is not resolved."""
    if ratio is None:
        return "not computed"
    if not ratio.resolved or not math.isfinite(ratio.value) or not 0 < ratio.error < math.inf:
        return f"not resolved: {ratio.reason or 'no usable error'}"
    return format_with_error(ratio.value, ratio.error)


def haven_text(ratio: HavenRatio | None) -> str:
    """Write the Haven ratio with what it rests on."""
    text = ratio_text(ratio)
    if ratio is None:
        return text
    windows = ratio.independent_windows
    return f"{text} ({windows} independent windows of {ratio.window_ps:.3g} ps)"


def timescale_texts(found: AnalyseResults) -> list[str]:
    """Write the implied timescales with their errors, slowest first."""
    return [
        # without an error one digit is all that can be meant
        f"about {value:.1g} ps, no error bar"
        if error is None
        else format_with_error(value, error, "ps")
        for value, error in zip(
            found.implied_timescales_ps, found.implied_timescales_error_ps, strict=True
        )
    ]


def deviation_text(found: AnalyseResults) -> str:
    """Write how far the Chapman-Kolmogorov test's predictions are off."""
    if found.ck_max_deviation is None:
        return "not tested: no multiple of the lag fits into the trajectory"
    text = f"off by {found.ck_max_deviation:.3f} at most (a probability)"
    if found.ck_max_deviation_sigma is None:
        return text
    return f"{text}, {found.ck_max_deviation_sigma:.1f} of its errors"


def axis_text(axis: PrincipalAxis) -> str:
    """Write one principal value of D with its direction."""
    value = format_with_error(axis.d_cm2_s, axis.error_cm2_s, "cm²/s")
    return f"{value} along {axis.direction}"


def bottleneck_text(bottleneck: Bottleneck, found: AnalyseResults) -> str:
    """Write the slowest jump that the fastest way along a direction has to take.

    Its error is that of the same kind of jump in the table of jumps.
    """
    rate, length = bottleneck.rate_per_ps, bottleneck.distance_a
    if not bottleneck.percolates or rate is None or length is None:
        return "no way through was seen"
    ends = (bottleneck.from_site, bottleneck.to_site)
    errors = [
        row.rate_error
        for row in found.jumps
        if (row.from_site, row.to_site) == ends and abs(row.distance_a - length) < SAME_ANGSTROM
    ]
    text = format_with_error(rate, max(errors), "per ps") if errors else f"about {rate:.1g} per ps"
    return f"{ends[0]} → {ends[1]}, {length:.2f} Å, {text}"
