"""Describe a potential in another process: the AiiDA side does not load torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
from aiida import orm

from aiida_limsm.compute.results import PotentialInfo
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.files import sha256_of


def import_potential(
    source: str, *, license: str | None = None, citation: str | None = None, folder: Path
) -> PotentialData:
    """Return the stored PotentialData of a model file or published name; made once per content.

    Parameters
    ----------
    source
        Path of a MACE model file, or a name that MACE downloads, such as ``medium-mpa-0``.
    license, citation
        Kept with the node.
    folder
        Where a downloaded model is put.

    Raises
    ------
    click.ClickException
        With one line that names the remedy.
    """
    path = Path(source).expanduser()
    # what is known already need not be loaded with torch again
    if path.is_file() and (known := stored_potential(sha256_of(path))):
        return known
    command = [sys.executable, "-m", "aiida_limsm.compute.cli", "inspect", source, "--json"]
    if not path.is_file():
        path = folder / f"{Path(source).name}.model"
        command += ["--copy-to", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"limsm inspect ended with {done.returncode}"]
        raise click.ClickException(lines[-1].removeprefix("limsm inspect: "))
    info = PotentialInfo.model_validate_json(done.stdout)
    if known := stored_potential(info.sha256):
        return known
    node = PotentialData(path, info, license=license, citation=citation)
    node.label = path.stem
    return node.store()


def stored_potential(sha256: str) -> PotentialData | None:
    """Return the potential of that content, if there is one."""
    query = orm.QueryBuilder().append(PotentialData, filters={"attributes.sha256": sha256})
    node: PotentialData | None = query.first(flat=True)
    return node
