"""The command ``limsm``: what runs on the compute node, and by hand without AiiDA."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import click

from aiida_limsm import __version__

from .analyse_command import analyse
from .compare_command import compare
from .convert_command import convert
from .environment import configure_threads
from .evaluate_command import evaluate
from .jobs import job_options, run_job
from .neb_command import neb
from .propagate_command import propagate
from .results import PotentialInfo
from .train_command import train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="limsm")
def main() -> None:
    """Train and run machine-learned force fields, analyse ion transport; without AiiDA.

    \b
    From any MD trajectory to a diffusion tensor with its error:
      limsm analyse md.h5 --structure LiSi.cif -o analysis
      limsm analyse XDATCAR --structure POSCAR --frame-interval-fs 20
      limsm convert XDATCAR md.h5 --frame-interval-fs 20
      limsm compare aimd.h5 md.h5   g(r) and vibrations, side by side
      limsm propagate analysis      ions spreading over a million sites

    \b
    From a potential to a trajectory; these read a JSON file, work in its
    folder and write results.json there:
      limsm md input.json           run, or continue what was stopped
      limsm md input.json --set steps=100000
      limsm neb start.cif end.cif --potential my.model     path and barrier of a jump
      limsm evaluate my.model test.xyz     errors on labelled frames
      limsm spread input.json       where the members of a committee disagree
      limsm md --fields             every field with its unit, type, default
      limsm inspect my.model        elements, cut-off, heads, E0s

    limsm COMMAND --help has more examples.
    """  # noqa: D301 - click wants the backspace character itself


def _add(name: str, help_text: str) -> None:
    @main.command(name, help=help_text, short_help=help_text.split("\n")[0].split(";")[0])
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
    "spread",
    """Spread of a committee's forces on the frames of a trajectory; no labels are needed.

    \b
    Example:
      limsm spread --folder run --set 'potential_files=["1.model","2.model"]'
    with run/trajectory.h5 (or --set trajectory_file=FILE); writes run/spread.h5.
    """,
)
for _command in (train, convert, analyse, compare, propagate, evaluate, neb):
    main.add_command(_command)


@main.command()
@click.argument("source", metavar="SOURCE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--copy-to", type=click.Path(path_type=Path, dir_okay=False), help="Also copy the model here."
)
def inspect(source: str, as_json: bool, copy_to: Path | None) -> None:
    """Describe a MACE model; nothing in the file is run.

    SOURCE is a file, or a published name that MACE downloads.
    """
    configure_threads(1)
    from aiida_limsm.atomistic.model_file import read_model_file

    try:
        path = Path(source).expanduser()
        if not path.is_file():
            from aiida_limsm.atomistic.potential import locate_model

            path = locate_model(source)
        model = read_model_file(path)
    except (OSError, ValueError) as error:
        click.echo(f"limsm inspect: {error}", err=True)
        raise SystemExit(2) from None
    info = PotentialInfo(**asdict(model.description))
    if model.foreign:
        names = ", ".join(model.foreign)
        click.echo(f"warning: it names {names}, which no MACE model needs", err=True)
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


if __name__ == "__main__":
    main()
