from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida.cmdline.commands.cmd_verdi import verdi
from aiida.orm import Int
from click.testing import CliRunner, Result

from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.diffusion import DiffusionData
from aiida_limsm.data.markov_model import MarkovModelData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

E0S_EV = {"Li": -190.5, "Si": -110.25}


@pytest.fixture
def run(aiida_profile_clean: Any) -> Callable[..., Result]:
    """Run ``verdi data limsm …`` in an empty profile, as a user would."""

    def runner(*arguments: Any, code: int = 0) -> Result:
        words = ["-p", aiida_profile_clean.name, "data", "limsm", *map(str, arguments)]
        result = CliRunner().invoke(verdi, words)
        assert result.exit_code == code, result.output
        return result

    return runner


@pytest.fixture
def dataset(run: Any, make_splits: Any) -> ReferenceDatasetData:
    return ReferenceDatasetData(make_splits(), E0S_EV, {"functional": "PBE"}).store()


@pytest.fixture
def potential(run: Any, potential_file: Path, potential_info: Any) -> PotentialData:
    return PotentialData(potential_file, potential_info).store()


@pytest.fixture
def markov(run: Any, markov_model_file: Path, analyse_results: Any) -> MarkovModelData:
    return MarkovModelData(markov_model_file, analyse_results).store()


@pytest.fixture
def diffusion(run: Any, diffusion_estimate: Any) -> DiffusionData:
    node = DiffusionData(
        diffusion_estimate,
        temperature_k=600.0,
        cell_angstrom=[[10, 0, 0], [0, 10, 0], [0, 0, 10]],
        n_ions=44,
        species="Li",
        duration_ps=100.0,
    )
    node.label = "first"
    return node.store()


@pytest.fixture
def trajectory(run: Any, h5md_file: Path) -> MolecularDynamicsData:
    return MolecularDynamicsData.from_file(h5md_file).store()


def test_list_is_empty_in_a_new_profile(run: Any) -> None:
    assert run("list").output.strip() == "no nodes"
    assert run("list", "--type", "dataset").output.strip() == "no nodes of type dataset"


def test_list(run: Any, dataset: Any, potential: Any, diffusion: Any) -> None:
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        str(node.pk) for node in (dataset, potential, diffusion)
    ]
    assert "first: Li at 600 K, markov: (2.00 ± 0.09)e-06 cm²/s" in lines[3]
    lines = run("list", "-t", "potential").output.splitlines()
    assert len(lines) == 2
    assert "ScaleShiftMACE, Li, Si" in lines[1]


@pytest.mark.parametrize("name", ["dataset", "potential", "markov", "diffusion", "trajectory"])
def test_show(run: Any, name: str, request: pytest.FixtureRequest) -> None:
    node = request.getfixturevalue(name)
    texts = {run(*words, node.pk).output for words in (["show"], [name, "show"])}
    assert len(texts) == 1
    (text,) = texts
    assert text.startswith(f"{type(node).__name__} PK {node.pk}")
    assert node.summary() in text
    assert run("show", node.uuid).output == text


def test_wrong_type_is_refused(run: Any, potential: Any) -> None:
    result = run("dataset", "show", potential.pk, code=2)
    expected = f"PK {potential.pk} is of type PotentialData, not a ReferenceDatasetData: try `verdi"
    assert expected in result.output
    other = Int(1).store()
    result = run("show", other.uuid, code=2)
    assert f"PK {other.pk} is of type Int, not a node of aiida-limsm: see `verdi" in result.output
    result = run("diffusion", "show", 123456, code=2)
    assert "no Data found with ID<123456>" in result.output


def test_dataset_show(run: Any, dataset: Any) -> None:
    text = run("dataset", "show", dataset.pk).output
    assert dataset.statistics_text() in text
    assert text.rstrip().endswith("for MACE: --E0s='{3: -190.5, 14: -110.25}'")


def test_dataset_export(run: Any, dataset: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run("dataset", "export", dataset.pk, folder)
    for split in ("train", "valid", "test"):
        with dataset.open_split(split) as handle:
            assert (folder / f"{split}.xyz").read_text() == handle.read()
    assert dataset.statistics_text() in (folder / "statistics.txt").read_text()
    (folder / "train.xyz").unlink()
    (folder / "valid.xyz").unlink()
    assert "add --force" in run("dataset", "export", dataset.pk, folder, code=1).output
    assert not (folder / "train.xyz").exists()
    run("dataset", "export", dataset.pk, folder, "--force")
    assert sorted(path.name for path in folder.iterdir()) == [
        "statistics.txt", "test.xyz", "train.xyz", "valid.xyz",
    ]  # fmt: skip


def test_dataset_export_of_one_split(run: Any, make_splits: Any, tmp_path: Path) -> None:
    splits = {**make_splits(), "test": []}
    node = ReferenceDatasetData(splits, E0S_EV, {}, allow_empty=["test"]).store()
    path = tmp_path / "some.xyz"
    run("dataset", "export", node.pk, path, "--split", "valid")
    with node.open_split("valid") as handle:
        assert path.read_text() == handle.read()
    assert (
        "add --force" in run("dataset", "export", node.pk, path, "--split", "train", code=1).output
    )
    result = run("dataset", "export", node.pk, tmp_path / "x.xyz", "--split", "test", code=1)
    assert "'test' has no frames; there are train, valid" in result.output
    (tmp_path / "file").write_text("")
    result = run("dataset", "export", node.pk, tmp_path / "file" / "folder", code=1)
    assert f"{tmp_path / 'file' / 'folder'}: Not a directory" in result.output


def test_dataset_plot(run: Any, dataset: Any, tmp_path: Path) -> None:
    path = tmp_path / "dataset.png"
    run("dataset", "plot", dataset.pk, "-o", path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "add --force" in run("dataset", "plot", dataset.pk, "-o", path, code=1).output
    run("dataset", "plot", dataset.pk, "-o", path, "--force")
    result = run("dataset", "plot", dataset.pk, "-o", tmp_path / "dataset.pdf", code=1)
    assert "'dataset.pdf': the name must end in .png" in result.output


def test_potential_export(run: Any, potential: Any, potential_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.model"
    run("potential", "export", potential.pk, path)
    assert path.read_bytes() == potential_file.read_bytes()
    run("potential", "export", potential.pk, path, code=1)


def test_markov_export(run: Any, markov: Any, markov_model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    run("markov", "export", markov.pk, path)
    assert path.read_bytes() == markov_model_file.read_bytes()
    run("markov", "export", markov.pk, path, code=1)


def test_trajectory_export(run: Any, trajectory: Any, h5md_file: Path, tmp_path: Path) -> None:
    import ase.io

    run("trajectory", "export", trajectory.pk, tmp_path / "copy.h5")
    assert (tmp_path / "copy.h5").read_bytes() == h5md_file.read_bytes()
    run("trajectory", "export", trajectory.pk, tmp_path / "all.extxyz")
    assert len(ase.io.read(tmp_path / "all.extxyz", ":")) == trajectory.n_frames
    run("trajectory", "export", trajectory.pk, tmp_path / "some.xyz", "--every", 2)
    assert len(ase.io.read(tmp_path / "some.xyz", ":")) == (trajectory.n_frames + 1) // 2
    result = run("trajectory", "export", trajectory.pk, tmp_path / "frames.cif", code=1)
    assert "must end in .h5, .xyz or .extxyz" in result.output
    run("trajectory", "export", trajectory.pk, tmp_path / "x.h5", "--every", 2, code=1)
