"""The page: one HTML file that needs nothing else, with a picture and a CSV file beside it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from aiida_limsm.files import whole_file

from . import figures, tables
from .export import diffusion_csv
from .format import format_with_error
from .judge import (
    DISAGREEMENT_SIGMA,
    MIN_TEMPERATURES,
    agreement,
    agreement_text,
    causes,
    diffusion_text,
    fit_arrhenius,
    is_resolved,
    resolved_points,
)
from .study import Study, TemperatureResult
from .typeset import subscript_formula, typeset
from .words import timescale_texts

__all__ = ["CSV_NAME", "PAGE_NAME", "SUMMARY_NAME", "render_page", "write_report"]

PAGE_NAME = "report.html"
SUMMARY_NAME = "summary.png"
CSV_NAME = "diffusion.csv"

TOP_TIMESCALES = 5
SUMMARY_WIDTH = 1575


PIXELS_PER_INCH = 105
"""Every figure is shown at this scale (or smaller), so that all have letters of one size."""

SVG_LIMIT = 150_000
"""Bytes; above it a figure is also tried as PNG, and the smaller one taken."""


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it; ``width`` in CSS pixels."""

    uri: str
    alt: str
    caption: str
    width: int

    @classmethod
    def of(cls, figure: Figure, alt: str, caption: str) -> Picture:
        """Render a figure: as SVG, or as PNG where that is smaller."""
        content, kind = figures.svg_bytes(figure), "image/svg+xml"
        if len(content) > SVG_LIMIT:
            png = figures.png_bytes(figure, dpi=200)
            if len(png) < len(content):
                content, kind = png, "image/png"
        width = round(PIXELS_PER_INCH * figure.get_figwidth())
        return cls(_data_uri(content, kind), alt, caption, width)


