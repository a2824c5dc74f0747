"""One run of ``limsm evaluate``: its figures, and its summary for the terminal."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.evaluate_results import CommitteeSummary, ErrorDetails, ForceErrorSummary
from aiida_limsm.compute.results import EvaluateResults

from .format import format_table

__all__ = ["draw_evaluation", "evaluation_text"]


def draw_evaluation(results: EvaluateResults, folder: Path) -> tuple[str, ...]:
    """Draw one figure per dataset into ``folder``, which holds the points; return the names.

    Raises
    ------
    ValueError
        The folder holds no points.
    """
    from aiida_limsm.compute.evaluate_file import PARITY_FILENAME, read_points

    from .figures.parity import evaluation_figure
    from .figures.style import png_bytes

    names = []
    for label, details in results.details.items():
        points = read_points(folder / PARITY_FILENAME, label)
        figure = evaluation_figure(details, results.committee.get(label), points)
        names.append(f"parity_{label}.png")
        (folder / names[-1]).write_bytes(png_bytes(figure))
    return tuple(names)


def evaluation_text(results: EvaluateResults) -> str:
    """Write the summary of one evaluation for the terminal."""
    parts = []
    for label, details in results.details.items():
        frames = results.errors[label].frames
        head = f"{label}: {frames} frame{'' if frames == 1 else 's'}"
        rows = _errors(details)
        if label in results.committee:
            rows += _committee(results.committee[label])
        parts.append(f"{head}\n{format_table(rows)}")
    return "\n\n".join([*parts, *(f"warning: {text}" for text in results.warnings)])


def _errors(details: ErrorDetails) -> list[tuple[str, str]]:
    rows = [("force RMSE", _force(details.forces))]
    rows += [
        (f"  on {name}", _force(errors)) for name, errors in details.forces_per_element.items()
    ]
    for group in details.forces_by_magnitude:
        end = group.to_ev_per_angstrom
        begin = f"{group.from_ev_per_angstrom:g}"
        name = f"  above {begin} eV/Å" if end is None else f"  {begin} – {end:g} eV/Å"
        rows.append((name, _force(group)))
    energy, stress = details.energy, details.stress
    rows.append(
        (
            "energy RMSE",
            f"{energy.rmse_mev_per_atom:.1f} meV/atom; {energy.std_mev_per_atom:.1f} without the "
            f"mean error of {energy.mean_mev_per_atom:+.1f}",
        )
    )
    if stress is not None:
        rows.append(
            (
                "stress RMSE",
                f"{stress.rmse_mev_per_angstrom3:.2f} meV/Å³; pressure "
                f"{stress.rmse_pressure_gpa:.2f} GPa, {stress.mean_pressure_error_gpa:+.2f} on "
                "average",
            )
        )
    return rows


def _force(errors: ForceErrorSummary) -> str:
    text = f"{errors.rmse_mev_per_angstrom:.1f} meV/Å"
    if errors.relative_percent is not None:
        text += f", {errors.relative_percent:.0f} % of the labels"
    if errors.cosine is not None:
        text += f"; cosine {errors.cosine:.3f}"
    return f"{text} ({errors.atoms} atoms)"


def _committee(found: CommitteeSummary) -> list[tuple[str, str]]:
    def known(value: float | None) -> str:
        return "not known" if value is None else f"{value:.2f}"

    return [
        (
            f"committee of {found.members}",
            f"spread {found.rms_spread_mev_per_angstrom:.1f} meV/Å, error of the mean "
            f"{found.rmse_mean_forces_mev_per_angstrom:.1f} meV/Å",
        ),
        (
            "  rank correlation",
            f"{known(found.rank_correlation_atoms)} over atoms, "
            f"{known(found.rank_correlation_frames)} over frames (worst atom)",
        ),
        (
            "  calibration",
            f"error ≈ {known(found.scaling_factor)} × spread, off by "
            f"{known(found.calibration_deviation)} of the error in the mean",
        ),
    ]
