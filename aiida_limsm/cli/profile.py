"""Find, make and load the AiiDA profile, and what has to be in it.

Nothing here imports AiiDA at the top: it reads ``AIIDA_PATH`` while it is imported, so that the
folder has to be chosen before.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aiida.manage.configuration.profile import Profile

PROFILE_NAME = "limsm"
#: The folder of a checkout that holds its AiiDA data.
CHECKOUT_AIIDA_PATH = Path(".limsm") / "aiida"

#: Options of the embedded profile. Its jobs are short and local: AiiDA's defaults are made for
#: remote machines that must not be asked too often.
PROFILE_OPTIONS: dict[str, Any] = {
    # How often a parent workchain looks after a child whose message got lost; default 60 s.
    "runner.poll.interval": 1,
    # One worker already handles 200 processes at once; a second one costs 150 MB and a core that
    # pw.x needs.
    "daemon.default_workers": 1,
    # A busy small machine answers late: with the default of 2 s `daemon start` reports a failure.
    "daemon.timeout": 30,
    # A local transport fails for lasting reasons (disk full): retry soon, then pause and tell.
    "transport.task_retry_initial_interval": 2,
    # An interrupted demo goes on where it was, and the same inputs are never computed twice.
    "caching.enabled_for": ["aiida.calculations:limsm.*", "aiida.calculations:quantumespresso.*"],
}


class PreparationError(click.ClickException):
    """Something outside this program is missing or broken: the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """What one step of the preparation found or did, for one line on the terminal."""

    what: str
    state: str
    detail: str = ""
    ok: bool = True

    def line(self) -> str:
        """Return the line that is printed."""
        detail = f"  {self.detail}" if self.detail else ""
        return f"  {'✓' if self.ok else '!'} {self.what:<38} {self.state}{detail}"


CREATED = "created"
THERE = "already there"
REPLACED = "replaced"
MISSING = "missing"


def has_config(path: Path) -> bool:
    """Return whether an AiiDA configuration exists in a folder, by AiiDA's naming."""
    folder = path if path.name == ".aiida" else path / ".aiida"
    return (folder / "config.json").is_file()


def has_profile(path: Path, name: str) -> bool:
    """Return whether the configuration in a folder knows a profile, without importing AiiDA."""
    folder = path if path.name == ".aiida" else path / ".aiida"
    try:
        return name in json.loads((folder / "config.json").read_text(encoding="utf-8"))["profiles"]
    except (OSError, ValueError, KeyError):
        return False


def select_aiida_path(path: Path | None = None, profile: str | None = None) -> Path | None:
    """Choose the AiiDA folder and set ``AIIDA_PATH`` accordingly.

    Parameters
    ----------
    path
        The folder to use. Without it: ``AIIDA_PATH`` when set, else ``./.limsm/aiida`` when that
        was set up, else AiiDA's own default.
    profile
        A profile that is wanted: ``./.limsm/aiida`` is passed over when only the user's own
        configuration has it.

    Returns
    -------
    Path or None
        The folder, or None for AiiDA's own default.
    """
    if path is None:
        if os.environ.get("AIIDA_PATH"):
            return Path(os.environ["AIIDA_PATH"])
        path = CHECKOUT_AIIDA_PATH
        if not has_config(path):
            return None
        if profile and has_profile(Path.home(), profile) and not has_profile(path, profile):
            return None
    path = path.expanduser().resolve()
    os.environ["AIIDA_PATH"] = str(path)
    if "aiida.manage.configuration.settings" in sys.modules:
        _redirect_loaded_aiida(path)
    return path


def _redirect_loaded_aiida(path: Path) -> None:
    """Make an AiiDA that is already imported use another folder."""
    from aiida.manage import configuration, get_manager
    from aiida.manage.configuration.settings import AiiDAConfigDir

    folder = path if path.name == ".aiida" else path / ".aiida"
    if AiiDAConfigDir.get() == folder:
        return
    get_manager().unload_profile()
    folder.mkdir(parents=True, exist_ok=True)
    AiiDAConfigDir.set(folder)
    reset: Any = configuration.reset_config
    reset()


def _loaded_profile() -> Profile | None:
    """Return the profile in use, without importing AiiDA, which would make its folder."""
    if "aiida.manage.manager" not in sys.modules:
        return None
    from aiida.manage import get_manager

    return get_manager().get_profile()


