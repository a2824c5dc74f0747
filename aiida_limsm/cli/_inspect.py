"""Bring model files into the database: nothing in them is run here."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click
from aiida import orm

from aiida_limsm.atomistic.model_file import ModelFile, read_model_file
from aiida_limsm.compute.results import PotentialInfo
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.files import sha256_of

from ._published import Origin, published_origin


def import_potential(
    source: str,
    *,
    license: str | None = None,
    citation: str | None = None,
    folder: Path,
    trusted: bool = False,
) -> PotentialData:
    """Return the stored PotentialData of a model file or published name; made once per content.

    Parameters
    ----------
    source
        Path of a MACE model file, or a name that MACE downloads, such as ``medium-mpa-0``.
    license, citation
        Kept with the node; those that are known of a published model where None.
    folder
        Where a downloaded model is put.
    trusted
        The user's word that the file comes from where it should. Jobs load it with torch, which
        runs code from it. Models that MACE downloads itself need none.

    Raises
    ------
    click.ClickException
        With one line that names the remedy.
    """
    path = Path(source).expanduser()
    origin = Origin(None, None)
    if path.is_file():
        if known := stored_potential(sha256_of(path)):
            return known
        model = _read(path)
        if not trusted:
            raise click.ClickException(_unknown(source, model))
    else:
        path = _download(source, folder)
        model, origin = _read(path), published_origin(source)
        if known := stored_potential(model.description.sha256):
            return known
    if model.foreign:
        names = ", ".join(model.foreign)
        click.echo(
            f"warning: the file names {names}, which no MACE model needs; jobs refuse it unless "
            "LIMSM_TRUST_MODELS=1 is set in their environment",
            err=True,
        )
    node = PotentialData(
        path,
        PotentialInfo(**asdict(model.description)),
        license=license or origin.license,
        citation=citation or origin.citation,
    )
    node.label = path.stem
    return node.store()


def _read(path: Path) -> ModelFile:
    try:
        return read_model_file(path)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None


def _unknown(source: str, model: ModelFile) -> str:
    """Say what was found in a file of unknown origin, and how to import it."""
    found = "names only classes of MACE, e3nn and torch"
    if model.foreign:
        found = f"names {', '.join(model.foreign)}, which no MACE model needs"
    return (
        f"{source} ({model.description.architecture}, sha256 {model.description.sha256[:12]}…) is "
        f"unknown here and was not loaded; it {found}. Loading a model runs code from it: if you "
        f"trust where it comes from, say `aiida-limsm potential import {shlex.quote(source)} "
        "--trust`"
    )


def _download(source: str, folder: Path) -> Path:
    """Have MACE download a published model, in another process: this side loads no torch."""
    path = folder / f"{Path(source).name}.model"
    command = [sys.executable, "-m", "aiida_limsm.compute.cli", "inspect", source, "--json"]
    command += ["--copy-to", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"limsm inspect ended with {done.returncode}"]
        raise click.ClickException(lines[-1].removeprefix("limsm inspect: "))
    return path


def stored_potential(sha256: str) -> PotentialData | None:
    """Return the potential of that content, if there is one."""
    query = orm.QueryBuilder().append(PotentialData, filters={"attributes.sha256": sha256})
    node: PotentialData | None = query.first(flat=True)
    return node
