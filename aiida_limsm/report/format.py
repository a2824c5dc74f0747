"""Numbers as people should read them: a value with its error, or a bound, never a bare number."""

from __future__ import annotations

import math
import textwrap


def _check_error(error: float) -> None:
    if not math.isfinite(error) or error < 0:
        raise ValueError(f"an error bar must be finite and not negative, not {error}")


def round_error(error: float) -> tuple[float, int]:
    """Round an error to the digits that mean something.

    Two significant digits when the first is 1 (0.14 to 0.1 would change it by 40 %), else one.

    Returns
    -------
    rounded : float
    decimals : int
        Position of its last digit: 2 means 0.01, -1 means 10.
    """
    _check_error(error)
    if error == 0:
        return 0.0, 2
    exponent = math.floor(math.log10(error))
    decimals = -exponent
    rounded = round(error, decimals)
    if round(rounded / 10**exponent) <= 1:
        decimals += 1
        rounded = round(error, decimals)
    return rounded, decimals


def format_with_error(value: float, error: float, unit: str = "") -> str:
    """Write a value with its error to the error's precision.

    Examples
    --------
    >>> format_with_error(1.2345e-6, 4.1e-8, "cm²/s")
    '(1.23 ± 0.04)e-06 cm²/s'
    >>> format_with_error(600.4, 12.0, "K")
    '600 ± 12 K'
    """
    if not math.isfinite(value):
        raise ValueError(f"cannot write {value} with an error bar")
    _check_error(error)
    largest = max(abs(value), error)
    exponent = math.floor(math.log10(largest)) if largest > 0 else 0
    suffix = f" {unit}" if unit else ""
    if -3 < exponent < 4:
        rounded, decimals = round_error(error)
        places = max(decimals, 0)
        # Adding 0.0 makes a rounded -0.0 positive.
        return f"{round(value, decimals) + 0.0:.{places}f} ± {rounded:.{places}f}{suffix}"
    scale = 10.0**exponent
    rounded, decimals = round_error(error / scale)
    places = max(decimals, 0)
    mantissa = round(value / scale, decimals) + 0.0
    return f"({mantissa:.{places}f} ± {rounded:.{places}f})e{exponent:+03d}{suffix}"


def format_bound(bound: float, unit: str = "", confidence_percent: int = 95) -> str:
    """Write an upper bound.

    Examples
    --------
    >>> format_bound(3.14e-9, "cm²/s")
    '< 3.2e-09 cm²/s (95 %)'
    """
    if not math.isfinite(bound) or bound <= 0:
        raise ValueError(f"an upper bound must be finite and positive, not {bound}")
    # Rounded up: a bound must not get tighter by printing it.
    scale = 10.0 ** (math.floor(math.log10(bound)) - 1)
    digits = math.ceil(bound / scale - 1e-9)
    suffix = f" {unit}" if unit else ""
    return f"< {digits * scale:.1e}{suffix} ({confidence_percent} %)"


def format_table(
    rows: list[tuple[str, str]], indent: str = "  ", line_width: int | None = None
) -> str:
    """Write name-value rows as aligned lines; with a line width, wrapped under the value."""
    width = max((len(name) for name, _ in rows), default=0)
    lines = []
    for name, value in rows:
        first = f"{indent}{name.ljust(width)}  "
        if line_width is None:
            lines.append(first + value)
        else:
            lines += textwrap.wrap(
                value, line_width, initial_indent=first, subsequent_indent=" " * len(first),
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
    return "\n".join(lines)


def format_columns(rows: list[list[str]]) -> str:
    """Write rows as columns: names to the left, numbers to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    numeric = [
        any(row[k][:1] in "0123456789+-" for row in rows[1:] if row[k]) for k in range(len(widths))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in rows
    )
