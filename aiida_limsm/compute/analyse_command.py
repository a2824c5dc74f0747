"""``limsm analyse`` for people: trajectories and options on the command line."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import ValidationError

from .base import (
    MODEL_FILENAME,
    PATHS_FILENAME,
    RESULTS_FILENAME,
    JobError,
    Status,
    first_error,
    write_model,
)
from .environment import configure_threads
from .inputs import AnalyseInput
from .jobs import job_options, run_job
from .results import AnalyseResults

__all__ = ["ProgressBar", "analyse", "analyse_files"]

OWN = (MODEL_FILENAME, PATHS_FILENAME)
BAD_INPUT = (Status.INVALID_INPUT, Status.TRAJECTORY_UNUSABLE)


class ProgressBar:
    """One bar a stage on standard error; silent where that is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._stage = ""
        self._bar: Any = None
        self._done = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of a stage are over."""
        if not self._shown:
            return
        if stage != self._stage:
            self.close()
            self._stage, self._done = stage, 0
            self._bar = click.progressbar(
                length=total, label=f"{stage:<22}", file=sys.stderr, width=30
            )
            self._bar.__enter__()
        self._bar.update(done - self._done)
        self._done = done
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the line of the bar."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar, self._stage = None, ""


def analyse_files(values: dict[str, Any], output: Path, figures: bool, quiet: bool) -> int:
    """Analyse, write ``results.json``, ``model.h5`` and figures, print a summary.

    Earlier results in the folder stay until the new ones are whole. Returns the exit code: 2 for
    bad input, 1 for anything else that went wrong.
    """
    began = time.monotonic()
    bar = ProgressBar()

    def line(text: str) -> None:
        if not quiet:
            bar.close()
            click.echo(text, err=True)

    configure_threads(1)
    from .analyse import run_analyse

    try:
        job = AnalyseInput.model_validate(values)
        output.mkdir(parents=True, exist_ok=True)
        results = run_analyse(job, output, line, (lambda *_: None) if quiet else bar)
        write_model(results, output / RESULTS_FILENAME)
    except ValidationError as error:
        return _refuse(first_error(error), 2)
    except JobError as error:
        return _refuse(error.message, 2 if error.status in BAD_INPUT else 1)
    except OSError as error:
        return _refuse(f"{error.filename or output}: {error.strerror or error}", 1)
    finally:
        bar.close()
    from aiida_limsm.report.analysis import analysis_text, draw_analysis

    click.echo(analysis_text(results))
    if figures:
        results = _draw(results, output, draw_analysis)
    click.echo(
        f"\n{output / RESULTS_FILENAME}, {output / str(results.model_file)}"
        + (f" and {len(results.figures)} figures" if results.figures else "")
        + f" written in {time.monotonic() - began:.1f} s"
    )
    return 0


def _draw(results: AnalyseResults, output: Path, draw: Any) -> AnalyseResults:
    names = draw(results, output / str(results.model_file), output)
    results = results.model_copy(update={"figures": tuple(names)})
    write_model(results, output / RESULTS_FILENAME)
    return results


def _refuse(message: str, code: int) -> int:
    click.echo(f"limsm analyse: {message}", err=True)
    return code


def _existing() -> click.Path:
    return click.Path(path_type=Path, dir_okay=False, exists=True)


def _choices(field: str) -> click.Choice[str]:
    """Return the values a field of the input model allows."""
    return click.Choice(get_args(AnalyseInput.model_fields[field].annotation))


@click.command()
@click.argument("trajectories", nargs=-1, metavar="TRAJECTORY...", type=click.Path(path_type=Path))
@click.option(
    "--structure",
    "structure_file",
    type=_existing(),
    help="Crystal whose atoms of the species mark the sites; any file ASE reads. Its cell must "
    "tile the MD cell.",
)
@click.option("--species", help="The mobile species.  [default: Li]")
@click.option(
    "--frame-interval-fs",
    type=float,
    help="Time between frames; H5MD files carry their own.",
)
@click.option("--temperature-k", type=float, help="Label, where the trajectory holds none.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("analysis"),
    show_default=True,
    help="Folder of results.json, model.h5, paths.h5 and figures.",
)
@click.option("--skip-ps", type=float, help="Leave out this much of the start (equilibration).")
@click.option(
    "--sites",
    type=_choices("sites"),
    help="Where sites come from: the structure, the structure and the interstitials that the "
    "density shows, or the density alone.  [default: structure]",
)
@click.option(
    "--assignment",
    type=_choices("assignment"),
    help="core: an ion keeps its site until it comes close to another one, so that recrossings "
    "are no jumps; nearest: the nearest site at every frame.  [default: core]",
)
@click.option(
    "--core-radius",
    "core_radius_angstrom",
    type=float,
    help="Å.  [default: 0.7, less where sites are close]",
)
@click.option(
    "--pool",
    type=_choices("pool"),
    help="Which sites count as one state: none, those a lattice translation apart, or all that "
    "the space group maps onto one another.  [default: translations]",
)
@click.option("--lag-ps", type=float, help="Lag time.  [default: the plateau of D(τ) decides]")
@click.option("--number-of-lags", type=int, help="Lags that are compared.  [default: 16]")
@click.option("--bootstrap-samples", type=int, help="[default: 200]")
@click.option("--time-blocks", type=int, help="Blocks of time, for the errors.  [default: 5]")
@click.option(
    "--minimum-jumps",
    type=int,
    help="Independent jumps below which D is 'not resolved'.  [default: 10]",
)
@click.option("--seed", type=int, help="Of the bootstrap.  [default: 0]")
@click.option("--memory-mb", type=int, help="Bound of the working memory.  [default: 512]")
@click.option(
    "--topology",
    "topology_file",
    type=_existing(),
    help="Structure that names the atoms in the trajectory's order, where the trajectory does not.",
)
@click.option(
    "--species-order",
    metavar="Li,Si",
    help="Elements of the atom types 1, 2, … of a LAMMPS dump.",
)
@click.option("--figures/--no-figures", default=True, show_default=True, help="Write PNG figures.")
@click.option("--quiet", is_flag=True, help="No progress; results only.")
@job_options
def analyse(
    trajectories: tuple[Path, ...],
    output: Path,
    figures: bool,
    quiet: bool,
    species_order: str | None,
    settings: tuple[str, ...],
    folder: Path | None,
    fields: bool,
    **options: Any,
) -> None:
    """Lattice sites, Markov state model and diffusion tensor from MD trajectories.

    Reads H5MD, extended XYZ, ASE .traj, XDATCAR, LAMMPS dumps, pw.x output and what else ASE
    reads; wrapped positions are unwrapped. Several trajectories of one system are counted
    together.

    \b
    Examples:
      limsm analyse md.h5 --structure LiSi.cif -o analysis
      limsm analyse XDATCAR --structure POSCAR --frame-interval-fs 20 --temperature-k 700
      limsm analyse a.h5 b.h5 --structure POSCAR --sites interstitials --pool spacegroup
      limsm analyse glass.extxyz --sites density --frame-interval-fs 10
      limsm analyse input.json             a job file with the fields of --fields
    """  # noqa: D301 - click wants the backspace character itself
    job_file = trajectories[0] if [p.suffix for p in trajectories] == [".json"] else None
    if fields or folder or settings or job_file:
        run_job("analyse", job_file, settings, folder, fields)
        return
    if not trajectories:
        raise click.UsageError("give a trajectory (limsm analyse --help shows examples)")
    if any(path.resolve().parent == output.resolve() and path.name in OWN for path in trajectories):
        raise click.UsageError(f"{output} would overwrite a trajectory: choose another --output")
    values = {key: value for key, value in options.items() if value is not None}
    for key in ("structure_file", "topology_file"):
        if key in values:
            values[key] = str(values[key].resolve())
    values.setdefault("structure_file", None)
    values["trajectory_files"] = tuple(str(path.resolve()) for path in trajectories)
    if species_order is not None:
        values["species_order"] = tuple(species_order.replace(",", " ").split())
    raise SystemExit(analyse_files(values, output, figures, quiet))
