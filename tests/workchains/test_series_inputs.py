"""Bad input of a series stops before anything is submitted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiida import orm
from ase.build import bulk

from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.workchains._seeds import run_seed
from aiida_limsm.workchains._series_inputs import member_label, members_of
from aiida_limsm.workchains.series import DiffusionSeriesWorkChain


def filled(limsm_code, crystal, foundation, **kwargs):
    return DiffusionSeriesWorkChain.get_builder_from_protocol(
        limsm_code, crystal, foundation, **{"protocol": "fast", **kwargs}
    )


def refusal(builder):
    found = DiffusionSeriesWorkChain.spec().inputs.validate(builder._inputs(prune=True))
    return None if found is None else found.message


@pytest.mark.parametrize("protocol", ["fast", "balanced", "stringent"])
def test_protocols_give_valid_inputs(limsm_code, crystal, foundation, protocol):
    builder = filled(
        limsm_code, crystal, foundation, protocol=protocol, length_ns=0.1, store="remote"
    )
    assert refusal(builder) is None
    assert builder.md.md.store.value == "remote"
    parameters = builder.md.md.parameters
    assert parameters["steps"] * parameters["time_step_fs"] == 1e5
    members = members_of(builder.supercells.get_list(), builder.temperatures.get_list())
    assert len(members) == len(builder.supercells.get_list()) * len(builder.temperatures.get_list())


def test_large_cells_go_first():
    found = members_of([[1, 1, 1], [8, 1, 1], [2, 1, 1]], [298.15, 700])
    assert list(found) == [
        "s8x1x1_T298_15K", "s8x1x1_T700K", "s2x1x1_T298_15K", "s2x1x1_T700K",
        "s1x1x1_T298_15K", "s1x1x1_T700K",
    ]  # fmt: skip
    assert found["s8x1x1_T298_15K"] == {"supercell": [8, 1, 1], "temperature_k": 298.15}
    assert member_label((8, 1, 1), 700) == "s8x1x1_T700K"


def test_no_two_runs_share_a_seed():
    members = members_of([[n, 1, 1] for n in range(1, 9)], range(300, 1300, 25))
    seeds = [run_seed(2**31 - 1, member, replica) for member in members for replica in range(3)]
    assert len(set(seeds)) == len(seeds) == 960
    MdInput(temperature_k=300.0, steps=10, seed=max(seeds))
    # of the same member in another series too
    assert run_seed(1, "s1x1x1_T600K", 0) == run_seed(0, "s1x1x1_T600K", 1) == 330_828_711


def test_sizes_at_some_temperatures(limsm_code, crystal, foundation):
    builder = filled(
        limsm_code, crystal, foundation, supercells=[[2, 1, 1], [1, 1, 1], [4, 1, 1]],
        temperatures_k=[500.0, 600.0, 700.0], size_temperatures_k=[600.0],
    )  # fmt: skip
    assert refusal(builder) is None
    found = members_of(
        builder.supercells.get_list(),
        builder.temperatures.get_list(),
        builder.size_temperatures.get_list(),
    )
    # of all temperatures only the first that was named
    assert list(found) == [
        "s4x1x1_T600K", "s2x1x1_T500K", "s2x1x1_T600K", "s2x1x1_T700K", "s1x1x1_T600K",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"supercells": [[1, 1]]}, "supercell: give three whole numbers"),
        ({"supercells": [2, 1, 1]}, "supercells: each is three whole numbers, not 2"),
        ({"supercells": [[1, 1, 1], [1, 1, 1]]}, "supercells: each only once"),
        ({"temperatures_k": [700.0, 700.0]}, "temperatures: each only once"),
        ({"temperatures_k": [0.0]}, "temperatures: give temperatures in K"),
        ({"size_temperatures_k": [650.0]}, "650 K is none of the temperatures; add it there"),
        ({"length_ns": -1.0}, "length_ns: must be positive"),
        ({"sites": lambda: orm.StructureData(ase=bulk("Si"))}, "sites: there is no Li"),
        ({"protocol": "exact"}, "unknown protocol 'exact'"),
    ],
)
def test_the_builder_refuses(limsm_code, crystal, foundation, changes, message):
    values = {key: value() if callable(value) else value for key, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        filled(limsm_code, crystal, foundation, **values)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("supercells", [], "supercells: give at least one"),
        ("replicas", 0, "replicas: give at least 1"),
        ("max_concurrent", 0, "max_concurrent: give at least 1"),
        ("size_temperatures", [300.0], "300 K is none of the temperatures"),
        ("analysed", "mobile", "analysed: 'mobile' needs mobile_interval_steps"),
        ("analysed", "ions", "analysed: choose one of trajectory, mobile, not 'ions'"),
    ],
)
def test_the_process_refuses(limsm_code, crystal, foundation, name, value, message):
    builder = filled(limsm_code, crystal, foundation)
    builder[name] = orm.to_aiida_type(value)
    assert message in refusal(builder)


def test_mobile_ions_at_their_own_interval(limsm_code, crystal, foundation):
    overrides = {"md": {"md": {"mobile_interval_steps": 2}}}
    builder = filled(limsm_code, crystal, foundation, analysed="mobile", overrides=overrides)
    assert refusal(builder) is None


def test_runs_of_one_job_are_refused(limsm_code, crystal, foundation):
    builder = filled(limsm_code, crystal, foundation)
    parameters = builder.md.md.parameters.get_dict()
    builder.md.md.parameters = orm.Dict({**parameters, "replicas": 3})
    assert "md: leave replicas out" in refusal(builder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 401}, "md: input: steps (401) must be a multiple of frame_interval_steps"),
        ({"step": 400}, "md: step: "),
        # the series has it from elsewhere
        ({"temperature_k": None}, ""),
    ],
)
def test_parameters_of_the_runs_are_checked_first(
    limsm_code, crystal, foundation, changes, message
):
    builder = filled(limsm_code, crystal, foundation)
    parameters = {**builder.md.md.parameters.get_dict(), **changes}
    builder.md.md.parameters = orm.Dict({k: v for k, v in parameters.items() if v is not None})
    found = refusal(builder) or ""
    assert bool(found) == bool(message)
    assert message in found


def test_parameters_of_the_analysis_are_checked_first(limsm_code, crystal, foundation):
    builder = filled(limsm_code, crystal, foundation)
    parameters = builder.markov.analyse.parameters.get_dict()
    builder.markov.analyse.parameters = orm.Dict({**parameters, "lag_ps": -1.0})
    assert "markov: lag_ps" in refusal(builder)


def test_another_species_is_refused(limsm_code, crystal, foundation):
    builder = filled(limsm_code, crystal, foundation)
    parameters = builder.markov.analyse.parameters.get_dict()
    builder.markov.analyse.parameters = orm.Dict({**parameters, "species": "Si"})
    assert "markov: analyses Si, the MD has Li" in refusal(builder)


def test_the_examples_of_the_page(limsm_code, crystal, sites, foundation):
    page = (Path(__file__).parents[2] / "docs" / "series.md").read_text()
    names = {"code": limsm_code, "structure": crystal, "sites": sites, "potential": foundation}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert names["md"].md.parameters["steps"] == 5_000_000
    assert refusal(names["series"]) is None
    assert names["series"].max_concurrent.value == 30
