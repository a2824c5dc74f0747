"""Every figure draws, whatever is missing, and draws the same bytes twice."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from aiida_limsm.markov.curves import Curves
from aiida_limsm.markov.sites import SiteLattice
from aiida_limsm.report import figures
from aiida_limsm.report.figures.projection import best_view, find_channels, site_cell

ALL = (
    figures.diffusion_figure,
    figures.msd_figure,
    figures.plateau_figure,
    figures.parity_figure,
    figures.training_figure,
    figures.network_figure,
    figures.summary_figure,
)
PNG = b"\x89PNG"


def changed(result, **updates):
    return replace(result, analysis=result.analysis.model_copy(update=updates))


def filled(curves, value):
    return Curves(
        **{
            name: np.full_like(array, value)
            for name, array in vars(curves).items()
            if isinstance(array, np.ndarray)
        }
    )


def nan_errors(curves):
    return replace(
        curves,
        d_of_lag_error_cm2_s=np.full_like(curves.lag_ps, np.nan),
        msd_md_error_angstrom2=np.full_like(curves.msd_time_ps, np.nan),
    )


def everything_nan_but_time(curves):
    broken = filled(curves, np.nan)
    return replace(broken, lag_ps=curves.lag_ps, msd_time_ps=curves.msd_time_ps)


def no_motion(curves):
    return replace(filled(curves, 0.0), lag_ps=curves.lag_ps, msd_time_ps=curves.msd_time_ps)


def each(study, change):
    return replace(study, temperatures=tuple(change(result) for result in study.temperatures))


def without_site_data(result):
    return changed(result, sites=(), jumps=(), sites_cell_angstrom=None)


def bounds_missing(result):
    def stripped(estimate):
        return estimate.model_copy(
            update={"resolved": False, "upper_bound_cm2_s": None, "reason": "short"}
        )

    diffusion = result.analysis.diffusion
    update = {"markov": stripped(diffusion.markov), "msd": stripped(diffusion.msd)}
    return changed(result, diffusion=diffusion.model_copy(update=update))


EDGES = {
    "as it is": lambda s: s,
    "no temperature": lambda s: replace(s, temperatures=()),
    "one temperature": lambda s: replace(s, temperatures=s.by_temperature[1:2]),
    "everything unresolved": lambda s: replace(s, temperatures=s.by_temperature[:1]),
    "no bounds either": lambda s: each(s, bounds_missing),
    "no estimates": lambda s: each(s, lambda r: changed(r, diffusion=None)),
    "no jumps": lambda s: each(s, lambda r: changed(r, jumps=(), n_jumps=0)),
    "no sites": lambda s: each(s, without_site_data),
    "no curves": lambda s: each(s, lambda r: replace(r, curves=None, md=None)),
    "NaN errors": lambda s: each(s, lambda r: replace(r, curves=nan_errors(r.curves))),
    "NaN curves": lambda s: each(s, lambda r: replace(r, curves=everything_nan_but_time(r.curves))),
    "no motion": lambda s: each(s, lambda r: replace(r, curves=no_motion(r.curves))),
    "no training": lambda s: replace(
        s, parity_forces=None, history=(), held_out_before=None, held_out_after=None
    ),
    "few forces": lambda s: replace(s, parity_forces=s.parity_forces[:40]),
    "one force of zero": lambda s: replace(s, parity_forces=np.zeros((1, 2, 3))),
}


# which figures look at what an edge case changes; all of them where it is not listed
CURVE_FIGURES = (figures.msd_figure, figures.plateau_figure)
TOUCHED = {
    "no bounds either": (figures.diffusion_figure, figures.plateau_figure),
    "no estimates": (figures.diffusion_figure, figures.plateau_figure),
    "no jumps": (figures.network_figure,),
    "no sites": (figures.network_figure,),
    "no curves": CURVE_FIGURES,
    "NaN errors": CURVE_FIGURES,
    "NaN curves": CURVE_FIGURES,
    "no motion": CURVE_FIGURES,
    "no training": (figures.parity_figure, figures.training_figure),
    "few forces": (figures.parity_figure,),
    "one force of zero": (figures.parity_figure,),
}


@pytest.mark.parametrize("edge", EDGES)
def test_figures_draw(study, edge):
    odd = EDGES[edge](study)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for draw in TOUCHED.get(edge, ALL):
            assert figures.png_bytes(draw(odd), dpi=30).startswith(PNG), draw.__name__


@pytest.mark.parametrize("edge", ["no estimates", "no jumps", "no motion"])
def test_summary_draws(study, edge):
    assert figures.png_bytes(figures.summary_figure(EDGES[edge](study)), dpi=30).startswith(PNG)


def test_equal_studies_give_equal_bytes(study):
    for draw in (figures.diffusion_figure, figures.network_figure):
        assert figures.svg_bytes(draw(study)) == figures.svg_bytes(draw(study))
        assert figures.png_bytes(draw(study), 40) == figures.png_bytes(draw(study), 40)
    assert b"<dc:date>" not in figures.svg_bytes(figures.diffusion_figure(study))


def test_no_line_without_three_resolved_temperatures(study):
    def labels(s):
        legend = figures.diffusion_figure(s).axes[0].get_legend()
        return [text.get_text() for text in legend.get_texts()]

    assert any("E_a" in label and "±" in label for label in labels(study))
    two = replace(study, temperatures=study.by_temperature[:3])
    assert not any("E_a" in label for label in labels(two))


def test_users_settings_do_not_leak_in(study):
    import matplotlib as mpl

    plain = figures.png_bytes(figures.training_figure(study), 40)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        assert figures.png_bytes(figures.training_figure(study), 40) == plain


def test_cell_of_the_sites_is_that_of_the_lattice(study, primitive_cell):
    result = study.by_temperature[1]
    np.testing.assert_allclose(site_cell(result), primitive_cell)
    assert site_cell(changed(result, sites_cell_angstrom=None)) is None
    lattice = SiteLattice(
        cell=2 * primitive_cell,
        positions=np.zeros((1, 3)),
        labels=("Li1",),
        orbits=("1a",),
        multiplicities=(1,),
        framework_positions=np.array([[1.0, 1.0, 1.0]]),
        framework_numbers=np.array([14]),
    )
    known = replace(result, lattice=lattice)
    np.testing.assert_array_equal(site_cell(known), 2 * primitive_cell)
    single = replace(study, temperatures=(known,))
    assert figures.png_bytes(figures.network_figure(single), 30).startswith(PNG)


def test_channels_hold_both_ways(study):
    found = study.by_temperature[1].analysis
    channels = find_channels(found)
    assert 2 * len(channels) == len(found.jumps)
    assert all(c.rate_per_ps > 0 and c.back_rate_per_ps > 0 for c in channels)
    total = sum(c.rate_per_ps + c.back_rate_per_ps for c in channels)
    assert total == pytest.approx(sum(row.rate_per_ps for row in found.jumps))
    assert channels[0].strength == max(row.rate_per_ps for row in found.jumps)


def test_self_jumps_of_a_single_site_are_one_channel(study):
    result = study.by_temperature[1]
    row = result.analysis.jumps[0]
    rows = tuple(
        row.model_copy(update={"from_site": "Li1", "to_site": "Li1", "vector_a": vector})
        for vector in ((3.0, 0.0, 0.0), (-3.0, 0.0, 0.0))
    )
    (channel,) = find_channels(result.analysis.model_copy(update={"jumps": rows}))
    assert channel.rate_per_ps == channel.back_rate_per_ps == row.rate_per_ps


def test_view_keeps_stacked_sites_apart():
    cell = np.diag([5.0, 5.0, 5.0])
    positions = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 2.5], [2.5, 2.5, 1.0]])
    view = best_view(cell, positions, [])
    np.testing.assert_allclose(view.axes @ view.axes.T, np.eye(2), atol=1e-12)
    points = view(positions)
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)[np.triu_indices(3, 1)]
    assert apart.min() > 1.0


@pytest.mark.parametrize("number", [8, 50, 120])
def test_network_of_many_sites(study, number):
    random = np.random.default_rng(3)
    result = study.by_temperature[1]
    site, row = result.analysis.sites[0], result.analysis.jumps[0]
    places = random.random((number, 3))
    sites = tuple(
        site.model_copy(
            update={
                "label": f"Li{k + 1}",
                "orbit": f"{k % 9}a",
                "frac": tuple(places[k]),
                "occupancy": float(random.uniform(0.3, 1.0)),
            }
        )
        for k in range(number)
    )
    cell = np.diag([8.0, 9.0, 10.0])
    rows = tuple(
        row.model_copy(
            update={
                "from_site": f"Li{a + 1}",
                "to_site": f"Li{b + 1}",
                "vector_a": tuple((places[b] - places[a]) @ cell),
                "rate_per_ps": float(random.lognormal()),
            }
        )
        for a in range(number)
        for b in (a, (a + 1) % number, (a + 5) % number)
        if a != b
    )
    big = changed(result, sites=sites, jumps=rows, sites_cell_angstrom=tuple(map(tuple, cell)))
    figure = figures.network_figure(replace(study, temperatures=(big,)))
    assert figures.png_bytes(figure, 40).startswith(PNG)
