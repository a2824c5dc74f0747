"""LabelWorkChain with the real pw.x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.manage.caching import enable_caching
from ase import Atoms
from ase.build import bulk

from aiida_limsm.calculations.dft_settings import dft_settings, differing_settings, k_point_settings
from aiida_limsm.calculations.kpoints import kpoints_mesh
from aiida_limsm.workchains.aimd import AimdWorkChain
from aiida_limsm.workchains.label import LabelWorkChain

from .conftest import make_code

pytestmark = pytest.mark.usefixtures("pseudo_family")


def silicon(shift: float) -> Atoms:
    atoms = bulk("Si", "diamond", a=5.46)
    atoms.positions[1, 0] += shift
    return atoms


@pytest.fixture
def structures(crystal: orm.StructureData) -> dict[str, orm.StructureData]:
    """Three easy cells, and one that needs more than eight SCF cycles."""
    cells = {
        "a_hard": crystal.get_ase(),
        "b_silicon": silicon(0.1),
        "c_lithium": bulk("Li", "bcc", a=3.44),
        "d_silicon": silicon(0.0),
    }
    cells["a_hard"].rattle(0.1, seed=1)
    return {label: orm.StructureData(ase=atoms) for label, atoms in cells.items()}


def builder(code: orm.AbstractCode, structures: Any, cycles: int = 100, **overrides: Any) -> Any:
    electrons = {"ELECTRONS": {"electron_maxstep": cycles}}
    return LabelWorkChain.get_builder_from_protocol(
        code,
        structures,
        protocol="fast",
        overrides={
            "base": {"max_iterations": 1, "pw": {"parameters": electrons}},
            **overrides,
        },
    )


def running_at_submission(node: orm.WorkChainNode) -> list[int]:
    """Return how many children were on their way when each of them was submitted.

    AiiDA says in the log when a child is submitted and when it is done, in order of time.
    """
    events = [
        (log.time, log.message)
        for process in (node, *node.called)
        for log in orm.Log.collection.get_logs_for(process)
    ]
    counts, running = [], 0
    for _, message in sorted(events):
        if "_submit_single_point]" in message:
            counts.append(running)
            running += 1
        elif "PwBaseWorkChain|on_terminated]" in message:
            running -= 1
    return counts


@pytest.mark.slow
def test_labels(pw_code: orm.InstalledCode, structures: dict[str, orm.StructureData]) -> None:
    """The one that does not converge is left out, whatever the order in which jobs end."""
    inputs = builder(pw_code, structures, cycles=8, max_concurrent=2, max_failed_fraction=0.3)
    with enable_caching():
        outputs, node = run_get_node(inputs)
    assert node.is_finished_ok, node.exit_message
    (failed,) = outputs["summary"]["failed"]
    assert (failed["label"], failed["formula"]) == ("a_hard", "Li11Si4")
    assert failed["structure"] == structures["a_hard"].uuid
    assert "electronic minimization" in failed["reason"]
    assert (outputs["summary"]["asked"], outputs["summary"]["labelled"]) == (4, 3)

    counts = running_at_submission(node)
    # a place that becomes free is filled while the other calculation still runs
    assert counts[:2] == [0, 1]
    assert max(counts) == 1
    assert 1 in counts[2:]

    assert set(outputs["labels"]) == {"Li", "Si"}
    frames = outputs["labels"]["Si"]
    assert frames.base.attributes.get("labels") == ["b_silicon", "d_silicon"]
    assert frames.base.attributes.get("frames_are") == "single points"
    np.testing.assert_array_equal(
        frames.get_positions(), [silicon(0.1).positions, silicon(0.0).positions]
    )
    forces = frames.get_array("forces_ev_per_angstrom")
    # pushed along x, pulled back along x; little in the perfect crystal, where a shifted mesh
    # without symmetry leaves 0.02 eV/Å
    assert forces[0, 1, 0] < -0.3
    assert np.abs(forces[1]).max() < 0.05
    energies = frames.get_array("energies_ev")
    assert energies[1] < energies[0]
    settings = frames.base.attributes.get("dft_settings")
    assert settings["k_points"] == {"distance_per_angstrom": 0.52, "offset": [0.5, 0.5, 0.5]}
    assert settings["functional"] == "PBE"
    assert set(settings["pseudopotentials"]) == {"Li", "Si"}

    # once more, from AiiDA's cache: one at a time, and no failure allowed
    again = builder(pw_code, structures, cycles=8, max_concurrent=1, max_failed_fraction=0.0)
    with enable_caching():
        other, second = run_get_node(again)
    assert second.exit_status == 410
    assert "1 of 4 structures failed, the first a_hard: PwCalculation<" in second.exit_message
    assert running_at_submission(second) == [0, 0, 0, 0]
    for name, labelled in outputs["labels"].items():
        twin = other["labels"][name]
        assert twin.base.caching.compute_hash() == labelled.base.caching.compute_hash()


@pytest.mark.slow
def test_no_label_at_all(
    pw_code: orm.InstalledCode, structures: dict[str, orm.StructureData]
) -> None:
    outputs, node = run_get_node(builder(pw_code, {"lithium": structures["c_lithium"]}, cycles=1))
    assert node.exit_status == 300
    assert "None of 1 structures was labelled; lithium: PwCalculation<" in node.exit_message
    assert "electronic minimization" in node.exit_message
    assert outputs["summary"]["labelled"] == 0
    assert "labels" not in outputs


def test_a_calculation_that_was_waited_for_twice(
    computer: orm.Computer, structures: dict[str, orm.StructureData]
) -> None:
    """The callback of an earlier wait comes first where there is a broker; it changes nothing."""
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    process = instantiate_process(get_manager().get_runner(), builder(code, structures))
    child = orm.WorkChainNode().store()
    waits = []
    for _ in range(2):
        process._awaitables = []
        process.to_context(**{"done.a": child})
        waits += process._awaitables
    first, second = waits
    process._on_awaitable_finished(first)
    assert [own is second for own in process._awaitables] == [True]
    process._on_awaitable_finished(second)
    assert process._awaitables == []


def test_labels_and_md_of_one_protocol_are_one_reference(
    computer: orm.Computer, crystal: orm.StructureData
) -> None:
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    md = AimdWorkChain.get_builder_from_protocol(code, crystal, protocol="fast")
    label = builder(code, [crystal])

    def settings(parameters: orm.Dict, distance: orm.Float, offset: orm.List, pseudos: Any) -> Any:
        mesh = kpoints_mesh(crystal, distance, offset)
        k_points = k_point_settings(mesh, distance)
        return dft_settings(parameters.get_dict(), k_points, pseudos, "PBE")

    of_md = settings(md.pw.parameters, md.kpoints_distance, md.kpoints_offset, md.pw.pseudos)
    of_labels = settings(
        label.base.pw.parameters, label.base.kpoints_distance, label.kpoints_offset, label.pseudos
    )
    assert differing_settings(of_md, of_labels) == []
    assert of_md == of_labels


@pytest.mark.parametrize("protocol", ["fast", "balanced", "stringent"])
def test_protocols_agree_with_those_of_the_md(protocol: str) -> None:
    """Also those whose pseudopotentials come from the network."""
    md = AimdWorkChain.get_protocol_inputs(protocol)
    label = LabelWorkChain.get_protocol_inputs(protocol)
    assert label["base"]["pw"]["parameters"]["SYSTEM"] == md["pw"]["parameters"]["SYSTEM"]
    assert label["base"]["pseudo_family"] == md["pseudo_family"]
    assert label["base"]["kpoints_distance"] == md["kpoints_distance"]
    assert label["kpoints_offset"] == md["kpoints_offset"]


def test_one_set_of_cutoffs_for_all_elements(
    computer: orm.Computer, structures: dict[str, orm.StructureData]
) -> None:
    """Recommended for silicon (20 Ry), also in a batch that begins with lithium (16 Ry)."""
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    batch = [structures["c_lithium"], structures["d_silicon"]]
    made = LabelWorkChain.get_builder_from_protocol(
        code, batch, overrides={"base": {"pseudo_family": "limsm/demo"}}
    )
    system = made.base.pw.parameters["SYSTEM"]
    assert (system["ecutwfc"], system["ecutrho"]) == (20.0, 80.0)
    assert list(made.structures) == ["structure_0000", "structure_0001"]
    # what depends on the first structure only would make every batch a new calculation
    assert "etot_conv_thr" not in made.base.pw.parameters["CONTROL"]


@pytest.fixture
def refused(computer: orm.Computer, structures: dict[str, orm.StructureData]) -> Callable[..., str]:
    """Return a function that changes good inputs and gives the line with which they are refused."""

    def run(change: Callable[[Any], None], code: str = "quantumespresso.pw") -> str:
        made = builder(make_code(computer, "/bin/true", code), structures)
        assert LabelWorkChain.spec().inputs.validate(made._inputs(prune=True)) is None or (
            code != "quantumespresso.pw"
        )
        change(made)
        error = LabelWorkChain.spec().inputs.validate(made._inputs(prune=True))
        assert error is not None
        assert "\n" not in error.message
        return str(error.message)

    return run


def set_parameter(made: Any, namelist: str, key: str, value: Any) -> None:
    parameters = made.base.pw.parameters.get_dict()
    parameters[namelist][key] = value
    made.base.pw.parameters = orm.Dict(parameters)


def test_what_is_refused(refused: Callable[..., str]) -> None:
    def overlapping(made: Any) -> None:
        atoms = silicon(0.0)
        atoms.positions[1] = atoms.positions[0] + 0.1
        made.structures["e_wrong"] = orm.StructureData(ase=atoms)

    assert "structures.e_wrong: structure: Si 1 and Si 2 of Si2 are 0.17 Å apart" in refused(
        overlapping
    )
    for key, value, message in (
        ("calculation", "md", "'md', must be 'scf'"),
        ("tprnfor", False, "CONTROL.tprnfor must be true"),
        ("tstress", False, "CONTROL.tstress must be true"),
    ):
        assert message in refused(lambda made, k=key, v=value: set_parameter(made, "CONTROL", k, v))
    assert "did not converge is no label" in refused(
        lambda made: set_parameter(made, "ELECTRONS", "scf_must_converge", False)
    )
    assert "raise it to 20 Ry" in refused(
        lambda made: set_parameter(made, "SYSTEM", "ecutwfc", 9.0)
    )
    assert "max_concurrent: give at least 1" in refused(
        lambda made: setattr(made, "max_concurrent", orm.Int(0))
    )
    assert "max_failed_fraction: give a number between 0 and 1" in refused(
        lambda made: setattr(made, "max_failed_fraction", orm.Float(1.5))
    )
    assert "give three numbers that are 0 or 0.5" in refused(
        lambda made: setattr(made, "kpoints_offset", orm.List([0.3, 0, 0]))
    )
    assert "none for kind 'Si'" in refused(lambda made: made.pseudos.pop("Si"))
    assert "not for pw.x" in refused(lambda made: None, code="quantumespresso.neb")


def test_labels_that_aiida_does_not_take(
    computer: orm.Computer, structures: dict[str, orm.StructureData]
) -> None:
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    with pytest.raises(ValueError, match="'hot 1' is no label for AiiDA; use letters"):
        builder(code, {"hot 1": structures["c_lithium"]})
    with pytest.raises(ValueError, match="structures: give at least one"):
        builder(code, [])
