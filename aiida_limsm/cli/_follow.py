"""Follow a transport study on the terminal until it ends."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from aiida import orm
from aiida.manage import get_manager
from rich.console import Console
from rich.live import Live
from rich.table import Table
from sqlalchemy.exc import OperationalError

from ._hint import command
from ._stages import StageState, read_stages

_MARKS = {"waiting": " ", "running": "▸", "done": "✓", "failed": "✗"}
_POLL_SECONDS = 2.0
_HEARTBEAT_SECONDS = 20.0
_TRIES = 30


def clock(seconds: float | None) -> str:
    """Return minutes and seconds, ``1:05``."""
    return "" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def stage_table(stages: list[StageState]) -> Table:
    """Return the stages as a table."""
    table = Table.grid(padding=(0, 1))
    for stage in stages:
        table.add_row(_MARKS[stage.state], stage.name, clock(stage.seconds), stage.detail)
    return table


def follow(node: orm.WorkChainNode, console: Console | None = None) -> None:
    """Show the stages until the workchain has ended.

    On a terminal the table is redrawn; otherwise a line is printed when a stage changes, and at
    least every 20 s while one runs. Ctrl-C stops the looking, not the work.
    """
    console = console or Console()
    try:
        if sys.stdout.isatty():
            with Live(console=console, refresh_per_second=2) as live:
                while True:
                    ended, stages = _look(node)
                    live.update(stage_table(stages))
                    if ended:
                        return
                    time.sleep(_POLL_SECONDS)
        _follow_lines(node)
    except KeyboardInterrupt:
        click.echo(
            "\nThe work goes on in the daemon. Look again with:  "
            f"{command(f'aiida-limsm follow {node.pk}')}\n"
            f"Stop it with:  {command(f'verdi process kill {node.pk}')}"
        )
        raise SystemExit(130) from None


def _look(node: orm.WorkChainNode) -> tuple[bool, list[StageState]]:
    """Read whether the study has ended, and its stages; a busy database is asked again."""
    for attempt in range(_TRIES):
        try:
            return node.is_terminated, read_stages(node)
        except OperationalError:  # SQLite: the daemon is writing
            storage: Any = get_manager().get_profile_storage()
            storage.get_session().rollback()
            if attempt == _TRIES - 1:
                raise click.ClickException(
                    "the database stays locked: look again later with "
                    f"`{command(f'aiida-limsm follow {node.pk}')}`"
                ) from None
            time.sleep(_POLL_SECONDS)
    raise AssertionError("unreachable")


def _follow_lines(node: orm.WorkChainNode) -> None:
    shown: dict[str, str] = {}
    spoke = time.monotonic()
    while True:
        ended, stages = _look(node)
        for stage in stages:
            if stage.state == "waiting":
                continue
            changed = shown.get(stage.name) != stage.state
            quiet = time.monotonic() - spoke > _HEARTBEAT_SECONDS
            if changed or (stage.state == "running" and quiet):
                shown[stage.name] = stage.state
                spoke = time.monotonic()
                click.echo(
                    f"{_MARKS[stage.state]} {stage.name:<22} {clock(stage.seconds):>6}  "
                    f"{stage.detail}"
                )
        if ended:
            return
        time.sleep(_POLL_SECONDS)
