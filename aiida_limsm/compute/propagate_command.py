"""``limsm propagate`` for people: a model file and options on the command line."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from .base import MODEL_FILENAME, PROPAGATION_FILENAME, RESULTS_FILENAME
from .inputs import PropagateInput
from .jobs import job_options
from .results import PropagateResults
from .terminal import (
    enter_figures,
    field_option,
    given,
    output_option,
    refuse,
    run_job_file,
    show_options,
    watch_job,
    written,
)

__all__ = ["propagate"]

_option = partial(field_option, PropagateInput)


def _propagate(values: dict[str, Any], output: Path, figures: bool, quiet: bool) -> None:
    """Carry on, print a summary, draw."""
    began = time.monotonic()
    results = watch_job("propagate", values, output, quiet)
    assert isinstance(results, PropagateResults)
    from aiida_limsm.report.propagation import draw_propagation, propagation_text

    click.echo(propagation_text(results))
    if figures:
        names = draw_propagation(results, output)
        results = enter_figures(results, names, output)
    files = (output / RESULTS_FILENAME, output / PROPAGATION_FILENAME)
    click.echo(f"\n{written(files, results.figures, began)}")


def _numbers(context: click.Context, _: click.Parameter, text: str | None) -> Any:
    """Read times written as 1,10,100 or with blanks."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.replace(",", " ").split())
    except ValueError:
        refuse("propagate", f"--times-ps {text}: write numbers as in 1,10,100")


@click.command(short_help="Ions that spread in time, beside Fick's law.")
@click.argument("model", required=False, metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "--cells",
    nargs=3,
    type=int,
    metavar="L1 L2 L3",
    help="Cells of the periodic box, each with all sites of the model.  [default: 100 100 100]",
)
@_option(
    "--start",
    "start",
    "slab: the middle half of the box is filled; point: one ion in the middle cell; gaussian: one "
    "ion spread along the axis.",
)
@_option("--axis", "axis", "Cell vector along which the ions spread and profiles are taken.")
@_option("--site", "site", "Label of the site of --start point.", "as in equilibrium")
@_option("--width", "width_angstrom", "Standard deviation of --start gaussian, Å.")
@click.option("--times-ps", metavar="T1,T2,…", callback=_numbers, help="Times to look at.")
@_option(
    "--total-time-ps",
    "total_time_ps",
    "Last time; those before are even on a log scale.",
    "in which the longest wave of the box relaxes",
)
@_option("--number-of-times", "number_of_times", "How many, where --times-ps is not given.")
@_option(
    "--method",
    "method",
    "bloch: Fourier transform over the cells, any time in one step; sparse: lag by lag.",
)
@click.option("--keep-density", is_flag=True, default=None, help="Also write all sites at the end.")
@_option("--memory-mb", "memory_mb", "Bound of the working memory.")
@output_option("propagation", "results.json, propagation.h5 and the figure")
@show_options
@job_options
def propagate(
    model: Path | None,
    output: Path,
    figures: bool,
    quiet: bool,
    settings: tuple[str, ...],
    folder: Path | None,
    fields: bool,
    **options: Any,
) -> None:
    """Carry a distribution of ions on in time with a Markov model, beside Fick's law.

    MODEL is a model.h5 of limsm analyse, or the folder that holds it. The box is a periodic
    crystal of the model's cells, up to 10⁷ sites. Ions do not feel each other beyond what their
    jump rates hold already. Fick's law with the model's D is solved in the same box: the figure
    shows from when on, and from which length on, it holds.
    Exit code 2 and one line where the input cannot be used.

    \b
    Examples:
      limsm propagate analysis/model.h5
      limsm propagate analysis --cells 400 30 30 --total-time-ps 1e6 -o slab
      limsm propagate analysis --start point --site Li1 --times-ps 1,10,100
      limsm propagate analysis --start gaussian --width 40 --axis c
      limsm propagate input.json    a job file with the fields of --fields

    \b
    What comes out, in the folder of -o:
      results.json     spread and difference from Fick's law at every time
      propagation.h5   profiles of model and Fick's law
      propagation.png  both, and their difference over time
    """  # noqa: D301 - click wants the backspace character itself
    job = {"settings": settings, "folder": folder, "fields": fields}
    if run_job_file("propagate", model, 0, job):
        return
    if model is None:
        refuse("propagate", "give a model.h5 (limsm propagate --help shows examples)")
    path = model / MODEL_FILENAME if model.is_dir() else model
    if path.resolve().parent == output.resolve():
        refuse("propagate", f"{output} would lose the results of the analysis: choose another -o")
    values = given(options)
    values["model_file"] = str(path.resolve())
    _propagate(values, output, figures, quiet)
