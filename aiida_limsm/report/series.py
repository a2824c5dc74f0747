"""D over cell size and temperature in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .format import format_bound, format_columns, format_table, format_with_error

__all__ = ["cell_text", "is_anisotropic", "resolved_d", "series_text"]

Row = Mapping[str, Any]

LINE_WIDTH = 100


def series_text(summary: Mapping[str, Any]) -> str:
    """Write the table, the verdicts and what failed.

    Parameters
    ----------
    summary
        Of :func:`aiida_limsm.calculations.series.collect_series`.
    """
    axis = summary["length_axis"]
    table = [["supercell", "T (K)", "L (Å)", "ions", "ps", "D (cm²/s)"]]
    if axis:
        table[0].append(f"D along {axis}")
    for row in summary["rows"]:
        line = [
            cell_text(row), f"{row['mean_temperature_k']:.0f}", f"{row['length_angstrom']:.2f}",
            str(row["n_ions"]), f"{row['duration_ps']:g}", d_text(row),
        ]  # fmt: skip
        table.append([*line, along_text(row, axis)] if axis else line)
    lines = [format_columns(table), ""]
    lines.append(f"L is the length along {axis}" if axis else "L is the cube root of the volume")
    lines.append("ions and ps are those of all replicas together")
    lines += _isotropy_lines(summary["rows"])
    if summary["size"]:
        lines += ["", "over the size:"]
        entries = [
            (f"{entry['temperature_k']:g} K{where}", _size_text(part))
            for entry in summary["size"]
            for where, part in _with_directions(entry)
        ]
        lines.append(format_table(entries, line_width=LINE_WIDTH))
    if summary["arrhenius"]:
        lines += ["", "over temperature:"]
        entries = [
            (f"{cell_text(entry)}{where}", _energy_text(part))
            for entry in summary["arrhenius"]
            for where, part in _with_directions(entry, is_anisotropic(summary["rows"], entry))
        ]
        lines.append(format_table(entries, line_width=LINE_WIDTH))
    if summary["failed"]:
        lines += ["", "failed:"]
        lines.append(format_table(list(summary["failed"].items()), line_width=LINE_WIDTH))
    return "\n".join(lines)


def d_text(row: Row) -> str:
    """Write D with its error, or the bound where it is not resolved."""
    if row["resolved"]:
        return format_with_error(row["isotropic_cm2_s"], row["isotropic_error_cm2_s"])
    if row["upper_bound_cm2_s"] is None:
        return "not resolved"
    return f"{format_bound(row['upper_bound_cm2_s'])}, not resolved"


def resolved_d(row: Row, axis: str | None = None) -> tuple[float, float] | None:
    """Return D and its error (cm²/s), of the mean or along a lattice vector; None if not resolved.

    Parameters
    ----------
    row
        One of ``rows`` in a summary.
    axis
        a, b or c; None for the mean over three axes.
    """
    if axis is None:
        d, error = row["isotropic_cm2_s"], row["isotropic_error_cm2_s"]
        return (d, error) if row["resolved"] else None
    part = row["along"][axis]
    return (part["d_cm2_s"], part["error_cm2_s"]) if part["resolved"] else None


def along_text(row: Row, axis: str) -> str:
    """Write D along a lattice vector; where it is not above its error, with these words."""
    part = row["along"][axis]
    if not row["resolved"]:
        return "not resolved"
    said = format_with_error(part["d_cm2_s"], part["error_cm2_s"])
    return said if part["resolved"] else f"{said}, not resolved"


def is_anisotropic(rows: Sequence[Row], entry: Row) -> bool:
    """Tell whether directions differ, beyond errors, in a resolved row of an entry's supercell."""
    return any(
        row["resolved"] and not row["isotropic"]
        for row in rows
        if row["supercell"] == entry["supercell"]
    )


def _isotropy_lines(rows: Sequence[Row]) -> list[str]:
    resolved = [row for row in rows if row["resolved"]]
    differ = sum(not row["isotropic"] for row in resolved)
    if not resolved:
        return []
    if not differ:
        return ["D is the same in all directions, within the errors"]
    said = f"In {differ} of {len(resolved)} resolved members D differs between directions"
    return [f"{said}, beyond errors (one in twenty does by chance)"]


def _with_directions(entry: Row, directions: bool = True) -> list[tuple[str, Row]]:
    """Return the fit of the mean, and those along lattice vectors if asked, with their names."""
    along = entry["along"] if directions else {}
    parts = [(f", along {axis}", part) for axis, part in along.items()]
    return [(", mean" if parts else "", entry), *parts]


def cell_text(entry: Row) -> str:
    """Write the repetitions of a row or an entry."""
    return "×".join(str(n) for n in entry["supercell"])


def _size_text(entry: Row) -> str:
    if "infinite_cm2_s" not in entry:
        return str(entry["verdict"])
    value = format_with_error(entry["infinite_cm2_s"], entry["infinite_error_cm2_s"], "cm²/s")
    return f"D∞ = {value}; {entry['verdict']}{_quality(entry)}"


def _energy_text(entry: Row) -> str:
    if "energy_ev" not in entry:
        return str(entry["verdict"])
    prefactor = format_with_error(entry["log_d0_cm2_s"], entry["log_d0_error"])
    return f"{entry['verdict']}; ln D0 = {prefactor} (cm²/s){_quality(entry)}"


def _quality(entry: Row) -> str:
    if not entry["freedom"]:
        return ""
    return f"; χ² = {entry['chi_square']:.2g} for {entry['freedom']} (p = {entry['p_value']:.2g})"
