"""``limsm compare`` for people: trajectories and options on the command line."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from .base import RESULTS_FILENAME
from .compare_models import COMPARISON_FILENAME, CompareInput, CompareResults
from .convert_command import split_symbols
from .jobs import job_options
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

__all__ = ["compare"]

_option = partial(field_option, CompareInput)


def _compare(values: dict[str, Any], output: Path, figures: bool, quiet: bool) -> None:
    """Compare, print a summary, draw."""
    began = time.monotonic()
    results = watch_job("compare", values, output, quiet)
    assert isinstance(results, CompareResults)
    from aiida_limsm.report.comparison import comparison_text, draw_comparison

    click.echo(comparison_text(results))
    if figures:
        results = enter_figures(results, draw_comparison(results, output), output)
    files = (output / RESULTS_FILENAME, output / COMPARISON_FILENAME)
    click.echo(f"\n{written(files, results.figures, began)}")


def _intervals(context: click.Context, _: click.Parameter, text: str | None) -> Any:
    """Read intervals written as 2.4 or, one per trajectory, 2.4,- with - where the file knows."""
    if text is None:
        return None
    try:
        return tuple(
            None if part in ("-", "") else float(part) for part in text.replace(" ", "").split(",")
        )
    except ValueError:
        refuse("compare", f"--frame-interval-fs {text}: write numbers as in 2.4,20 or 2.4,-")


@click.command(short_help="g(r) and vibrations of trajectories, and how alike they are.")
@click.argument("trajectories", nargs=-1, metavar="TRAJECTORY...", type=click.Path(path_type=Path))
@click.option(
    "--labels", metavar="A,B,…", help="What to call the trajectories.  [default: the file names]"
)
@click.option(
    "--frame-interval-fs",
    "frame_intervals_fs",
    metavar="FS[,FS…]",
    callback=_intervals,
    help="Time between frames, needed for vibrations where a file holds no times; one for all, or "
    "one per trajectory, - where the file knows.",
)
@output_option("comparison", "results.json, comparison.h5 and the figure")
@_option("--skip-ps", "skip_ps", "Leave out this much of the start of every trajectory.")
@_option("--r-max", "r_max_angstrom", "Largest distance, Å; may exceed half the cell.")
@_option("--bin-width", "bin_width_angstrom", "Width of the bins of g(r), Å.")
@_option(
    "--vdos",
    "vdos",
    "Vibrational density of states: where it can be had; or refuse where it cannot; or none.",
)
@_option(
    "--max-frequency",
    "max_frequency_thz",
    "Frequency that frames must resolve, and end of the axis, THz.",
    "by the elements; 25 for Li and Si",
)
@_option("--resolution", "resolution_thz", "Width of a sharp line, THz; short runs give less.")
@_option("--time-blocks", "time_blocks", "Blocks of time for the errors.")
@_option(
    "--topology",
    "topology_file",
    "Structure that names the atoms in the trajectories' order, where they do not.",
)
@click.option(
    "--species-order",
    metavar="Li,Si",
    help="Elements of the atom types 1, 2, … of a LAMMPS dump.",
)
@show_options
@job_options
def compare(
    trajectories: tuple[Path, ...],
    labels: str | None,
    output: Path,
    figures: bool,
    quiet: bool,
    species_order: str | None,
    settings: tuple[str, ...],
    folder: Path | None,
    fields: bool,
    **options: Any,
) -> None:
    """Compare trajectories: g(r) of all element pairs, vibrational density of states, overlaps.

    TRAJECTORY is H5MD, extended XYZ, ASE .traj, XDATCAR, a LAMMPS dump, pw.x output, or what else
    ASE reads; cells may differ. The first is taken as the reference in the figure. Velocities are
    used where the file has them, else differences of positions. Exit code 2 and one line where the
    input cannot be used.

    \b
    Examples:
      limsm compare aimd.xyz md.h5 --labels AIMD,MLFF --frame-interval-fs 2.4,-
      limsm compare aimd.h5 foundation.h5 finetuned.h5 --labels AIMD,foundation,fine-tuned
      limsm compare md.h5 --r-max 10 --bin-width 0.02 -o structure
      limsm compare XDATCAR md.h5 --frame-interval-fs 10,- --vdos required
      limsm compare input.json      a job file with the fields of --fields

    \b
    What comes out, in the folder of -o:
      results.json    overlaps with errors, peaks, and how far noise goes
      comparison.h5   g(r), coordination numbers, densities of states, errors
      comparison.png  g(r) per pair of elements, vibrations per element
    """  # noqa: D301 - click wants the backspace character itself
    job = {"settings": settings, "folder": folder, "fields": fields}
    first = trajectories[0] if trajectories else None
    if run_job_file("compare", first, len(trajectories) - 1, job):
        return
    if not trajectories:
        refuse("compare", "give a trajectory (limsm compare --help shows examples)")
    target = (output / COMPARISON_FILENAME).resolve()
    if any(path.resolve() == target for path in trajectories):
        refuse("compare", f"{output} would overwrite a trajectory: choose another --output")
    values = given(options)
    if "topology_file" in values:
        values["topology_file"] = str(Path(values["topology_file"]).resolve())
    values["trajectory_files"] = tuple(str(path.resolve()) for path in trajectories)
    if labels is not None:
        values["labels"] = tuple(part.strip() for part in labels.split(","))
    if species_order is not None:
        values["species_order"] = split_symbols(species_order)
    _compare(values, output, figures, quiet)
