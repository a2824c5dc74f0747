"""``aiida-limsm aimd PK``: look at an ab initio MD run, in words and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from aiida import orm
from aiida.cmdline.params import arguments

from ._figure import figure_options, refuse_existing, require_workchain, write_figure

if TYPE_CHECKING:
    from aiida_limsm.report.aimd import AimdColumns


@click.command(
    "aimd",
    epilog="""\b
Examples:
  aiida-limsm aimd 1234                  segments, temperature, conserved energy, warnings
  aiida-limsm aimd 1234 -o aimd.png      the same as a picture""",
)
@arguments.NODE()
@figure_options
def aimd_command(node: orm.Node, output: Path | None, force: bool) -> None:
    """Show what the AimdWorkChain NODE gave: also of one that failed on the way."""
    run = require_workchain(node, "AimdWorkChain", "gave no frame")
    refuse_existing(output, force)
    click.echo(describe(run))
    if output is None:
        return
    from aiida_limsm.report.aimd import aimd_figure

    summary = run.outputs.summary.get_dict()
    figure = aimd_figure(
        read_columns(run),
        run.inputs.temperature.value,
        [segment["start"] for segment in summary["segments"]],
        summary["equilibration_frames"] * summary["time_step_fs"] / 1000.0,
        f"{run.inputs.structure.get_formula()}, PK {run.pk}",
    )
    write_figure(figure, output)


def describe(node: Any) -> str:
    """Return the lines that say what a run was."""
    from aiida_limsm.report.format import format_table

    summary = node.outputs.summary.get_dict()
    drift = summary["conserved_energy_drift_mev_per_atom_ps"]
    asked = node.inputs.temperature.value
    rows = [
        ("cell", node.inputs.structure.get_formula()),
        (
            "frames",
            f"{summary['frames']} of {node.inputs.steps.value}, {summary['duration_ps']:.3g} ps, "
            f"after {summary['equilibration_frames']} of equilibration",
        ),
        ("time step", f"{summary['time_step_fs']:.3g} fs"),
    ]
    if summary["mean_temperature_k"] is not None:
        mean, spread = summary["mean_temperature_k"], summary["std_temperature_k"]
        rows.append(("temperature", f"{mean:.0f} K, spread {spread:.0f} K; asked {asked:g} K"))
    if drift is not None:
        rows.append(
            (
                "conserved energy",
                f"drift {drift:+.2f} meV/atom/ps, range "
                f"{summary['conserved_energy_spread_mev_per_atom']:.2f} meV/atom",
            )
        )
    for number, segment in enumerate(summary["segments"]):
        how = {"start": "start", "restart": "continued", "velocities": "from velocities"}
        rows.append(
            (
                f"job {number}",
                f"{segment['frames']} frames from {segment['first_frame']}, "
                f"{how[segment['start']]}; {segment['message']}",
            )
        )
    lines = [f"{node.process_label} PK {node.pk}", format_table(rows)]
    lines += [f"  warning: {text}" for text in summary["warnings"]]
    if node.exit_status:
        lines.append(f"  ended with {node.exit_status}: {node.exit_message}")
    return "\n".join(lines)


def read_columns(node: Any) -> AimdColumns:
    """Return the frames of a run, equilibration and production in one."""
    import numpy as np

    from aiida_limsm.report.aimd import AimdColumns

    parts = [node.outputs[name] for name in ("equilibration", "trajectory") if name in node.outputs]

    def joined(name: str) -> Any:
        return np.concatenate([part.get_array(name) for part in parts])

    atoms = len(node.inputs.structure.sites)
    total = joined("energies_ev") + joined("kinetic_energies_ev")
    conserved = joined("conserved_energy_ev")
    return AimdColumns(
        times_ps=joined("times"),
        temperature_k=joined("temperature_k"),
        total_mev_per_atom=1000.0 * (total - total[0]) / atoms,
        conserved_mev_per_atom=1000.0 * (conserved - conserved[0]) / atoms,
        scf_cycles=joined("scf_cycles"),
        segment=joined("segment"),
    )
