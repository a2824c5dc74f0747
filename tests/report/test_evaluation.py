"""Summaries of evaluations and comparisons, and figures where little is known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.compare_file import Curve, CurveSet
from aiida_limsm.compute.compare_models import CompareResults, CurveOverlap, SourceSummary
from aiida_limsm.compute.evaluate_results import (
    CalibrationBin,
    CommitteeSummary,
    EnergyErrors,
    ErrorDetails,
    ForceErrorBin,
    ForceErrorSummary,
)
from aiida_limsm.compute.results import EvaluateResults
from aiida_limsm.report.comparison import comparison_text, overlap_text
from aiida_limsm.report.evaluation import evaluation_text
from aiida_limsm.report.figures.comparison import comparison_figure
from aiida_limsm.report.figures.parity import evaluation_figure
from aiida_limsm.report.figures.style import png_bytes


def forces(atoms, rmse, **changes):
    return {
        "atoms": atoms, "rmse_mev_per_angstrom": rmse, "mae_mev_per_angstrom": 0.7 * rmse,
        "rms_labels_mev_per_angstrom": 400.0, "relative_percent": rmse / 4, "cosine": 0.987,
        **changes,
    }  # fmt: skip


@pytest.fixture
def details():
    return ErrorDetails(
        forces=ForceErrorSummary(**forces(30, 40.0)),
        forces_per_element={"Li": ForceErrorSummary(**forces(30, 40.0))},
        forces_by_magnitude=(
            ForceErrorBin(
                **forces(20, 30.0, cosine=None, relative_percent=None),
                from_ev_per_angstrom=0.0, to_ev_per_angstrom=0.5,
            ),
            ForceErrorBin(
                **forces(10, 60.0), from_ev_per_angstrom=0.5, to_ev_per_angstrom=None
            ),
        ),
        energy=EnergyErrors(
            rmse_mev_per_atom=5.0, mae_mev_per_atom=4.0, mean_mev_per_atom=-3.0,
            std_mev_per_atom=4.0,
        ),
        stress=None,
    )  # fmt: skip


@pytest.fixture
def committee():
    return CommitteeSummary(
        members=4, rmse_mean_forces_mev_per_angstrom=38.0, rms_spread_mev_per_angstrom=19.0,
        max_spread_mev_per_angstrom=60.0, rank_correlation_atoms=0.71,
        rank_correlation_frames=None, scaling_factor=2.0, calibration_deviation=0.1,
        calibration=(
            CalibrationBin(atoms=15, spread_mev_per_angstrom=10.0, error_mev_per_angstrom=22.0),
            CalibrationBin(atoms=15, spread_mev_per_angstrom=25.0, error_mev_per_angstrom=48.0),
        ),
    )  # fmt: skip


def test_evaluation_in_words(details, committee, summary_of_errors):
    results = EvaluateResults(
        status=Status.FINISHED, errors={"test": summary_of_errors}, details={"test": details},
        committee={"test": committee}, warnings=("made up",),
    )  # fmt: skip
    lines = [" ".join(line.split()) for line in evaluation_text(results).splitlines()]
    assert "force RMSE 40.0 meV/Å, 10 % of the labels; cosine 0.987 (30 atoms)" in lines
    assert "0 – 0.5 eV/Å 30.0 meV/Å (20 atoms)" in lines
    assert "above 0.5 eV/Å 60.0 meV/Å, 15 % of the labels; cosine 0.987 (10 atoms)" in lines
    assert "energy RMSE 5.0 meV/atom; 4.0 without the mean error of -3.0" in lines
    assert "committee of 4 spread 19.0 meV/Å, error of the mean 38.0 meV/Å" in lines
    assert "rank correlation 0.71 over atoms, not known over frames (worst atom)" in lines
    assert "calibration error ≈ 2.00 × spread, off by 0.10 of the error in the mean" in lines
    assert lines[-1] == "warning: made up"
    assert not any(line.startswith("stress") for line in lines)


@pytest.fixture
def summary_of_errors():
    from aiida_limsm.compute.results import ErrorSummary

    return ErrorSummary(
        frames=1, atoms=30, rmse_forces_mev_per_angstrom=40.0, mae_forces_mev_per_angstrom=28.0,
        rms_forces_mev_per_angstrom=400.0, rmse_forces_per_element_mev_per_angstrom={"Li": 40.0},
        rmse_energy_mev_per_atom=5.0, mean_energy_error_mev_per_atom=-3.0,
    )  # fmt: skip


@pytest.mark.parametrize("atoms", [30, 3000])
def test_evaluation_drawn(details, committee, atoms):
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(atoms, 3))
    points = {
        "forces": np.stack([labels, labels + 0.1 * rng.normal(size=(atoms, 3))], axis=1),
        "energy": np.array([[-100.0, -100.1], [-101.0, -101.2]]),
        "n_atoms": np.array([atoms // 2, atoms // 2]),
        "committee_spread": rng.uniform(0.01, 0.1, atoms),
        "committee_error": rng.uniform(0.01, 0.1, atoms),
    }
    figure = evaluation_figure(details, committee, points)
    titles = [ax.get_title() or ax.get_title("left") for ax in figure.axes]
    assert "forces: RMSE 40 meV/Å" in titles
    assert "energies: RMSE 4.0 meV/atom, shift -3" in titles
    assert "committee of 4: rank correlation 0.71" in titles
    assert png_bytes(figure).startswith(b"\x89PNG")
    without = evaluation_figure(details, None, points)
    assert len([ax for ax in without.axes if ax.get_title("left")]) == 3
    points["committee_spread"] = np.zeros(atoms)
    alike = evaluation_figure(details, committee, points)
    assert "the committee does not differ" in [text.get_text() for text in alike.axes[3].texts]


def source(label, **changes):
    return SourceSummary(
        label=label, file=f"{label}.h5", symbol_counts={"Li": 4}, frames=1,
        atoms_per_angstrom3=0.05, **changes,
    )  # fmt: skip


def test_comparison_in_words():
    entry = CurveOverlap(
        quantity="rdf", name="Li-Li", first="a", second="b", overlap=0.95678,
        overlap_error=0.0123, mean_absolute_difference=0.1,
    )  # fmt: skip
    assert overlap_text(entry) == "0.957 ± 0.012"
    assert overlap_text(entry.model_copy(update={"overlap_error": None})) == "0.96"
    results = CompareResults(
        status=Status.FINISHED, sources=(source("a"), source("b")), overlaps=(entry,),
        r_max_angstrom=8.0, warnings=("made up",),
    )  # fmt: skip
    text = comparison_text(results)
    assert text.splitlines()[0] == "a  Li4, 1 frame"
    assert "overlap of g(r) up to 8 Å\n         Li-Li\n  a / b  0.957 ± 0.012" in text
    assert "vibrations" not in text
    assert "half" not in text
    assert text.endswith("warning: made up")


def test_comparison_of_single_frames_drawn():
    """No errors, no vibrations, one element: a panel alone."""
    x = np.linspace(0.05, 7.95, 80)
    curve = Curve(np.exp(-((x - 3) ** 2)), np.full(80, np.nan), np.linspace(0, 9, 80))
    found = CurveSet(x, {"a": {"Li-Li": curve}, "b": {"Li-Li": curve}})
    results = CompareResults(status=Status.FINISHED, sources=(source("a"), source("b")))
    figure = comparison_figure(results, found, None)
    (ax,) = figure.axes
    assert ax.get_title("left") == "g(r)  Li–Li"
    assert not ax.collections  # no band
    spectrum = CurveSet(x, {"a": {"Li": curve, "all": curve}})
    both = comparison_figure(results, CurveSet(x, {"a": {"Li-Li": curve}}), spectrum)
    assert [ax.get_title("left") for ax in both.axes] == ["g(r)  Li–Li", "vibrations  Li"]
    assert not both.legends
