"""Monitors that stop a job which only wastes time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiida.orm import CalcJobNode
    from aiida.transports import Transport

#: How messages begin, by which the workchain knows what to do.
SCF_STUCK = "the SCF is stuck"
RUNAWAY = "the MD runs away"

#: Enough for some hundred SCF cycles, or a step of some hundred atoms; a long run's output has
#: hundreds of MB, and the monitor asks once a minute.
_TAIL_BYTES = 400_000
#: By how much the accuracy has to improve in ``patience`` cycles; a healthy SCF needs some five.
_PROGRESS = 10.0
_TEMPERATURE = re.compile(r"temperature\s+=\s+(\S+) K")
_ACCURACY = re.compile(r"estimated scf accuracy\s+<\s+(\S+) Ry")
_SCF_START = re.compile(r"Self-consistent Calculation|Entering Dynamics|Program PWSCF")


def watch_pw_md(
    node: CalcJobNode,
    transport: Transport,
    max_temperature_k: float | None = None,
    patience: int = 30,
) -> str | None:
    """Stop a pw.x MD run whose SCF makes no progress or whose temperature explodes.

    Parameters
    ----------
    node, transport
        The running job and an open transport to its computer.
    max_temperature_k
        Limit of the instantaneous temperature.
    patience
        SCF cycles in which the accuracy has to become ten times better.

    Returns
    -------
    str or None
        Why the job has to be stopped.
    """
    name = node.get_option("output_filename") or "aiida.out"
    folder = node.get_remote_workdir()
    # the end of the file alone: fetching all of it each time would cost more than the job
    status, text, _ = transport.exec_command_wait(f"tail -c {_TAIL_BYTES} '{folder}/{name}'")
    return judge_pw_md(text, max_temperature_k, patience) if status == 0 else None


def judge_pw_md(text: str, max_temperature_k: float | None, patience: int) -> str | None:
    """Return why a run with this output should be stopped, or None."""
    temperatures = [_float(match) for match in _TEMPERATURE.findall(text)]
    if temperatures and max_temperature_k is not None and temperatures[-1] > max_temperature_k:
        return f"{RUNAWAY}: {temperatures[-1]:.0f} K is above {max_temperature_k:.0f} K"
    start = 0
    for match in _SCF_START.finditer(text):
        start = match.end()
    accuracies = [_float(match) for match in _ACCURACY.findall(text[start:])]
    if len(accuracies) > patience:
        before, lately = min(accuracies[:-patience]), min(accuracies[-patience:])
        if lately > before / _PROGRESS:
            return (
                f"{SCF_STUCK}: accuracy {lately:.1e} Ry after {len(accuracies)} cycles, "
                f"{before:.1e} Ry {patience} cycles before"
            )
    return None


def _float(text: str) -> float:
    """Read a Fortran number; asterisks mean that it was too large to print."""
    try:
        return float(text)
    except ValueError:
        return float("inf")
