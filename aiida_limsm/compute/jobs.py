"""The jobs of the command ``limsm``: read an input, run it, write its results."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import click
from pydantic import ValidationError

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
from .compare_models import CompareInput, CompareResults
from .environment import configure_threads
from .inputs import AnalyseInput, EvaluateInput, MdInput, PropagateInput
from .neb_inputs import NebInput
from .neb_results import NebResults
from .results import (
    AnalyseResults,
    EvaluateResults,
    MdResults,
    PropagateResults,
)
from .spread_models import SpreadInput, SpreadResults
from .train_inputs import TrainInput
from .train_results import TrainResults

__all__ = ["JOBS", "Job", "execute", "job_folder", "job_options", "run_job"]

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
    "compare": Job(CompareInput, CompareResults, "aiida_limsm.compute.compare:run_compare"),
    "spread": Job(SpreadInput, SpreadResults, "aiida_limsm.compute.spread:run_spread"),
    "neb": Job(NebInput, NebResults, "aiida_limsm.compute.neb:run_neb"),
    "propagate": Job(
        PropagateInput, PropagateResults, "aiida_limsm.compute.propagate:run_propagate"
    ),
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
            reason = (str(error).splitlines() or [""])[0]
            message = f"{type(error).__name__}: {reason} (traceback in {LOG_FILENAME})"
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


def job_folder(path: Path | None, folder: Path | None) -> Path:
    """Return where a job works: the folder that was named, else that of its input file."""
    return folder or (path.parent if path is not None else Path())


def run_job(
    name: str, path: Path | None, settings: tuple[str, ...], folder: Path | None, describe: bool
) -> None:
    """Run a job from its input file and ``--set`` values; exit as the command does."""
    job = JOBS[name]
    if describe:
        click.echo(json.dumps(job.input_model.model_json_schema(), indent=2))
        return
    if path is None and not settings:
        path = (folder or Path()) / INPUT_FILENAME
    where = job_folder(path, folder)
    try:
        job_input = _build_input(job, path, settings)
    except JobError as error:
        click.echo(f"limsm {name}: {error.message}", err=True)
        results = job.results_model(status=error.status, message=error.message)
        if path is not None and where.is_dir():  # a scheduler's job: let the parser read why
            write_model(results, where / RESULTS_FILENAME)
        raise SystemExit(2) from None
    _finish(execute(name, job_input, where), where)


def job_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every job has to a click command."""
    for option in (
        click.option("--fields", is_flag=True, help="Show the JSON schema of the input and stop."),
        click.option(
            "--folder", type=click.Path(path_type=Path, file_okay=False), help="Where to work."
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Set a field (JSON value).",
        ),
    ):
        function = option(function)
    return function