def write_report(study: Study, folder: Path) -> Path:
    """Write ``report.html``, ``summary.png`` and ``diffusion.csv``; equal studies, equal bytes.

    Parameters
    ----------
    study
        The results.
    folder
        Made where it does not exist; files of an earlier report are replaced.

    Returns
    -------
    Path
        The page.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    summary = figures.png_bytes(figures.summary_figure(study))
    _write(folder / SUMMARY_NAME, summary)
    _write(folder / CSV_NAME, diffusion_csv(study).encode())
    page = folder / PAGE_NAME
    _write(page, render_page(study, summary).encode())
    return page


def render_page(study: Study, summary_png: bytes) -> str:
    """Return the page as text."""
    environment = Environment(
        loader=PackageLoader("aiida_limsm.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["formula"] = subscript_formula
    context: dict[str, Any] = {
        "study": study,
        "results": [
            _section(study, index, result) for index, result in enumerate(study.by_temperature)
        ],
        "answer": tables.answer_table(study),
        "lead": lead(study),
        "activation": activation_text(study),
        "agreements": [_agreement_note(result) for result in study.by_temperature],
        "checks": tables.checks_table(study),
        "errors": tables.error_table(study),
        "error_note": _error_note(study),
        "aimd": tables.aimd_table(study),
        "trace": tables.trace_table(study),
        "stages": tables.stage_table(study),
        "pictures": _pictures(study, summary_png),
    }
    return environment.get_template("report.html.j2").render(context)


def lead(study: Study) -> str:
    """Return the answer in one sentence: of the highest temperature that is resolved."""
    results = study.by_temperature
    if not results:
        return "No temperature was analysed."
    good = [result for result in results if is_resolved(result.markov)]
    if not good:
        return (
            f"No diffusion coefficient of {study.mobile_species} is resolved at any temperature: "
            "upper bounds are all these runs can give."
        )
    best = good[-1]
    text = (
        f"At {best.temperature_k:.0f} K the tracer diffusion coefficient of "
        f"{study.mobile_species} is {typeset(diffusion_text(best.markov))} by the Markov "
        f"state model; by the mean-square displacement it is "
        f"{typeset(diffusion_text(best.msd))}"
    )
    if agreement(best) is not None:
        text += f" ({agreement_text(best)} apart)"
    return text + f". Resolved: {len(good)} of {len(results)} temperatures."


def activation_text(study: Study) -> str:
    """Return the activation energy, or why none is given."""
    fit = fit_arrhenius(study)
    if fit is None:
        number = resolved_points(study.temperatures)
        return (
            f"No activation energy is given: it takes {MIN_TEMPERATURES} resolved temperatures, "
            f"and {number} {'is' if number == 1 else 'are'}."
        )
    energy = typeset(format_with_error(fit.energy_ev, fit.energy_error_ev, "eV"))
    return (
        f"Activation energy of the Markov D over {fit.temperatures} resolved temperatures: "
        f"{energy} (weighted fit of ln D; it holds for this range only)."
    )


def _section(study: Study, index: int, result: TemperatureResult) -> dict[str, Any]:
    """Return what the page shows of one temperature."""
    found = result.analysis
    times = [typeset(text) for text in timescale_texts(found)[:TOP_TIMESCALES]]
    network = Picture.of(
        figures.network_figure(study, index),
        f"Jump network at {result.temperature_k:.0f} K: {len(found.sites)} sites in their cell, "
        f"joined by {len(found.jumps)} kinds of jump.",
        "Sites of the cell (area of a circle: occupancy; colour: orbit) and the jumps between them "
        "(width of an arrow: rate). Open circles are sites of neighbouring cells"
        + ("; small grey dots are framework atoms." if result.lattice is not None else "."),
    )
    return {
        "temperature": f"{result.temperature_k:.0f} K",
        "jumps": tables.jump_table(result),
        "kinds": len(found.jumps),
        "sites": tables.site_table(result),
        "transport": tables.transport_table(result),
        "tensor": tables.tensor_table(result),
        "timescales": ", ".join(times),
        "warnings": tuple(found.warnings) + (tuple(result.md.warnings) if result.md else ()),
        "pks": ", ".join(f"{name} {pk}" for name, pk in result.pks.items()),
        "methods": tuple(e.method for e in (result.markov, result.msd) if e is not None),
        "network": network,
    }


def _agreement_note(result: TemperatureResult) -> dict[str, Any]:
    sigma = agreement(result)
    at = f"{result.temperature_k:.0f} K"
    if sigma is None:
        return {"text": f"{at}: no comparison, for want of two resolved numbers.", "causes": []}
    if sigma <= DISAGREEMENT_SIGMA:
        return {"text": f"{at}: {sigma:.1f} σ apart, which the error bars allow.", "causes": []}
    text = (
        f"{at}: {sigma:.1f} σ apart, more than the error bars allow. At least one method has a "
        "systematic error here; quote neither number without the other. What can cause it:"
    )
    return {"text": text, "causes": causes(result)}


def _error_note(study: Study) -> str:
    known = study.held_out_after or study.held_out_before
    if known is None:
        return "No errors on held-out frames are at hand: how good the potential is, is not known."
    return (
        f"{known.frames} frames ({known.atoms} atoms) that no training step saw. The forces "
        f"themselves have a root mean square of {known.rms_forces_mev_per_angstrom:.0f} meV/Å, so "
        "the force RMSE is "
        f"{_percent(known.rmse_forces_mev_per_angstrom, known.rms_forces_mev_per_angstrom)} of it "
        f"{'after fine-tuning' if study.held_out_after else 'before fine-tuning'}."
    )


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole > 0 else "an unknown share"


def _pictures(study: Study, summary_png: bytes) -> dict[str, Picture]:
    temperatures = ", ".join(f"{r.temperature_k:.0f} K" for r in study.by_temperature) or "none"
    return {
        "summary": Picture(
            _data_uri(summary_png, "image/png"),
            f"Six panels. a: diffusion coefficient against inverse temperature at {temperatures}. "
            "b: mean-square displacement over time. c: diffusion coefficient over the lag time. "
            "d: forces of the fine-tuned potential against DFT. e: validation error over the "
            "training. f: jump network.",
            "The study at a glance. Error bars and bands are one standard error; arrows are 95 % "
            "upper bounds.",
            SUMMARY_WIDTH,
        ),
        "diffusion": Picture.of(
            figures.diffusion_figure(study),
            f"Diffusion coefficient on a logarithmic axis against 1000/T at {temperatures}, by the "
            "Markov state model and by the mean-square displacement.",
            "D(T) by both methods, set slightly apart. Error bars: one standard error.",
        ),
        "plateau": Picture.of(
            figures.plateau_figure(study),
            f"Diffusion coefficient of the Markov model over the lag time at {temperatures}, with "
            "the chosen lag marked.",
            "D(τ). Too short a lag counts recrossings as jumps, so D falls until the model is "
            "memoryless; the lag is taken where it has levelled off.",
        ),
        "parity": Picture.of(
            figures.parity_figure(study),
            "Force components of the fine-tuned potential against DFT on held-out frames.",
            "Forces on the held-out frames, component by component; dashed: equality.",
        ),
        "training": Picture.of(
            figures.training_figure(study),
            "Force error on the validation frames over the epochs of the training.",
            "Course of the fine-tuning.",
        ),
        "msd": Picture.of(
            figures.msd_figure(study),
            f"Mean-square displacement over time at {temperatures}: of the ions in MD, of the "
            "sites they are on, and of the Markov model.",
            "The ions’ curve lies above that of their sites by the vibration, a constant; the "
            "slopes must be equal. The model’s curve follows from its jumps alone.",
        ),
    }


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all: a reader of the folder must not meet half a page."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)
