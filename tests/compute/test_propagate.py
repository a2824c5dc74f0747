"""The job `limsm propagate`, from a model file to profiles and a figure."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from aiida_limsm.compute.base import PROPAGATION_FILENAME, JobError, Status
from aiida_limsm.compute.inputs import PropagateInput
from aiida_limsm.compute.propagate import read_profiles, run_propagate
from aiida_limsm.compute.results import PropagateResults
from aiida_limsm.markov.propagation import propagate
from aiida_limsm.markov.start_profiles import point_density
from aiida_limsm.report.figures.propagation import propagation_figure
from aiida_limsm.report.figures.style import png_bytes


@pytest.fixture
def model(d0_3_model):
    return d0_3_model


@pytest.fixture
def folder(tmp_path, model):
    model.save(tmp_path / "model.h5")
    return tmp_path


def run(folder, **choices):
    lines = []
    return run_propagate(PropagateInput(**choices), folder, lines.append), lines


def test_a_slab_spreads_as_fick_says(folder, model):
    steps = []
    job = PropagateInput(cells=(60, 4, 5), number_of_times=6)
    results = run_propagate(job, folder, lambda _: None, lambda *args: steps.append(args))
    assert results.status is Status.FINISHED
    assert results.n_sites == 60 * 4 * 5 * 3
    assert len(results.times_ps) == len(results.relative_l2) == 6
    assert results.relative_l2[-1] < 1e-4 < results.relative_l2[0]
    assert results.ions_drift < 1e-10
    np.testing.assert_allclose(results.tensor_cm2_s, model.diffusion_tensor())
    assert results.d_axis_cm2_s == pytest.approx(np.trace(model.diffusion_tensor()) / 3)
    assert steps[0] == ("propagation", 0, 6)
    assert steps[-1] == ("propagation", 6, 6)
    lags = np.array(results.times_ps) / 0.5
    np.testing.assert_allclose(lags, np.rint(lags))
    # at the relaxation time the longest wave has come down to 1/e
    found = read_profiles(folder / PROPAGATION_FILENAME)
    wave = np.exp(2j * np.pi * np.arange(60) / 60)
    start = abs(wave[15:45].sum())
    assert abs(found.model[-1] @ wave) / start == pytest.approx(np.exp(-1), rel=0.01)
    text = json.dumps(results.model_dump(mode="json"))
    assert PropagateResults.model_validate_json(text) == results


def test_the_last_density_is_kept_if_asked(folder, model):
    run(folder, cells=(6, 5, 4), start="point", site="S2", times_ps=(0.0, 7.0))
    with h5py.File(folder / PROPAGATION_FILENAME) as file:
        assert "density_at_last_time" not in file
    results, lines = run(
        folder, cells=(6, 5, 4), start="point", site="S2", axis="c", times_ps=(0.0, 7.0),
        keep_density=True,
    )  # fmt: skip
    (expected,) = propagate(model, point_density(model, (6, 5, 4), site=1), 7.0)
    with h5py.File(folder / PROPAGATION_FILENAME) as file:
        np.testing.assert_allclose(file["density_at_last_time"][()], expected, atol=1e-15)
    found = read_profiles(folder / PROPAGATION_FILENAME)
    assert found.model.shape == (2, 4)
    assert (results.axis, results.relative_l2[0]) == ("c", pytest.approx(0.0, abs=1e-12))
    assert "360 sites" in lines[0]


def test_same_input_same_bytes(folder):
    contents = []
    for _ in range(2):
        run(folder, cells=(20, 1, 1), start="gaussian", width_angstrom=6.0, total_time_ps=300.0)
        contents.append((folder / PROPAGATION_FILENAME).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"times_ps": (1.0,), "total_time_ps": 2.0}, "not both"),
        ({"times_ps": (2.0, 1.0)}, "ascending"),
        ({"times_ps": ()}, "at least 1"),
        ({"start": "gaussian"}, "width_angstrom is needed"),
        ({"width_angstrom": 3.0}, "width_angstrom is needed"),
        ({"site": "Li1"}, "start 'point' only"),
        ({"cells": (0, 1, 1)}, "greater than 0"),
    ],
)
def test_inputs_that_do_not_fit(choices, message):
    with pytest.raises(ValidationError, match=message):
        PropagateInput(**choices)


def test_refusals_are_one_line(folder, model):
    (folder / "text.h5").write_text("none")
    still = replace(
        model,
        from_site=np.arange(3),
        to_site=np.arange(3),
        image=np.zeros((3, 3), dtype=np.int64),
        flux=np.full(3, 1 / 3),
    )
    still.save(folder / "still.h5")
    for choices, message in (
        ({"model_file": "no.h5"}, "does not exist"),
        ({"model_file": "text.h5"}, "no readable HDF5"),
        ({"model_file": "still.h5", "cells": (4, 1, 1)}, "nothing diffuses"),
        ({"cells": (1, 4, 4)}, "two cells or more along axis a"),
        ({"cells": (300, 300, 300)}, "raise memory_mb"),
        ({"cells": (4, 4, 4), "start": "point", "site": "Na9"}, "site Na9 is not in the model"),
    ):
        with pytest.raises(JobError, match=message) as caught:
            run(folder, **choices)
        assert caught.value.status is Status.INVALID_INPUT
        assert "\n" not in caught.value.message
    with pytest.raises(ValueError, match="no propagation"):
        read_profiles(folder / "model.h5")


def test_figure(folder):
    run(folder, cells=(30, 2, 2))
    found = read_profiles(folder / PROPAGATION_FILENAME)
    image = png_bytes(propagation_figure(found))
    assert image.startswith(b"\x89PNG")
    assert image == png_bytes(propagation_figure(found))
    same = replace(found, model=found.fick, relative_l2=np.zeros(len(found.times_ps)))
    assert png_bytes(propagation_figure(same, "b")) != image
    run(folder, cells=(1, 1, 1), start="point", times_ps=(0.0,))
    flat = read_profiles(folder / PROPAGATION_FILENAME)
    assert png_bytes(propagation_figure(flat)).startswith(b"\x89PNG")
