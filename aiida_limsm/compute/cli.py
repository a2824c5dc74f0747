"""The command ``limsm``: what runs on the compute node, and by hand without AiiDA."""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
from pydantic import ValidationError

from aiida_limsm import __version__

from .base import (
    INPUT_FILENAME,
    LOG_FILENAME,
    RESULTS_FILENAME,
    JobError,
    JobResults,
    LimsmModel,
    Status,
    first_error,
    read_model,
    write_model,
)
from .environment import configure_threads
from .inputs import AnalyseInput, EvaluateInput, MdInput, TrainInput
from .results import AnalyseResults, EvaluateResults, MdResults, TrainResults

Runner = Callable[[Any, Path, Callable[[str], None]], JobResults]


@dataclass(frozen=True)
class Job:
    """One job of the command: its input and result models and the place of its runner.

    The runner is named, not imported: ``limsm --help`` must not load torch.
    """

    input_model: type[LimsmModel]
    results_model: type[JobResults]
    runner: str

    def load_runner(self) -> Runner:
        """Import and return the function that does the work."""
        import importlib

        module, name = self.runner.split(":")
        runner: Runner = getattr(importlib.import_module(module), name)
        return runner


JOBS: dict[str, Job] = {
    "train": Job(TrainInput, TrainResults, "aiida_limsm.compute.train:run_train"),
    "md": Job(MdInput, MdResults, "aiida_limsm.compute.md:run_md"),
    "evaluate": Job(EvaluateInput, EvaluateResults, "aiida_limsm.compute.evaluate:run_evaluate"),
    "analyse": Job(AnalyseInput, AnalyseResults, "aiida_limsm.compute.analyse:run_analyse"),
}


def execute(name: str, job_input: LimsmModel, folder: Path) -> JobResults:
    """Run one job in ``folder`` and write its ``results.json``, whatever happens."""
    job = JOBS[name]
    configure_threads(getattr(job_input, "threads", 1))
    folder.mkdir(parents=True, exist_ok=True)
    # A killed job must not leave the results of an earlier one.
    (folder / RESULTS_FILENAME).unlink(missing_ok=True)
    with (folder / LOG_FILENAME).open("a", encoding="utf-8") as log:
        try:
            results = job.load_runner()(job_input, folder, _tee(log))
        except JobError as error:
            results = job.results_model(status=error.status, message=error.message)
        except Exception as error:
            traceback.print_exc(file=log)
            message = f"{type(error).__name__}: {error} (traceback in {LOG_FILENAME})"
            results = job.results_model(status=Status.INTERNAL_ERROR, message=message)
    write_model(results, folder / RESULTS_FILENAME)
    return results


def _tee(log: TextIO) -> Callable[[str], None]:
    def write(line: str) -> None:
        for stream in (log, sys.stdout):
            print(line, file=stream, flush=True)

    return write


def _build_input(job: Job, path: Path | None, settings: tuple[str, ...]) -> LimsmModel:
    """Combine the input file with ``--set`` values and validate the whole."""
    values: dict[str, Any] = {}
    if path is not None:
        if not settings:
            return read_model(job.input_model, path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise JobError(Status.INVALID_INPUT, f"{path} does not exist") from None
        except (OSError, ValueError) as error:
            raise JobError(Status.INVALID_INPUT, f"{path}: {error}") from None
        if not isinstance(values, dict):
            raise JobError(Status.INVALID_INPUT, f"{path}: must hold one JSON object")
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator:
            raise JobError(Status.INVALID_INPUT, f"--set {setting}: write KEY=VALUE")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    try:
        return job.input_model.model_validate(values)
    except ValidationError as error:
        raise JobError(Status.INVALID_INPUT, first_error(error)) from None


def _finish(results: JobResults, folder: Path) -> None:
    for warning in results.warnings:
        click.echo(f"warning: {warning}", err=True)
    if results.status is not Status.FINISHED:
        click.echo(f"limsm: {results.status.value}: {results.message}", err=True)
        raise SystemExit(1)
    message = results.message or results.status.value
    click.echo(f"{message}; results in {folder / RESULTS_FILENAME}")


def _run(
    name: str, path: Path | None, settings: tuple[str, ...], folder: Path | None, describe: bool
) -> None:
    job = JOBS[name]
    if describe:
        click.echo(json.dumps(job.input_model.model_json_schema(), indent=2))
        return
    if path is None and not settings:
        path = (folder or Path()) / INPUT_FILENAME
    where = folder or (path.parent if path is not None else Path())
    try:
        job_input = _build_input(job, path, settings)
    except JobError as error:
        click.echo(f"limsm {name}: {error.message}", err=True)
        results = job.results_model(status=error.status, message=error.message)
        if path is not None and where.is_dir():  # a scheduler's job: let the parser read why
            write_model(results, where / RESULTS_FILENAME)
        raise SystemExit(2) from None
    _finish(execute(name, job_input, where), where)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="limsm")
