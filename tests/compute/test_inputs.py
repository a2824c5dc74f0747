from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from aiida_limsm.compute.base import LimsmModel, Status, first_error
from aiida_limsm.compute.inputs import AnalyseInput, EvaluateInput, MdInput
from aiida_limsm.compute.results import (
    AnalyseResults,
    DiffusionEstimate,
    EvaluateResults,
    MdResults,
)
from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.compute.train_results import TrainResults

MD = {"temperature_k": 700.0, "steps": 100}
TRAIN = {"e0s_ev": {"Li": -12.0, "Si": -132.5}}
EVALUATE = {"dataset_files": {"test": "test.xyz"}}
ANALYSE = {"trajectory_files": ["md.h5"]}


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (MdInput, {**MD, "max_seconds": 60.0, "head": "Default", "thermostat": "nve"}),
        (TrainInput, {**TRAIN, "stage_two_epoch": 3, "extra_arguments": {"patience": 5}}),
        (TrainInput, {**TRAIN, "strategy": "scratch", "foundation_file": None, "architecture": {}}),
        (EvaluateInput, {**EVALUATE, "e0s_ev": {"Li": -1.0}}),
        (AnalyseInput, {**ANALYSE, "lag_ps": 1.5, "core_radius_angstrom": 0.6}),
    ],
)
def test_json_round_trip(model: type[LimsmModel], values: dict[str, Any]) -> None:
    made = model.model_validate(values)
    assert model.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    "results",
    [
        MdResults(status=Status.FORCES_EXPLODED, message="step 10: …", frames=2),
        TrainResults(status=Status.FINISHED, epochs=3),
        EvaluateResults(status=Status.INVALID_INPUT),
        AnalyseResults(status=Status.FINISHED, warnings=("few jumps",)),
    ],
)
def test_results_round_trip(results: LimsmModel) -> None:
    assert type(results).model_validate_json(results.model_dump_json()) == results


