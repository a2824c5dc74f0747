"""Folders to run the `limsm` jobs in, with the demo model that ships with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA_FILES = Path(__file__).parents[1] / "data_files"
FRAMES = DATA_FILES / "li11si4_aimd_16.xyz"


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The small MACE model of Li and Si in the package."""
    from aiida_limsm import resources

    folder = Path(resources.__file__).parent
    return folder / "demo_foundation" / "demo_foundation.model"


@pytest.fixture
def make_md_folder(tmp_path: Path, demo_model: Path) -> Callable[..., Path]:
    """Return a factory of folders ready for `limsm md`: the model and 15 atoms."""
    import ase.io

    from aiida_limsm.atomistic.crystals import li11si4

    def factory(name: str = "run", atoms: Any = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copyfile(demo_model, folder / "potential.model")
        ase.io.write(folder / "structure.extxyz", li11si4() if atoms is None else atoms)
        return folder

    return factory


@pytest.fixture(scope="session")
def aimd_frames() -> list[Any]:
    """Sixteen real DFT frames."""
    import ase.io

    return ase.io.read(FRAMES, index=":")


@pytest.fixture
def make_train_folder(
    tmp_path: Path, demo_model: Path, aimd_frames: list[Any]
) -> Callable[..., Path]:
    """Return a factory of folders ready for `limsm train`: foundation, DFT and replay frames."""
    import ase.io

    def factory(name: str = "fit", train: int = 8, valid: int = 2, replay: bool = False) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copyfile(demo_model, folder / "foundation.model")
        ase.io.write(folder / "train.xyz", aimd_frames[:train])
        ase.io.write(folder / "valid.xyz", aimd_frames[12 : 12 + valid])
        ase.io.write(folder / "test.xyz", aimd_frames[14:])
        if replay:
            frames = ase.io.read(DATA_FILES / "li_si_replay.xyz", index=":")
            for split in ("train", "valid"):
                chosen = [atoms for atoms in frames if atoms.info["split"] == split]
                ase.io.write(folder / f"replay_{split}.xyz", chosen)
        return folder

    return factory


@pytest.fixture
def d0_3_model() -> Any:
    """Markov model of D0₃ with three sites at a lag of 0.5 ps."""
    import numpy as np

    from aiida_limsm.markov.model import MarkovModel
    from aiida_limsm.markov.synthetic_networks import d0_3_network

    network, lag = d0_3_network(), 0.5
    pi, every = network.stationary_distribution, np.arange(3)
    flux = pi[network.from_site] * network.rate_per_ps * lag
    return MarkovModel(
        lattice=network.lattice,
        lag_ps=lag,
        from_site=np.concatenate([network.from_site, every]),
        to_site=np.concatenate([network.to_site, every]),
        image=np.concatenate([network.image, np.zeros((3, 3), dtype=np.int64)]),
        flux=np.concatenate([flux, pi - np.bincount(network.from_site, flux)]),
    )


def _state(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a checkpoint holds, but for the number of restarts."""
    import numpy as np

    with np.load(path) as data:
        meta = json.loads(str(data["meta"]))
        found = {name: data[name] for name in data if name != "meta"}
    for run in meta["runs"].values():
        run["statistics"].pop("restarts")
    return found, meta


@pytest.fixture
def assert_same_run() -> Callable[[Path, Path], None]:
    """Return a function that compares all that was written, to the last bit."""
    return _assert_same_run


def _assert_same_run(first: Path, second: Path) -> None:
    import numpy as np

    compared = 0
    for path in sorted(first.rglob("*")):
        other = second / path.relative_to(first)
        if path.suffix in (".h5", ".csv") and "segments" not in path.parent.name:
            assert path.read_bytes() == other.read_bytes(), path.name
            compared += 1
        if path.suffix == ".npz":
            (one, one_meta), (two, two_meta) = _state(path), _state(other)
            assert one_meta == two_meta
            assert one.keys() == two.keys()
            for name, values in one.items():
                np.testing.assert_array_equal(values, two[name], err_msg=name)
            compared += 1
    assert compared >= 3
