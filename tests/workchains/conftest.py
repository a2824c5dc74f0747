"""Real codes, the shipped pseudopotentials and the demo foundation model."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from ase import Atoms

ROOT = Path(__file__).parents[2]
ENVIRONMENT = "export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0"


def program(name: str, *folders: Path) -> str:
    # as the set-up does: a program on PATH goes before the one that was installed for want of it
    found = next(
        (path for folder in (None, *folders) if (path := shutil.which(name, path=folder))), None
    )
    assert found, f"{name} is missing: run the tests with `make test`, which installs it"
    return found


@pytest.fixture
def computer(aiida_localhost: orm.Computer) -> orm.Computer:
    aiida_localhost.set_minimum_job_poll_interval(0)
    aiida_localhost.configure(safe_interval=0)
    return aiida_localhost


def make_code(computer: orm.Computer, path: str, plugin: str) -> orm.InstalledCode:
    return orm.InstalledCode(
        label=Path(path).name.replace(".", "-"),
        computer=computer,
        filepath_executable=path,
        default_calc_job_plugin=plugin,
        prepend_text=ENVIRONMENT,
        with_mpi=False,
    ).store()


@pytest.fixture
def pw_code(computer: orm.Computer) -> orm.InstalledCode:
    path = program("pw.x", ROOT / ".limsm" / "bin")
    return make_code(computer, path, "quantumespresso.pw")


@pytest.fixture
def neb_code(computer: orm.Computer) -> orm.InstalledCode:
    path = program("neb.x", ROOT / ".limsm" / "bin")
    return make_code(computer, path, "quantumespresso.neb")


@pytest.fixture
def limsm_code(computer: orm.Computer) -> orm.InstalledCode:
    return make_code(computer, str(Path(sys.executable).parent / "limsm"), "limsm.md")


@pytest.fixture
def pseudo_family(aiida_profile: object) -> None:
    from aiida_limsm.cli.resources import ensure_pseudo_family

    ensure_pseudo_family()


@pytest.fixture
def foundation(aiida_profile: object) -> orm.Data:
    from aiida_limsm.cli._demo_inputs import demo_foundation

    return demo_foundation()


@pytest.fixture
def lithium_hop(aiida_profile: object) -> list[orm.StructureData]:
    """Li on two neighbouring tetrahedral sites of diamond silicon, 9 atoms."""
    return [silicon_with_lithium(fraction) for fraction in (0.0, 1.0)]


def silicon_with_lithium(fraction: float) -> orm.StructureData:
    a = 5.46
    silicon = np.array(
        [[0, 0, 0], [1, 1, 1], [0, 2, 2], [1, 3, 3], [2, 0, 2], [3, 1, 3], [2, 2, 0], [3, 3, 1]]
    )
    lithium = (2 + fraction) * np.ones((1, 3))
    atoms = Atoms("LiSi8", np.vstack([lithium, silicon]) * a / 4, cell=[a] * 3, pbc=True)
    return orm.StructureData(ase=atoms)


@pytest.fixture
def crystal() -> orm.StructureData:
    from aiida_limsm.atomistic.crystals import li11si4

    return orm.StructureData(ase=li11si4())


@pytest.fixture
def sites() -> orm.StructureData:
    from aiida_limsm.atomistic.crystals import li3si

    return orm.StructureData(ase=li3si())