def load_limsm_profile(profile: str | None = None) -> Profile:
    """Load the profile that the commands work with, without changing it.

    Parameters
    ----------
    profile
        Name of the profile; by default the default one of the folder that
        :func:`select_aiida_path` chooses.

    Raises
    ------
    PreparationError
        When there is none, or it cannot be opened.
    """
    loaded = _loaded_profile()
    if loaded is not None and profile in (None, loaded.name):
        return loaded
    path = select_aiida_path(profile=profile)
    if not has_config(path or Path.home()):
        raise PreparationError("no AiiDA profile found: make one with `aiida-limsm setup`")
    from aiida.common.exceptions import AiidaException
    from aiida.manage import get_manager
    from aiida.manage.configuration import get_config, load_profile

    try:
        config = get_config()
        if profile is not None and profile not in config.profile_names:
            names = ", ".join(config.profile_names) or "none"
            raise PreparationError(f"no profile {profile!r} in {config.dirpath} (there: {names})")
        found = load_profile(profile, allow_switch=True)
        get_manager().get_profile_storage()
    except (AiidaException, OSError) as error:
        raise PreparationError(f"the AiiDA profile cannot be opened: {one_line(error)}") from error
    return found


def ensure_profile(path: Path, name: str = PROFILE_NAME) -> Outcome:
    """Make the embedded profile in a folder unless it is there, tune it and load it.

    SQLite storage and the ZeroMQ broker: no service to install, and the daemon works.

    Parameters
    ----------
    path
        The folder that becomes ``AIIDA_PATH``.
    name
        Name of the profile.
    """
    # Before AiiDA is imported, which would otherwise make folders in the home directory.
    (path / ".aiida").mkdir(parents=True, exist_ok=True)
    select_aiida_path(path)
    from aiida.manage.configuration import get_config

    config: Any = get_config(create=True)
    state = THERE
    if name not in config.profile_names:
        _create_profile(config, name)
        state = CREATED
    _require_storage(config, name)
    _let_readers_read(config, name)
    if config.default_profile_name is None:
        config.set_default_profile(name)
        config.store()
    changed = _tune(config, name)
    loaded = load_limsm_profile(name)
    _ensure_user(loaded)
    detail = f"{changed} options set" if changed and state == THERE else str(path)
    return Outcome(f"profile {name}", state, detail)


def _create_profile(config: Any, name: str) -> None:
    from aiida.manage.configuration import create_profile
    from aiida.plugins import BrokerFactory

    create_profile(
        config,
        name=name,
        email="limsm@localhost",
        storage_backend="core.sqlite_dos",
        storage_config={},
        broker_backend="core.zeromq",
        broker_config=BrokerFactory("core.zeromq").get_default_config(),
    )
    config.store()


def _require_storage(config: Any, name: str) -> None:
    """Refuse a profile whose files were moved: AiiDA keeps absolute paths."""
    folder = config.get_profile(name).storage_config.get("filepath")
    if folder is not None and not Path(folder).is_dir():
        raise PreparationError(
            f"the data of profile {name} are not in {folder} any more: move the folder back, or "
            f"remove {config.dirpath} and run the set-up again (this loses the profile's data)"
        )


def _let_readers_read(config: Any, name: str) -> None:
    """Set SQLite's write-ahead log, a property of the file.

    Without it whoever looks while the daemon commits waits, and after five seconds one of the
    two fails with "database is locked".
    """
    folder = config.get_profile(name).storage_config.get("filepath")
    database = Path(folder or "") / "database.sqlite"
    if not folder or not database.is_file():
        return
    # a daemon that writes just now keeps the mode as it is: the next set-up sets it
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(database)) as connection,
    ):
        connection.execute("PRAGMA journal_mode=WAL")


def _tune(config: Any, name: str) -> int:
    """Set what differs from :data:`PROFILE_OPTIONS`; return how many options that were."""
    changed = 0
    for option, value in PROFILE_OPTIONS.items():
        # A value that someone chose for this profile stays.
        if config.get_option(option, scope=name, default=False) is None:
            config.set_option(option, value, scope=name)
            changed += 1
    if changed:
        config.store()
    return changed


def _ensure_user(profile: Profile) -> None:
    """Finish a profile whose creation was interrupted before its user was stored."""
    from aiida.manage.configuration import create_default_user
    from aiida.orm import User

    if User.collection.get_default() is None:
        create_default_user(profile, "limsm@localhost")


def ensure_daemon(workers: int | None = None) -> Outcome:
    """Start the daemon of the loaded profile unless it runs.

    Parameters
    ----------
    workers
        How many; by default what the profile says.
    """
    from aiida.common.exceptions import ConfigurationError
    from aiida.engine.daemon.client import DaemonException, get_daemon_client
    from aiida.manage.configuration import get_config_option

    try:
        client = get_daemon_client()
        if client.is_daemon_running:
            return Outcome("daemon", THERE, f"process {client.get_daemon_pid()}")
        count = workers or int(get_config_option("daemon.default_workers"))
        client.start_daemon(number_workers=count, timeout=60)
    except (DaemonException, ConfigurationError) as error:
        raise PreparationError(
            f"the daemon did not start: {one_line(error)}; try `verdi daemon stop --timeout 60`, "
            "then again"
        ) from error
    return Outcome("daemon", "started", f"{count} worker" + ("s" if count > 1 else ""))


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return an error's text on one line, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
