"""``aiida-limsm doctor``: is everything in place, and if not, what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_limsm.cli._checks import Check, check_disk, check_environment, check_program
from aiida_limsm.cli.profile import PreparationError, load_limsm_profile, one_line
from aiida_limsm.cli.resources import CODES, FAMILY_LABEL, CodeSpec

if TYPE_CHECKING:
    from aiida.manage.configuration.profile import Profile
    from aiida.orm import Computer, InstalledCode

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
CACHED_PROCESS = "aiida.calculations:limsm.md"


def examine(profile: str | None = None) -> Iterator[Check]:
    """Make all checks, one after the other; without a profile those that need none.

    Parameters
    ----------
    profile
        Name of the profile; by default as in :func:`~aiida_limsm.cli.profile.load_limsm_profile`.
    """
    yield from check_environment()
    try:
        loaded = load_limsm_profile(profile)
    except PreparationError as error:
        yield Check("profile", "error", error.message, "run `aiida-limsm setup`")
        return
    from aiida.manage.configuration import get_config

    set_up = "aiida-limsm setup" + (f" --profile {loaded.name}" if profile else "")
    yield Check("profile", "ok", f"{loaded.name} in {get_config().dirpath}")
    yield _storage(loaded)
    yield _broker(loaded)
    yield _daemon(loaded, set_up)
    yield from _computers(set_up)
    for spec in CODES:
        yield from _codes(spec, set_up)
    yield _pseudopotentials(set_up)
    yield _caching()


def _storage(profile: Profile) -> Check:
    from aiida.manage import get_manager

    try:
        storage = get_manager().get_profile_storage()
        count = _count_nodes()
    except Exception as error:  # whatever a database raises is the finding
        remedy = "read the message; `verdi storage migrate` after an update of AiiDA"
        return Check("storage", "error", one_line(error), remedy)
    return Check(
        "storage", "ok", f"{type(storage).__name__} ({profile.storage_backend}), {count} nodes"
    )


def _count_nodes() -> int:
    from aiida.orm import Node, QueryBuilder

    return int(QueryBuilder().append(Node).count())


def _broker(profile: Profile) -> Check:
    kind = profile.process_control_backend
    if kind is None:
        remedy = f"verdi profile configure-broker core.zeromq -p {profile.name}"
        return Check("broker", "warning", "none: only `run`, no daemon", remedy)
    if kind == "core.zeromq":
        return Check("broker", "ok", "ZeroMQ, runs with the daemon")
    from aiida.manage import get_manager

    try:
        broker = get_manager().get_broker()
        if broker is not None:
            broker.get_communicator()
    except Exception as error:  # a connection fails in many ways
        return Check("broker", "error", f"{kind}: {one_line(error)}", "start the RabbitMQ server")
    return Check("broker", "ok", str(broker))


def _daemon(profile: Profile, set_up: str) -> Check:
    if profile.process_control_backend is None:
        return Check("daemon", "ok", "not used")
    from aiida.engine.daemon.client import get_daemon_client
    from aiida.manage import get_manager

    repair = "verdi daemon stop --timeout 60; verdi process repair; verdi daemon start"
    try:
        client = get_daemon_client(profile.name)
        if not client.is_daemon_running:
            return Check("daemon", "warning", "not running", f"{set_up} --daemon")
        workers = client.get_numprocesses()["numprocesses"]
    except Exception as error:  # circus answers late or not at all
        return Check("daemon", "error", one_line(error), repair)
    # A broker that was killed leaves the daemon running, and every new task pending.
    reachable = getattr(get_manager().get_broker(), "check_service_reachable", None)
    if reachable is not None and not reachable():
        return Check("daemon", "error", "runs, but its broker does not", repair)
    if workers < 1:
        return Check("daemon", "error", "runs without a worker", "verdi daemon incr")
    return Check("daemon", "ok", f"running, {workers} worker" + ("s" if workers > 1 else ""))


def _computers(set_up: str) -> Iterator[Check]:
    from aiida.orm import Computer, User

    user = User.collection.get_default()
    computers = Computer.collection.all()
    if not computers:
        yield Check("computers", "error", "none registered", set_up)
    for computer in sorted(computers, key=lambda each: str(each.label)):
        name = f"computer {computer.label}"
        if user is None or not computer.is_user_configured(user):
            remedy = f"verdi computer configure {computer.transport_type} {computer.label}"
            yield Check(name, "error", "not configured", remedy)
            continue
        detail = f"{computer.transport_type}, {computer.scheduler_type}, {computer.get_workdir()}"
        yield Check(name, "ok", detail)
        if computer.transport_type == "core.local":
            yield _threads(computer)
            yield check_disk(Path(computer.get_workdir()))


def _threads(computer: Computer) -> Check:
    name = f"threads on {computer.label}"
    setting = "OMP_NUM_THREADS="
    if setting in computer.get_prepend_text():
        value = computer.get_prepend_text().split(setting, 1)[1].split()[0]
        return Check(name, "ok", f"{value} per process, set by the computer")
    if "OMP_NUM_THREADS" in os.environ:
        return Check(name, "ok", f"{os.environ['OMP_NUM_THREADS']} per process, from this shell")
    remedy = "add `export OMP_NUM_THREADS=1` to the prepend text of the computer"
    return Check(name, "warning", "not limited: jobs take the cores from each other", remedy)


def _codes(spec: CodeSpec, set_up: str) -> Iterator[Check]:
    from aiida.orm import InstalledCode, QueryBuilder

    own = spec.label == "limsm"
    plugin = {"like": "limsm.%"} if own else spec.plugin
    query = QueryBuilder().append(InstalledCode, filters={"attributes.input_plugin": plugin})
    # `setup` renames a code whose program is gone: it stays for the provenance only.
    codes = [
        code
        for code in query.all(flat=True)
        if not code.is_hidden and f"-old-{code.pk}" not in code.label
    ]
    if not codes:
        yield Check(f"code {spec.executable}", "error", "none registered", set_up)
    for code in sorted(codes, key=lambda each: str(each.full_label)):
        yield _code(code, spec.plugin, set_up)


def _code(code: InstalledCode, plugin: str, set_up: str) -> Check:
    name = f"code {code.full_label}"
    program = Path(str(code.filepath_executable))
    if code.computer is not None and code.computer.transport_type != "core.local":
        remote = "runs on another machine: `verdi code test` looks there"
        return Check(name, "ok", f"{program}, not run ({remote})")
    return check_program(name, program, plugin, f"install it, then {set_up}")


def _pseudopotentials(set_up: str) -> Check:
    from aiida.orm import QueryBuilder
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily

    name = "pseudopotentials"
    query = QueryBuilder().append(CutoffsPseudoPotentialFamily, filters={"label": FAMILY_LABEL})
    found = query.first(flat=True)
    if found is None:
        return Check(name, "error", f"the family {FAMILY_LABEL} is missing", set_up)
    if not found.get_cutoff_stringencies():
        return Check(name, "error", f"the family {FAMILY_LABEL} has no cutoffs", set_up)
    cutoffs = ", ".join(
        f"{element} {found.get_recommended_cutoffs(elements=element, unit='Ry')[0]:g} Ry"
        for element in sorted(found.elements)
    )
    return Check(name, "ok", f"{FAMILY_LABEL}: {cutoffs} (demo quality)")


def _caching() -> Check:
    from aiida.manage.caching import get_use_cache

    if get_use_cache(identifier=CACHED_PROCESS):
        return Check("caching", "ok", "on: a calculation with the same inputs is not repeated")
    return Check("caching", "ok", "off: the same inputs are computed again")


def _print(check: Check, width: int) -> None:
    mark, colour = MARKS[check.status]
    click.echo(f"  {click.style(mark, fg=colour)} {check.name:<{width}}  {check.detail}")
    if check.remedy:
        click.echo(f"    {'':<{width}}  → {check.remedy}")


@click.command(
    "doctor",
    epilog="""\b
Examples:
  aiida-limsm doctor
  aiida-limsm doctor --profile mine
  aiida-limsm doctor --json | jq '.[] | select(.status != "ok")'""",
)
@click.option("--profile", metavar="NAME", help="The AiiDA profile to examine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def doctor_command(ctx: click.Context, profile: str | None, as_json: bool) -> None:
    """Check the installation, line by line, and say what to do.

    Changes nothing. The exit code is 1 when something needed is missing (✗); a warning (!) is
    something to know.
    """
    checks = []
    for check in examine(profile or ctx.obj):
        checks.append(check)
        if not as_json:
            _print(check, width=24)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    if any(check.status == "error" for check in checks):
        raise click.exceptions.Exit(1)
