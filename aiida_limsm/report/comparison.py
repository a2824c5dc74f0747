"""One run of ``limsm compare``: its figure, and its summary for the terminal."""

from __future__ import annotations

import math
from pathlib import Path

from aiida_limsm.compute.compare_models import CompareResults, CurveOverlap, SourceSummary

from .format import format_table, format_with_error

__all__ = ["FIGURE", "comparison_text", "draw_comparison", "overlap_text"]

FIGURE = "comparison.png"
QUANTITIES = {"rdf": "g(r)", "vdos": "vibrations"}


def draw_comparison(results: CompareResults, folder: Path) -> tuple[str, ...]:
    """Draw all curves into ``folder``, which holds them; return the name.

    Raises
    ------
    ValueError
        The folder holds no curves.
    """
    from aiida_limsm.compute.compare_file import read_curves

    from .figures.comparison import comparison_figure
    from .figures.style import png_bytes

    rdf, vdos = read_curves(folder / str(results.curves_file))
    (folder / FIGURE).write_bytes(png_bytes(comparison_figure(results, rdf, vdos)))
    return (FIGURE,)


def overlap_text(entry: CurveOverlap) -> str:
    """Write an overlap with its error, as far as that is known."""
    error = entry.overlap_error
    if error is None or not math.isfinite(error):
        return f"{entry.overlap:.2f}"
    return format_with_error(entry.overlap, max(error, 0.001))


def comparison_text(results: CompareResults) -> str:
    """Write the summary of one comparison for the terminal."""
    lines = format_table([(source.label, _source(source)) for source in results.sources], "")
    parts = [lines]
    for quantity, title in QUANTITIES.items():
        entries = [entry for entry in results.overlaps if entry.quantity == quantity]
        if entries:
            parts.append(f"overlap of {title}{_settings(results, quantity)}\n{_table(entries)}")
    halves = [source for source in results.sources if source.rdf_halves]
    if halves:
        rows = [(source.label, _halves(source)) for source in halves]
        parts.append(
            "overlap of first and second half: what runs of this length can show\n"
            + format_table(rows)
        )
    text = "\n\n".join(parts)
    return "\n".join([text, *(f"warning: {warning}" for warning in results.warnings)])


def _source(source: SourceSummary) -> str:
    formula = "".join(f"{symbol}{count}" for symbol, count in source.symbol_counts.items())
    text = f"{formula}, {source.frames} frame{'' if source.frames == 1 else 's'}"
    if source.frame_interval_fs is not None and source.duration_ps is not None:
        text += f" of {source.frame_interval_fs:.4g} fs, {source.duration_ps:.3g} ps"
    if source.temperature_k is not None:
        text += f", {source.temperature_k:.0f} K"
    if source.vdos_from is not None:
        text += f"; vibrations from {source.vdos_from}"
    return text


def _settings(results: CompareResults, quantity: str) -> str:
    if quantity == "rdf":
        return f" up to {results.r_max_angstrom:g} Å"
    return f" up to {results.max_frequency_thz:g} THz, resolved to {results.resolution_thz:.2g} THz"


def _table(entries: list[CurveOverlap]) -> str:
    """One row per pair of trajectories, one column per curve."""
    names = list(dict.fromkeys(entry.name for entry in entries))
    pairs = list(dict.fromkeys((entry.first, entry.second) for entry in entries))
    cells = {(entry.first, entry.second, entry.name): overlap_text(entry) for entry in entries}
    rows = [["", *names]]
    rows += [
        [f"{first} / {second}", *(cells.get((first, second, name), "") for name in names)]
        for first, second in pairs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 1)]
    return "\n".join(
        "  "
        + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _halves(source: SourceSummary) -> str:
    values = [f"{name} {value:.2f}" for name, value in source.rdf_halves.items()]
    values += [f"{name} vibrations {value:.2f}" for name, value in source.vdos_halves.items()]
    return ", ".join(values)
