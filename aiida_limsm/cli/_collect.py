"""Read a finished transport study into the plain results that a report is made from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from aiida import orm
from numpy.typing import NDArray
from rich.console import Console

from aiida_limsm import __version__
from aiida_limsm.compute.results import (
    AnalyseResults,
    ErrorSummary,
    EvaluateResults,
    MdResults,
)
from aiida_limsm.compute.train_results import TrainResults
from aiida_limsm.report.study import AimdSummary, StageTime, Study, TemperatureResult

from ._demo_inputs import LIMITS
from ._stages import read_stages, stage_calls
from ._trace_text import print_trace
from .trace import Trace, trace


def collect_study(node: orm.WorkChainNode) -> Study:
    """Return the plain results of a LithiumTransportWorkChain that gave at least one D."""
    inputs, outputs = node.inputs, node.outputs
    sites = inputs.sites if "sites" in inputs else inputs.structure
    mobile = _md_parameters(node).get("mobile_species", "Li")
    names = sorted(outputs.diffusion)
    found = trace(outputs.diffusion[names[0]])
    repetitions = " × ".join(str(n) for n in inputs.supercell.get_list())
    formula = inputs.structure.get_formula()
    finetune = _called(node, "finetune")
    return Study(
        title=f"{mobile} diffusion in {formula}",
        formula=formula,
        sites_formula=sites.get_formula(),
        supercell=repetitions,
        mobile_species=mobile,
        generated_by=f"aiida-limsm {__version__}",
        aimd=tuple(_aimd(node)),
        held_out_before=_held_out(outputs, "errors_before"),
        held_out_after=_held_out(outputs, "errors_after"),
        parity_forces=_parity(finetune),
        history=_history(finetune),
        temperatures=tuple(_temperature(node, name) for name in names),
        trace_text=_trace_text(found),
        trace_rows=tuple(_trace_rows(found)),
        limits=LIMITS if node.label == "demo" else (),
        stages=tuple(
            StageTime(stage.name, stage.seconds, stage.pks[0])
            for stage in read_stages(node)
            if stage.seconds is not None and stage.pks
        ),
        settings=_settings(node),
    )


def _called(node: orm.WorkChainNode, label: str) -> Any:
    """Return the process that the study called under a label."""
    return dict(stage_calls(node))[label]


def _md_parameters(node: orm.WorkChainNode) -> dict[str, Any]:
    parameters: dict[str, Any] = node.inputs.md.md.parameters.get_dict()
    return parameters


def _aimd(node: orm.WorkChainNode) -> list[AimdSummary]:
    rows = []
    for name in sorted(node.outputs.aimd):
        process = _called(node, f"aimd_{name}")
        summary = process.outputs.summary.get_dict()
        rows.append(
            AimdSummary(
                temperature_k=process.inputs.temperature.value,
                frames=summary["frames"],
                duration_ps=summary["duration_ps"],
                pk=process.pk,
            )
        )
    return rows


def _held_out(outputs: Any, name: str) -> ErrorSummary | None:
    if name not in outputs:
        return None
    return EvaluateResults.model_validate(outputs[name].get_dict()).errors.get("test")


def _parity(finetune: Any) -> NDArray[np.float64] | None:
    """Return reference and predicted forces of the test frames, shape (atoms, 2, 3), eV/Å."""
    if "parity" not in finetune.outputs:
        return None
    import h5py

    with finetune.outputs.parity.open(mode="rb") as handle, h5py.File(handle, "r") as file:
        return np.asarray(file["test/forces"]) if "test" in file else None


def _history(finetune: Any) -> tuple[Any, ...]:
    if "output_parameters" not in finetune.outputs:
        return ()
    return TrainResults.model_validate(finetune.outputs.output_parameters.get_dict()).history


def _temperature(node: orm.WorkChainNode, name: str) -> TemperatureResult:
    outputs = node.outputs
    markov = _called(node, f"markov_{name}")
    dynamics = _called(node, f"md_{name}_r0")
    model = outputs.markov_models[name]
    diffusion = outputs.diffusion[name]
    return TemperatureResult(
        temperature_k=dynamics.inputs.md.parameters.get_dict()["temperature_k"],
        analysis=AnalyseResults.model_validate(markov.outputs.output_parameters.get_dict()),
        curves=model.curves(),
        md=MdResults.model_validate(dynamics.outputs.output_parameters.get_dict()),
        pks={
            "diffusion": diffusion.pk,
            "diffusion (MSD)": outputs.diffusion_msd[name].pk,
            "Markov model": model.pk,
            "trajectory": dynamics.outputs.trajectory.pk,
        },
        lattice=model.load().lattice,
    )


def _trace_text(found: Trace) -> str:
    stream = io.StringIO()
    print_trace(found, Console(file=stream, width=140, highlight=False))
    return stream.getvalue()


def _trace_rows(found: Trace) -> list[dict[str, str]]:
    def text(value: object) -> str:
        return "–" if value is None else str(value)

    return [
        {
            "PK": text(record.pk),
            "role": record.role,
            "cell": text(record.formula),
            "functional": text(record.functional),
            "cut-offs (Ry)": f"{text(record.ecutwfc_ry)} / {text(record.ecutrho_ry)}",
            "k-points": text(record.k_points),
            "pseudopotentials (md5)": ", ".join(
                f"{pseudo.element} {pseudo.md5[:8]}" for pseudo in record.pseudopotentials
            ),
            "frames": text(record.frames_parsed),
            "used": text(record.frames_used),
        }
        for record in found.calculations
    ]


def _settings(node: orm.WorkChainNode) -> dict[str, str]:
    """Return what was chosen, for the table of the report."""
    inputs = node.inputs
    md = _md_parameters(node)
    train = inputs.finetune.train.parameters.get_dict()
    info = inputs.foundation.info
    counts = node.outputs.dataset.counts
    return {
        "foundation model": f"{inputs.foundation.label or inputs.foundation.pk}, "
        f"{info.num_params} parameters, cut-off {info.r_max_angstrom:g} Å",
        "frames": ", ".join(f"{count} {split}" for split, count in counts.items()),
        "training": f"{train['max_epochs']} epochs, learning rate {train['learning_rate']:g}, "
        f"{train['dtype']}, seed {train['seed']}",
        "MLFF MD": f"{md['thermostat']}, {md['time_step_fs']:g} fs, "
        f"{md['steps'] * md['time_step_fs'] / 1000:g} ps after "
        f"{md['equilibration_steps'] * md['time_step_fs'] / 1000:g} ps, "
        f"{inputs.replicas.value} replica(s), seed {md['seed']}",
        "codes": ", ".join(
            sorted({inputs.reference.aimd.pw.code.full_label, inputs.md.md.code.full_label})
        ),
    }
