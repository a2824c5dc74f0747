"""The verdict on a potential."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_limsm.calculations.validate import judge_potential, known_barriers, md_start

pytestmark = pytest.mark.usefixtures("aiida_profile")

THRESHOLDS = {
    "max_force_rmse_mev_per_angstrom": 100.0,
    "max_energy_rmse_mev_per_atom": 5.0,
    "min_rdf_overlap": 0.9,
    "max_barrier_error_mev": 50.0,
}


def errors(forces: float = 60.0, energy: float = 2.0) -> orm.Dict:
    found = {"rmse_forces_mev_per_angstrom": forces, "rmse_energy_mev_per_atom": energy}
    return orm.Dict({"errors": {"test": found}})


def rdf(halves: float = 0.95, **overlaps: tuple[float, float]) -> orm.Dict:
    """Overlaps of Li-Li and Si-Si with AIMD, by label."""
    entries: list[dict[str, Any]] = [
        {"quantity": "vdos", "name": "Li", "first": "aimd", "second": "finetuned", "overlap": 0.1}
    ]
    for label, values in overlaps.items():
        entries += [
            {"quantity": "rdf", "name": name, "first": "aimd", "second": label, "overlap": value}
            for name, value in zip(("Li-Li", "Si-Si"), values, strict=True)
        ]
    sources = [
        {"label": "aimd", "rdf_halves": {"Li-Li": halves, "Si-Si": halves}},
        {"label": "finetuned", "rdf_halves": {"Li-Li": 0.99, "Si-Si": 0.99}},
    ]
    return orm.Dict({"sources": sources, "overlaps": entries})


def barrier(*rows: tuple[str, str, float, float]) -> orm.Dict:
    names = ("method", "reference", "forward_mev", "backward_mev")
    return orm.Dict({"differences": [dict(zip(names, row, strict=True)) for row in rows]})


def judge(found: orm.Dict, changes: Any = None, **results: Any) -> dict[str, Any]:
    thresholds = orm.Dict({**THRESHOLDS, **(changes or {})})
    return judge_potential(thresholds, found, **results).get_dict()


def test_all_that_was_asked_is_good() -> None:
    verdict = judge(
        errors(),
        foundation=errors(400.0, 30.0),
        rdf_T500K=rdf(finetuned=(0.96, 0.93), foundation=(0.95, 0.7)),
        barrier_hop=barrier(
            ("finetuned", "dft on the path of finetuned", 70.0, 70.0),
            ("finetuned", "dft", -30.0, 20.0),
            ("finetuned on the path of dft", "dft", 80.0, 80.0),
            ("foundation", "dft", 200.0, 150.0),
        ),
    )
    assert verdict["accepted"]
    assert verdict["reasons"] == verdict["not_checked"] == []
    shown = [(c["name"], c["value"], c["foundation"], c["passed"]) for c in verdict["checks"]]
    assert shown == [
        ("force RMSE on 'test'", 60.0, 400.0, True),
        ("energy RMSE on 'test'", 2.0, 30.0, True),
        ("overlap of g(r), T500K, Si-Si", 0.93, 0.7, True),
        ("error of the barrier, hop", 30.0, 200.0, True),
    ]


def test_every_reason_is_named() -> None:
    verdict = judge(
        errors(120.0, 7.5),
        rdf_a=rdf(0.85, finetuned=(0.8, 0.95)),
        rdf_b=rdf(finetuned=(0.95, 0.95)),
        # without a path of DFT its energies on the path of the potential count
        barrier_hop=barrier(("finetuned", "dft on the path of finetuned", 10.0, -70.0)),
    )
    assert not verdict["accepted"]
    assert verdict["reasons"] == [
        "force RMSE on 'test' 120 meV/Å, at most 100 asked",
        "energy RMSE on 'test' 7.5 meV per atom, at most 5 asked",
        "overlap of g(r), a, Li-Li 0.8, at least 0.9 asked (the halves of the AIMD itself overlap "
        "by 0.85 only: it is too short)",
        "error of the barrier, hop 70 meV, at most 50 asked",
    ]
    assert [check["passed"] for check in verdict["checks"]] == [False, False, False, True, False]


def test_what_is_not_checked_is_said() -> None:
    verdict = judge(errors(), {"max_energy_rmse_mev_per_atom": None}, barrier_hop=barrier())
    assert verdict["accepted"]
    assert verdict["not_checked"] == [
        "energy RMSE on 'test': no threshold",
        "overlap of g(r): no MD beside AIMD",
        "error of the barrier, hop: no barrier of DFT",
    ]
    energy = verdict["checks"][1]
    assert (energy["value"], energy["threshold"], energy["passed"]) == (2.0, None, None)
    valid = judge(errors(), {"split": "valid"})
    assert valid["not_checked"][0] == (
        "force RMSE on 'valid': the dataset has no frames in 'valid'"
    )


def flat(*one_minimum: str, **barriers: tuple[float, float]) -> orm.Dict:
    """A comparison in which some methods have no barrier."""
    methods = {
        name: {
            "converged": True,
            "profile": {"barrier_forward_ev": forward, "barrier_backward_ev": backward},
        }
        for name, (forward, backward) in barriers.items()
    }
    return orm.Dict({"methods": methods, "differences": [], "one_minimum": list(one_minimum)})


def test_end_points_that_are_one_minimum() -> None:
    """The lower barrier of whoever has one is the error of the other."""
    agreed = judge(errors(), barrier_hop=flat("finetuned", "dft"))
    assert agreed["accepted"]
    assert agreed["not_checked"][-1] == (
        "error of the barrier, hop: DFT and the potential relax both end points into one minimum"
    )
    wrong = judge(
        errors(), barrier_hop=flat("finetuned", "foundation", dft=(0.3, 0.08)), foundation=errors()
    )
    assert wrong["reasons"] == [
        "error of the barrier, hop 80 meV, at most 50 asked (the potential relaxes both end points "
        "into one minimum)"
    ]
    assert wrong["checks"][-1]["foundation"] == pytest.approx(80.0)
    small = judge(errors(), barrier_hop=flat("dft", finetuned=(0.02, 0.4)))
    assert small["accepted"]
    assert small["checks"][-1]["value"] == pytest.approx(20.0)


def test_whose_barrier_is_known() -> None:
    both = flat("dft", finetuned=(0.1, 0.1)).get_dict()
    assert known_barriers(both) == (True, True)
    both["methods"]["finetuned"]["converged"] = False
    assert known_barriers(both) == (False, True)
    assert known_barriers(flat(finetuned=(0.1, 0.1)).get_dict()) == (True, False)
    assert known_barriers({}) == (False, False)


def test_what_could_not_be_measured_is_a_reason() -> None:
    failures = orm.List(["MD, T500K: atoms came too close"])
    verdict = judge(errors(), failures=failures)
    assert not verdict["accepted"]
    assert verdict["reasons"] == ["MD, T500K: atoms came too close"]


def test_md_begins_as_the_aimd_did() -> None:
    node = orm.TrajectoryData()
    positions = np.arange(12.0).reshape(2, 2, 3)
    node.set_trajectory(
        symbols=["Li", "Si"], positions=positions, cells=np.tile(9.0 * np.eye(3), (2, 1, 1)),
        pbc=(True,) * 3, stepids=np.arange(2),
    )  # fmt: skip
    with pytest.raises(ValueError, match="holds no temperatures: give it in `temperatures`"):
        md_start(node, orm.Dict({"steps": 10}))
    given = md_start(node, orm.Dict({"steps": 10}), orm.Float(700.0))
    assert given["parameters"].get_dict() == {"steps": 10, "temperature_k": 700.0}
    other = node.clone()
    other.set_array("temperature_k", np.array([500.0, 520.0]))
    measured = md_start(other, orm.Dict({"steps": 10}))
    assert measured["parameters"]["temperature_k"] == 510.0
    np.testing.assert_array_equal(measured["structure"].get_ase().positions, positions[0])