@pytest.mark.parametrize(
    ("model", "values", "line"),
    [
        (MdInput, {"steps": 10}, "temperature_k: Field required"),
        (MdInput, {**MD, "temperatur": 1}, "temperatur: Extra inputs are not permitted"),
        (MdInput, {**MD, "temperature_k": 0}, "temperature_k: Input should be greater than 0"),
        (MdInput, {**MD, "temperature_k": "nan"}, "temperature_k: Input should be a finite number"),
        (MdInput, {**MD, "time_step_fs": 11}, "time_step_fs: Input should be less than or equal"),
        (MdInput, {**MD, "steps": 0}, "steps: Input should be greater than 0"),
        (MdInput, {**MD, "equilibration_steps": -1}, "equilibration_steps: Input should be gr"),
        (MdInput, {**MD, "thermostat": "nose"}, "thermostat: Input should be 'langevin', "),
        (MdInput, {**MD, "engine": "lammps"}, "engine: Input should be 'mace' or 'ase'"),
        (
            MdInput,
            {**MD, "barostat": "isotropic"},
            "input: a barostat goes with thermostat 'nose_hoover",
        ),
        (
            MdInput,
            {**MD, "mobile_interval_steps": 3},
            "input: frame_interval_steps (10) must be a multi",
        ),
        (
            MdInput,
            {**MD, "more_temperatures_k": [700]},
            "input: more_temperatures_k repeats a temperature",
        ),
        (
            MdInput,
            {
                **MD,
                "thermostat": "nose_hoover_chain",
                "barostat": "flexible",
                "mobile_interval_steps": 5,
            },
            "input: mobile_interval_steps is for a constant cell",
        ),
        (
            MdInput,
            {**MD, "max_committee_spread_ev_per_angstrom": 0.1},
            "input: max_committee_spread_ev_per_angstrom needs committee_files",
        ),
        (MdInput, {**MD, "seed": 2**31}, "seed: Input should be less than 2147483648"),
        (MdInput, {**MD, "mobile_species": "lithium"}, "mobile_species: 'lithium' is no symbol"),
        (MdInput, {**MD, "max_temperature_factor": 1}, "max_temperature_factor: Input should be"),
        (MdInput, {**MD, "device": "gpu"}, "device: Input should be 'cpu' or 'cuda'"),
        (
            MdInput,
            {**MD, "steps": 95},
            "input: steps (95) must be a multiple of frame_interval_steps (10), "
            "else the last frame is not written",
        ),
        (TrainInput, {}, "input: e0s_ev: isolated-atom energies are needed for e0s 'isolated'"),
        (TrainInput, {"e0s_ev": {}}, "e0s_ev: Dictionary should have at least 1 item"),
        (TrainInput, {"e0s_ev": {"li": 1}}, "e0s_ev.li.[key]: 'li' is no symbol"),
        (TrainInput, {**TRAIN, "strategy": "full"}, "strategy: Input should be 'scratch', "),
        (TrainInput, {**TRAIN, "ema_decay": 1}, "ema_decay: Input should be less than 1"),
        (TrainInput, {**TRAIN, "weights": {"force": 1}}, "weights.force: Extra inputs are not"),
        (TrainInput, {**TRAIN, "architecture": {"r_max_angstrom": 0.5}}, "architecture.r_max_angs"),
        (
            TrainInput,
            {**TRAIN, "strategy": "scratch"},
            "input: strategy 'scratch' takes no foundation model: set it to null",
        ),
        (
            TrainInput,
            {**TRAIN, "strategy": "scratch", "foundation_file": None},
            "input: strategy 'scratch' needs the field 'architecture'",
        ),
        (
            TrainInput,
            {**TRAIN, "foundation_file": None},
            "input: strategy 'naive' needs a foundation model",
        ),
        (
            TrainInput,
            {**TRAIN, "strategy": "multihead", "replay_train_file": "replay.xyz"},
            "input: strategy 'multihead' needs replay frames to train on and to validate with: "
            "give a replay set, or take strategy 'naive'",
        ),
        (
            TrainInput,
            {**TRAIN, "replay_train_file": "replay.xyz"},
            "input: strategy 'naive' would not use the replay set: take 'multihead'",
        ),
        (
            TrainInput,
            {**TRAIN, "e0s": "estimated"},
            "input: e0s_ev would have no effect with e0s 'estimated': leave it out",
        ),
        (
            TrainInput,
            {
                "strategy": "scratch",
                "foundation_file": None,
                "architecture": {},
                "e0s": "foundation",
            },
            "input: e0s 'foundation' needs a foundation model",
        ),
        (
            TrainInput,
            {**TRAIN, "stage_two_epoch": 30},
            "input: stage_two_epoch (30) must come before max_epochs (30)",
        ),
        (
            TrainInput,
            {**TRAIN, "extra_arguments": {"name": "x", "E0s": "average"}},
            "input: extra_arguments: E0s, name are set by limsm: remove them",
        ),
        (EvaluateInput, {}, "dataset_files: Field required"),
        (EvaluateInput, {"dataset_files": {}}, "dataset_files: Dictionary should have at least 1"),
        (EvaluateInput, {**EVALUATE, "dtype": "float16"}, "dtype: Input should be 'float32' or"),
        (AnalyseInput, {"trajectory_files": []}, "trajectory_files: Tuple should have at least 1"),
        (AnalyseInput, {**ANALYSE, "skip_ps": -1}, "skip_ps: Input should be greater than or eq"),
        (AnalyseInput, {**ANALYSE, "pool": "all"}, "pool: Input should be 'none', 'trans"),
        (AnalyseInput, {**ANALYSE, "time_blocks": 1}, "time_blocks: Input should be greater than"),
        (AnalyseInput, {**ANALYSE, "bootstrap_samples": 5}, "bootstrap_samples: Input should be"),
        (AnalyseInput, {**ANALYSE, "number_of_lags": 101}, "number_of_lags: Input should be less"),
    ],
)
def test_wrong_values_are_named_in_one_line(
    model: type[LimsmModel], values: dict[str, Any], line: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    message = first_error(caught.value)
    assert message.startswith(line)
    assert "\n" not in message


def test_models_are_frozen() -> None:
    made = MdInput.model_validate(MD)
    with pytest.raises(ValidationError):
        made.steps = 5


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize(
    "field",
    ["isotropic_cm2_s", "isotropic_error_cm2_s", "upper_bound_cm2_s", "tensor_cm2_s",
     "error_cm2_s", "covariance_cm4_s2"],
)  # fmt: skip
def test_estimate_refuses_what_json_cannot_hold(
    diffusion_estimate: dict[str, Any], field: str, value: float
) -> None:
    held = diffusion_estimate[field]
    changed = [[value, *held[0][1:]], *held[1:]] if isinstance(held, list) else value
    assert DiffusionEstimate.model_validate(diffusion_estimate)
    with pytest.raises(ValidationError, match="finite number"):
        DiffusionEstimate.model_validate(diffusion_estimate | {field: changed})


def test_the_contract_loads_without_torch_and_ase() -> None:
    code = (
        "import sys, aiida_limsm.compute.inputs, aiida_limsm.compute.results, "
        "aiida_limsm.compute.cli\n"
        "print([m for m in ('torch', 'ase', 'mace', 'aiida', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
