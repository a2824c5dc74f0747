"""``limsm train`` as a command: the job, then its table and its figure."""

from __future__ import annotations

from pathlib import Path

import click

from .base import RESULTS_FILENAME, JobError, read_model
from .jobs import job_folder, job_options, run_job
from .train_results import TrainResults

__all__ = ["train"]


@click.command(short_help="Train or fine-tune a MACE potential with mace_run_train.")
@click.argument("path", metavar="[INPUT.json]", required=False, type=click.Path(path_type=Path))
@click.option("--figure/--no-figure", default=True, show_default=True, help="Write training.png.")
@job_options
def train(
    path: Path | None, figure: bool, settings: tuple[str, ...], folder: Path | None, fields: bool
) -> None:
    """Train or fine-tune a MACE potential with mace_run_train; continues what was stopped.

    \b
    Examples:
      limsm train --folder fit --set 'e0s_ev={"Li": -5.7, "Si": -103.2}'
      limsm train --folder fit --set e0s=estimated --set strategy=lora
      limsm train --fields          every field with its type and default
    with fit/foundation.model, fit/train.xyz and fit/valid.xyz; writes fit/potential.model.

    \b
    What the foundation knows is kept with its own frames beside the new ones:
      limsm train --folder fit --set strategy=multihead \\
        --set replay_train_file=old.xyz --set replay_valid_file=old_valid.xyz …
    """  # noqa: D301 - click wants the backspace character itself
    try:
        run_job("train", path, settings, folder, fields)
    finally:
        if not fields:
            _show(job_folder(path, folder), figure)


def _show(where: Path, figure: bool) -> None:
    """Print the errors and draw the epochs, of a training that failed too."""
    try:
        results = read_model(TrainResults, where / RESULTS_FILENAME)
    except JobError:
        return  # the job has said why
    from aiida_limsm.report.training import draw_history, training_text

    if text := training_text(results):
        click.echo(text)
    if figure:
        draw_history(results, where)
