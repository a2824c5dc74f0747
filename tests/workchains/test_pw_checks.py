"""Checks of pw.x inputs before anything is submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk

from aiida_limsm.workchains._pseudos import (
    check_cutoffs,
    check_pseudos,
    install_command,
    recommended_cutoffs_ry,
    require_pseudo_family,
)
from aiida_limsm.workchains._pw_checks import (
    check_md_inputs,
    check_occupations,
    check_pw_code,
    check_smearing,
    check_structure,
    check_supercell,
    check_time_step,
)
from aiida_limsm.workchains.isolated_atoms import IsolatedAtomsWorkChain

from .conftest import make_code

pytestmark = pytest.mark.usefixtures("pseudo_family")

#: As protocol fast has them.
PARAMETERS: dict[str, dict[str, Any]] = {
    "CONTROL": {"calculation": "md", "dt": 50.0},
    "SYSTEM": {
        "nosym": True,
        "occupations": "smearing",
        "smearing": "gaussian",
        "degauss": 0.02,
        "ecutwfc": 12.0,
        "ecutrho": 48.0,
    },
}


@pytest.fixture
def pseudos() -> dict[str, Any]:
    return dict(require_pseudo_family("limsm/demo").pseudos)


def structure(*args: Any, pbc: bool = True, **kwargs: Any) -> orm.StructureData:
    return orm.StructureData(ase=Atoms(*args, pbc=pbc, **kwargs))


def test_what_is_accepted(
    computer: orm.Computer, crystal: orm.StructureData, pseudos: dict[str, Any]
) -> None:
    """The demonstration's own input: one warning, of its low cutoffs."""
    code = make_code(computer, "/bin/true", "quantumespresso.pw")

    def check(**system: float) -> list[str]:
        parameters = PARAMETERS | {"SYSTEM": PARAMETERS["SYSTEM"] | system}
        return check_md_inputs(
            code=code,
            structure=crystal,
            pseudos=pseudos,
            parameters=parameters,
            steps=3,
            temperature=700.0,
            mobile_species="Li",
        )

    assert check() == [
        "SYSTEM.ecutwfc 12 Ry is below the 20 Ry recommended for Si limsm/demo",
        "SYSTEM.ecutrho 48 Ry is below the 80 Ry recommended for Si limsm/demo",
    ]
    assert check(ecutwfc=20.0, ecutrho=80.0) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: 0 asked; ask for at least one MD step"),
        ({"steps": -5}, "steps: -5 asked"),
        ({"temperature": -10.0}, "-10 K is not between 0 and 5000 K"),
        ({"mobile_species": "Na"}, "no Na in Li11Si4; give a structure that has the mobile"),
        ({"CONTROL": {"calculation": "scf"}}, "'scf', must be 'md'"),
        ({"CONTROL": {"calculation": "md", "dt": 200.0}}, "200 .* is 9.68 fs, far too long for Li"),
        ({"SYSTEM": {"nosym": False, "ecutwfc": 16.0}}, "nosym must be true"),
        ({"SYSTEM": {"nosym": True}}, "ecutwfc: give the cutoff"),
        ({"SYSTEM": {"nosym": True, "ecutwfc": 8.0}}, "8 Ry .* by more than half: raise it to 20"),
        ({"pseudos": {}}, "pseudos: none for kind 'Li'"),
        ({"structure": bulk("Si")[:1]}, "Si has one atom"),
    ],
)
def test_what_is_refused(
    computer: orm.Computer,
    crystal: orm.StructureData,
    pseudos: dict[str, Any],
    changes: dict[str, Any],
    message: str,
) -> None:
    changes = dict(changes)
    parameters = PARAMETERS | {key: changes.pop(key) for key in PARAMETERS if key in changes}
    if "structure" in changes:
        changes["structure"] = orm.StructureData(ase=changes["structure"])
    inputs = {
        "code": make_code(computer, "/bin/true", "quantumespresso.pw"),
        "structure": crystal,
        "pseudos": pseudos,
        "parameters": parameters,
        "steps": 3,
        "temperature": 700.0,
    }
    with pytest.raises(ValueError, match=message) as caught:
        check_md_inputs(**(inputs | changes))
    assert "\n" not in str(caught.value)


def test_a_code_that_is_not_pw(computer: orm.Computer) -> None:
    check_pw_code(make_code(computer, "/bin/true", "quantumespresso.pw"))
    code = make_code(computer, "/bin/false", "quantumespresso.neb")
    with pytest.raises(
        ValueError, match=r"code 'false@.*' is for the plugin 'quantumespresso.neb'"
    ):
        check_pw_code(code)


