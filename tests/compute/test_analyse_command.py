"""The command `limsm analyse`: what it prints and writes, and one line for every bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from click.testing import CliRunner

from aiida_limsm.compute.base import read_model
from aiida_limsm.compute.cli import main
from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.synthetic import HoppingTrajectory
from aiida_limsm.markov.synthetic_networks import d0_3_network
from aiida_limsm.trajectory.h5md import H5mdFile

INTERVAL_PS = 0.02
IONS = 16
FRAMES = 400


@pytest.fixture(scope="module")
def moving():
    """Numbers, cell and positions (frames, atoms, 3) of D0₃ with ions that jump."""
    made = HoppingTrajectory(
        d0_3_network(0.05), IONS, FRAMES, INTERVAL_PS, np.diag((4, 4, 4)), vibration_angstrom=0.2
    )
    return made.numbers, made.cell, np.concatenate(list(made.blocks()))


@pytest.fixture
def folder(tmp_path, moving):
    lattice = d0_3_network().lattice
    write(
        tmp_path / "sites.extxyz",
        Atoms(
            numbers=[3] * lattice.n_sites + list(lattice.framework_numbers),
            positions=np.vstack([lattice.positions, lattice.framework_positions]),
            cell=lattice.cell,
            pbc=True,
        ),
    )
    save(tmp_path / "md.h5", *moving)
    return tmp_path


def save(path, numbers, cell, positions, interval=INTERVAL_PS):
    """Write H5MD; a list of cells gives every frame its own."""
    changing = np.ndim(cell) == 3
    file = H5mdFile(path, numbers, None if changing else cell, interval, observables=False)
    steps = np.arange(len(positions))
    file.append(positions, steps, **({"cells": cell} if changing else {}))
    file.close()


def limsm(folder, *arguments, structure="sites.extxyz", output="out"):
    words = [folder / a if (folder / str(a)).is_file() else a for a in arguments]
    if structure:
        words += ["--structure", folder / structure]
    words += ["-o", folder / output, "--bootstrap-samples", 20, "--no-figures"]
    return CliRunner().invoke(main, ["analyse", *(str(word) for word in words)])


def refusal(done):
    """The line of a refusal, without the words before it."""
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    line = done.stderr.splitlines()[-1]
    assert line.startswith("limsm analyse: ")
    # lines before it tell of the work, none of them of a mistake
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stderr
    return line.removeprefix("limsm analyse: ")


def results(folder, output="out"):
    return read_model(AnalyseResults, folder / output / "results.json")


def test_summary_and_files(folder):
    arguments = ("md.h5", "--temperature-k", 700, "--quiet")
    words = [str(folder / "md.h5"), "--structure", str(folder / "sites.extxyz"), *arguments[1:]]
    output = folder / "new" / "out"
    done = CliRunner().invoke(main, ["analyse", *map(str, words), "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert "16 Li on 3 sites (from: structure, pooled over translations), 700 K" in done.stdout
    for row in ("D, Markov model", "D, MSD", "Haven ratio", "lag", "framework"):
        assert f"\n  {row}" in done.stdout
    assert "and 7 figures written in" in done.stdout
    found = read_model(AnalyseResults, output / "results.json")
    for name in (*found.figures, found.model_file, "paths.h5"):
        assert (output / str(name)).stat().st_size > 500
    assert len(found.figures) == 7
    assert sorted(p.name for p in output.iterdir()) == sorted(
        [*found.figures, "model.h5", "paths.h5", "results.json"]
    )


def test_results_have_what_was_promised(folder):
    assert limsm(folder, "md.h5", "--temperature-k", 700).exit_code == 0
    text = (folder / "out" / "results.json").read_text()

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    found = json.loads(text, parse_constant=refuse)
    assert found["species"] == "Li"
    assert (found["n_frames"], found["n_ions"], found["frame_interval_fs"]) == (FRAMES, IONS, 20.0)
    assert {"label", "orbit", "frac", "occupancy"} <= set(found["sites"][0])
    assert {
        "from", "to", "image", "distance_a", "count", "rate_per_ps", "rate_error",
    } <= set(found["jumps"][0])  # fmt: skip
    for name in (
        "temperature_k", "lag_time_ps", "lag_reason", "implied_timescales_ps", "ck_max_deviation",
        "correlation_factor", "haven_ratio", "warnings",
    ):  # fmt: skip
        assert found[name] is not None
    assert found["haven_ratio"]["error"] > 0
    assert set(found["diffusion"]) == {"markov", "msd", "uncorrelated"}
    for estimate in found["diffusion"].values():
        assert np.shape(estimate["tensor_cm2_s"]) == np.shape(estimate["error_cm2_s"]) == (3, 3)
        assert estimate["isotropic_cm2_s"] > 0
        assert estimate["isotropic_error_cm2_s"] > 0
        assert isinstance(estimate["resolved"], bool)


def test_options_reach_the_job(folder):
    done = limsm(
        folder, "md.h5", "--assignment", "nearest", "--pool", "none", "--lag-ps", 0.2,
        "--skip-ps", 2, "--minimum-jumps", 100000,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = results(folder)
    assert (found.assignment, found.pool, found.lag_time_ps) == ("nearest", "none", 0.2)
    assert found.n_frames == FRAMES - 100
    assert len(found.sites) == 3 * 64
    assert "100000 asked" in found.diffusion.markov.reason
    assert "not resolved, <" in done.stdout


def test_advice_is_not_what_was_done_already(folder):
    """The ions of the synthetic run do not mind sharing a site, which is told."""
    advice = "--sites interstitials"
    for sites in ("structure", "interstitials", "density"):
        done = limsm(folder, "md.h5", "--sites", sites, structure="sites.extxyz")
        assert done.exit_code == 0, done.output
        (told,) = [line for line in results(folder).warnings if "share a site" in line]
        assert (advice in told) == (sites == "structure")


def test_species_that_is_absent(folder):
    assert "md.h5 has no Na; it holds Li, Si" in refusal(limsm(folder, "md.h5", "--species", "Na"))
    assert "Xx is no element" in refusal(limsm(folder, "md.h5", "--species", "Xx"))
    assert refusal(limsm(folder, "md.h5", "--species", "li")).startswith("species: ")


def test_positions_that_are_no_numbers(folder, moving):
    numbers, cell, positions = moving
    broken = positions.copy()
    broken[137, 3, 1] = np.nan
    save(folder / "nan.h5", numbers, cell, broken)
    line = refusal(limsm(folder, "nan.h5"))
    assert "nan.h5" in line
    assert "137" in line
    frames = [Atoms(numbers, positions=x, cell=cell, pbc=True) for x in broken[130:140]]
    write(folder / "nan.extxyz", frames)
    line = refusal(limsm(folder, "nan.extxyz", "--frame-interval-fs", 20))
    assert "nan.extxyz" in line
    assert "7" in line


def test_no_jumps_and_one_ion_are_results(folder, moving):
    numbers, cell, positions = moving
    still = positions[:1] + 0.1 * np.random.default_rng(0).normal(size=(100, *positions.shape[1:]))
    save(folder / "still.h5", numbers, cell, still)
    done = limsm(folder, "still.h5")
    assert done.exit_code == 0, done.output
    found = results(folder)
    assert found.n_jumps == 0
    for estimate in (found.diffusion.markov, found.diffusion.msd):
        assert not estimate.resolved
        assert estimate.upper_bound_cm2_s > 0
    assert done.stdout.count("not resolved, <") == 3
    one = np.r_[0, np.arange(IONS, len(numbers))]
    save(folder / "one.h5", numbers[one], cell, positions[:, one])
    done = limsm(folder, "one.h5")
    assert done.exit_code == 0, done.output
    assert results(folder).n_ions == 1
    assert "1 Li on 3 sites" in done.stdout


def test_structure_that_does_not_match(folder, moving):
    structure = read(folder / "sites.extxyz")
    large = structure.copy()
    large.set_cell(structure.cell * 1.21, scale_atoms=True)
    write(folder / "large.extxyz", large)
    assert "does not tile" in refusal(limsm(folder, "md.h5", structure="large.extxyz"))
    other = structure.copy()
    other.numbers[3:] = 32
    write(folder / "other.extxyz", other)
    line = refusal(limsm(folder, "md.h5", structure="other.extxyz"))
    assert "framework of Si, the structure one of Ge" in line
    two = structure.copy()
    two += Atoms("Si", positions=np.add(structure.get_positions()[3:], (0.0, 0.0, 1.6)))
    write(folder / "two.extxyz", two)
    line = refusal(limsm(folder, "md.h5", structure="two.extxyz"))
    assert "md.h5 has 64 Si, the structure 128 in the same cell" in line
    empty = structure[3:]
    write(folder / "empty.extxyz", empty)
    line = refusal(limsm(folder, "md.h5", structure="empty.extxyz"))
    assert line == "structure: empty.extxyz has no Li to mark the sites"
    (folder / "text.cif").write_text("no crystal")
    assert "text.cif cannot be read" in refusal(limsm(folder, "md.h5", structure="text.cif"))
    assert "no.cif does not exist" in refusal(limsm(folder, "md.h5", structure="no.cif"))
    assert "--structure FILE" in refusal(limsm(folder, "md.h5", structure=None))


def test_frame_interval_that_is_missing_or_no_time(folder, moving):
    numbers, cell, positions = moving
    frames = [Atoms(numbers, positions=x, cell=cell, pbc=True) for x in positions[:50]]
    write(folder / "md.extxyz", frames)
    line = refusal(limsm(folder, "md.extxyz"))
    assert "md.extxyz holds no times: give the frame interval (--frame-interval-fs)" in line
    for interval in (0, -5, "nan"):
        line = refusal(limsm(folder, "md.extxyz", "--frame-interval-fs", interval))
        assert line.startswith("frame_interval_fs: Input should be ")
    done = limsm(folder, "md.extxyz", "--frame-interval-fs", 20)
    assert done.exit_code == 0, done.output
    assert results(folder).frame_interval_fs == 20.0
    assert "50 frames" in done.stdout


def test_files_that_do_not_belong_together(folder, moving):
    numbers, cell, positions = moving
    save(folder / "fewer.h5", numbers[1:], cell, positions[:, 1:])
    line = refusal(limsm(folder, "md.h5", "fewer.h5"))
    assert f"fewer.h5 has {len(numbers) - 1} atoms, md.h5 has {len(numbers)}" in line
    save(folder / "turned.h5", numbers[::-1], cell, positions[:, ::-1])
    assert "turned.h5 has its atoms in another order" in refusal(
        limsm(folder, "md.h5", "turned.h5")
    )
    save(folder / "slow.h5", numbers, cell, positions, 0.05)
    assert "another frame interval (50 fs)" in refusal(limsm(folder, "md.h5", "slow.h5"))
    save(folder / "wide.h5", numbers, cell * 1.01, positions * 1.01)
    assert "wide.h5 has another cell than md.h5" in refusal(limsm(folder, "md.h5", "wide.h5"))
    assert "md.h5 is given twice" in refusal(limsm(folder, "md.h5", "md.h5"))
    assert "is a folder" in refusal(limsm(folder, "md.h5", "."))
    save(folder / "more.h5", numbers, cell, positions)
    done = limsm(folder, "md.h5", "more.h5")
    assert done.exit_code == 0, done.output
    assert results(folder).n_ions == 2 * IONS


def test_cell_that_changes(folder, moving):
    numbers, cell, positions = moving
    swelling = 1.0 + 0.02 * (np.arange(FRAMES) >= 123)[:, None, None]
    save(folder / "npt.h5", numbers, cell * swelling, positions * swelling)
    line = refusal(limsm(folder, "npt.h5"))
    assert "npt.h5: the cell changes at frame 123" in line
    assert "constant volume" in line


def test_file_that_was_cut_short_is_used_as_far_as_it_is_whole(folder):
    data = (folder / "md.h5").read_bytes()
    (folder / "cut.h5").write_bytes(data[: int(0.7 * len(data))])
    done = limsm(folder, "cut.h5")
    assert done.exit_code == 0, done.output
    found = results(folder)
    assert 0 < found.n_frames < FRAMES
    told = [line for line in found.warnings if "cut.h5" in line and str(found.n_frames) in line]
    assert len(told) == 1
    assert f"{found.n_frames} frames" in done.stdout
    assert "warning: cut.h5" in done.stdout
    (folder / "stump.h5").write_bytes(data[:300])
    assert "stump.h5" in refusal(limsm(folder, "stump.h5"))
    assert "gone.h5 does not exist" in refusal(limsm(folder, folder / "gone.h5"))


def test_a_refusal_leaves_earlier_results(folder):
    assert limsm(folder, "md.h5").exit_code == 0
    before = {p.name: p.read_bytes() for p in (folder / "out").iterdir()}
    refusal(limsm(folder, "md.h5", "--species", "Na"))
    refusal(limsm(folder, "md.h5", "--lag-ps", 1000))
    refusal(limsm(folder, "md.h5", "--core-radius", 3))
    assert {p.name: p.read_bytes() for p in (folder / "out").iterdir()} == before


def test_words_of_the_command_that_do_not_go_together(folder):
    assert "give a trajectory" in refusal(limsm(folder))
    (folder / "model.h5").write_bytes((folder / "md.h5").read_bytes())
    assert "overwrite a trajectory" in refusal(limsm(folder, "model.h5", output="."))
    (folder / "input.json").write_text("{}")
    assert "--structure has no effect on a job file" in refusal(limsm(folder, "input.json"))
    done = CliRunner().invoke(main, ["analyse", str(folder / "md.h5"), "--set", "lag_ps=1"])
    assert "are for job files" in refusal(done)
