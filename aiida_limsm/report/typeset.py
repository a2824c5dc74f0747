"""Plain text as printed matter: powers of ten raised, numbers in chemical formulas lowered."""

from __future__ import annotations

import re

__all__ = ["subscript_formula", "typeset"]

_RAISED = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_EXPONENT = re.compile(r"(?<=[\d)])e([+-])0*(\d+)\b")
_COUNT = re.compile(r"(?<=[A-Za-z)])(\d+)")


def typeset(text: str) -> str:
    """Write exponents of ten as people do.

    Examples
    --------
    >>> typeset("(1.23 ± 0.04)e-06 cm²/s")
    '(1.23 ± 0.04) × 10⁻⁶ cm²/s'
    """

    def power(match: re.Match[str]) -> str:
        sign = "⁻" if match[1] == "-" else ""
        return f" × 10{sign}{match[2].translate(_RAISED)}"

    return _EXPONENT.sub(power, text)


def subscript_formula(formula: str) -> str:
    """Lower the numbers of a chemical formula.

    Examples
    --------
    >>> subscript_formula("Li11Si4")
    'Li₁₁Si₄'
    """
    return _COUNT.sub(lambda match: match[1].translate(_LOWERED), formula)
