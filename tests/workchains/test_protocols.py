"""Every protocol of every workchain gives inputs that the jobs' own models accept."""

from __future__ import annotations

import warnings

import pytest

from aiida_limsm.calculations._refine_settings import RefineTargets, SelectionSettings
from aiida_limsm.calculations.dataset import DatasetSettings
from aiida_limsm.calculations.validate import Thresholds
from aiida_limsm.compute.compare_models import CompareInput
from aiida_limsm.compute.inputs import AnalyseInput, EvaluateInput, MdInput
from aiida_limsm.compute.spread_models import SpreadInput
from aiida_limsm.compute.train_inputs import TrainInput
from aiida_limsm.workchains.aimd import AimdWorkChain
from aiida_limsm.workchains.finetune import FineTuneWorkChain
from aiida_limsm.workchains.isolated_atoms import IsolatedAtomsWorkChain, unpaired_electrons
from aiida_limsm.workchains.markov import MarkovWorkChain
from aiida_limsm.workchains.md import MolecularDynamicsWorkChain
from aiida_limsm.workchains.neb import NebComparisonWorkChain
from aiida_limsm.workchains.reference import ReferenceWorkChain
from aiida_limsm.workchains.refine import RefineWorkChain
from aiida_limsm.workchains.series import DiffusionSeriesWorkChain
from aiida_limsm.workchains.train import TrainWorkChain
from aiida_limsm.workchains.transport import LithiumTransportWorkChain
from aiida_limsm.workchains.validate import ValidateWorkChain

ALL = (
    AimdWorkChain,
    DiffusionSeriesWorkChain,
    FineTuneWorkChain,
    IsolatedAtomsWorkChain,
    LithiumTransportWorkChain,
    ReferenceWorkChain,
    MarkovWorkChain,
    MolecularDynamicsWorkChain,
    NebComparisonWorkChain,
    RefineWorkChain,
    TrainWorkChain,
    ValidateWorkChain,
)
PROTOCOLS = ("fast", "balanced", "stringent")


@pytest.mark.parametrize("workchain", ALL)
def test_has_the_three_protocols(workchain):
    known = workchain.get_available_protocols()
    assert set(known) == set(PROTOCOLS)
    assert workchain.get_default_protocol() == "balanced"
    assert all(entry["description"] for entry in known.values())


@pytest.mark.parametrize("workchain", ALL)
def test_unknown_protocol_names_the_known_ones(workchain):
    with pytest.raises(ValueError, match=r"unknown protocol 'exact': choose one of .*stringent"):
        workchain.get_protocol_inputs("exact")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_job_fields_are_valid(protocol):
    train = FineTuneWorkChain.get_protocol_inputs(protocol)["train"]
    TrainInput.model_validate({**train, "e0s_ev": {"Li": -1.0}})
    evaluate = FineTuneWorkChain.get_protocol_inputs(protocol)["evaluate"]
    EvaluateInput.model_validate({**evaluate, "dataset_files": {"test": "test.xyz"}})
    MdInput.model_validate(MolecularDynamicsWorkChain.get_protocol_inputs(protocol)["md"])
    analyse = MarkovWorkChain.get_protocol_inputs(protocol)["analyse"]
    AnalyseInput.model_validate({**analyse, "trajectory_files": ("a.h5",)})
    DatasetSettings.model_validate(ReferenceWorkChain.get_protocol_inputs(protocol)["dataset"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fields_of_validation_and_active_learning(protocol):
    refine = RefineWorkChain.get_protocol_inputs(protocol)
    DatasetSettings.model_validate(refine["dataset"])
    RefineTargets.model_validate(refine["targets"])
    SelectionSettings.model_validate(refine["selection"])
    SpreadInput.model_validate({**refine["spread"], "potential_files": ("1.model", "2.model")})
    validate = ValidateWorkChain.get_protocol_inputs(protocol)
    Thresholds.model_validate(validate["thresholds"])
    EvaluateInput.model_validate({**validate["evaluate"], "dataset_files": {"test": "test.xyz"}})
    CompareInput.model_validate({**validate["compare"], "trajectory_files": ("a.h5", "b.h5")})
    for overrides in (refine["md"], validate["md"]):
        md = MolecularDynamicsWorkChain.get_protocol_inputs(protocol, overrides)["md"]
        MdInput.model_validate(md)


def test_cost_grows_with_the_protocol():
    lengths = [
        inputs["steps"] * inputs["time_step_fs"]
        for inputs in (MolecularDynamicsWorkChain.get_protocol_inputs(p)["md"] for p in PROTOCOLS)
    ]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize(
    ("symbol", "expected"), [("Li", 1), ("Si", 2), ("O", 2), ("P", 3), ("S", 2), ("Cl", 1)]
)
def test_unpaired_electrons(symbol, expected):
    assert unpaired_electrons(symbol) == expected


@pytest.mark.usefixtures("pseudo_family")
def test_aimd_builder(pw_code, crystal):
    builder = AimdWorkChain.get_builder_from_protocol(
        pw_code, crystal, temperature_k=650, steps=12, protocol="fast"
    )
    parameters = builder.pw.parameters.get_dict()
    assert parameters["CONTROL"]["calculation"] == "md"
    assert parameters["SYSTEM"]["nosym"] is True
    assert parameters["SYSTEM"]["ecutwfc"] == 12.0
    assert (builder.temperature.value, builder.steps.value) == (650.0, 12)
    # the shifted mesh has half the inequivalent points of the one through Γ
    assert builder.kpoints_offset.get_list() == [0.5, 0.5, 0.5]
    # a code without MPI and withmpi=True would make AiiDA except
    assert builder.pw.metadata.options.withmpi is False


def test_missing_pseudo_family_is_named(pw_code, crystal):
    with pytest.raises(ValueError, match="no/such/family"):
        AimdWorkChain.get_builder_from_protocol(
            pw_code,
            crystal,
            protocol="fast",
            overrides={"pseudo_family": "no/such/family"},
        )


@pytest.mark.usefixtures("pseudo_family")
def test_options_reach_every_job(pw_code, limsm_code, crystal, foundation):
    options = {"queue_name": "long", "max_wallclock_seconds": 1234}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder = LithiumTransportWorkChain.get_builder_from_protocol(
            pw_code, limsm_code, crystal, foundation, protocol="fast", options=options
        )
    for job in (
        builder.reference.aimd.pw,
        builder.reference.isolated_atoms.base.pw,
        builder.finetune.train,
        builder.finetune.evaluate,
        builder.md.md,
        builder.markov.analyse,
    ):
        assert job.metadata.options.queue_name == "long"
        assert job.metadata.options.max_wallclock_seconds == 1234
