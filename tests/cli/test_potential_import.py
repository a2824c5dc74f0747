"""Model files come into the database without being run, and with the user's word only."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from aiida import orm
from click.testing import CliRunner, Result

from aiida_limsm import resources
from aiida_limsm.cli._published import published_origin
from aiida_limsm.cli.potential import potential_group
from aiida_limsm.data.potential import PotentialData

DEMO = Path(resources.__file__).parent / "demo_foundation" / "demo_foundation.model"


@pytest.fixture
def run(aiida_profile_clean: object) -> Callable[..., Result]:
    def runner(*arguments: object) -> Result:
        return CliRunner().invoke(potential_group, ["import", *map(str, arguments)])

    return runner


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A model that is not in the database: the demo's in another archive."""
    path = tmp_path / "mine.model"
    with zipfile.ZipFile(DEMO) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            target.writestr(item.filename, source.read(item))
    return path


def stored() -> list[PotentialData]:
    return orm.QueryBuilder().append(PotentialData).all(flat=True)


def test_a_file_of_unknown_origin_wants_a_word(run: Callable[..., Result], mine: Path) -> None:
    refused = run(mine)
    assert refused.exit_code == 1
    assert "(ScaleShiftMACE, sha256 " in refused.output
    assert "was not loaded; it names only classes of MACE, e3nn and torch" in refused.output
    assert f"`aiida-limsm potential import {mine} --trust`" in refused.output
    assert stored() == []

    done = run(mine, "--trust", "--license", "MIT", "--citation", "10.1/x", "--label", "my own")
    assert done.exit_code == 0, done.output
    (node,) = stored()
    assert (node.label, node.license, node.citation) == ("my own", "MIT", "10.1/x")
    assert (node.elements, node.r_max_angstrom) == (("Li", "Si"), 4.5)
    # it is known now
    assert run(mine).exit_code == 0
    assert len(stored()) == 1


def test_foreign_code_is_named(run: Callable[..., Result], mine: Path, tmp_path: Path) -> None:
    path = tmp_path / "crafted.model"
    with zipfile.ZipFile(mine) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            data = source.read(item)
            if item.filename.endswith("data.pkl"):
                data = data[:2] + b"cposix\nsystem\n0" + data[2:]
            target.writestr(item.filename, data)
    refused = run(path)
    assert refused.exit_code == 1
    assert "it names posix.system, which no MACE model needs" in refused.output
    assert "LIMSM_TRUST_MODELS=1" in run(path, "--trust").output


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_files_that_are_no_models(
    run: Callable[..., Result], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "some.model"
    path.write_bytes(content)
    done = run(path, "--trust")
    assert done.exit_code == 1
    assert "cannot be loaded as a MACE model" in done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_name_without_a_network(run: Callable[..., Result]) -> None:
    done = run("nonesuch-0")
    assert done.exit_code == 1
    assert "nonesuch-0 is neither a file nor a published model (small, medium" in done.output


def test_licences_of_published_models() -> None:
    assert published_origin("medium-mpa-0").license == "MIT"
    assert published_origin("medium-omat-0").license == "ASL"
