"""Several methods on one path: differences, order, text and figure."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_limsm.compute.neb_results import PathProfile
from aiida_limsm.report.figures.neb import neb_figure
from aiida_limsm.report.figures.style import png_bytes
from aiida_limsm.report.neb import comparison_text
from aiida_limsm.report.neb_paths import MethodPath, compare


def path(
    energies_of: str, path_of: str, barrier: float, reaction: float = 0.0, converged: bool = True
) -> MethodPath:
    x = np.linspace(0, 1, 5)
    energy = barrier * np.sin(np.pi * x) ** 2 + reaction * x
    profile = PathProfile(
        barrier_forward_ev=energy.max(),
        barrier_backward_ev=energy.max() - energy[-1],
        reaction_energy_ev=reaction,
        fit_barrier_forward_ev=energy.max(),
        monotonic=barrier == 0,
        highest_image=int(energy.argmax()) + 1,
        coordinate=tuple(x),
        distance_angstrom=tuple(3 * x),
        energy_ev=tuple(energy),
        tangential_force_ev_per_angstrom=(0.0,) * 5,
        fit_coordinate=tuple(x),
        fit_energy_ev=tuple(energy),
    )
    own = converged if energies_of == path_of else None
    return MethodPath(energies_of=energies_of, path_of=path_of, converged=own, profile=profile)


@pytest.fixture
def paths() -> list[MethodPath]:
    return [
        path("tuned", "dft", 0.41),
        path("foundation", "foundation", 0.30),
        path("dft", "tuned", 0.43),
        path("tuned", "tuned", 0.42),
        path("dft", "dft", 0.40, converged=False),
    ]


def test_every_difference_is_from_dft(paths: list[MethodPath]) -> None:
    found = {(d.method, d.reference): d.forward_mev for d in compare(paths).differences}
    assert found == pytest.approx(
        {
            ("foundation", "dft"): -100.0,
            ("tuned", "dft"): 20.0,
            ("tuned", "dft on the path of tuned"): -10.0,
            ("tuned on the path of dft", "dft"): 10.0,
        }
    )


def test_order_does_not_depend_on_how_it_was_stored(paths: list[MethodPath]) -> None:
    names = [p.name for p in compare(paths).ordered]
    assert names == [
        "dft", "foundation", "tuned", "dft on the path of tuned", "tuned on the path of dft",
    ]  # fmt: skip
    assert compare(paths[::-1]) == compare(paths)


def test_without_dft_there_are_no_differences() -> None:
    comparison = compare([path("a", "a", 0.1), path("b", "b", 0.2)])
    assert comparison.differences == ()
    assert "minus" not in comparison_text(comparison)


def test_text(paths: list[MethodPath]) -> None:
    text = comparison_text(compare(paths))
    first, second = text.split("\n\n")
    rows = [line.split() for line in first.splitlines()]
    assert rows[1] == ["dft", "0.400", "0.400", "0.000", "not", "converged"]
    assert len(rows) == 6
    assert "foundation" in second
    assert "-100" in second
    flat = comparison_text(compare([path("a", "a", 0.0, 0.3)]))
    assert "no barrier" in flat


def test_figure(paths: list[MethodPath]) -> None:
    figure = neb_figure(compare(paths).ordered)
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "DFT: 0.400 eV"
    assert "tuned on the path of DFT: 0.410 eV" in labels
    # points and a line of every path; energies above each one's first image
    assert len(axes.get_lines()) == 10
    assert max(line.get_ydata().max() for line in axes.get_lines()) == pytest.approx(0.43)
    assert png_bytes(figure) == png_bytes(neb_figure(compare(paths[::-1]).ordered))
    assert png_bytes(neb_figure([])).startswith(b"\x89PNG")
