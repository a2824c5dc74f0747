"""Looking at a study while the daemon writes to the same database."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from aiida import orm
from aiida.manage import get_manager
from plumpy import ProcessState

from aiida_limsm.cli._follow import _look, clock


@pytest.fixture
def study(aiida_profile):
    node = orm.WorkChainNode()
    node.set_process_label("LithiumTransportWorkChain")
    node.set_process_state(ProcessState.FINISHED)
    return node.store()


def test_clock():
    assert clock(None) == ""
    assert clock(65.4) == "1:05"


@pytest.mark.slow
def test_a_locked_database_is_asked_again(study):
    """SQLite gives up after five seconds; the looking must not."""
    storage = get_manager().get_profile_storage()
    database = Path(storage.profile.storage_config["filepath"]) / "database.sqlite"
    get_manager().get_profile_storage().get_session().expire_all()

    locked = threading.Event()

    def write_for_long() -> None:
        with contextlib.closing(sqlite3.connect(database)) as writer:
            writer.execute("BEGIN EXCLUSIVE")
            locked.set()
            time.sleep(7)
            writer.rollback()

    thread = threading.Thread(target=write_for_long)
    thread.start()
    locked.wait()
    started = time.monotonic()
    ended, stages = _look(study)
    thread.join()
    assert ended
    assert [stage.state for stage in stages] == ["waiting"] * 6
    assert time.monotonic() - started > 5
