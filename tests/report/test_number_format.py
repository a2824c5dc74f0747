from __future__ import annotations

import pytest

from aiida_limsm.report.format import format_bound, format_table, format_with_error, round_error


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.2345e-6, 4.1e-8, "(1.23 ± 0.04)e-06 cm²/s"),
        (1.2341e-6, 1.44e-8, "(1.234 ± 0.014)e-06 cm²/s"),
        (9.97e-6, 9.6e-7, "(10.0 ± 1.0)e-06 cm²/s"),
        (-3.0e-9, 5.0e-8, "(0 ± 5)e-08 cm²/s"),
        (2.0e-6, 9.9e-6, "(2 ± 10)e-06 cm²/s"),
        (600.4, 12.0, "600 ± 12 cm²/s"),
        (612.0, 34.0, "610 ± 30 cm²/s"),
        (0.3, 0.004, "0.300 ± 0.004 cm²/s"),
        (123456.0, 100.0, "(1.2346 ± 0.0010)e+05 cm²/s"),
        (0.0, 0.0, "0.00 ± 0.00 cm²/s"),
        (1e-6, 0.0, "(1.00 ± 0.00)e-06 cm²/s"),
    ],
)
def test_format_with_error(value: float, error: float, text: str) -> None:
    assert format_with_error(value, error, "cm²/s") == text


@pytest.mark.parametrize("error", [-1.0, float("nan"), float("inf")])
def test_an_error_bar_must_be_a_number(error: float) -> None:
    with pytest.raises(ValueError, match="error bar must be finite"):
        round_error(error)
    with pytest.raises(ValueError, match="error bar"):
        format_with_error(1.0, error)


def test_nan_is_no_value() -> None:
    with pytest.raises(ValueError, match="cannot write nan"):
        format_with_error(float("nan"), 1.0)


def test_a_bound_is_rounded_up() -> None:
    assert format_bound(3.14e-9, "cm²/s") == "< 3.2e-09 cm²/s (95 %)"
    assert format_bound(3.2e-9, "cm²/s") == "< 3.2e-09 cm²/s (95 %)"
    assert format_bound(9.91e-9) == "< 1.0e-08 (95 %)"
    with pytest.raises(ValueError, match="finite and positive"):
        format_bound(0.0)


def test_table_aligns() -> None:
    assert format_table([("a", "1"), ("long", "2")]) == "  a     1\n  long  2"
    assert format_table([]) == ""
