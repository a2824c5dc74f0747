"""What NebComparisonWorkChain refuses before anything is submitted, and its protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from ase import Atoms

from aiida_limsm.compute.neb_inputs import NebInput
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.workchains._neb_inputs import validate_neb
from aiida_limsm.workchains.neb import NebComparisonWorkChain
from aiida_limsm.workchains.neb_mlff import MlffNebWorkChain


def atoms(x: float) -> Atoms:
    return Atoms("LiSi", [[1.0 + x, 1.0, 1.0], [4.0, 4.0, 4.0]], cell=[8] * 3, pbc=True)


def node(structure: Atoms) -> orm.StructureData:
    return orm.StructureData(ase=structure)


@pytest.fixture
def code(computer: orm.Computer) -> Callable[..., orm.InstalledCode]:
    def make(plugin: str) -> orm.InstalledCode:
        return orm.InstalledCode(
            label=plugin.rsplit(".", 1)[1], computer=computer, filepath_executable="/bin/true",
            default_calc_job_plugin=plugin, with_mpi=False,
        ).store()  # fmt: skip

    return make


@pytest.fixture
def potential(
    aiida_profile: Any, potential_file: Path, potential_info: dict[str, Any]
) -> PotentialData:
    return PotentialData(potential_file, potential_info).store()


@pytest.fixture
def inputs(code: Any, potential: PotentialData, pseudo_family: None) -> dict[str, Any]:
    """The inputs of a builder that is in order."""
    builder = NebComparisonWorkChain.get_builder_from_protocol(
        [node(atoms(0.0)), node(atoms(1.5))],
        {"foundation": potential},
        limsm_code=code("limsm.neb"),
        pw_code=code("quantumespresso.pw"),
        neb_code=code("quantumespresso.neb"),
        protocol="fast",
    )
    values: dict[str, Any] = builder._inputs(prune=True)
    return values


def test_in_order(inputs: dict[str, Any]) -> None:
    assert validate_neb(inputs, None) is None
    assert inputs["dft"].value == "neb"
    assert inputs["base"]["pw"]["parameters"]["SYSTEM"]["ecutwfc"] == 12.0


def squeezed(structure: Atoms) -> Atoms:
    structure.set_cell([8, 8, 8.2])
    return structure


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final": lambda: node(Atoms("LiSi2", atoms(1.5).positions[[0, 1, 1]], cell=[8] * 3))},
         "the final structure is LiSi2, the first is LiSi"),
        ({"final": lambda: node(atoms(1.5)[::-1])}, "give all images in one order of atoms"),
        ({"final": lambda: node(squeezed(atoms(1.5)))}, "has another cell than the first"),
        ({"final": lambda: node(atoms(0.01))}, "the end points are one structure"),
        ({"final": lambda: node(atoms(4.0))}, "two ways of one length"),
        ({"final": None}, "give either initial and final, or images"),
        ({"n_images": lambda: orm.Int(2)}, "n_images: 2 given, the least is 3"),
        ({"dft": lambda: orm.Str("vasp")}, "dft: 'vasp' is none of none, neb, single_points, both"),
        ({"potentials": None, "dft": lambda: orm.Str("none")}, "potentials: with dft 'none' give"),
        ({"base": None}, "base: dft 'neb' needs the inputs of pw.x, or set dft to 'none'"),
        ({"neb_code": None}, "neb_code: dft 'neb' needs the code of neb.x"),
        ({"mlff": None}, "mlff.code: potentials need the limsm code"),
        ({"path": lambda: orm.Dict({"num_of_images": 5})}, "path: num_of_images are set by the"),
        ({"heads": lambda: orm.Dict({"tuned": "a"})}, "heads: there is no potential tuned"),
        ({"heads": lambda: orm.Dict({"foundation": "a"})}, "'foundation' has no head 'a'"),
    ],
)  # fmt: skip
def test_refused(inputs: dict[str, Any], change: dict[str, Any], message: str) -> None:
    for name, value in change.items():
        if value is None:
            del inputs[name]
        else:
            inputs[name] = value()
    line = validate_neb(inputs, None)
    assert line is not None
    assert message in line
    assert "\n" not in line


def test_codes_and_labels(inputs: dict[str, Any], potential: PotentialData) -> None:
    wrong = {**inputs, "neb_code": inputs["base"]["pw"]["code"]}
    assert "is for quantumespresso.pw, not for quantumespresso.neb" in validate_neb(wrong, None)
    taken = {**inputs, "potentials": {"dft": potential}}
    assert validate_neb(taken, None) == "potentials: the label 'dft' is taken, choose another"
    fields = orm.Dict({"n_images": 9})
    owned = {**inputs, "mlff": {**inputs["mlff"], "parameters": fields}}
    assert "mlff.parameters: n_images come from other inputs" in validate_neb(owned, None)


def test_elements_of_a_potential(inputs: dict[str, Any]) -> None:
    for name in ("initial", "final"):
        structure = inputs[name].get_ase()
        structure.symbols[1] = "Ge"
        inputs[name] = node(structure)
    line = validate_neb(inputs, None)
    assert line.startswith("potentials.foundation: the potential knows Li, Si; the structure has")


def test_heads_of_a_multihead_potential(
    inputs: dict[str, Any], potential_file: Path, potential_info: dict[str, Any]
) -> None:
    potential_info["heads"] = ["pt_head", "Default"]
    inputs["potentials"] = {"tuned": PotentialData(potential_file, potential_info)}
    line = validate_neb(inputs, None)
    assert line == (
        "heads: choose one of pt_head, Default for 'tuned', such as {'tuned': 'Default'}"
    )
    inputs["heads"] = orm.Dict({"tuned": "Default"})
    assert validate_neb(inputs, None) is None


@pytest.mark.parametrize("protocol", ["fast", "balanced", "stringent"])
def test_protocols(protocol: str) -> None:
    inputs = NebComparisonWorkChain.get_protocol_inputs(protocol)
    job = NebInput.model_validate({**inputs["mlff"], "n_images": inputs["n_images"]})
    assert job.fmax_ev_per_angstrom <= inputs["path"]["path_thr"]
    assert NebComparisonWorkChain.get_default_protocol() == "balanced"


def test_builder_of_one_potential(code: Any, potential: PotentialData) -> None:
    builder = MlffNebWorkChain.get_builder_from_protocol(
        code("limsm.neb"), potential=potential, protocol="stringent"
    )
    fields = builder.mlff.parameters.get_dict()
    assert (fields["n_images"], fields["relax_ends"]) == (9, True)
    assert builder.mlff.metadata.options.max_wallclock_seconds == 21600


def test_without_codes_of_dft(code: Any, potential: PotentialData) -> None:
    ends = [node(atoms(0.0)), node(atoms(1.5))]
    builder = NebComparisonWorkChain.get_builder_from_protocol(
        ends, {"foundation": potential}, limsm_code=code("limsm.neb")
    )
    assert builder.dft.value == "none"
    with pytest.raises(ValueError, match=r"pw_code: dft 'neb' needs the code of pw\.x"):
        NebComparisonWorkChain.get_builder_from_protocol(
            ends, {"foundation": potential}, limsm_code=code("limsm.md"), dft="neb"
        )
