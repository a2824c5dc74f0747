"""Single points become labelled frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from ase import Atoms

from aiida_limsm.calculations.label import collect_labels, single_point
from aiida_limsm.units import GPA_TO_EV_PER_ANGSTROM3

PARAMETERS = {"SYSTEM": {"ecutwfc": 12.0, "ecutrho": 48.0, "smearing": "mv", "degauss": 0.02}}
OUTPUT = {
    "dft_exchange_correlation": "PBE",
    "convergence_info": {"scf_conv": {"convergence_achieved": True, "n_scf_steps": 7}},
    "energy_units": "eV",
    "forces_units": "ev / angstrom",
    "stress_units": "GPascal",
}


@pytest.fixture
def shared(aiida_profile: object) -> dict[str, Any]:
    """What all single points of a batch share."""
    from aiida_limsm.cli.resources import ensure_pseudo_family
    from aiida_limsm.workchains._pseudos import require_pseudo_family

    ensure_pseudo_family()
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([2, 2, 2], offset=[0.5, 0.5, 0.5])
    pseudos = require_pseudo_family("limsm/demo").pseudos
    return {
        "parameters": orm.Dict(PARAMETERS),
        "kpoints": kpoints,
        **{f"pseudo_{element}": node for element, node in pseudos.items()},
    }


def point(
    label: str, symbols: str, energy: float, stress: bool = True, **output: Any
) -> dict[str, orm.Data]:
    """Return the three nodes of a single point, as aiida-quantumespresso's parser gives them."""
    count = len(Atoms(symbols))
    positions = np.arange(3.0 * count).reshape(count, 3) + 1 / 3
    atoms = Atoms(symbols, positions, cell=np.eye(3) * 9.0, pbc=True)
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(
        symbols=list(atoms.symbols),
        # pw.x prints positions back rounded
        positions=positions[None].round(8),
        cells=np.array(atoms.cell)[None],
        pbc=(True, True, True),
    )
    trajectory.set_array("energy", np.array([energy]))
    trajectory.set_array("forces", np.full((1, count, 3), 0.5 * energy))
    if stress:
        trajectory.set_array("stress", energy * np.arange(9.0).reshape(1, 3, 3))
    return {
        f"structure_{label}": orm.StructureData(ase=atoms),
        f"trajectory_{label}": trajectory,
        f"output_{label}": orm.Dict({**OUTPUT, **output}),
    }


def test_one_trajectory_per_composition(shared: dict[str, Any]) -> None:
    nodes = {
        **point("b", "Li2Si", -2.0),
        **point("c", "Li", -3.0),
        **point("a", "Li2Si", -1.0),
        **point("d", "SiLi2", -4.0),
    }
    labels = collect_labels(**shared, **nodes)
    assert {name: node.base.attributes.get("labels") for name, node in labels.items()} == {
        "Li2Si": ["a", "b"],
        "Li": ["c"],
        "Li2Si_2": ["d"],  # the same formula, but other atoms in its places
    }
    frames = labels["Li2Si"]
    assert frames.symbols == ["Li", "Li", "Si"]
    # in the electronvolt of the MD frames: CODATA's Rydberg, not that of 2006
    assert frames.get_array("energies_ev") == pytest.approx(
        np.array([-1.0, -2.0]) * 1.000000102729, rel=1e-10
    )
    assert frames.get_array("forces_ev_per_angstrom")[1].tolist() == [[-1.0] * 3] * 3
    # compression positive there, tension positive here
    np.testing.assert_allclose(
        frames.get_array("stress_ev_per_angstrom3")[1],
        2.0 * GPA_TO_EV_PER_ANGSTROM3 * np.arange(9.0).reshape(3, 3),
    )
    # to the last digit those of the structure
    structure = nodes["structure_a"]
    assert frames.get_positions()[0].tolist() == [list(site.position) for site in structure.sites]
    settings = frames.base.attributes.get("dft_settings")
    assert (settings["functional"], settings["ecutwfc_ry"]) == ("PBE", 12.0)
    assert settings["pseudopotentials"]["Li"]["md5"] == shared["pseudo_Li"].md5


def test_the_order_of_arrival_does_not_matter(shared: dict[str, Any]) -> None:
    points = [point("a", "Li2Si", -1.0), point("b", "Li2Si", -2.0), point("c", "Li", -3.0)]

    def hashes(order: list[dict[str, orm.Data]]) -> dict[str, str]:
        nodes = {key: node for nodes in order for key, node in nodes.items()}
        labels = collect_labels(**shared, **nodes)
        return {name: node.base.caching.compute_hash() for name, node in labels.items()}

    assert hashes(points) == hashes(points[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"convergence_info": {"scf_conv": {"convergence_achieved": False}}},
            "Li2Si: the SCF did not converge; such an energy is no label",
        ),
        ({"convergence_info": {}}, "the SCF did not converge"),
        ({"energy_units": "Ry"}, "energy in Ry, expected eV"),
        ({"stress_units": "kbar"}, "stress in kbar, expected GPascal"),
    ],
)
def test_what_is_no_label(aiida_profile: object, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        single_point(*point("a", "Li2Si", -1.0, **change).values())  # type: ignore[arg-type]


def test_a_result_of_another_structure(aiida_profile: object) -> None:
    structure, *_ = point("a", "Li2Si", -1.0).values()
    _, *others = point("a", "Si2Li", -1.0).values()
    with pytest.raises(ValueError, match="Li2Si: 1 steps of SiSiLi were computed"):
        single_point(structure, *others)  # type: ignore[arg-type]


def test_unequal_functionals(shared: dict[str, Any]) -> None:
    nodes = {
        **point("a", "Li", -1.0),
        **point("b", "Li", -1.0, dft_exchange_correlation="PBESOL"),
    }
    with pytest.raises(ValueError, match="single points of unequal functionals: PBE, PBESOL"):
        collect_labels(**shared, **nodes)
