"""Jobs that a person starts with options and watches: progress, one line where they fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import ValidationError

from .base import (
    RESULTS_FILENAME,
    JobError,
    JobResults,
    LimsmModel,
    Status,
    first_error,
    write_model,
)
from .environment import configure_threads
from .jobs import JOBS, run_job

__all__ = [
    "ProgressBar",
    "enter_figures",
    "existing_file",
    "field_option",
    "given",
    "output_option",
    "refuse",
    "run_job_file",
    "show_options",
    "watch_job",
    "written",
]

_Watched = TypeVar("_Watched", bound=JobResults)
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


def watch_job(name: str, values: dict[str, Any], folder: Path, quiet: bool) -> JobResults:
    """Run a job in ``folder`` and write its ``results.json`` when it is whole.

    Earlier results in the folder stay until then. The process ends with one line on standard error
    where the job fails: exit code 2 for bad input, 1 for anything else that went wrong.

    Parameters
    ----------
    name
        Of the job; its runner takes lines for people and the steps of its stages.
    values
        Fields of the input model.
    folder
        Made if missing.
    quiet
        Show no progress.
    """
    job = JOBS[name]
    try:
        job_input = job.input_model.model_validate(values)
    except ValidationError as error:
        refuse(name, first_error(error))
    bar = ProgressBar()

    def line(text: str) -> None:
        if not quiet:
            bar.close()
            click.echo(text, err=True)

    configure_threads(1)
    runner: Any = job.load_runner()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with closing(bar):  # before an error is told
            results: JobResults = runner(
                job_input, folder, line, (lambda *_: None) if quiet else bar
            )
        write_model(results, folder / RESULTS_FILENAME)
    except JobError as error:
        refuse(name, error.message, 2 if error.status in BAD_INPUT else 1)
    except OSError as error:
        refuse(name, f"{error.filename or folder}: {error.strerror or error}", 1)
    return results


def enter_figures(results: _Watched, names: tuple[str, ...], folder: Path) -> _Watched:
    """Return results that name their figures, written to ``results.json`` once more."""
    results = results.model_copy(update={"figures": names})
    write_model(results, folder / RESULTS_FILENAME)
    return results


def refuse(name: str, message: str, code: int = 2) -> NoReturn:
    """End the process with one line."""
    click.echo(f"limsm {name}: {message}", err=True)
    raise SystemExit(code)


def written(files: tuple[Path, ...], figures: tuple[str, ...], began: float) -> str:
    """Say what was written, and how long it took since the monotonic time ``began``."""
    names = ", ".join(str(path) for path in files)
    count = f" and {len(figures)} figure{'' if len(figures) == 1 else 's'}" if figures else ""
    return f"{names}{count} written in {time.monotonic() - began:.1f} s"


def existing_file() -> click.Path:
    """Return the type of an argument that names a file."""
    return click.Path(path_type=Path, dir_okay=False, exists=True)


def field_option(
    model: type[LimsmModel], flag: str, field: str, text: str, default: str | None = None
) -> Callable[[Any], Any]:
    """Return a click option for a field of an input model: its type, choices and default.

    The option is None where it is not given, so that the model alone knows the defaults;
    ``default`` says in words what None means there, or nothing if empty.
    """
    info = model.model_fields[field]
    if default is None:
        default = "" if info.default is None else f"{info.default}"
    text = f"{text}  [default: {default}]" if default else text
    return click.option(flag, field, type=_click_type(info.annotation), help=text)


def _click_type(annotation: Any) -> Any:
    """Return the first plain type of an annotation; choices for a Literal."""
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    return annotation if isinstance(annotation, type) else _click_type(get_args(annotation)[0])


def output_option(default: str, holds: str) -> Callable[[Any], Any]:
    """Return the option that names the folder of the results."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(default),
        show_default=True,
        help=f"Folder of {holds}; made if missing.",
    )


def show_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options on what is shown to a click command."""
    quiet = click.option("--quiet", is_flag=True, help="No progress; results only.")
    figures = click.option(
        "--figures/--no-figures", default=True, show_default=True, help="Write PNG figures."
    )
    return figures(quiet(function))


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given; the input model knows the defaults of the others."""
    return {key: value for key, value in options.items() if value is not None}


def run_job_file(name: str, path: Path | None, others: int, job_options: dict[str, Any]) -> bool:
    """Run a job from its JSON file, where the command line asks for that; tell whether it did.

    Options of both kinds together are refused: those of the command would be without effect.

    Parameters
    ----------
    name
        Of the command.
    path
        Its first argument.
    others
        How many arguments follow it.
    job_options
        Values of the options of :func:`~.jobs.job_options`.
    """
    is_file = path is not None and path.suffix == ".json" and not others
    if not is_file and not any(job_options.values()):
        return False
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if (
            isinstance(parameter, click.Option)
            and parameter.name not in job_options
            and source is ParameterSource.COMMANDLINE
        ):
            refuse(name, f"{parameter.opts[0]} has no effect on a job file: use --set FIELD=VALUE")
    if path is not None and not is_file:
        refuse(name, f"--set, --folder and --fields are for job files, {path} is none")
    run_job(name, path, job_options["settings"], job_options["folder"], bool(job_options["fields"]))
    return True
