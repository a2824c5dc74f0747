"""One run of ``limsm analyse``: its figures, and its summary for the terminal.

Matplotlib is loaded by :func:`draw_analysis` only, so that the summary comes first and at once.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from pathlib import Path

from aiida_limsm.compute.results import AnalyseResults, Bottleneck, DiffusionEstimate, Ratio

from .format import format_table, format_with_error
from .judge import diffusion_text, is_resolved, value_text

__all__ = ["analysis_text", "draw_analysis"]

WIDTH = 98
"""Columns of the summary, and of the names in its table."""

NAME_WIDTH = 24
MOST_LINES = 25
SHOWN_JUMPS = 5
FEWEST_JUMPS = 3
"""So many rows of jumps stay where warnings need the room."""

ROUNDING = 1e-9
"""A smaller error of a ratio is rounding: symmetry fixes the value."""

METHODS = (
    ("D, Markov model", "markov"),
    ("D, MSD", "msd"),
    ("D, jumps independent", "uncorrelated"),
)


def draw_analysis(results: AnalyseResults, model_path: Path, folder: Path) -> tuple[str, ...]:
    """Draw the figures of one analysis.

    Parameters
    ----------
    results
        What the analysis found.
    model_path
        Its ``model.h5``, with curves.
    folder
        Gets the PNG files.

    Returns
    -------
    tuple of str
        Names of the files, without the folder.

    Raises
    ------
    ValueError
        ``model_path`` is no model file, or holds no curves.
    """
    from aiida_limsm.markov.io import load_model, read_curves

    from .figures.analysis import draw_all

    return draw_all(results, load_model(model_path), read_curves(model_path), folder)


def analysis_text(results: AnalyseResults) -> str:
    """Write the summary of one analysis for the terminal: at most 25 lines of 98 columns.

    Every number of the sample has its error; what is not resolved is said to be so.
    """
    lines = [*_head(results), ""]
    rows = [*_diffusion_rows(results), *_model_rows(results)]
    lines += format_table([part for name, text in rows for part in _wrapped(name, text)]).split(
        "\n"
    )
    warnings = [line for block in _warnings(results) for line in block]
    room = MOST_LINES - len(lines) - 1 - len(warnings)
    lines += _jump_lines(results, min(max(room, FEWEST_JUMPS), SHOWN_JUMPS))
    return "\n".join(lines + _fitting(_warnings(results), MOST_LINES - len(lines)))


def _head(results: AnalyseResults) -> list[str]:
    kinds = _plural(len(results.sites), "site")
    at = "" if results.temperature_k is None else f", {results.temperature_k:.0f} K"
    pool = "" if results.pool in ("", "none") else f", pooled over {results.pool}"
    return [
        f"{results.n_ions} {results.species} on {kinds} (from: {results.site_source}{pool}){at}",
        f"{results.n_frames} frames of {results.frame_interval_fs:.4g} fs, "
        f"{results.duration_ps:.4g} ps; {_plural(results.n_jumps, 'jump')}"
        + (f", {results.n_independent_jumps} independent" if results.n_jumps else ""),
    ]


def _diffusion_rows(results: AnalyseResults) -> list[tuple[str, str]]:
    found = results.diffusion
    if found is None:
        return [("D", "not computed")]
    rows = [(name, _diffusion(getattr(found, field))) for name, field in METHODS]
    sigma = results.agreement_sigma
    if sigma is not None and is_resolved(found.markov) and is_resolved(found.msd):
        rows[1] = (rows[1][0], f"{rows[1][1]}, {sigma:.1f} σ from the model")
    reasons = dict.fromkeys(
        e.reason for e in (found.markov, found.msd) if e.reason and not is_resolved(e)
    )
    rows += [("why not resolved", reason) for reason in reasons]
    if is_resolved(found.markov):
        axes = results.principal_axes
        values = ", ".join(format_with_error(a.d_cm2_s, a.error_cm2_s) for a in axes)
        rows.append(("principal values", f"{values} cm²/s"))
        rows.append(("axes", f"{_directions(results)}; {results.dimensionality} of 3 resolved"))
    return rows


def _directions(results: AnalyseResults) -> str:
    names = Counter(axis.direction for axis in results.principal_axes)
    if set(names) == {"any"}:
        return "isotropic within the errors"
    return "; ".join(f"{n} × {name}" if n > 1 else name for name, n in names.items())


def _diffusion(estimate: DiffusionEstimate) -> str:
    text = diffusion_text(estimate)
    return f"not resolved, {text}" if text.startswith("<") else text


def _model_rows(results: AnalyseResults) -> list[tuple[str, str]]:
    rows = [
        ("correlation factor", _ratio(results, results.correlation_factor)),
        ("Haven ratio", _ratio(results, results.haven_ratio)),
    ]
    if results.lag_time_ps is not None:
        rows.append(("lag", f"{results.lag_time_ps:.4g} ps: {results.lag_reason}"))
    rows.append(("Chapman-Kolmogorov", _check(results)))
    if results.implied_timescales_ps:
        rows.append(("slowest relaxation", _relaxation(results)))
    if results.bottlenecks:
        rows.append(("bottlenecks", _bottlenecks(results.bottlenecks)))
    if results.framework_drift_a is not None:
        rows.append(("framework", _framework(results.framework_drift_a, results)))
    return rows


def _framework(drift: float, results: AnalyseResults) -> str:
    """Return how the framework moves: as a whole, which is taken off, and its atoms in it."""
    moves = f"drifts by {drift:.2f} Å, taken off" if drift >= 0.005 else "no drift"
    if results.framework_msd_angstrom2 is None:
        return f"none; centre of mass of all atoms: {moves}"
    end = math.sqrt(results.framework_msd_angstrom2)
    return f"{moves}; its atoms end {end:.2f} Å (rms) from where they began"


def _ratio(results: AnalyseResults, ratio: Ratio | None) -> str:
    if ratio is None:
        return "not known: no jump was seen" if results.n_jumps == 0 else "not known"
    if ratio.resolved and ratio.error < ROUNDING:
        return f"{ratio.value:.4g} exactly, by symmetry"
    if ratio.resolved:
        return format_with_error(ratio.value, ratio.error)
    # the reason why D is not resolved is on a line of its own
    told = results.diffusion is not None and results.diffusion.markov.reason
    if not ratio.reason or (told and told in ratio.reason):
        return "not resolved"
    return f"not resolved: {ratio.reason}"


def _check(results: AnalyseResults) -> str:
    if results.n_jumps == 0:
        return "nothing to test: no jump was seen"
    if results.ck_max_deviation is None:
        return "not tested: the trajectory is too short"
    sigma = results.ck_max_deviation_sigma
    far = "its error is not known" if sigma is None else f"{sigma:.1f} σ"
    return f"model and data differ by up to {results.ck_max_deviation:.2g} ({far})"


def _relaxation(results: AnalyseResults) -> str:
    time, error = results.implied_timescales_ps[0], results.implied_timescales_error_ps[0]
    enough = results.diffusion is not None and results.diffusion.markov.resolved
    if not enough or error is None or error >= time:
        return "not resolved"
    sets = _plural(results.metastable_sets, "metastable set")
    return f"{format_with_error(time, error, 'ps')}; {sets} of sites"


def _bottlenecks(found: tuple[Bottleneck, ...]) -> str:
    """Return the slowest jump of the way through, directions of the same jump together."""
    by_jump: dict[str, list[str]] = {}
    for one in found:
        jump = "no way through seen"
        if one.percolates and one.distance_a is not None:
            jump = f"{one.from_site} → {one.to_site}, {one.distance_a:.2f} Å"
        by_jump.setdefault(jump, []).append(one.direction)
    return "; ".join(f"{', '.join(axes)}: {jump}" for jump, axes in by_jump.items())


def _jump_lines(results: AnalyseResults, number: int) -> list[str]:
    rows = sorted(results.jumps, key=lambda row: -row.count)[:number]
    if not rows:
        return []
    names = [f"{row.from_site} → {row.to_site}" for row in rows]
    images = ["(" + " ".join(f"{n:2d}" for n in row.image) + ")" for row in rows]
    width = max(map(len, names))
    digits = len(str(rows[0].count))
    return ["  most frequent jumps, with the lattice cell they end in"] + [
        f"    {name.ljust(width)} {image}  {row.distance_a:.2f} Å  {row.count:>{digits}} seen  "
        f"{value_text(row.rate_per_ps, row.rate_error, '/ps')}"
        for name, image, row in zip(names, images, rows, strict=True)
    ]


def _warnings(results: AnalyseResults) -> list[list[str]]:
    """Return the lines of every warning."""
    first = "warning: "
    return [
        textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
        for text in results.warnings
    ]


def _fitting(blocks: list[list[str]], room: int) -> list[str]:
    """Return the lines of as many blocks as there is room for, and how many are left out."""
    lines: list[str] = []
    for number, block in enumerate(blocks):
        more = number + 1 < len(blocks)
        if len(lines) + len(block) + more > room:
            return [*lines, f"warning: {len(blocks) - number} more in results.json"]
        lines += block
    return lines


def _wrapped(name: str, text: str) -> list[tuple[str, str]]:
    """Return a row of the table, on two lines where it is long."""
    lines = textwrap.wrap(text, WIDTH - NAME_WIDTH, max_lines=2, placeholder=" …")
    return [(name if k == 0 else "", line) for k, line in enumerate(lines)]


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
