"""``limsm convert``: any trajectory to H5MD."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from .terminal import existing_file, refuse

__all__ = ["FrameCounter", "convert", "split_symbols"]

EVERY_SECONDS = 0.2


class FrameCounter:
    """Says on a terminal how many frames are done, where their number is not known beforehand."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last = time.monotonic()
        self._shown = False

    def __call__(self, frames: int) -> None:
        """Show a number of frames."""
        if sys.stderr.isatty() and time.monotonic() - self._last > EVERY_SECONDS:
            self._last, self._shown = time.monotonic(), True
            click.echo(f"\r{self._name}: {frames} frames", nl=False, err=True)

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            click.echo("\r\033[K", nl=False, err=True)


def split_symbols(text: str | None) -> tuple[str, ...] | None:
    """Return the symbols of ``Li,Si`` or ``Li Si``."""
    return None if text is None else tuple(text.replace(",", " ").split())


@click.command()
@click.argument("source", type=existing_file())
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--frame-interval-fs",
    type=click.FloatRange(min=0, min_open=True),
    help="Time between frames, which most formats do not hold; H5MD does.",
)
@click.option(
    "--topology",
    type=existing_file(),
    help="Structure that names the atoms in the trajectory's order, where the trajectory does not.",
)
@click.option(
    "--species-order",
    metavar="Li,Si",
    help="Elements of the atom types 1, 2, … of a LAMMPS dump.",
)
def convert(
    source: Path,
    target: Path,
    frame_interval_fs: float | None,
    topology: Path | None,
    species_order: str | None,
) -> None:
    """Convert a trajectory to H5MD, with unwrapped positions.

    Reads extended XYZ, ASE .traj, XDATCAR, LAMMPS dumps, pw.x output, what else ASE reads, and H5MD
    of other programs or of a run that was killed. TARGET can be read by limsm, MDAnalysis and
    znh5md.

    \b
    Examples:
      limsm convert XDATCAR md.h5 --frame-interval-fs 20
      limsm convert dump.lammpstrj md.h5 --frame-interval-fs 100 --species-order Li,Si
      limsm convert killed.h5 saved.h5
    """  # noqa: D301 - click wants the backspace character itself
    from aiida_limsm.trajectory.formats import convert_to_h5md

    from .trajectories import read_numbers

    counter = FrameCounter(source.name)
    try:
        done = convert_to_h5md(
            source,
            target,
            None if frame_interval_fs is None else frame_interval_fs / 1000.0,
            topology=None if topology is None else read_numbers(topology),
            species_order=split_symbols(species_order),
            progress=counter,
        )
    except ValueError as error:
        counter.close()
        refuse("convert", str(error))
    except OSError as error:
        counter.close()
        refuse("convert", f"{error.filename or target}: {error.strerror or error}", 1)
    counter.close()
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{done.frames} frames in {target}")
