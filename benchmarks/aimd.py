"""What AimdWorkChain itself costs beside the DFT that it runs: engine, parsing, joining."""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import time
from typing import Any

from measuring import SCRATCH, machine, note, save, table

#: 34 atoms at Γ, 12 Ry: 1.5 to 2 s a step on one core of the machine of the results.
OVERRIDES: dict[str, Any] = {
    "kpoints_distance": 20.0,
    "kpoints_offset": [0.0, 0.0, 0.0],
    "pw": {
        "settings": {"gamma_only": True},
        "parameters": {"CONTROL": {"dt": 41.34}, "ELECTRONS": {"conv_thr": 1e-6}},
    },
}


def main() -> None:
    """Run the MD, and compare the CPU time of this process with that of its children."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--segment", type=int, default=250, help="steps of one job")
    arguments = parser.parse_args()
    folder = SCRATCH / "aimd"
    shutil.rmtree(folder, ignore_errors=True)
    os.environ["AIIDA_PATH"] = str(folder)

    from aiida_limsm.cli.setup import prepare

    for outcome in prepare(folder, None, daemon=False):
        note(outcome.line().strip())
    began, before = time.monotonic(), cpu()
    outputs, node = run(arguments.frames, arguments.segment)
    wall, after = time.monotonic() - began, cpu()
    own, children = after[0] - before[0], after[1] - before[1]
    jobs = [job for job in node.called_descendants if job.process_label == "PwCalculation"]
    pw = [pw_seconds(job) for job in jobs]
    pw_cpu, pw_wall = (sum(column) for column in zip(*pw, strict=True))
    summary = outputs["summary"].get_dict()
    results = {
        "machine": machine(),
        "frames": summary["frames"],
        "jobs": len(jobs),
        "own_cpu_s": own,
        "children_cpu_s": children,
        "pw_cpu_s": pw_cpu,
        "pw_wall_s": pw_wall,
        "wall_s": wall,
        "mean_temperature_k": summary["mean_temperature_k"],
        "drift_mev_per_atom_ps": summary["conserved_energy_drift_mev_per_atom_ps"],
    }
    rows = [
        ["pw.x", f"{pw_cpu:.0f}", f"{pw_wall:.0f}", ""],
        ["AimdWorkChain: engine, parsing, joining", f"{own:.1f}", "", f"{own / pw_cpu:.1%}"],
        ["the run, from submission to outputs", "", f"{wall:.0f}", f"{wall / pw_wall - 1:.1%}"],
    ]
    save("aimd", results, {"cost": table(["", "CPU s", "wall s", "more than pw.x"], rows)})
    shutil.rmtree(folder)


def run(frames: int, segment: int) -> Any:
    """Run Li13Si4 at 700 K; return outputs and node."""
    from aiida import orm
    from aiida.engine import run_get_node

    from aiida_limsm.atomistic.crystals import lithium_silicide
    from aiida_limsm.workchains.aimd import AimdWorkChain

    builder = AimdWorkChain.get_builder_from_protocol(
        "pw@localhost",
        orm.StructureData(ase=lithium_silicide("Li13Si4")),
        temperature_k=700.0,
        steps=frames,
        protocol="fast",
        overrides={**OVERRIDES, "steps_per_segment": segment},
    )
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise RuntimeError(node.exit_message)
    return outputs, node


def cpu() -> tuple[float, float]:
    """Return user and system seconds of this process, and of its children that ended."""
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def pw_seconds(job: Any) -> tuple[float, float]:
    """Return CPU and wall seconds that pw.x printed at its end."""
    text = job.outputs.retrieved.base.repository.get_object_content("aiida.out")
    line = re.findall(r"PWSCF +:(.*)CPU(.*)WALL", text)[-1]
    return tuple(_seconds(part) for part in line)  # type: ignore[return-value]


def _seconds(text: str) -> float:
    """Read ``1h 2m 3.45s`` as pw.x prints it."""
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    return sum(
        float(value) * units[unit] for value, unit in re.findall(r"([\d.]+)\s*([dhms])", text)
    )


if __name__ == "__main__":
    main()
