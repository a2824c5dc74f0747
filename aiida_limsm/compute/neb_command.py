"""``limsm neb`` for people: structures, a potential and options on the command line."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from .base import RESULTS_FILENAME, Status
from .jobs import job_options
from .neb import PATH_FILENAME
from .neb_inputs import NebInput
from .neb_results import NebResults
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

__all__ = ["neb"]

_option = partial(field_option, NebInput)


def _neb(values: dict[str, Any], output: Path, figures: bool, quiet: bool) -> None:
    """Relax, print the images, draw."""
    began = time.monotonic()
    results = watch_job("neb", values, output, quiet)
    assert isinstance(results, NebResults)
    from aiida_limsm.report.neb import draw_neb, neb_text
    from aiida_limsm.report.neb_paths import MethodPath

    if results.status is Status.FINISHED:
        click.echo(neb_text(results))
    if figures and results.profile is not None:
        name = Path(values["potential_file"]).stem
        path = MethodPath(energies_of=name, path_of=name, profile=results.profile)
        names = draw_neb([path], output)
        results = enter_figures(results, names, output)
    click.echo(
        f"\n{written((output / RESULTS_FILENAME, output / PATH_FILENAME), results.figures, began)}"
    )
    if results.status is not Status.FINISHED:
        refuse("neb", f"{results.status.value}: {results.message}", 1)


@click.command(short_help="Migration path and barrier between two structures.")
@click.argument("structures", nargs=-1, metavar="START END", type=click.Path(path_type=Path))
@click.option("--potential", "potential_file", type=existing_file(), help="MACE model file.")
@_option("--head", "head", "Of a model with several heads.")
@_option("-n", "n_images", "Images, both ends counted.", "7, or as many as are given")
@click.option(
    "--single-points",
    is_flag=True,
    default=None,
    help="Energies of the given images as they are; nothing is relaxed.",
)
@click.option("--relax-ends/--no-relax-ends", default=None, help="Relax START and END first.")
@click.option("--climb/--no-climb", default=None, help="Let the highest image climb.")
@_option("--interpolation", "interpolation", "First guess of the path.")
@_option("--optimiser", "optimiser", "Of ends and band.")
@_option("--fmax", "fmax_ev_per_angstrom", "Largest force at convergence, eV/Å.")
@_option("--max-steps", "max_steps", "Of each relaxation.")
@_option("--max-seconds", "max_seconds", "Stop then; the same command continues.", "")
@_option("--device", "device", "Where the model runs.")
@output_option("neb", "results.json, path.extxyz and the figure")
@show_options
@job_options
def neb(
    structures: tuple[Path, ...],
    potential_file: Path | None,
    output: Path,
    figures: bool,
    quiet: bool,
    settings: tuple[str, ...],
    folder: Path | None,
    fields: bool,
    **options: Any,
) -> None:
    """Find the path of an ion between two structures and its barrier (nudged elastic band).

    START and END are structures of the same atoms in the same order and the same cell, in any
    format that ASE reads; more files, or files of several frames, are the images to start from.
    Both ends are relaxed, images in between interpolated and relaxed, and the highest one climbs
    to the saddle point. A path without a barrier is found and said. Stopped runs continue with the
    same command.
    Exit code 2 and one line where the input cannot be used, 1 where the path did not converge.

    \b
    Examples:
      limsm neb start.cif end.cif --potential my.model
      limsm neb start.cif end.cif --potential my.model -n 9 --fmax 0.02 -o hop
      limsm neb hop/path.extxyz --potential other.model --single-points -o other
      limsm neb input.json          a job file with the fields of --fields

    \b
    What comes out, in the folder of -o:
      results.json   barriers both ways, energies over the length of the path
      path.extxyz    the images with energies and forces
      neb.png        energies along the path
    """  # noqa: D301 - click wants the backspace character itself
    job = {"settings": settings, "folder": folder, "fields": fields}
    first = structures[0] if structures else None
    if run_job_file("neb", first, max(len(structures) - 1, 0), job):
        return
    if not structures:
        refuse("neb", "give two structures (limsm neb --help shows examples)")
    if potential_file is None:
        refuse("neb", "give a potential with --potential FILE")
    values = given(options)
    values["potential_file"] = str(potential_file.resolve())
    values["structure_files"] = tuple(str(path.resolve()) for path in structures)
    _neb(values, output, figures, quiet)