def test_structures() -> None:
    cell = [8.0, 8.0, 8.0]
    assert check_structure(structure("LiSi", [[0, 0, 0], [2.6, 0, 0]], cell=cell)) == []
    # across the boundary of the cell
    near = structure("LiSi", [[0.1, 0, 0], [7.0, 0, 0]], cell=cell)
    assert check_structure(near) == ["structure: Li 1 and Si 2 of LiSi are only 1.10 Å apart"]
    with pytest.raises(ValueError, match=r"Li 1 and Li 2 of Li2 are 0.10 Å apart; remove the dup"):
        check_structure(structure("Li2", [[0, 0, 0], [0.1, 0, 0]], cell=cell))
    with pytest.raises(ValueError, match="not periodic in all three directions"):
        check_structure(structure("Li", pbc=False, cell=cell))
    partly = orm.StructureData(cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    partly.append_atom(position=(0, 0, 0), symbols="Li", weights=0.5)
    with pytest.raises(ValueError, match=r"Li.* has partly occupied sites; give an ordered cell"):
        check_structure(partly)


def test_a_pseudopotential_of_another_element(pseudos: dict[str, Any]) -> None:
    lithium = structure("Li", cell=[3.0, 3.0, 3.0])
    check_pseudos(lithium, {"Li": pseudos["Li"]})
    with pytest.raises(ValueError, match="kind 'Li' is Li, but its pseudopotential is of Si"):
        check_pseudos(lithium, {"Li": pseudos["Si"]})
    with pytest.raises(ValueError, match="no kind 'Si', only Li; leave it out"):
        check_pseudos(lithium, pseudos)


@pytest.mark.parametrize(
    ("symbol", "dt", "verdict"),
    [
        ("Li", 41.34, None),
        ("Li", 50.0, None),
        ("Li", 60.0, "is 2.9 fs, long for Li: use up to 52 .2.5 fs"),
        ("H", 41.34, "too long"),
        ("H", 30.0, "is 1.45 fs, long for H: use up to 20"),
        ("H", 10.3, None),
        ("Li", 2.0, "is 0.0968 fs, very short for Li: .* was it meant in fs"),
        ("Si", 100.0, None),
        ("Li", 0.0, "give a positive time step"),
    ],
)
def test_time_steps(symbol: str, dt: float, verdict: str | None) -> None:
    """Si beside each: the lightest element counts."""
    cell = structure([symbol, "Si"], [[0, 0, 0], [3, 0, 0]], cell=[6.0, 6.0, 6.0])
    if verdict is None:
        assert check_time_step(cell, dt) == []
    elif "too long" in verdict or "positive" in verdict:
        with pytest.raises(ValueError, match=verdict):
            check_time_step(cell, dt)
    else:
        (warning,) = check_time_step(cell, dt)
        assert verdict.split(".*")[0].split(".2.5")[0] in warning


def test_masses_of_the_structure_count() -> None:
    """Hydrogen made heavy allows the time step of deuterium."""
    light = structure("H2", [[0, 0, 0], [0.8, 0, 0]], cell=[6.0, 6.0, 6.0])
    heavy = orm.StructureData(cell=light.cell)
    heavy.append_atom(position=(0, 0, 0), symbols="H", mass=2.014, name="H")
    dt = 25.0  # 1.21 fs
    assert len(check_time_step(light, dt)) == 1
    assert check_time_step(heavy, dt) == []


@pytest.mark.parametrize(
    ("smearing", "warned"),
    [("mv", True), ("cold", True), ("m-p", True), ("gaussian", False), ("F-D", False)],
)
def test_smearing_without_a_fermi_level(smearing: str, warned: bool) -> None:
    system = {"occupations": "smearing", "smearing": smearing, "degauss": 0.01}
    warnings = check_smearing(system)
    assert len(warnings) == int(warned)
    assert all("'gaussian' always does" in warning for warning in warnings)
    assert check_smearing({"occupations": "fixed", "smearing": smearing}) == []


def test_occupations(crystal: orm.StructureData) -> None:
    smearing = {"occupations": "smearing", "smearing": "mv", "degauss": 0.01}
    assert check_occupations(crystal, smearing) == []
    (warning,) = check_occupations(crystal, {})
    assert "Li11Si4 may be a metal: use 'smearing'" in warning
    salt = structure("LiCl", [[0, 0, 0], [2.5, 0, 0]], cell=[5.0, 5.0, 5.0])
    assert check_occupations(salt, {"occupations": "fixed"}) == []
    with pytest.raises(ValueError, match="'tetrahedra' is not for forces"):
        check_occupations(crystal, {"occupations": "tetrahedra"})
    with pytest.raises(ValueError, match=r"degauss: smearing needs a width in Ry"):
        check_occupations(crystal, {"occupations": "smearing"})


def test_supercells() -> None:
    check_supercell([2, 1, 3])
    for wrong in ([0, 1, 1], [2, 2], [-1, 1, 1], [1.5, 1, 1]):
        with pytest.raises(ValueError, match="give three whole numbers of at least 1"):
            check_supercell(wrong)  # type: ignore[arg-type]


def test_cutoffs_of_pseudopotentials_in_no_family(tmp_path: Path, pseudos: dict[str, Any]) -> None:
    """The file decides, not the name: one changed byte and nobody recommends anything."""
    from aiida_pseudo.data.pseudo import UpfData

    assert recommended_cutoffs_ry(pseudos["Li"]) == (
        pytest.approx(16.0), pytest.approx(64.0), "limsm/demo",
    )  # fmt: skip
    path = tmp_path / "Li.UPF"
    path.write_text(pseudos["Li"].get_content() + "\n")
    with path.open("rb") as stream:
        other = UpfData(stream, filename="Li.UPF")
    assert recommended_cutoffs_ry(other) is None
    (warning,) = check_cutoffs({"Li": other}, {"ecutwfc": 5.0})
    assert "no installed family recommends cutoffs for Li.UPF" in warning


def test_a_density_cutoff_that_is_too_low(pseudos: dict[str, Any]) -> None:
    found = check_cutoffs({"Li": pseudos["Li"]}, {"ecutwfc": 16.0, "ecutrho": 60.0})
    assert found == [
        "SYSTEM.ecutrho 60 Ry is less than four times ecutwfc (16 Ry): forces and stress become "
        "noisy",
        "SYSTEM.ecutrho 60 Ry is below the 64 Ry recommended for Li limsm/demo",
    ]


def test_families() -> None:
    family = require_pseudo_family("limsm/demo", ["Li", "Si"])
    assert set(family.elements) == {"Li", "Si"}
    with pytest.raises(ValueError, match=r"'limsm/demo' has none for Cl, P: choose a family"):
        require_pseudo_family("limsm/demo", ["Li", "P", "Cl"])
    with pytest.raises(ValueError, match="not installed") as caught:
        require_pseudo_family("PseudoDojo/0.5/PBE/SR/standard/upf")
    message = str(caught.value)
    assert "installed: limsm/demo" in message
    assert "pseudo-dojo -v 0.5 -x PBE -r SR -p standard -f upf`" in message
    assert "`aiida-limsm setup` installs 'limsm/demo'" in message
    assert "\n" not in message


def test_families_of_aiida_pseudo_are_known_by_name(pseudos: dict[str, Any]) -> None:
    """A family of SSSP's own class and label, here with the shipped files."""
    from aiida_pseudo.groups.family import SsspFamily

    label = "SSSP/1.3/PBE/efficiency"
    family = SsspFamily(label=label).store()
    try:
        family.add_nodes(list(pseudos.values()))
        cutoffs = {element: {"cutoff_wfc": 14.0, "cutoff_rho": 100.0} for element in pseudos}
        family.set_cutoffs(cutoffs, "normal", unit="Ry")
        assert require_pseudo_family(label, ["Li", "Si"]).pk == family.pk
        # of two families that have the same file, the one that asks for less counts
        assert recommended_cutoffs_ry(pseudos["Si"]) == (
            pytest.approx(14.0),
            pytest.approx(100.0),
            label,
        )
    finally:  # the profile is shared by all tests
        orm.Group.collection.delete(family.pk)


@pytest.mark.parametrize(
    ("label", "command"),
    [
        ("SSSP/1.3/PBE/precision", "aiida-pseudo install sssp -v 1.3 -x PBE -p precision"),
        ("mine", "aiida-pseudo install sssp -v 1.3 -x PBE -p efficiency"),
    ],
)
def test_the_command_that_installs(label: str, command: str) -> None:
    assert install_command(label) == command


def test_builders_ask_for_their_family(computer: orm.Computer, crystal: orm.StructureData) -> None:
    """The balanced protocol takes SSSP, which is not installed here."""
    code = make_code(computer, "/bin/true", "quantumespresso.pw")
    with pytest.raises(ValueError, match=r"run `aiida-pseudo install sssp -v 1.3 -x PBE -p effic"):
        IsolatedAtomsWorkChain.get_builder_from_protocol(code, crystal)
