from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.orm import load_node

from aiida_limsm.data.diffusion import DiffusionData

CONDITIONS: dict[str, Any] = {
    "temperature_k": 600.0,
    "cell_angstrom": np.eye(3) * 10,
    "n_ions": 44,
    "species": "Li",
    "duration_ps": 100.0,
    "lag_time_ps": 2.0,
}


def make(estimate: dict[str, Any], **changes: Any) -> DiffusionData:
    return DiffusionData(estimate, **{**CONDITIONS, **changes})


def test_round_trip(diffusion_estimate: dict[str, Any]) -> None:
    node = load_node(make(diffusion_estimate).store().pk)
    assert isinstance(node, DiffusionData)
    np.testing.assert_array_equal(node.tensor, diffusion_estimate["tensor_cm2_s"])
    assert node.covariance.shape == (6, 6)
    np.testing.assert_allclose(np.diag(node.error) ** 2, [4e-14, 1e-14, 2e-14])
    assert node.isotropic_cm2_s == 2.0e-6
    assert node.isotropic_m2_s == pytest.approx(2.0e-10)
    assert node.estimate.method == node.method == "markov"
    assert (node.temperature_k, node.n_ions, node.species) == (600.0, 44, "Li")
    assert (node.duration_ps, node.lag_time_ps) == (100.0, 2.0)
    np.testing.assert_array_equal(node.cell_angstrom, np.eye(3) * 10)


def test_equal_content_is_equal_hash(diffusion_estimate: dict[str, Any]) -> None:
    first = make(diffusion_estimate).store()
    second = make(dict(reversed(diffusion_estimate.items()))).store()
    other = make(diffusion_estimate, temperature_k=601.0).store()
    assert first.base.caching.get_hash() == second.base.caching.get_hash()
    assert first.base.caching.get_hash() != other.base.caching.get_hash()


def test_immutable_after_store(diffusion_estimate: dict[str, Any]) -> None:
    node = make(diffusion_estimate).store()
    with pytest.raises(ModificationNotAllowed):
        node.base.attributes.set("isotropic_cm2_s", 1.0)


def test_principal_axes(diffusion_estimate: dict[str, Any]) -> None:
    node = make(diffusion_estimate)
    values, axes = node.principal_axes()
    assert list(values) == sorted(values, reverse=True)
    np.testing.assert_allclose(axes.T @ np.diag(values) @ axes, node.tensor, atol=1e-18)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert all(axis[np.argmax(np.abs(axis))] > 0 for axis in axes)


def test_summary_gives_an_error_with_every_number(diffusion_estimate: dict[str, Any]) -> None:
    text = make(diffusion_estimate).summary()
    assert "(2.00 ± 0.09)e-06 cm²/s" in text
    assert "(3.0 ± 0.2)e-06 cm²/s" in text
    assert "600 K" in text


def test_summary_of_unresolved_gives_only_the_bound(diffusion_estimate: dict[str, Any]) -> None:
    estimate = {
        **diffusion_estimate,
        "resolved": False,
        "upper_bound_cm2_s": 4.21e-6,
        "reason": "3 independent jumps",
    }
    node = make(estimate)
    text = node.summary()
    assert "< 4.3e-06 cm²/s (95 %), not resolved: 3 independent jumps" in text
    assert "2.00" not in text
    assert "D_xx" not in text
    assert node.upper_bound_cm2_s == 4.21e-6
    assert "not resolved: 3 independent jumps" in node.headline()
    no_bound = make({**estimate, "upper_bound_cm2_s": None})
    assert no_bound.format_d() == "not resolved: 3 independent jumps"


def _asymmetric(estimate: dict[str, Any]) -> None:
    estimate["tensor_cm2_s"][0][2] = 1e-6


def _wrong_trace(estimate: dict[str, Any]) -> None:
    estimate["isotropic_cm2_s"] = 2.1e-6


def _small_covariance(estimate: dict[str, Any]) -> None:
    estimate["covariance_cm4_s2"] = np.eye(3).tolist()


def _negative_covariance(estimate: dict[str, Any]) -> None:
    estimate["covariance_cm4_s2"][0][0] = -1e-14


def _asymmetric_covariance(estimate: dict[str, Any]) -> None:
    estimate["covariance_cm4_s2"][0][1] = 1e-14


def _other_errors(estimate: dict[str, Any]) -> None:
    estimate["error_cm2_s"][1][1] *= 2


def _resolved_without_error(estimate: dict[str, Any]) -> None:
    estimate["isotropic_error_cm2_s"] = 0.0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_asymmetric, "tensor_cm2_s: must be symmetric"),
        (_wrong_trace, "isotropic_cm2_s: must be a third of the trace"),
        (_small_covariance, "covariance_cm4_s2: must be 6 × 6"),
        (_negative_covariance, "covariance_cm4_s2: must have no negative eigenvalue"),
        (_asymmetric_covariance, "covariance_cm4_s2: must be symmetric"),
        (_other_errors, "error_cm2_s: must be the square roots"),
        (_resolved_without_error, "resolved: needs a positive"),
    ],
)
def test_wrong_tensor_is_refused(
    diffusion_estimate: dict[str, Any], spoil: Any, message: str
) -> None:
    spoil(diffusion_estimate)
    with pytest.raises(ValidationError, match=message) as error:
        make(diffusion_estimate).store()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature_k": 0.0}, "temperature_k: must be positive"),
        ({"temperature_k": float("nan")}, "temperature_k: must be positive"),
        ({"duration_ps": -1.0}, "duration_ps: must be positive"),
        ({"n_ions": 0}, "n_ions: must be at least 1"),
        ({"cell_angstrom": np.ones((3, 3))}, "cell_angstrom: must be three independent"),
        ({"cell_angstrom": [1.0, 2.0, 3.0]}, "cell_angstrom: must be three independent"),
    ],
)
def test_wrong_conditions_are_refused(
    diffusion_estimate: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make(diffusion_estimate, **changes).store()


@pytest.mark.parametrize("name", ["temperature_k", "cell_angstrom"])
def test_unknown_conditions_are_refused_at_once(
    diffusion_estimate: dict[str, Any], name: str
) -> None:
    with pytest.raises(ValueError, match=f"{name}: is unknown"):
        make(diffusion_estimate, **{name: None})


def test_misspelt_estimate_is_refused_at_once(diffusion_estimate: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^d_m2_s: "):
        make({**diffusion_estimate, "d_m2_s": 1.0})
