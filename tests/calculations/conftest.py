"""Nodes that the calculations take, and a way to prepare a job without running it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common import CalcInfo
from aiida.common.folders import SandboxFolder

from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData

E0S_EV = {"Li": -190.5, "Si": -110.25}


@dataclass
class Prepared:
    """What ``prepare_for_submission`` made."""

    calcinfo: CalcInfo
    files: dict[str, str]


@pytest.fixture
def prepare() -> Callable[..., Prepared]:
    """Return a function that prepares a CalcJob for submission and reads the folder."""
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    def run(process_class: Any, **inputs: Any) -> Prepared:
        process = instantiate_process(get_manager().get_runner(), process_class, **inputs)
        with SandboxFolder() as folder:
            calcinfo = process.prepare_for_submission(folder)
            names = folder.get_content_list()
            files = {name: Path(folder.get_abs_path(name)).read_text() for name in names}
        return Prepared(calcinfo, files)

    return run


@pytest.fixture
def refuse() -> Callable[..., str]:
    """Return a function that gives the one line with which inputs are refused."""
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    def run(process_class: Any, **inputs: Any) -> str:
        with pytest.raises(ValueError, match=r".") as caught:
            instantiate_process(get_manager().get_runner(), process_class, **inputs)
        message = str(caught.value)
        # AiiDA adds which port it was
        found = re.match(r"Error occurred validating port '[\w.]+': (.*)", message)
        assert found, message
        assert "\n" not in message
        return found[1]

    return run


@pytest.fixture
def code(aiida_code_installed: Any, aiida_localhost: orm.Computer) -> orm.InstalledCode:
    return aiida_code_installed(
        default_calc_job_plugin="limsm.md",
        computer=aiida_localhost,
        filepath_executable="/bin/true",
    )


@pytest.fixture
def potential(
    aiida_profile: Any, potential_file: Path, potential_info: dict[str, Any]
) -> PotentialData:
    return PotentialData(potential_file, potential_info).store()


@pytest.fixture
def dataset(aiida_profile: Any, make_splits: Callable[..., Any]) -> ReferenceDatasetData:
    return ReferenceDatasetData(make_splits(), E0S_EV, {"functional": "PBE"}).store()


@pytest.fixture
def structure(aiida_profile: Any) -> orm.StructureData:
    from aiida_limsm.atomistic.crystals import li11si4

    return orm.StructureData(ase=li11si4()).store()


@pytest.fixture
def remote(aiida_localhost: orm.Computer, tmp_path: Path) -> orm.RemoteData:
    return orm.RemoteData(computer=aiida_localhost, remote_path=str(tmp_path / "parent")).store()
