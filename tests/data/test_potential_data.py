from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.orm import load_node

from aiida_limsm.compute.results import PotentialInfo
from aiida_limsm.data.potential import PotentialData


def test_round_trip(potential_file: Path, potential_info: dict[str, Any]) -> None:
    node = PotentialData(potential_file, potential_info, license="MIT", citation="doi:10/x")
    node = load_node(node.store().pk)
    assert node.filename == "potential.model"
    assert node.elements == ("Li", "Si")
    assert node.r_max_angstrom == 4.5
    assert node.heads == ("Default",)
    assert node.dtype == "float32"
    assert node.e0s_ev == potential_info["e0s_ev"]
    assert node.sha256 == potential_info["sha256"]
    assert (node.license, node.citation) == ("MIT", "doi:10/x")
    assert node.info == PotentialInfo.model_validate(potential_info)
    with node.as_path() as path:
        assert path.read_bytes() == potential_file.read_bytes()
    assert "ScaleShiftMACE, 12345 parameters, float32" in node.summary()
    assert "doi:10/x" in node.summary()
    assert node.headline() == "ScaleShiftMACE, Li, Si"


def test_relative_path(
    potential_file: Path, potential_info: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(potential_file.parent)
    PotentialData(potential_file.name, potential_info).store()


def test_equal_content_is_equal_hash(potential_file: Path, potential_info: dict[str, Any]) -> None:
    first = PotentialData(potential_file, potential_info).store()
    content = io.BytesIO(potential_file.read_bytes())
    second = PotentialData(content, PotentialInfo.model_validate(potential_info)).store()
    other = PotentialData(potential_file, potential_info, license="MIT").store()
    assert first.base.caching.get_hash() == second.base.caching.get_hash()
    assert first.base.caching.get_hash() != other.base.caching.get_hash()


def test_immutable_after_store(potential_file: Path, potential_info: dict[str, Any]) -> None:
    node = PotentialData(potential_file, potential_info).store()
    with pytest.raises(ModificationNotAllowed):
        node.set_file(io.BytesIO(b"another model"))


def test_file_and_info_must_match(potential_info: dict[str, Any]) -> None:
    node = PotentialData(io.BytesIO(b"another model"), potential_info)
    with pytest.raises(ValidationError, match=r"'potential\.model' has sha256") as error:
        node.store()
    assert "\n" not in str(error.value)


def test_wrong_info_is_refused_at_once(
    potential_file: Path, potential_info: dict[str, Any]
) -> None:
    del potential_info["e0s_ev"]
    with pytest.raises(ValueError, match=r"^e0s_ev: Field required$"):
        PotentialData(potential_file, potential_info)


def test_check_elements(potential_file: Path, potential_info: dict[str, Any]) -> None:
    node = PotentialData(potential_file, potential_info)
    node.check_elements(["Si", "Li", "Li"])
    with pytest.raises(
        ValueError, match="the potential knows Li, Si; the structure has Na: choose"
    ):
        node.check_elements(["Na", "Li"])


def test_many_elements_are_counted(potential_file: Path, potential_info: dict[str, Any]) -> None:
    from ase.data import chemical_symbols

    potential_info["elements"] = chemical_symbols[1:90]
    node = PotentialData(potential_file, potential_info)
    assert "89 elements (H, He, Li" in node.summary()
