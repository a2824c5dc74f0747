from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida.common.exceptions import ModificationNotAllowed, NotExistent, ValidationError
from aiida.orm import RemoteData, load_node

from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.trajectory.h5md import Trajectory

SHA256 = "ab" * 32


def remote(computer: Any, **changes: Any) -> MolecularDynamicsData:
    folder = RemoteData(remote_path="/scratch/ab/cd", computer=computer)
    arguments = {
        "sha256": SHA256,
        "symbols": ["Li"] * 3 + ["Si"],
        "n_frames": 1001,
        "cell_angstrom": np.eye(3) * 6,
        "frame_interval_ps": 0.1,
        "temperature_k": 601.5,
        **changes,
    }
    return MolecularDynamicsData.from_remote(folder, "trajectory.h5", **arguments)


def test_from_file(h5md_file: Path) -> None:
    node = load_node(MolecularDynamicsData.from_file(h5md_file).store().pk)
    assert (node.storage, node.filename, node.remote_path) == ("repository", "trajectory.h5", None)
    assert (node.formula, node.symbol_counts) == ("Li3Si", {"Li": 3, "Si": 1})
    assert (node.n_frames, node.n_atoms) == (7, 4)
    assert node.frame_interval_ps == pytest.approx(0.1)
    assert node.duration_ps == pytest.approx(0.6)
    assert node.temperature_k == pytest.approx(596.0)
    np.testing.assert_array_equal(node.cell_angstrom, np.eye(3) * 6)
    with node.as_path() as path:
        assert path.read_bytes() == h5md_file.read_bytes()
    assert "Li3Si (4 atoms)" in node.summary()
    assert "every 100 fs" in node.summary()
    assert node.headline() == "Li3Si, 7 frames, 0.6 ps, 596 K"


def test_frames(h5md_file: Path) -> None:
    node = MolecularDynamicsData.from_file(h5md_file).store()
    with Trajectory(h5md_file) as expected:
        with node.open() as found:
            np.testing.assert_array_equal(found.frame(3), expected.frame(3))
            (block,) = found.iter_positions(memory_mb=1)
            assert block.shape == (7, 4, 3)
        np.testing.assert_array_equal(node.to_ase(-1).positions, expected.frame(6))
        frames = node.get_frames(slice(None, None, 3))
        assert len(frames) == 3
        np.testing.assert_array_equal(frames[1].positions, expected.frame(3))
    assert len(node.get_frames()) == 7
    assert frames[0].get_chemical_symbols() == ["Li", "Li", "Si", "Li"]
    with pytest.raises(IndexError, match="the trajectory has 7 frames, no frame 7"):
        node.to_ase(7)


def test_equal_content_is_equal_hash(h5md_file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(h5md_file, tmp_path / "another_name.h5")
    hashes = {
        MolecularDynamicsData.from_file(path).store().base.caching.get_hash()
        for path in (h5md_file, copy)
    }
    assert len(hashes) == 1


def test_immutable_after_store(h5md_file: Path) -> None:
    node = MolecularDynamicsData.from_file(h5md_file).store()
    with pytest.raises(ModificationNotAllowed):
        node.base.repository.put_object_from_bytes(b"", "trajectory.h5")


def test_changed_file_is_refused(h5md_file: Path) -> None:
    node = MolecularDynamicsData.from_file(h5md_file)
    node.base.repository.put_object_from_bytes(b"", "trajectory.h5")
    with pytest.raises(ValidationError, match=r"'trajectory\.h5' has sha256"):
        node.store()


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.h5"
    path.write_text("no HDF5")
    with pytest.raises(ValueError, match="is no HDF5 file"):
        MolecularDynamicsData.from_file(path)


def test_a_node_without_content_is_refused() -> None:
    with pytest.raises(ValidationError, match="from_file or from_remote"):
        MolecularDynamicsData().store()


def test_from_remote(aiida_localhost: Any) -> None:
    node = load_node(remote(aiida_localhost).store().pk)
    assert (node.storage, node.sha256) == ("remote", SHA256)
    assert node.remote_path == "/scratch/ab/cd/trajectory.h5"
    assert node.computer.pk == aiida_localhost.pk
    assert (node.formula, node.n_frames, node.duration_ps) == ("Li3Si", 1001, 100.0)
    assert f"{aiida_localhost.label}:/scratch/ab/cd/trajectory.h5" in node.summary()
    for read in (lambda: node.to_ase(0), node.get_frames, lambda: node.filename):
        with pytest.raises(NotExistent, match=r"stays at .*/trajectory\.h5: analyse it there"):
            read()


def test_a_remote_path_is_not_content(aiida_localhost: Any) -> None:
    node = remote(aiida_localhost)
    moved = remote(aiida_localhost)
    moved.base.attributes.set("remote_path", "/archive/trajectory.h5")
    other = remote(aiida_localhost, sha256="cd" * 32)
    hashes = [each.store().base.caching.get_hash() for each in (node, moved, other)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_frames": 0}, "n_frames: must be positive, not 0"),
        ({"symbols": []}, "n_atoms: must be positive, not 0"),
        ({"frame_interval_ps": -0.1}, "frame_interval_ps: must be positive"),
        ({"cell_angstrom": [6.0, 6.0, 6.0]}, "cell_angstrom: must be three finite vectors"),
        ({"temperature_k": -1.0}, "temperature_k: must not be negative"),
        ({"sha256": "abc"}, "sha256: must be 64 hex digits, not 'abc'"),
    ],
)
def test_wrong_content_is_refused(
    aiida_localhost: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        remote(aiida_localhost, **changes).store()


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/trajectory.h5"])
def test_remote_path_must_lie_inside(aiida_localhost: Any, path: str) -> None:
    folder = RemoteData(remote_path="/scratch/ab", computer=aiida_localhost)
    with pytest.raises(ValueError, match="relative_path: must lie inside"):
        MolecularDynamicsData.from_remote(
            folder,
            path,
            sha256=SHA256,
            symbols=["Li"],
            n_frames=1,
            cell_angstrom=np.eye(3),
            frame_interval_ps=0.1,
        )
