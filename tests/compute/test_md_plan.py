"""Which runs of an MD job share a graph."""

from __future__ import annotations

from typing import Any

import pytest

from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md_plan import plan_groups


@pytest.mark.parametrize(
    ("changes", "n_atoms", "sizes"),
    [
        ({}, 34, [8]),
        ({}, 100, [3, 3, 2]),
        ({"workers": 4}, 34, [2, 2, 2, 2]),
        ({}, 1000, [1] * 8),
        ({"device": "cuda"}, 1000, [3, 3, 2]),
        ({"batch_size": 5}, 1000, [5, 3]),
        ({"engine": "ase"}, 34, [1] * 8),
    ],
)
def test_runs_that_share_a_graph(changes: Any, n_atoms: int, sizes: list[int]) -> None:
    job = MdInput(temperature_k=500.0, more_temperatures_k=[600.0], replicas=4, steps=10, **changes)
    groups = plan_groups(job, n_atoms)
    assert [len(group.runs) for group in groups] == sizes
    runs = [run for group in groups for run in group.runs]
    assert len({run.folder for run in runs}) == len({run.seed for run in runs}) == 8
    assert [run.temperature_k for run in runs] == [500.0] * 4 + [600.0] * 4
