"""One table of D over size and temperature, with fits of what is resolved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_limsm.calculations.series import collect_series, varied_axis
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.units import BOLTZMANN_EV_PER_K
from aiida_limsm.workchains._series_inputs import members_of

TEMPERATURES = (600.0, 700.0, 850.0)


@pytest.fixture
def diffusion(aiida_profile: Any, example_diffusion_estimate: dict[str, Any]) -> Any:
    """Return a function that makes a node of a member, with D = exp(−0.3 eV / kT) (1 + c/L)."""

    def make(
        member: dict[str, Any], slope: float, resolved: bool = True, off_k: float = 1.0
    ) -> DiffusionData:
        edges = 6.0 * np.array(member["supercell"])
        temperature = member["temperature_k"] + off_k
        d = 1e-3 * np.exp(-0.3 / (BOLTZMANN_EV_PER_K * temperature)) * (1 + slope / edges[0])
        covariance = np.diag([0.01 * d**2] * 3 + [1e-30] * 3)
        estimate = {
            **example_diffusion_estimate,
            "tensor_cm2_s": (np.eye(3) * d).tolist(),
            "covariance_cm4_s2": covariance.tolist(),
            "error_cm2_s": np.where(np.eye(3) > 0, 0.1 * d, 1e-15).tolist(),
            "isotropic_cm2_s": d,
            "isotropic_error_cm2_s": 0.05 * d,
            "resolved": resolved,
            "upper_bound_cm2_s": None if resolved else 2 * d,
        }
        return DiffusionData(
            estimate, temperature_k=temperature, cell_angstrom=np.diag(edges), n_ions=10,
            species="Li", duration_ps=50.0,
        )  # fmt: skip

    return make


def collected(diffusion: Any, slope: float, unresolved: tuple[str, ...] = ()) -> dict[str, Any]:
    members = members_of([[1, 1, 1], [2, 1, 1], [4, 1, 1]], TEMPERATURES)
    nodes = {
        label: diffusion(member, slope, label not in unresolved)
        for label, member in members.items()
        if label != "s1x1x1_T600K"
    }
    asked = orm.Dict({"members": members, "failed": {"s1x1x1_T600K": "it melted"}})
    return collect_series(asked, **nodes).get_dict()


def test_fits_over_size_and_temperature(diffusion: Any) -> None:
    found = collected(diffusion, 12.0)
    assert found["length_axis"] == "a"
    assert [row["length_angstrom"] for row in found["rows"]] == [6, 6, 12, 12, 12, 24, 24, 24]
    assert found["failed"] == {"s1x1x1_T600K": "it melted"}
    cold, *hot = found["size"]
    assert cold["resolved"] == 2
    for entry in (cold, *hot):
        d = 1e-3 * np.exp(-0.3 / (BOLTZMANN_EV_PER_K * (entry["temperature_k"] + 1)))
        assert entry["infinite_cm2_s"] == pytest.approx(d)
        assert entry["slope_cm2_angstrom_s"] == pytest.approx(12 * d)
        assert not entry["converged"]
        assert entry["depends_on_size"]
    assert [entry["supercell"] for entry in found["arrhenius"]] == [
        [4, 1, 1], [2, 1, 1], [1, 1, 1],
    ]  # fmt: skip
    for entry in found["arrhenius"]:
        # of the temperatures that the runs had, not of those that were asked for
        assert entry["energy_ev"] == pytest.approx(0.3)
        assert "no curvature" in entry["verdict"] or "two temperatures" in entry["verdict"]


def test_no_dependence_is_converged(diffusion: Any) -> None:
    found = collected(diffusion, 0.0)
    assert all(entry["converged"] for entry in found["size"])
    assert found["size"][1]["converged_from_angstrom"] == 6.0
    assert "no trend with 1/L" in found["size"][1]["verdict"]
    assert not any("mean temperatures" in entry["verdict"] for entry in found["size"])


def test_cells_that_were_not_equally_hot(diffusion: Any) -> None:
    members = members_of([[1, 1, 1], [2, 1, 1]], [700.0])
    nodes = {
        label: diffusion(member, 0.0, off_k=-40.0 if label.startswith("s1") else 1.0)
        for label, member in members.items()
    }
    (entry,) = collect_series(orm.Dict({"members": members, "failed": {}}), **nodes)["size"]
    assert "mean temperatures differ by 41 K" in entry["verdict"]


def test_what_is_not_resolved_is_left_out_and_said(diffusion: Any) -> None:
    found = collected(diffusion, 0.0, ("s4x1x1_T600K", "s2x1x1_T700K"))
    largest = found["arrhenius"][0]
    assert largest["left_out"] == ["s4x1x1_T600K"]
    assert largest["resolved"] == 2
    assert "left out: s4x1x1_T600K" in largest["verdict"]
    cold, warm, _ = found["size"]
    assert cold["verdict"] == "fewer than two cells are resolved"
    # cells that could not be compared do not let the others be called converged
    assert not warm["converged"]
    (row,) = [row for row in found["rows"] if row["label"] == "s4x1x1_T600K"]
    assert row["upper_bound_cm2_s"] == pytest.approx(2 * row["isotropic_cm2_s"])


def skewed(
    member: dict[str, Any], turn: np.ndarray, slow: float = 1.0, error: float = 0.05
) -> DiffusionData:
    """Return D of a triclinic cell: 0.3 eV across the vector a, and faster along it with 0.2 eV.

    Only the part along a depends on the length, by a factor 1 − 2 Å / L.
    """
    cell = np.array([[6.0, 0, 0], [2.0, 7.0, 0], [1.0, 1.5, 8.0]])
    beta = 1 / (BOLTZMANN_EV_PER_K * member["temperature_k"])
    across, fast = slow * 1e-3 * np.exp(-0.3 * beta), 1e-3 * np.exp(-0.2 * beta)
    fast *= 1 - 2.0 / (6.0 * member["supercell"][0])
    tensor = turn.T @ np.diag([fast, across, across]) @ turn
    deviation = error * (fast + 2 * across) / 3
    # noise that looks the same from everywhere: a turn leaves its covariance as it is
    covariance = deviation**2 * np.diag([1, 1, 1, 0.5, 0.5, 0.5])
    spread = deviation * np.where(np.eye(3) > 0, 1.0, np.sqrt(0.5))
    estimate = {
        "method": "markov",
        "tensor_cm2_s": ((tensor + tensor.T) / 2).tolist(),
        "covariance_cm4_s2": covariance.tolist(),
        "error_cm2_s": spread.tolist(),
        "isotropic_cm2_s": float(np.trace(tensor) / 3),
        "isotropic_error_cm2_s": deviation / np.sqrt(3),
        "resolved": True,
    }
    return DiffusionData(
        estimate, temperature_k=member["temperature_k"],
        cell_angstrom=cell * np.array(member["supercell"])[:, None] @ turn, n_ions=10,
        species="Li", duration_ps=50.0,
    )  # fmt: skip


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_along_the_vector_that_gets_longer(aiida_profile: Any, angle: float) -> None:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]]) @ np.array(
        [[c, s, 0], [-s, c, 0], [0, 0, 1]]
    )
    members = members_of([[1, 1, 1], [2, 1, 1], [4, 1, 1]], TEMPERATURES)
    nodes = {label: skewed(member, turn) for label, member in members.items()}
    found = collect_series(orm.Dict({"members": members, "failed": {}}), **nodes).get_dict()
    assert not any(row["isotropic"] for row in found["rows"])
    for entry in found["size"]:
        (axis,) = entry["along"]
        assert axis == "a"
        beta = 1 / (BOLTZMANN_EV_PER_K * entry["temperature_k"])
        along, fast = entry["along"]["a"], 1e-3 * np.exp(-0.2 * beta)
        assert along["infinite_cm2_s"] == pytest.approx(fast)
        assert along["slope_cm2_angstrom_s"] == pytest.approx(-2 * fast)
        # the mean has a third of it, and its own error
        assert entry["slope_cm2_angstrom_s"] == pytest.approx(-2 * fast / 3)
        assert along["depends_on_size"]
        assert not along["converged"]
    fit = found["arrhenius"][0]
    assert fit["along"]["a"]["energy_ev"] == pytest.approx(0.2)
    # b and c are not normal to a: they see a part of the fast direction
    b = np.array([2.0, 7.0, 0.0]) / np.hypot(2, 7)
    (row,) = [row for row in found["rows"] if row["label"] == "s4x1x1_T700K"]
    beta = 1 / (BOLTZMANN_EV_PER_K * 700)
    fast, across = 1e-3 * np.exp(-0.2 * beta) * (1 - 2 / 24), 1e-3 * np.exp(-0.3 * beta)
    assert row["along"]["b"]["d_cm2_s"] == pytest.approx(b[0] ** 2 * fast + b[1] ** 2 * across)
    for part in row["along"].values():
        assert part["error_cm2_s"] == pytest.approx(np.sqrt(3) * row["isotropic_error_cm2_s"])


def test_a_direction_without_diffusion_is_left_out_of_its_own_fits_only(aiida_profile: Any) -> None:
    members = members_of([[1, 1, 1], [1, 1, 2]], TEMPERATURES)
    nodes = {label: skewed(member, np.eye(3), slow=1e-3) for label, member in members.items()}
    found = collect_series(orm.Dict({"members": members, "failed": {}}), **nodes).get_dict()
    assert all(row["resolved"] for row in found["rows"])
    (short, *_) = found["rows"]
    assert short["along"]["a"]["resolved"]
    assert not short["along"]["c"]["resolved"]
    for entry in found["size"]:
        assert entry["resolved"] == 2
        assert entry["along"]["c"]["verdict"] == "fewer than two cells are resolved"
        assert len(entry["along"]["c"]["left_out"]) == 2
    assert found["arrhenius"][0]["along"]["a"]["energy_ev"] == pytest.approx(0.2)
    assert "energy_ev" not in found["arrhenius"][0]["along"]["c"]


@pytest.mark.parametrize(
    ("supercells", "axis"),
    [
        ([[1, 1, 1], [8, 1, 1]], "a"),
        ([[2, 2, 1], [2, 2, 4]], "c"),
        ([[1, 1, 1], [2, 2, 1]], None),
        ([[1, 1, 1]], None),
    ],
)
def test_varied_axis(supercells: list[list[int]], axis: str | None) -> None:
    assert varied_axis(supercells) == axis
