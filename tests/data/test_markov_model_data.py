from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.orm import load_node

from aiida_limsm.data.markov_model import MarkovModelData


def test_round_trip(markov_model_file: Path, analyse_results: dict[str, Any]) -> None:
    node = load_node(MarkovModelData(markov_model_file, analyse_results).store().pk)
    assert node.filename == "model.h5"
    assert node.get_content(mode="rb") == markov_model_file.read_bytes()
    assert (node.lag_time_ps, node.n_ions, node.temperature_k) == (2.0, 27, 600.0)
    assert node.lag_reason == "plateau of D over the lag"
    assert node.sites[0].orbit == "1a"
    assert (node.jumps[0].from_site, node.jumps[0].count) == ("Li1", 35)
    np.testing.assert_array_equal(node.implied_timescales_ps, [[12.3, 1.4]])
    assert node.results.n_independent_jumps == 180


def test_methods_of_the_model(markov_model_file: Path, analyse_results: dict[str, Any]) -> None:
    node = MarkovModelData(markov_model_file, analyse_results)
    model = node.load()
    assert model.lag_ps == 2.0
    np.testing.assert_allclose(model.stationary_distribution, [1.0])
    # Random walk on a cubic lattice: MSD = p a² t / τ, D = MSD / 6t, 1 Å²/ps = 1e-4 cm²/s.
    np.testing.assert_allclose(node.msd([2.0, 20.0]), [0.3 * 9.0, 10 * 0.3 * 9.0])
    np.testing.assert_allclose(
        node.diffusion_tensor(), np.eye(3) * 0.3 * 9.0 / 12.0 * 1e-4, atol=1e-18
    )
    np.testing.assert_array_equal(node.curves().msd_time_ps, [2.0, 4.0])
    assert len(node.spectrum().eigenvalues) == 0  # nothing relaxes in a cell of one site
    assert node.metastable_sets().number == 1


def test_propagation(markov_model_file: Path, analyse_results: dict[str, Any]) -> None:
    node = MarkovModelData(markov_model_file, analyse_results)
    start = np.zeros((5, 5, 5, 1))
    start[2, 2, 2] = 1.0
    (later,) = node.propagate(start, [2.0])
    assert later[2, 2, 2, 0] == pytest.approx(0.7)
    np.testing.assert_allclose([later[1, 2, 2, 0], later[2, 2, 3, 0]], 0.05)
    assert later.sum() == pytest.approx(1.0)


def test_summary(markov_model_file: Path, analyse_results: dict[str, Any]) -> None:
    node = MarkovModelData(markov_model_file, analyse_results)
    text = node.summary()
    assert "2 ps (plateau of D over the lag)" in text
    assert "12.3 ± 1.4 ps" in text
    assert "0.84 ± 0.03" in text
    assert "off by 0.012 at most" in text
    assert "few jumps along z" in text
    assert node.headline() == "1 site, lag 2 ps, 180 independent jumps, 600 K"
    analyse_results["implied_timescales_error_ps"] = [None]
    node = MarkovModelData(markov_model_file, analyse_results)
    assert "no error bar" in node.summary()
    assert np.isnan(node.implied_timescales_ps[0, 1])


def test_equal_content_is_equal_hash(
    markov_model_file: Path, analyse_results: dict[str, Any]
) -> None:
    first = MarkovModelData(markov_model_file, analyse_results).store()
    # How long the job took is not what it found.
    slower = {**analyse_results, "wall_seconds": 99.0, "message": "done"}
    content = io.BytesIO(markov_model_file.read_bytes())
    second = MarkovModelData(content, slower).store()
    other = MarkovModelData(markov_model_file, {**analyse_results, "n_jumps": 211}).store()
    assert first.base.caching.get_hash() == second.base.caching.get_hash()
    assert first.base.caching.get_hash() != other.base.caching.get_hash()


def test_immutable_after_store(markov_model_file: Path, analyse_results: dict[str, Any]) -> None:
    node = MarkovModelData(markov_model_file, analyse_results).store()
    with pytest.raises(ModificationNotAllowed):
        node.base.attributes.set("lag_time_ps", 4.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lag_time_ps": None}, "lag_time_ps: a model has a positive lag time, not None"),
        ({"sites": []}, "sites: a model has at least one site"),
        ({"n_ions": 0}, "n_ions: must be at least 1, not 0"),
        ({"n_frames": 0}, "n_frames: must be at least 1, not 0"),
    ],
)
def test_wrong_content_is_refused(
    markov_model_file: Path,
    analyse_results: dict[str, Any],
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ValidationError, match=f"^{message}$"):
        MarkovModelData(markov_model_file, {**analyse_results, **changes}).store()


def test_changed_file_is_refused(markov_model_file: Path, analyse_results: dict[str, Any]) -> None:
    node = MarkovModelData(markov_model_file, analyse_results)
    node.set_file(io.BytesIO(b"another model"), filename="model.h5")
    with pytest.raises(ValidationError, match=r"'model\.h5' has sha256"):
        node.store()


def test_file_and_results_must_belong_together(
    markov_model_file: Path, analyse_results: dict[str, Any]
) -> None:
    node = MarkovModelData(markov_model_file, {**analyse_results, "lag_time_ps": 4.0})
    with pytest.raises(ValidationError, match=r"lag_time_ps: 2 in the file, 4 in the results"):
        node.store()
    node = MarkovModelData(io.BytesIO(b"no HDF5"), analyse_results)
    with pytest.raises(ValidationError, match=r"model\.h5 is no readable HDF5 file") as error:
        node.store()
    assert "/tmp" not in str(error.value)


def test_misspelt_result_is_refused_at_once(
    markov_model_file: Path, analyse_results: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"^lag: "):
        MarkovModelData(markov_model_file, {**analyse_results, "lag": 2.0})
