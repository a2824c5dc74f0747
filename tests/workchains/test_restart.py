"""What the workchains around one job share: a job that dies at once is repeated, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.workchains.markov import MarkovWorkChain
from aiida_limsm.workchains.train import TrainWorkChain

pytestmark = pytest.mark.slow


@pytest.fixture
def dying_code(computer: orm.Computer) -> orm.InstalledCode:
    return orm.InstalledCode(
        label="dying", computer=computer, filepath_executable="/bin/false", with_mpi=False
    ).store()


def test_an_analysis(dying_code: orm.Code, sites: orm.StructureData, h5md_file: Path) -> None:
    """It has no checkpoints, and two iterations are all that its protocol allows."""
    trajectory = MolecularDynamicsData.from_file(h5md_file)
    builder = MarkovWorkChain.get_builder_from_protocol(dying_code, sites, {"r0": trajectory})
    dies_twice(builder)


def test_a_training(
    dying_code: orm.Code, foundation: orm.Data, make_splits: Callable[..., Any]
) -> None:
    dataset = ReferenceDatasetData(make_splits(), {"Li": -190.5, "Si": -110.25}, {})
    dies_twice(TrainWorkChain.get_builder_from_protocol(dying_code, dataset, foundation))


def dies_twice(builder: Any) -> None:
    node = run_get_node(builder).node
    jobs = [called for called in node.called if isinstance(called, orm.CalcJobNode)]
    assert [job.exit_status for job in jobs] == [302, 302]
    assert node.exit_status == 310
    assert "second job in a row that was killed before a checkpoint" in node.exit_message
