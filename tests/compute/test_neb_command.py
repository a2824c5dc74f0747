"""The command `limsm neb`: from two structures to images, a barrier and a figure."""

from __future__ import annotations

from pathlib import Path

import ase.io
import pytest
from click.testing import CliRunner, Result

from aiida_limsm.atomistic.crystals import li3si
from aiida_limsm.compute.base import read_model
from aiida_limsm.compute.cli import main
from aiida_limsm.compute.neb_results import NebResults

FAST = ("-n", 3, "--optimiser", "bfgs", "--fmax", 0.05, "--quiet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    crystal = li3si()
    start, end = crystal[1:], crystal[1:]
    end.positions[3] = crystal.positions[0]
    ase.io.write(tmp_path / "start.cif", start)
    ase.io.write(tmp_path / "end.cif", end)
    return tmp_path


def limsm(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["neb", *(str(word) for word in arguments)])


def refusal(*arguments: object) -> str:
    done = limsm(*arguments)
    assert done.exit_code == 2, done.output
    line = done.stderr.splitlines()[-1]
    return line.removeprefix("limsm neb: ")


def test_images_barrier_and_figure(folder: Path, demo_model: Path) -> None:
    output = folder / "out"
    ends = (folder / "start.cif", folder / "end.cif")
    done = limsm(*ends, "--potential", demo_model, *FAST, "-o", output)
    assert done.exit_code == 0, done.output
    results = read_model(NebResults, output / "results.json")
    assert results.figures == ("neb.png",)
    assert (output / "neb.png").read_bytes().startswith(b"\x89PNG")
    assert f"barrier {results.profile.barrier_forward_ev:.3f} eV forwards" in done.stdout
    assert "image  distance (Å)  energy (eV)  force along the path (eV/Å)" in done.stdout
    assert "path.extxyz and 1 figure written in" in done.stdout
    # another look at the same images
    single = limsm(
        output / "path.extxyz", "--potential", demo_model, "--single-points", "--quiet",
        "-o", folder / "single", "--no-figures",
    )  # fmt: skip
    assert single.exit_code == 0, single.output
    again = read_model(NebResults, folder / "single" / "results.json")
    assert again.figures == ()
    assert again.profile.energy_ev == pytest.approx(results.profile.energy_ev, abs=1e-5)


def test_a_stopped_run_goes_on(folder: Path, demo_model: Path) -> None:
    words = (folder / "start.cif", folder / "end.cif", "--potential", demo_model, *FAST,
             "-o", folder / "out")  # fmt: skip
    done = limsm(*words, "--max-seconds", 1e-6)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("limsm neb: out_of_walltime: stopped by max_")
    assert limsm(*words).exit_code == 0
    assert read_model(NebResults, folder / "out" / "results.json").restarts == 1


def test_refused(folder: Path, demo_model: Path) -> None:
    start = folder / "start.cif"
    output = ("-o", folder / "out")
    assert refusal() == "give two structures (limsm neb --help shows examples)"
    assert refusal(start, start) == "give a potential with --potential FILE"
    same = refusal(start, start, "--potential", demo_model, *output)
    assert same.startswith("the end points are one structure")
    alone = refusal(start, "--potential", demo_model, *output)
    assert alone.startswith("a path has at least two images")
    missing = refusal(start, folder / "none.cif", "--potential", demo_model, *output)
    assert missing.endswith("none.cif does not exist")
    assert not (folder / "out" / "results.json").exists()
