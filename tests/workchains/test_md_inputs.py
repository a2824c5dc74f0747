"""Length in ns and where trajectories stay, before anything is submitted."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.workchains.md import MolecularDynamicsWorkChain, steps_of


@pytest.mark.parametrize(
    ("length_ns", "time_step_fs", "interval", "steps"),
    [
        (1.0, 2.0, 50, 500_000),
        (0.3, 2.0, 50, 150_000),  # 0.3 / 1e-4 is 3000.0000000000005
        (1.0, 1.5, 10, 666_670),  # rounded up to a whole frame
        (1e-6, 2.0, 50, 50),
    ],
)
def test_steps_reach_the_length(length_ns, time_step_fs, interval, steps):
    md = {"time_step_fs": time_step_fs, "frame_interval_steps": interval}
    assert steps_of(length_ns, md) == steps
    assert steps * time_step_fs >= length_ns * 1e6 * (1 - 1e-9)
    MdInput(temperature_k=300.0, steps=steps, **md)


@pytest.mark.parametrize("length_ns", [0.0, -1.0, float("nan"), float("inf")])
def test_no_length(length_ns):
    with pytest.raises(ValueError, match="length_ns: must be positive"):
        steps_of(length_ns, {"time_step_fs": 2.0, "frame_interval_steps": 50})


def filled(limsm_code, crystal, foundation, **kwargs):
    return MolecularDynamicsWorkChain.get_builder_from_protocol(
        limsm_code, crystal, foundation, **kwargs
    )


def refusal(builder):
    found = MolecularDynamicsWorkChain.spec().inputs.validate(builder._inputs(prune=True))
    return None if found is None else found.message


def test_length_and_store_reach_the_job(limsm_code, crystal, foundation):
    builder = filled(limsm_code, crystal, foundation, length_ns=0.01, store="remote")
    assert builder.md.parameters["steps"] == 5000
    assert builder.md.store.value == "remote"
    assert refusal(builder) is None


@pytest.mark.parametrize("protocol", ["fast", "balanced", "stringent"])
def test_friction_equilibrates_and_does_not_slow_what_is_analysed(
    limsm_code, crystal, foundation, protocol
):
    parameters = filled(limsm_code, crystal, foundation, protocol=protocol).md.parameters
    assert parameters["equilibration_thermostat"] == "langevin"
    assert parameters["thermostat"] == "csvr"


def test_what_stays_is_not_cleaned_away(limsm_code, crystal, foundation):
    builder = filled(limsm_code, crystal, foundation, store="remote")
    builder.clean_workdir = orm.Bool(True)
    assert "clean_workdir: would remove the trajectories" in refusal(builder)


def test_no_other_place(limsm_code, crystal, foundation):
    with pytest.raises(ValueError, match="store: choose one of repository, remote, not 'moon'"):
        filled(limsm_code, crystal, foundation, store="moon")
