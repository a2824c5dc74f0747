"""Figures of one analysis show the arrays of the model file; nothing runs off the page."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from matplotlib.colors import to_rgba

from aiida_limsm.compute.analyse import run_analyse
from aiida_limsm.compute.inputs import AnalyseInput
from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.io import load_model, read_curves
from aiida_limsm.markov.model import MarkovModel
from aiida_limsm.markov.synthetic import HoppingTrajectory
from aiida_limsm.markov.synthetic_networks import d0_3_network, reversible_network, site_lattice
from aiida_limsm.report.analysis import draw_analysis
from aiida_limsm.report.figures import (
    analysis_curves,
    analysis_maps,
    analysis_spectrum,
    network,
)
from aiida_limsm.report.figures.projection import best_view
from aiida_limsm.trajectory.h5md import H5mdFile

NAMES = {
    "msd.png", "d_of_lag.png", "implied_timescales.png", "chapman_kolmogorov.png", "spectrum.png",
    "eigenvectors.png", "network.png",
}  # fmt: skip
INTERVAL_PS = 0.02


@dataclass(frozen=True)
class Run:
    results: AnalyseResults
    model: MarkovModel
    curves: Curves
    folder: object

    @cached_property
    def figures(self):
        return {
            "msd": analysis_curves.msd_figure(self.results, self.curves),
            "d": analysis_curves.d_of_lag_figure(self.results, self.curves),
            "timescales": analysis_spectrum.implied_timescales_figure(self.results, self.curves),
            "check": analysis_curves.chapman_kolmogorov_figure(self.results, self.curves),
            "spectrum": analysis_spectrum.spectrum_figure(self.results),
            "eigenvectors": analysis_maps.eigenvectors_figure(
                self.results, self.model, self.curves
            ),
            "network": analysis_maps.network_figure(self.results, self.model, self.curves),
        }


def analysed(folder, hopping, supercell, ions, frames, **settings):
    """Write a trajectory of a known network and analyse it."""
    made = HoppingTrajectory(
        hopping, ions, frames, INTERVAL_PS, np.diag(supercell), vibration_angstrom=0.2
    )
    file = H5mdFile(folder / "md.h5", made.numbers, made.cell, INTERVAL_PS, observables=False)
    written = 0
    for block in made.blocks():
        file.append(block, np.arange(written, written + len(block)))
        written += len(block)
    file.close()
    lattice = hopping.lattice
    sites = Atoms(
        numbers=[3] * lattice.n_sites + list(lattice.framework_numbers),
        positions=np.vstack([lattice.positions, lattice.framework_positions]),
        cell=lattice.cell,
        pbc=True,
    )
    write(folder / "sites.extxyz", sites)
    job = AnalyseInput(
        trajectory_files=("md.h5",), structure_file="sites.extxyz", bootstrap_samples=20, **settings
    )
    results = run_analyse(job, folder, progress=lambda _: None)
    model = folder / "model.h5"
    return Run(results, load_model(model), read_curves(model), folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return analysed(folder, d0_3_network(0.05), (5, 5, 5), 60, 800, temperature_k=700.0)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    return analysed(tmp_path_factory.mktemp("still"), d0_3_network(1e-9), (3, 3, 3), 10, 200)


@pytest.fixture(scope="module")
def one_site(tmp_path_factory):
    lattice = site_lattice(np.diag([3.0, 3.4, 3.8]), [[0.0, 0.0, 0.0]], [[1.5, 1.7, 1.9]])
    hopping = reversible_network(lattice, 4.0, [0.0], 0.05)
    return analysed(tmp_path_factory.mktemp("one"), hopping, (5, 5, 4), 20, 500)


@pytest.fixture(params=["run", "still", "one_site"])
def any_run(request):
    return request.getfixturevalue(request.param)


def texts(figure):
    """All texts that are drawn, of the figure and of its panels."""
    return [
        text
        for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))
        if text.get_visible() and text.get_text().strip()
    ]


def words(figure):
    return " ".join(text.get_text() for text in texts(figure))


def test_files_are_written_and_repeat(any_run, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # missing glyphs and layouts that collapse are warnings
        names = draw_analysis(any_run.results, any_run.folder / "model.h5", tmp_path)
    assert set(names) == NAMES
    assert len(names) == len(NAMES)
    first = {name: (tmp_path / name).read_bytes() for name in names}
    assert all(content.startswith(b"\x89PNG") for content in first.values())
    draw_analysis(any_run.results, any_run.folder / "model.h5", tmp_path)
    assert first == {name: (tmp_path / name).read_bytes() for name in names}


def test_nothing_runs_off_the_page(any_run):
    for name, figure in any_run.figures.items():
        figure.canvas.draw()
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.02, name
        assert box.y0 > -0.02, name
        assert box.x1 < width + 0.02, name
        assert box.y1 < height + 0.02, name


def test_msd_shows_three_curves(run):
    ax = run.figures["msd"].axes[0]
    drawn = [line.get_ydata() for line in ax.lines]
    curves = run.curves
    for expected in (
        curves.msd_md_angstrom2, curves.msd_projected_angstrom2, curves.msd_model_angstrom2,
    ):  # fmt: skip
        assert any(np.array_equal(expected, y) for y in drawn)


def test_d_of_lag_shows_points_lag_and_quoted_value(run):
    ax = run.figures["d"].axes[0]
    lines = [line.get_xydata() for line in ax.lines]
    points = np.column_stack([run.curves.lag_ps, run.curves.d_of_lag_cm2_s])
    assert any(line.shape == points.shape and np.allclose(line, points) for line in lines)
    assert any(np.allclose(line[:, 0], run.results.lag_time_ps) for line in lines)
    value = run.results.diffusion.markov.isotropic_cm2_s
    assert any(len(line) == 2 and np.allclose(line[:, 1], value, rtol=1e-12) for line in lines)


def test_timescales_and_the_region_out_of_reach(run):
    ax = run.figures["timescales"].axes[0]
    drawn = [line.get_ydata() for line in ax.lines]
    for k in range(2):
        expected = run.curves.timescales_ps[:, k]
        assert any(np.array_equal(expected, y, equal_nan=True) for y in drawn)
    grey = next(c for c in ax.collections if "out of reach" in str(c.get_label()))
    corners = grey.get_paths()[0].vertices
    upper = corners[corners[:, 1] > corners[:, 1].min()]
    assert len(upper) > 5
    np.testing.assert_allclose(upper[:, 0], upper[:, 1])


def test_timescale_without_error_has_no_band(run):
    """A huge or unknown error must not be drawn as if the value were exact."""
    nothing = replace(run.curves, timescale_errors_ps=run.curves.timescales_ps * 1e6)
    figure = analysis_spectrum.implied_timescales_figure(run.results, nothing)
    assert "no band: not resolved" in words(figure)
    assert np.isfinite(figure.axes[0].get_ylim()).all()
    assert figure.axes[0].get_ylim()[1] < 100 * np.nanmax(run.curves.timescales_ps)


def test_check_starts_at_one_and_shows_residuals(run):
    top, bottom = run.figures["check"].axes
    predicted = run.curves.ck_predicted
    for group in range(predicted.shape[1]):
        line = np.append(1.0, predicted[:, group])
        assert any(np.array_equal(line, drawn.get_ydata()) for drawn in top.lines)
        rest = run.curves.ck_observed[:, group] - predicted[:, group]
        assert any(
            len(rest) == len(drawn.get_ydata()) and np.allclose(rest, drawn.get_ydata(), atol=1e-15)
            for drawn in bottom.lines
        )
    for group in run.curves.ck_groups:
        assert f"sites {group}" in words(top.figure)


@pytest.mark.parametrize(("times", "gap"), [((40.0, 10.0, 9.0), "× 4.0"), ((40.0, 20.0), "")])
def test_gap_is_marked_by_the_rule_of_the_metastable_sets(run, times, gap):
    results = run.results.model_copy(
        update={
            "implied_timescales_ps": times,
            "implied_timescales_error_ps": tuple(0.1 * t for t in times),
        }
    )
    said = words(analysis_spectrum.spectrum_figure(results))
    assert gap in said
    assert ("gap" in said) == bool(gap)


def test_maps_show_eigenvectors_and_weights(run):
    figure = run.figures["eigenvectors"]
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(panels) == 2
    pi = run.model.stationary_distribution
    for k, ax in enumerate(panels):
        sites = ax.collections[-1]
        vector = run.curves.right_eigenvectors[:, k]
        order = np.argsort(-pi, kind="stable")
        np.testing.assert_allclose(sites.get_array(), (vector / np.abs(vector).max())[order])
        assert sites.get_clim() == (-1.0, 1.0)
        sizes = sites.get_sizes()
        np.testing.assert_allclose(sizes / sizes[0], pi[order] / pi.max())
        assert f"{k + 1}: " in ax.get_title(loc="left")


def test_maps_show_the_framework_and_fill_their_page(run):
    """The atom on a corner of the cell stands on all eight; no blank half pages."""
    lattice = run.model.lattice
    corners = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T @ lattice.cell
    for name in ("network", "eigenvectors"):
        figure = run.figures[name]
        grey = to_rgba(network.FRAMEWORK)
        (atoms,) = [
            c for c in figure.axes[0].collections if np.allclose(c.get_facecolor()[0], grey)
        ]
        assert len(atoms.get_offsets()) == len(corners)
        figure.canvas.draw()
        drawn = figure.axes[0].dataLim
        shown = figure.axes[0].viewLim
        assert drawn.height > 0.6 * shown.height
        assert drawn.width > 0.6 * shown.width
    said = words(run.figures["network"])
    assert "jumps, width by rate" in said
    assert "framework" in said


def test_unresolved_run_is_shown_as_such(run):
    found = run.results.diffusion
    few = found.markov.model_copy(
        update={"resolved": False, "reason": "2 independent jumps seen, 10 asked",
                "upper_bound_cm2_s": 9.9e-5}
    )  # fmt: skip
    results = run.results.model_copy(update={"diffusion": found.model_copy(update={"markov": few})})
    figures = replace(run, results=results).figures
    assert "not resolved, D < 9.9" in words(figures["d"])
    assert "for show" in words(figures["d"])
    for name in ("timescales", "spectrum", "eigenvectors"):
        assert "for show only: 2 independent jumps seen" in words(figures[name])
    assert "gap" not in words(figures["spectrum"])
    assert "±" not in " ".join(
        ax.get_title(loc="left")
        for name in ("d", "spectrum", "eigenvectors")
        for ax in figures[name].axes
    )


def test_empty_figures_say_why(still, one_site, run):
    for name in ("d", "timescales", "check", "spectrum", "eigenvectors", "network"):
        assert "no jump was seen" in words(still.figures[name])
    for name in ("timescales", "spectrum", "eigenvectors"):
        assert "one site in the cell" in words(one_site.figures[name])
    old = Curves(
        **{
            name: getattr(run.curves, name)
            for name in vars(run.curves)
            if name.startswith(("lag", "d_of", "msd"))
        }
    )
    figures = replace(run, curves=old).figures
    for name in ("timescales", "eigenvectors"):
        assert "none stored with the model" in words(figures[name])
    assert "the file holds none" in words(figures["check"])


def test_large_cells_are_drawn_in_bounded_time(run, monkeypatch):
    """The view is chosen from some of the sites; the network says why it is not drawn."""
    number, repeats = run.model.n_sites, 12
    vectors = np.zeros((number * repeats**2, 1))
    vectors[0], vectors[-1] = 1.0, -1.0
    large = run.model.expand(np.diag([repeats, repeats, 1]))
    sites = (run.results.sites * repeats**2)[: large.n_sites]
    results = run.results.model_copy(update={"sites": sites})
    curves = replace(run.curves, right_eigenvectors=vectors)
    asked = []
    monkeypatch.setattr(
        analysis_maps, "best_view", lambda *given: asked.append(given) or best_view(*given)
    )
    figures = replace(run, results=results, model=large, curves=curves).figures
    ((_, positions, channels),) = asked
    assert len(positions) + 2 * len(channels) <= analysis_maps.MOST_SITES
    assert f"{large.n_sites} sites are too many" in words(figures["network"])
    maps = figures["eigenvectors"].axes[0].collections[-1]
    assert len(maps.get_offsets()) == large.n_sites
