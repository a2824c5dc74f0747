"""``aiida-limsm series``: what a series gave, in words and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from click.testing import CliRunner

from aiida_limsm.calculations.series import collect_series
from aiida_limsm.cli.series import series_command
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.units import BOLTZMANN_EV_PER_K
from aiida_limsm.workchains._series_inputs import members_of


def estimate(d: float, resolved: bool, faster_along_a: float) -> dict[str, Any]:
    share = 3 * np.array([faster_along_a, 1.0, 1.0]) / (faster_along_a + 2)
    return {
        "method": "markov",
        "tensor_cm2_s": np.diag(share * d).tolist(),
        "error_cm2_s": (np.eye(3) * 0.1 * d).tolist(),
        "covariance_cm4_s2": np.diag([0.01 * d**2] * 3 + [0.0] * 3).tolist(),
        "isotropic_cm2_s": d,
        "isotropic_error_cm2_s": 0.05 * d,
        "resolved": resolved,
        "upper_bound_cm2_s": None if resolved else 2 * d,
        "reason": "" if resolved else "3 independent jumps",
    }


@pytest.fixture
def run(aiida_profile: Any) -> Callable[..., orm.WorkChainNode]:
    """Return a function that stores a finished series of an exact law, some of it not resolved."""

    def make(
        supercells: list[list[int]],
        temperatures: list[float],
        unresolved: tuple[str, ...] = (),
        summary: bool = True,
        faster_along_a: float = 1.0,
    ) -> orm.WorkChainNode:
        members = members_of(supercells, temperatures)
        nodes = {}
        for label, member in members.items():
            cell = 6.0 * np.array(member["supercell"])
            beta = 1 / (BOLTZMANN_EV_PER_K * member["temperature_k"])
            d = 1e-3 * np.exp(-0.3 * beta) * (1 + 1.0 / cell[0])
            nodes[label] = DiffusionData(
                estimate(d, label not in unresolved, faster_along_a),
                temperature_k=member["temperature_k"],
                cell_angstrom=np.diag(cell), n_ions=11, species="Li", duration_ps=50.0,
            )  # fmt: skip
        failed = {"s9x1x1_T900K": "the framework moved"}
        asked = orm.Dict({"members": members, "failed": failed})
        structure = orm.StructureData(cell=np.eye(3) * 6.0)
        structure.append_atom(position=(0, 0, 0), symbols="Li")
        node = orm.WorkChainNode()
        node.set_process_label("DiffusionSeriesWorkChain")
        node.base.links.add_incoming(structure.store(), LinkType.INPUT_WORK, "structure")
        node.store()
        if summary:
            found = collect_series(asked, **nodes)
            found.base.links.add_incoming(node, LinkType.RETURN, "summary")
        node.set_exit_message("No member gave a result")
        node.set_process_state("finished")
        return node

    return make


def shown(*arguments: object) -> Any:
    return CliRunner().invoke(series_command, [str(argument) for argument in arguments])


def test_words(run: Callable[..., Any]) -> None:
    node = run([[1, 1, 1], [4, 1, 1]], [600.0, 700.0, 850.0], ("s1x1x1_T600K",))
    result = shown(node.pk)
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    (cold,) = [line for line in lines if line.startswith("1×1×1") and " 600 " in line]
    assert "< 7.1e-06 (95 %), not resolved" in cold
    (warm,) = [line for line in lines if line.startswith("4×1×1") and " 700 " in line]
    assert "24.00" in warm
    assert "(7.2 ± 0.4)e-06" in warm
    assert "L is the length along a" in lines
    assert "D is the same in all directions, within the errors" in lines
    assert max(map(len, lines)) <= 100
    said = " ".join(result.output.split())
    assert "600 K, mean fewer than two cells are resolved" in said
    assert (
        "700 K, mean D∞ = (6.9 ± 0.5)e-06 cm²/s; from 6 Å on D agrees with that of the largest "
        "cell; no trend" in said
    )
    # the same D along a, with the error of one component
    assert "700 K, along a D∞ = (6.9 ± 1.0)e-06 cm²/s; from 6 Å on" in said
    assert "4×1×1 Ea = 0.300 ± 0.012 eV; no curvature beyond errors" in said
    assert "4×1×1, along" not in said
    assert "1×1×1 Ea = 0.30 ± 0.02 eV; two temperatures" in said
    assert "ln D0 = -6.9 ± 0.2 (cm²/s)" in said
    assert "s9x1x1_T900K  the framework moved" in result.output


def test_directions_where_they_differ(run: Callable[..., Any], tmp_path: Path) -> None:
    node = run([[1, 1, 1], [2, 1, 1]], [600.0, 700.0, 850.0], faster_along_a=4.0)
    result = shown(node.pk, "-o", tmp_path / "series.png")
    assert result.exit_code == 0, result.output
    assert "In 6 of 6 resolved members D differs between directions" in result.output
    mean, *along = (line for line in result.output.splitlines() if line.startswith("  2×1×1"))
    assert "2×1×1, mean     Ea = 0.300 ± 0.012 eV" in mean
    assert [line[9:16] for line in along] == ["along a", "along b", "along c"]
    # half the relative error along the fast axis, twice that across it
    assert "along a  Ea = 0.300 ± 0.012 eV" in along[0]
    assert "along b  Ea = 0.30 ± 0.05 eV" in along[1]
    assert (tmp_path / "series.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("supercells", "temperatures"),
    [
        ([[1, 1, 1], [2, 2, 2], [4, 4, 4]], [600.0, 700.0, 850.0]),
        ([[1, 1, 1]], [600.0, 700.0]),
        ([[1, 1, 1], [2, 1, 1]], [600.0]),
        ([[1, 1, 1]], [600.0]),
    ],
)
def test_picture(
    run: Callable[..., Any], tmp_path: Path, supercells: list[list[int]], temperatures: list[float]
) -> None:
    node = run(supercells, temperatures)
    picture = tmp_path / "series.png"
    result = shown(node.pk, "-o", picture)
    assert result.exit_code == 0, result.output
    assert picture.read_bytes()[:4] == b"\x89PNG"
    again = shown(node.pk, "-o", picture)
    assert again.exit_code == 1
    assert "exists: choose another name, or add --force" in again.output
    assert shown(node.pk, "-o", picture, "--force").exit_code == 0


def test_nothing_resolved(run: Callable[..., Any], tmp_path: Path) -> None:
    labels = tuple(members_of([[1, 1, 1], [2, 1, 1]], [600.0, 700.0]))
    node = run([[1, 1, 1], [2, 1, 1]], [600.0, 700.0], labels)
    result = shown(node.pk, "-o", tmp_path / "series.svg")
    assert result.exit_code == 0, result.output
    assert "fewer than two temperatures are resolved" in result.output


def test_another_node_and_one_without_results(run: Callable[..., Any]) -> None:
    number = orm.Int(1).store()
    assert f"PK {number.pk} is no DiffusionSeriesWorkChain" in shown(number.pk).output
    empty = run([[1, 1, 1]], [600.0], summary=False)
    result = shown(empty.pk)
    assert result.exit_code == 1
    assert "gave no D: No member gave a result" in result.output
