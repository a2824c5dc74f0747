"""``limsm analyse`` for people: trajectories and options on the command line."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from .base import MODEL_FILENAME, PATHS_FILENAME, RESULTS_FILENAME
from .convert_command import split_symbols
from .inputs import AnalyseInput
from .jobs import job_options
from .results import AnalyseResults
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

__all__ = ["analyse"]

OWN = (MODEL_FILENAME, PATHS_FILENAME)
_option = partial(field_option, AnalyseInput)


def _is_own(path: Path) -> bool:
    return path.name in OWN or path.name.startswith("projected")


def _analyse(values: dict[str, Any], output: Path, figures: bool, quiet: bool) -> None:
    """Analyse, print a summary, draw; the summary does not wait for the figures."""
    began = time.monotonic()
    results = watch_job("analyse", values, output, quiet)
    assert isinstance(results, AnalyseResults)
    from aiida_limsm.report.analysis import analysis_text, draw_analysis

    click.echo(analysis_text(results))
    model = output / str(results.model_file)
    if figures:
        names = draw_analysis(results, model, output)
        results = enter_figures(results, names, output)
    files = (output / RESULTS_FILENAME, model)
    click.echo(f"\n{written(files, results.figures, began)}")


@click.command(short_help="Diffusion tensor with its error from trajectories.")
@click.argument("trajectories", nargs=-1, metavar="TRAJECTORY...", type=click.Path(path_type=Path))
@_option(
    "--structure",
    "structure_file",
    "Crystal whose atoms of the species mark the sites, needed but for --sites density; any file "
    "ASE reads. Its cell must tile the MD cell; it may be turned and a little strained against it.",
    "",
)
@_option("--species", "species", "The mobile species.")
@_option(
    "--frame-interval-fs",
    "frame_interval_fs",
    "Time between frames, needed where the file holds no times.",
    "that of the H5MD file",
)
@_option(
    "--temperature-k",
    "temperature_k",
    "Temperature of the run: a label, and a check where the file has temperatures.",
    "the mean of the file",
)
@output_option("analysis", "results.json, model.h5, paths.h5 and the figures")
@_option("--skip-ps", "skip_ps", "Leave out this much of the start (equilibration).")
@_option(
    "--sites",
    "sites",
    "Where sites come from: the structure; the structure and the interstitials that the density "
    "of the ions shows; or the density alone.",
)
@_option(
    "--assignment",
    "assignment",
    "core: an ion keeps its site until it comes close to another one, so that recrossings are no "
    "jumps; nearest: the nearest site at every frame.",
)
@_option(
    "--core-radius",
    "core_radius_angstrom",
    "How close, Å.",
    "0.7, less where sites are close",
)
@_option(
    "--pool",
    "pool",
    "Which sites are one state: none, those a lattice translation apart, or all that the space "
    "group maps onto one another.",
)
@_option("--lag-ps", "lag_ps", "Lag time of the model.", "the plateau of D(τ) decides")
@_option("--number-of-lags", "number_of_lags", "Lags that are compared.")
@_option("--bootstrap-samples", "bootstrap_samples", "Samples for the errors.")
@_option("--time-blocks", "time_blocks", "Blocks of time that the bootstrap draws from.")
@_option("--minimum-jumps", "minimum_jumps", "Independent jumps below which D is 'not resolved'.")
@_option("--seed", "seed", "Of the bootstrap.")
@_option("--memory-mb", "memory_mb", "Bound of the working memory.")
@_option(
    "--topology",
    "topology_file",
    "Structure that names the atoms in the trajectory's order, where the trajectory does not.",
)
@click.option(
    "--species-order",
    metavar="Li,Si",
    help="Elements of the atom types 1, 2, … of a LAMMPS dump.",
)
@click.option(
    "--projected",
    is_flag=True,
    help="Also write every ion on its site, frame by frame: projected.h5 (H5MD).",
)
@show_options
@job_options
def analyse(
    trajectories: tuple[Path, ...],
    output: Path,
    figures: bool,
    quiet: bool,
    species_order: str | None,
    projected: bool,
    settings: tuple[str, ...],
    folder: Path | None,
    fields: bool,
    **options: Any,
) -> None:
    """Diffusion tensor with its error from MD trajectories, by a Markov model over lattice sites.

    TRAJECTORY is H5MD, extended XYZ, ASE .traj, XDATCAR, a LAMMPS dump, pw.x output, or what else
    ASE reads. Several, of one system at one temperature, are counted together. Wrapped positions
    are unwrapped and the drift of the framework is taken off; a file that was cut short is used as
    far as it is whole. Exit code 2 and one line where the input cannot be used.

    \b
    Examples:
      limsm analyse md.h5 --structure LiSi.cif -o analysis
      limsm analyse XDATCAR --structure POSCAR --frame-interval-fs 20
      limsm analyse a.h5 b.h5 --structure POSCAR --sites interstitials
      limsm analyse dump.lammpstrj --species-order Li,Si --structure LiSi.cif \\
            --frame-interval-fs 10 --temperature-k 700
      limsm analyse glass.extxyz --sites density --frame-interval-fs 10
      limsm analyse input.json      a job file with the fields of --fields

    \b
    What is done:
      sites   Every atom of the species in the structure marks one; crystal and
              MD cell are matched, supercell or not. Where ions use sites that
              the structure lacks, --sites interstitials finds them in the
              density of the ions; --sites density needs no structure at all.
      jumps   Every ion is followed from site to site, with the lattice cell.
      model   Transition probabilities at a lag time, tested against the data.
      D       In closed form, beside that of the mean-square displacement;
              errors by bootstrap over ions and time blocks. Where too few
              jumps were seen: "not resolved", with an upper bound.

    \b
    What comes out, in the folder of -o:
      results.json  D three ways with errors, sites, jumps and rates, tests
      model.h5      the model and its curves, for limsm propagate and Python
      paths.h5      the site of every ion at every frame
      *.png         msd, d_of_lag, implied_timescales, chapman_kolmogorov,
                    spectrum, eigenvectors (slowest processes), network (jumps)
    """  # noqa: D301 - click wants the backspace character itself
    job = {"settings": settings, "folder": folder, "fields": fields}
    first = trajectories[0] if trajectories else None
    if run_job_file("analyse", first, len(trajectories) - 1, job):
        return
    if not trajectories:
        refuse("analyse", "give a trajectory (limsm analyse --help shows examples)")
    if any(path.resolve().parent == output.resolve() and _is_own(path) for path in trajectories):
        refuse("analyse", f"{output} would overwrite a trajectory: choose another --output")
    values = given(options)
    for key in ("structure_file", "topology_file"):
        if key in values:
            values[key] = str(Path(values[key]).resolve())
    values.setdefault("structure_file", None)
    values["trajectory_files"] = tuple(str(path.resolve()) for path in trajectories)
    values["projected"] = projected
    if species_order is not None:
        values["species_order"] = split_symbols(species_order)
    _analyse(values, output, figures, quiet)