def main() -> None:
    """Train, run and analyse machine-learned force fields for ion transport, without AiiDA.

    Every job reads one JSON file, works in that file's folder and writes results.json there.

    \b
    Examples:
      limsm analyse --set 'trajectory_files=["md.h5"]' --set sites_file=sites.cif
      limsm md input.json                  run, or continue what was stopped
      limsm md input.json --set steps=100000
      limsm md --fields                    every field with its unit, type and default
      limsm inspect my.model               elements, cut-off, heads, E0s of a MACE model
    """  # noqa: D301 - click wants the backspace character itself


def _add(name: str, help_text: str) -> None:
    @main.command(name, help=help_text)
    @click.argument("path", metavar="[INPUT.json]", required=False, type=click.Path(path_type=Path))
    @click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Set a field (JSON value)."
    )
    @click.option(
        "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work."
    )
    @click.option("--fields", is_flag=True, help="Show the JSON schema of the input and stop.")
    def command(
        path: Path | None, settings: tuple[str, ...], folder: Path | None, fields: bool
    ) -> None:
        _run(name, path, settings, folder, fields)


_add(
    "md",
    """Molecular dynamics with a MACE potential; continues from a checkpoint in the folder.

    \b
    Example:
      limsm md --folder run --set temperature_k=700 --set steps=20000
    with run/potential.model and run/structure.extxyz; writes run/trajectory.h5 (H5MD).
    """,
)
_add(
    "train",
    """Train or fine-tune a MACE potential with mace_run_train.

    \b
    Example:
      limsm train --folder fit --set 'e0s_ev={"Li": -5.7, "Si": -103.2}'
    with fit/foundation.model, fit/train.xyz and fit/valid.xyz; writes fit/potential.model.
    """,
)
_add(
    "evaluate",
    """Errors of a potential on labelled frames (energies, forces, stress).

    \b
    Example:
      limsm evaluate --set 'dataset_files={"test": "test.xyz"}' --set potential_file=my.model
    """,
)
_add(
    "analyse",
    """Lattice sites, Markov state model and diffusion tensor from MD trajectories.

    \b
    Example:
      limsm analyse --set 'trajectory_files=["md.h5"]' --set sites_file=POSCAR
    """,
)


@main.command()
@click.argument("source", metavar="FILE|NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--copy-to", type=click.Path(path_type=Path, dir_okay=False), help="Also copy the model here."
)
def inspect(source: str, as_json: bool, copy_to: Path | None) -> None:
    """Describe a MACE model: a file, or a published name that MACE downloads.

    Loading a model runs code from it: only trusted files.
    """
    configure_threads(1)
    from aiida_limsm.atomistic.potential import locate_model

    from .evaluate import inspect_potential

    try:
        path = locate_model(source)
        info = inspect_potential(path)
    except (JobError, ValueError) as error:
        click.echo(f"limsm inspect: {error}", err=True)
        raise SystemExit(2) from None
    if copy_to is not None:
        shutil.copyfile(path, copy_to)
    if as_json:
        click.echo(info.model_dump_json())
        return
    energies = ", ".join(f"{symbol} {energy:.4f}" for symbol, energy in info.e0s_ev.items())
    click.echo(
        f"{info.architecture}, {info.num_params} parameters, {info.dtype}\n"
        f"elements  {', '.join(info.elements)}\n"
        f"cut-off   {info.r_max_angstrom:g} Å\n"
        f"heads     {', '.join(info.heads)}\n"
        f"E0s (eV)  {energies}\n"
        f"sha256    {info.sha256}"
    )


@main.command()
@click.argument("source", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--frame-interval-ps",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Time between frames, which most formats do not hold.",
)
def convert(source: Path, target: Path, frame_interval_ps: float) -> None:
    """Convert a trajectory that ASE reads (extxyz, .traj, XDATCAR …) to H5MD, unwrapping it.

    \b
    Example:
      limsm convert XDATCAR md.h5 --frame-interval-ps 0.02
    """  # noqa: D301 (click reads the backspace as "keep these lines")
    from aiida_limsm.trajectory.formats import convert_to_h5md

    try:
        frames = convert_to_h5md(source, target, frame_interval_ps)
    except ValueError as error:
        click.echo(f"limsm convert: {error}", err=True)
        raise SystemExit(2) from None
    click.echo(f"{frames} frames in {target}")


if __name__ == "__main__":
    main()
