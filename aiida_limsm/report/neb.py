"""A migration path in words and as a figure: one run of ``limsm neb``, or several methods."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aiida_limsm.compute.neb_results import NebResults, PathProfile

from .format import format_columns
from .neb_paths import MethodPath, PathComparison

__all__ = ["FIGURE", "comparison_text", "draw_neb", "neb_text"]

FIGURE = "neb.png"


def comparison_text(comparison: PathComparison) -> str:
    """Write barriers and differences as two tables."""
    rows = [["method", "forwards (eV)", "backwards (eV)", "reaction (eV)", ""]]
    for path in comparison.ordered:
        profile = path.profile
        rows.append(
            [
                path.name,
                f"{profile.barrier_forward_ev:.3f}",
                f"{profile.barrier_backward_ev:.3f}",
                f"{profile.reaction_energy_ev:.3f}",
                _remark(path.converged, profile),
            ]
        )
    parts = [format_columns(rows)] if comparison.methods else []
    if comparison.differences:
        rows = [["method", "minus", "forwards (meV)", "backwards (meV)"]]
        rows += [
            [d.method, d.reference, f"{d.forward_mev:+.0f}", f"{d.backward_mev:+.0f}"]
            for d in comparison.differences
        ]
        parts.append(format_columns(rows))
    lines = [
        f"{name}: both end points relax into one minimum, no barrier"
        for name in comparison.one_minimum
    ]
    lines += [f"warning: {words}" for words in comparison.warnings]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])])


def neb_text(results: NebResults) -> str:
    """Write the summary of one run for the terminal."""
    if results.profile is None:
        return results.message
    profile = results.profile
    first = profile.energy_ev[0]
    rows = [["image", "distance (Å)", "energy (eV)", "force along the path (eV/Å)"]]
    for number, (distance, energy, force) in enumerate(
        zip(
            profile.distance_angstrom,
            profile.energy_ev,
            profile.tangential_force_ev_per_angstrom,
            strict=True,
        ),
        start=1,
    ):
        rows.append([str(number), f"{distance:.3f}", f"{energy - first:.4f}", f"{force:.4f}"])
    lines = [format_columns(rows), "", results.message]
    lines += [f"warning: {text}" for text in results.warnings]
    return "\n".join(lines)


def draw_neb(paths: Iterable[MethodPath], folder: Path) -> tuple[str, ...]:
    """Draw paths into a folder; return the name of the figure."""
    from .figures.neb import neb_figure
    from .figures.style import png_bytes

    (folder / FIGURE).write_bytes(png_bytes(neb_figure(paths)))
    return (FIGURE,)


def _remark(converged: bool | None, profile: PathProfile) -> str:
    remarks = ["not converged"] if converged is False else []
    remarks += ["no barrier"] if profile.monotonic else []
    return ", ".join(remarks)
