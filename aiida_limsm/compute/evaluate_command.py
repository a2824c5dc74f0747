"""``limsm evaluate`` for people: a model, labelled frames and options on the command line."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from .base import RESULTS_FILENAME
from .evaluate_file import PARITY_FILENAME
from .inputs import EvaluateInput
from .jobs import job_options
from .results import EvaluateResults
from .terminal import (
    enter_figures,
    existing_file,
    field_option,
    given,
    output_option,
    refuse,
    run_job_file,
    show_options,
    watch_job,
    written,
)

__all__ = ["evaluate"]

_option = partial(field_option, EvaluateInput)


def _evaluate(values: dict[str, Any], output: Path, figures: bool, quiet: bool) -> None:
    """Evaluate, print a summary, draw."""
    began = time.monotonic()
    results = watch_job("evaluate", values, output, quiet)
    assert isinstance(results, EvaluateResults)
    from aiida_limsm.report.evaluation import draw_evaluation, evaluation_text

    click.echo(evaluation_text(results))
    if figures:
        names = draw_evaluation(results, output)
        results = enter_figures(results, names, output)
    files = (output / RESULTS_FILENAME, output / PARITY_FILENAME)
    click.echo(f"\n{written(files, results.figures, began)}")


def _e0s(context: click.Context, _: click.Parameter, text: str | None) -> Any:
    """Read energies written as Li=-5.7,Si=-103.2."""
    if text is None:
        return None
    try:
        pairs = [part.split("=") for part in text.replace(" ", "").split(",")]
        return {symbol: float(energy) for symbol, energy in pairs}
    except ValueError:
        refuse("evaluate", f"--e0s {text}: write energies in eV as in Li=-5.7,Si=-103.2")


def _bins(context: click.Context, _: click.Parameter, text: str | None) -> Any:
    """Read bounds written as 0.5,1,2."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.replace(" ", "").split(","))
    except ValueError:
        refuse("evaluate", f"--force-bins {text}: write numbers in eV/Å as in 0.5,1,2")


@click.command(short_help="Errors of a potential on labelled frames; spread of a committee.")
@click.argument("files", nargs=-1, metavar="MODEL FRAMES...", type=click.Path(path_type=Path))
@click.option(
    "--committee",
    multiple=True,
    type=existing_file(),
    metavar="MODEL",
    help="One more potential, trained alike with another seed; may be given several times.",
)
@click.option(
    "--e0s",
    "e0s_ev",
    metavar="Li=E,Si=E",
    callback=_e0s,
    help="Isolated-atom energies of the labels, eV, put in place of the model's: needed to judge "
    "energies by labels of another code.",
)
@_option("--head", "head", "Head of a model that has several.")
@click.option(
    "--force-bins",
    "force_bins_ev_per_angstrom",
    metavar="F1,F2,…",
    callback=_bins,
    help="Bounds between groups of atoms by the labelled force, eV/Å.  [default: 0.25,0.5,1,2]",
)
@_option("--device", "device", "Where to compute.")
@_option("--dtype", "dtype", "Precision.")
@output_option("evaluation", "results.json, parity.h5 and the figures")
@show_options
@job_options
def evaluate(
    files: tuple[Path, ...],
    committee: tuple[Path, ...],
    output: Path,
    figures: bool,
    quiet: bool,
    settings: tuple[str, ...],
    folder: Path | None,
    fields: bool,
    **options: Any,
) -> None:
    """Errors of a potential on labelled frames, and what a committee's spread says about them.

    MODEL is a MACE model file (only of a source you trust: loading one runs code from it). FRAMES
    are extended XYZ files with REF_energy, REF_forces and, as far as known, REF_stress. Keep files
    of training and held-out frames apart: each is judged by itself. Exit code 2 and one line where
    the input cannot be used.

    \b
    Examples:
      limsm evaluate my.model test.xyz
      limsm evaluate my.model train.xyz test.xyz --e0s Li=-5.7,Si=-103.2 -o evaluation
      limsm evaluate 1.model test.xyz --committee 2.model --committee 3.model
      limsm evaluate input.json     a job file with the fields of --fields

    \b
    What comes out, in the folder of -o:
      results.json   errors per element and per size of the force, of energies
                     and stresses; rank correlation and calibration of a committee
      parity.h5      labels, predictions, spread
      parity_*.png   parity, errors in groups, calibration; per file of frames
    """  # noqa: D301 - click wants the backspace character itself
    job = {"settings": settings, "folder": folder, "fields": fields}
    first = files[0] if files else None
    if run_job_file("evaluate", first, len(files) - 1, job):
        return
    if len(files) < 2:
        refuse("evaluate", "give a model and frames (limsm evaluate --help shows examples)")
    model, *frames = files
    names = [path.stem for path in frames]
    if len(set(names)) < len(names):
        refuse("evaluate", "two files of frames have the same name: rename one")
    values = given(options)
    values["potential_file"] = str(model.resolve())
    values["committee_files"] = tuple(str(path.resolve()) for path in committee)
    values["dataset_files"] = {
        name: str(path.resolve()) for name, path in zip(names, frames, strict=True)
    }
    _evaluate(values, output, figures, quiet)
