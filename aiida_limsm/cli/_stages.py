"""The stages of a transport study, read from the provenance while the daemon works."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

#: Label under which a study calls ReferenceWorkChain.
REFERENCE = "reference"
#: Name of each stage and the labels of the calls that belong to it, in order.
STAGES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("ab initio MD (pw.x)", re.compile(r"aimd_")),
    ("isolated atoms (pw.x)", re.compile(r"isolated_atoms$")),
    ("dataset", re.compile(r"build_dataset$")),
    ("fine-tuning (MACE)", re.compile(r"finetune$")),
    ("MLFF MD", re.compile(r"md_")),
    ("Markov state models", re.compile(r"markov_")),
)


@dataclass(frozen=True)
class StageState:
    """One stage: ``state`` is waiting, running, done or failed; ``seconds`` is wall time."""

    name: str
    state: str
    detail: str
    seconds: float | None
    pks: tuple[int, ...]


def read_stages(node: orm.WorkChainNode) -> list[StageState]:
    """Return the state of every stage of a LithiumTransportWorkChain."""
    calls = stage_calls(node)
    return [
        _stage(name, [(label, call) for label, call in calls if pattern.match(label)])
        for name, pattern in STAGES
    ]


def stage_calls(node: orm.WorkChainNode) -> list[tuple[str, Any]]:
    """Return label and process of what a study called, with the DFT runs one level below."""
    calls = []
    for link in node.base.links.get_outgoing(
        link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)
    ).all():
        if link.link_label == REFERENCE:
            calls += stage_calls(link.node)  # type: ignore[arg-type]
        else:
            calls.append((link.link_label, link.node))
    return calls


def _stage(name: str, calls: list[tuple[str, Any]]) -> StageState:
    if not calls:
        return StageState(name, "waiting", "", None, ())
    calls.sort(key=lambda call: call[1].pk)
    nodes = [call for _, call in calls]
    if any(node.is_terminated and not node.is_finished_ok for node in nodes):
        state = "failed"
    elif all(node.is_terminated for node in nodes):
        state = "done"
    else:
        state = "running"
    details = [_detail(label, node) for label, node in calls]
    start = min(node.ctime for node in nodes)
    end = max(node.mtime for node in nodes) if state == "done" else datetime.now(start.tzinfo)
    return StageState(
        name,
        state,
        " · ".join(detail for detail in details if detail),
        (end - start).total_seconds(),
        tuple(node.pk for node in nodes),
    )


def _detail(label: str, node: Any) -> str:
    """Say in a few words how far one call is."""
    match = re.match(r"[a-z]+_T([0-9_]+)K(?:_r(\d+))?", label)
    prefix = f"{match[1].replace('_', '.')} K: " if match else ""
    if node.is_terminated:
        if not node.is_finished_ok:
            return f"{prefix}{node.exit_message or node.process_state.value}"
        return _result(prefix, node)
    last = _last_job(node)
    text = _progress(last) if last is not None else ""
    return prefix + (text or ("started" if last is not None else "in the queue"))


def _result(prefix: str, node: Any) -> str:
    """Say what a finished call brought."""
    outputs = node.outputs
    if "diffusion" in outputs:
        return f"{prefix}D = {outputs.diffusion.format_d()}"
    if "summary" in outputs and "trajectory" in outputs:
        return f"{prefix}{outputs.summary.get_dict()['frames']} frames"
    if "errors_after" in outputs:
        rmse = [
            outputs[key].get_dict()["errors"]["test"]["rmse_forces_mev_per_angstrom"]
            for key in ("errors_before", "errors_after")
            if key in outputs
        ]
        return "held-out force RMSE " + " → ".join(f"{value:.0f}" for value in rmse) + " meV/Å"
    if "trajectory" in outputs:
        return f"{prefix}{outputs.trajectory.base.attributes.get('duration_ps'):.3g} ps"
    if "energies" in outputs:
        energies = outputs.energies.get_dict()
        return ", ".join(f"{symbol} {energy:.3f} eV" for symbol, energy in energies.items())
    if isinstance(node, orm.CalcFunctionNode) and "result" in outputs:
        counts = outputs.result.base.attributes.get("counts", None)
        if counts:
            return ", ".join(f"{count} {split}" for split, count in counts.items()) + " frames"
    return f"{prefix}done"


def _last_job(node: Any) -> orm.CalcJobNode | None:
    """Return the youngest unfinished job below a process; a training before an evaluation."""
    jobs = [
        job
        for job in node.called_descendants
        if isinstance(job, orm.CalcJobNode) and not job.is_terminated
    ]
    if isinstance(node, orm.CalcJobNode):
        jobs.append(node)
    jobs.sort(key=lambda job: (job.process_label != "EvaluateCalculation", job.pk))
    return jobs[-1] if jobs else None


def _progress(job: orm.CalcJobNode) -> str:
    """Read how far a job on this machine is; elsewhere only its scheduler state is known."""
    path = job.get_remote_workdir()
    if path is None or job.computer is None or job.computer.transport_type != "core.local":
        state = job.get_scheduler_state()
        return state.value if state is not None else ""
    folder = Path(path)
    if job.process_label == "PwCalculation":
        asked = job.inputs.parameters.get_dict()["CONTROL"].get("nstep")
        done = _count(folder / "aiida.out", b"Entering Dynamics")
        return f"step {done}/{asked}" if asked else "SCF"
    return _last_line(folder / "limsm.log")


def _count(path: Path, word: bytes) -> int:
    try:
        return path.read_bytes().count(word)
    except OSError:
        return 0


def _last_line(path: Path) -> str:
    """Return the last line of a log without reading all of it."""
    try:
        with path.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(handle.tell() - 400, 0))
            lines = handle.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
