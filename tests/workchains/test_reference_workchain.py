"""ReferenceWorkChain: several start structures and temperatures, single points, one dataset."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.atomistic.crystals import li3si, li11si4
from aiida_limsm.workchains.reference import ReferenceWorkChain

pytestmark = pytest.mark.usefixtures("pseudo_family")


def displaced(atoms: Any, seed: int) -> orm.StructureData:
    atoms.rattle(0.08, seed=seed)
    return orm.StructureData(ase=atoms)


def builder(code: orm.Code, **kwargs: Any) -> Any:
    return ReferenceWorkChain.get_builder_from_protocol(
        code,
        {"vacancy": orm.StructureData(ase=li11si4()), "full": orm.StructureData(ase=li3si())},
        **{
            "label_structures": {"hot": displaced(li11si4(), 1), "warm": displaced(li11si4(), 2)},
            "temperatures_k": [500.0, 700.0],
            "protocol": "fast",
            "overrides": {
                "aimd": {"steps": 5},
                "dataset": {
                    "skip_frames": 0,
                    "stride": 1,
                    "gap_frames": 0,
                    "train_fraction": 0.5,
                    "valid_fraction": 0.25,
                },
            },
            **kwargs,
        },
    )


def refusal(filled: Any) -> str:
    error = ReferenceWorkChain.spec().inputs.validate(filled._inputs(prune=True))
    assert error is not None
    assert "\n" not in error.message
    return str(error.message)


@pytest.mark.slow
def test_structures_temperatures_and_single_points(pw_code: orm.Code) -> None:
    outputs, node = run_get_node(builder(pw_code))
    assert node.is_finished_ok, node.exit_message
    assert set(outputs["aimd"]) == {
        f"{name}_T{kelvin}K" for name in ("vacancy", "full") for kelvin in (500, 700)
    }  # fmt: skip
    dataset = outputs["dataset"]
    # each structure's first frame is the same at both temperatures, and counts once
    assert sum(dataset.counts.values()) == 4 * 5 + 2 - 2
    assert dataset.formulas == {"Li11Si4": 11, "Li12Si4": 9}
    assert set(dataset.e0s_ev) == {"Li", "Si"}
    seeds = [
        n.inputs.seed.value for n in node.called if n.process_label == "AimdWorkChain"
    ]  # no two runs start alike
    assert sorted(seeds) == [0, 1, 2, 3]

    # back to every job, also to single points
    from aiida_limsm.cli.trace import trace

    found = trace(dataset)
    roles = Counter(record.role for record in found.calculations)
    assert roles == {"AIMD segment": 4, "single point": 2, "isolated atom": 2}
    used = [r.frames_used for r in found.calculations if r.role == "AIMD segment"]
    assert sorted(used) == [4, 4, 5, 5]
    assert [r.frames_used for r in found.calculations if r.role == "single point"] == [1, 1]


@pytest.mark.slow
def test_a_run_that_fails_does_not_take_the_others_with_it(pw_code: orm.Code) -> None:
    """One start structure explodes: its frames are kept, but are no reference."""
    atoms = li11si4()
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.0, 0.55]
    overrides = {
        "aimd": {"steps": 5, "equilibration_steps": 0},
        "dataset": {
            "skip_frames": 0,
            "stride": 1,
            "gap_frames": 0,
            "train_fraction": 0.5,
            "valid_fraction": 0.25,
        },
    }
    filled = builder(pw_code, label_structures=(), temperatures_k=[500.0], overrides=overrides)
    filled.structures = {
        "good": orm.StructureData(ase=li11si4()), "bad": orm.StructureData(ase=atoms)
    }  # fmt: skip
    outputs, node = run_get_node(filled)
    assert node.exit_status == 410
    assert "bad_T500K (AimdWorkChain<" in node.exit_message
    assert "the limit is 2500 K" in node.exit_message
    assert outputs["dataset"].sources == ("aimd_good_T500K",)
    assert "bad_T500K" in outputs["aimd"], "what was computed is kept"


def test_one_energy_zero_for_all(pw_code: orm.Code) -> None:
    cutoff = {"pw": {"parameters": {"SYSTEM": {"ecutwfc": 16.0}}}}
    filled = builder(pw_code, overrides={"aimd": cutoff})
    for job in (filled.aimd.pw, filled.label.base.pw, filled.isolated_atoms.base.pw):
        assert job.parameters.get_dict()["SYSTEM"]["ecutwfc"] == 16.0
    assert set(filled.isolated_atoms.pseudos) == {"Li", "Si"}


def test_an_energy_zero_of_other_cutoffs_is_refused(pw_code: orm.Code) -> None:
    filled = builder(pw_code)
    parameters = filled.isolated_atoms.base.pw.parameters.get_dict()
    parameters["SYSTEM"]["ecutwfc"] = 30.0
    filled.isolated_atoms.base.pw.parameters = orm.Dict(parameters)
    assert "ecutwfc is 30.0, the MD uses 12.0" in refusal(filled)


@pytest.mark.parametrize(
    ("temperatures", "line"),
    [
        ([], "give temperatures in K"),
        ([-3.0], "give temperatures in K"),
        ([700.0, 700.0], "each only once"),
    ],
)
def test_wrong_temperatures(pw_code: orm.Code, temperatures: list[float], line: str) -> None:
    filled = builder(pw_code)
    filled.temperatures = orm.List(temperatures)
    assert line in refusal(filled)


def test_a_structure_without_the_mobile_species_is_named(pw_code: orm.Code) -> None:
    from ase.build import bulk

    filled = builder(pw_code)
    filled.structures.silicon = orm.StructureData(ase=bulk("Si", cubic=True))
    assert "structures.silicon: structure: there is no Li in Si8" in refusal(filled)


def test_an_energy_zero_that_cannot_be_fitted(pw_code: orm.Code) -> None:
    filled = ReferenceWorkChain.get_builder_from_protocol(
        pw_code,
        [orm.StructureData(ase=li11si4())],
        protocol="fast",
        overrides={"dataset": {"e0s": "fitted"}},
    )
    assert "isolated_atoms" not in filled._inputs(prune=True)
    assert "e0s='fitted' needs as many independent compositions" in refusal(filled)


def test_wrong_dataset_settings(pw_code: orm.Code) -> None:
    filled = builder(pw_code)
    with pytest.raises(ValueError, match="must leave frames for the test"):
        filled.dataset_parameters = orm.Dict({"train_fraction": 0.9, "valid_fraction": 0.1})


def test_no_structure(pw_code: orm.Code) -> None:
    with pytest.raises(ValueError, match="structures: give at least one"):
        ReferenceWorkChain.get_builder_from_protocol(pw_code, {}, protocol="fast")
