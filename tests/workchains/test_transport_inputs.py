"""Bad input stops before anything is submitted, with one line that names the remedy."""

from __future__ import annotations

import pytest
from aiida import orm
from ase.build import bulk

from aiida_limsm.workchains._reference_inputs import temperature_label
from aiida_limsm.workchains._transport_inputs import check_transport
from aiida_limsm.workchains.transport import LithiumTransportWorkChain

pytestmark = pytest.mark.usefixtures("pseudo_family")


def check(crystal, foundation, **changes):
    arguments = {
        "structure": crystal,
        "sites": crystal,
        "foundation": foundation,
        "mobile_species": "Li",
        "temperatures_k": [700.0],
        "supercell": [2, 2, 1],
        **changes,
    }
    check_transport(**arguments)


def silicon():
    return orm.StructureData(ase=bulk("Si", cubic=True))


def molecule():
    structure = orm.StructureData(cell=[[9, 0, 0], [0, 9, 0], [0, 0, 9]], pbc=[False] * 3)
    structure.append_atom(position=(0, 0, 0), symbols="Li")
    return structure


def sodium_cell():
    atoms = bulk("Li", cubic=True).repeat(2)
    atoms.symbols[0] = "Na"
    return orm.StructureData(ase=atoms)


def test_good_input_passes(crystal, foundation):
    check(crystal, foundation)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"structure": silicon}, "structure: there is no Li in Si8"),
        ({"sites": silicon}, "sites: there is no Li in Si8"),
        ({"structure": molecule}, "structure: must be periodic"),
        ({"structure": sodium_cell}, "Na"),
        ({"temperatures_k": []}, "temperatures: give temperatures in K"),
        ({"temperatures_k": [-3.0]}, "temperatures: give temperatures in K"),
        ({"temperatures_k": [700.0, 700.0]}, "each only once"),
        ({"supercell": [2, 2]}, "supercell: give three whole numbers"),
        ({"supercell": [2, 0, 1]}, "supercell: give three whole numbers"),
        ({"supercell": [0, 0, 0]}, "supercell: give three whole numbers"),
        ({"mobile_species": "Na"}, "there is no Na"),
    ],
)
def test_bad_input_is_refused_in_one_line(crystal, foundation, changes, message):
    values = {key: value() if callable(value) else value for key, value in changes.items()}
    with pytest.raises(ValueError, match=message) as caught:
        check(crystal, foundation, **values)
    assert "\n" not in str(caught.value)


def test_sites_larger_than_the_cell(crystal, sites, foundation):
    large = orm.StructureData(ase=sites.get_ase().repeat(2))
    with pytest.raises(ValueError, match="sites must tile the MD cell"):
        check(crystal, foundation, sites=large)


def builder(pw_code, limsm_code, crystal, foundation, **kwargs):
    return LithiumTransportWorkChain.get_builder_from_protocol(
        pw_code, limsm_code, crystal, foundation, protocol="fast", **kwargs
    )


def test_the_process_refuses_an_analysis_of_another_species(
    pw_code, limsm_code, crystal, foundation
):
    filled = builder(pw_code, limsm_code, crystal, foundation)
    parameters = filled.markov.analyse.parameters.get_dict()
    filled.markov.analyse.parameters = orm.Dict({**parameters, "species": "Si"})
    message = LithiumTransportWorkChain.spec().inputs.validate(filled._inputs(prune=True)).message
    assert "markov: analyses Si, the MD has Li as mobile species" in message


@pytest.mark.parametrize(
    ("temperature", "label"), [(700.0, "T700K"), (298.15, "T298_15K"), (1000, "T1000K")]
)
def test_temperature_label(temperature, label):
    assert temperature_label(temperature) == label


def test_the_dft_is_checked_too(pw_code, limsm_code, crystal, foundation):
    filled = builder(pw_code, limsm_code, crystal, foundation)
    parameters = filled.reference.aimd.pw.parameters.get_dict()
    parameters["SYSTEM"]["nosym"] = False
    filled.reference.aimd.pw.parameters = orm.Dict(parameters)
    message = LithiumTransportWorkChain.spec().inputs.validate(filled._inputs(prune=True)).message
    assert "nosym must be true" in message
