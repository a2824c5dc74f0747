"""``aiida-limsm setup``: everything that has to be in a profile before the first calculation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from aiida_limsm.cli.profile import (
    CHECKOUT_AIIDA_PATH,
    THERE,
    Outcome,
    ensure_daemon,
    ensure_profile,
    load_limsm_profile,
    select_aiida_path,
)
from aiida_limsm.cli.resources import (
    COMPUTER_LABEL,
    FAMILY_LABEL,
    ensure_codes,
    ensure_computer,
    ensure_pseudo_family,
    program_folders,
)


def default_work_dir(aiida_path: Path) -> Path:
    """Return the folder for the jobs of an embedded profile: beside its data in a checkout."""
    if aiida_path.parent.name == ".limsm":
        return aiida_path.parent / "work"
    return aiida_path / "work"


def prepare(
    path: Path | None = None,
    profile: str | None = None,
    *,
    work_dir: Path | None = None,
    computer: str = COMPUTER_LABEL,
    daemon: bool = False,
) -> Iterator[Outcome]:
    """Prepare a profile step by step, yielding what each step did.

    Parameters
    ----------
    path
        Folder of the embedded profile; default ``$AIIDA_PATH``, else ``./.limsm/aiida``.
    profile
        Name of a profile that exists, to be used in place of the embedded one. Its options are
        left alone.
    work_dir
        Where the jobs of a newly registered computer run.
    computer
        Label of the computer.
    daemon
        Whether to start the daemon.
    """
    if profile is None:
        chosen = (path or select_aiida_path() or CHECKOUT_AIIDA_PATH).expanduser().resolve()
        yield ensure_profile(chosen)
        folder: Path | None = chosen
    else:
        if path is not None:
            select_aiida_path(path)
        load_limsm_profile(profile)
        yield Outcome(f"profile {profile}", THERE, "its options are left alone")
        folder = select_aiida_path(profile=profile)
    if work_dir is None:
        work_dir = default_work_dir(folder) if profile is None and folder else _own_work_dir()
    yield ensure_computer(work_dir.expanduser().resolve(), computer)
    yield from ensure_codes(computer, program_folders(folder))
    yield ensure_pseudo_family(FAMILY_LABEL)
    if daemon:
        yield ensure_daemon()


def _own_work_dir() -> Path:
    """Return where the jobs of a user's own profile run: beside its configuration."""
    from aiida.manage.configuration import get_config, get_profile

    profile = get_profile()
    name = profile.name if profile is not None else "limsm"
    return Path(get_config().dirpath) / "scratch" / name


@click.command(
    "setup",
    epilog="""\b
Examples:
  aiida-limsm setup                      profile `limsm` in $AIIDA_PATH or ./.limsm/aiida
  aiida-limsm setup --daemon             the same, and start its daemon
  aiida-limsm setup --profile mine       codes and pseudopotentials in your own profile""",
)
@click.option(
    "--path",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the profile (AIIDA_PATH).  [default: $AIIDA_PATH, else ./.limsm/aiida]",
)
@click.option("--profile", metavar="NAME", help="Prepare a profile of your own instead.")
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where jobs run, for a computer that is not registered yet.",
)
@click.option(
    "--computer", default=COMPUTER_LABEL, show_default=True, help="Label of this machine."
)
@click.option("--daemon/--no-daemon", default=False, show_default=True, help="Start the daemon.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what was changed or is missing.")
@click.pass_context
def setup_command(
    ctx: click.Context,
    path: Path | None,
    profile: str | None,
    work_dir: Path | None,
    computer: str,
    daemon: bool,
    quiet: bool,
) -> None:
    """Make the profile, computer, codes and pseudopotentials; what is there stays.

    May be repeated at any time. A code whose program vanished is replaced, the old one kept
    under another label.
    """
    start = time.monotonic()
    profile = profile or ctx.obj
    missing = False
    for outcome in prepare(path, profile, work_dir=work_dir, computer=computer, daemon=daemon):
        missing = missing or not outcome.ok
        if not quiet or outcome.state != THERE:
            click.echo(outcome.line())
    if not quiet:
        click.echo(f"  ready after {time.monotonic() - start:.1f} s")
    if missing:
        raise click.exceptions.Exit(1)
