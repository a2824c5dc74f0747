"""The command ``limsm``: what runs on the compute node, and by hand without AiiDA."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from aiida_limsm import __version__

from .analyse_command import analyse
from .base import JobError
from .environment import configure_threads
from .jobs import job_options, run_job


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="limsm")
def main() -> None:
    """Train, run and analyse machine-learned force fields for ion transport, without AiiDA.

    Every job reads one JSON file, works in that file's folder and writes results.json there;
    analyse also takes its options on the command line.

    \b
    Examples:
      limsm analyse md.h5 --structure sites.cif -o analysis
      limsm md input.json                  run, or continue what was stopped
      limsm md input.json --set steps=100000
      limsm md --fields                    every field with its unit, type and default
      limsm inspect my.model               elements, cut-off, heads, E0s of a MACE model
    """  # noqa: D301 - click wants the backspace character itself


def _add(name: str, help_text: str) -> None:
    @main.command(name, help=help_text)
    @click.argument("path", metavar="[INPUT.json]", required=False, type=click.Path(path_type=Path))
    @job_options
    def command(
        path: Path | None, settings: tuple[str, ...], folder: Path | None, fields: bool
    ) -> None:
        run_job(name, path, settings, folder, fields)


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
main.add_command(analyse)


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
