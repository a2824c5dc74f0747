"""The small calculation functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_limsm.calculations.isolated_atoms import isolated_atom, isolated_atom_energies
from aiida_limsm.calculations.structures import make_supercell
from aiida_limsm.calculations.transport import summarise_transport
from aiida_limsm.data.diffusion import DiffusionData

pytestmark = pytest.mark.usefixtures("aiida_profile")


def test_supercell() -> None:
    from aiida_limsm.atomistic.crystals import li11si4

    unit = orm.StructureData(ase=li11si4())
    large = make_supercell(unit, orm.List([2, 1, 3]))
    assert large.get_formula() == "Li66Si24"
    np.testing.assert_allclose(np.diag(large.cell), [12.24, 6.12, 18.36])
    assert large.creator.inputs.structure.uuid == unit.uuid


def test_isolated_atom() -> None:
    atom = isolated_atom(orm.Str("Si"), orm.Float(12.0))
    (site,) = atom.sites
    assert (site.kind_name, site.position) == ("Si", (6.0, 6.0, 6.0))
    assert atom.get_cell_volume() == pytest.approx(12.0**3)


def test_isolated_atom_energies() -> None:
    outputs = {
        "Si": orm.Dict({"energy": -132.5}),
        "Li": orm.Dict({"energy": -12, "energy_units": "eV"}),
    }
    # aiida-quantumespresso's Rydberg is 13.6056917253 eV, CODATA's 13.605693122994
    energies = isolated_atom_energies(**outputs).get_dict()
    assert energies == pytest.approx({"Li": -12.0 * 1.000000102729, "Si": -132.5 * 1.000000102729})
    assert energies["Si"] != -132.5
    outputs["Li"] = orm.Dict({"energy": -1, "energy_units": "Ry"})
    with pytest.raises(ValueError, match="Li: energy in Ry, expected eV"):
        isolated_atom_energies(**outputs)


@pytest.fixture
def nodes(example_diffusion_estimate: dict[str, Any]) -> dict[str, orm.Data]:
    def diffusion(temperature_k: float, **changes: Any) -> DiffusionData:
        return DiffusionData(
            {**example_diffusion_estimate, **changes}, temperature_k=temperature_k,
            cell_angstrom=np.eye(3) * 9, n_ions=27, species="Li", duration_ps=100.0,
            lag_time_ps=2.0,
        )  # fmt: skip

    analysis = {
        "agreement_sigma": 0.4, "n_jumps": 200, "n_independent_jumps": 150, "n_ions": 27,
        "duration_ps": 100.0, "lag_time_ps": 2.0, "framework_msd_angstrom2": 0.2,
    }  # fmt: skip
    found: dict[str, orm.Data] = {}
    for label, temperature in (("hot", 800.0), ("cold", 600.0)):
        found[f"diffusion_{label}"] = diffusion(temperature)
        found[f"msd_{label}"] = diffusion(temperature, method="msd", resolved=False)
        found[f"analysis_{label}"] = orm.Dict({**analysis, "n_jumps": int(temperature)})
    return found


def errors(rmse: float) -> orm.Dict:
    return orm.Dict({"errors": {"test": {"rmse_forces_mev_per_angstrom": rmse}}})


def test_summary_of_a_study(nodes: dict[str, orm.Data]) -> None:
    summary = summarise_transport(**nodes, errors_before=errors(90.0), errors_after=errors(30.0))
    rows = summary.get_dict()["rows"]
    assert [(row["label"], row["temperature_k"]) for row in rows] == [("cold", 600), ("hot", 800)]
    assert [row["n_jumps"] for row in rows] == [600, 800]
    assert rows[0]["markov"]["isotropic_cm2_s"] == 2.0e-6
    assert (rows[0]["markov"]["resolved"], rows[0]["msd"]["resolved"]) == (True, False)
    assert summary.get_dict()["held_out"] == {"before": 90.0, "after": 30.0, "improvement": 3.0}


def test_summary_without_a_training(nodes: dict[str, orm.Data]) -> None:
    assert summarise_transport(**nodes).get_dict()["held_out"] is None
    held_out = summarise_transport(**nodes, errors_after=errors(30.0)).get_dict()["held_out"]
    assert held_out == {"after": 30.0}
