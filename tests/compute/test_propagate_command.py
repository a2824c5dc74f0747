"""The command `limsm propagate`: from the folder of an analysis to a summary and a figure."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from aiida_limsm.compute.base import PROPAGATION_FILENAME, read_model
from aiida_limsm.compute.cli import main
from aiida_limsm.compute.propagate import read_profiles
from aiida_limsm.compute.results import PropagateResults
from aiida_limsm.report.propagation import propagation_text


@pytest.fixture
def folder(tmp_path, d0_3_model):
    """The folder of an analysis, in a folder of its own."""
    (tmp_path / "analysis").mkdir()
    d0_3_model.save(tmp_path / "analysis" / "model.h5")
    return tmp_path


def limsm(*arguments):
    return CliRunner().invoke(main, ["propagate", *(str(word) for word in arguments)])


def refusal(*arguments):
    done = limsm(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("limsm propagate: ")


def test_summary_and_files(folder):
    output = folder / "out"
    done = limsm(
        folder / "analysis", "--cells", 30, 4, 5, "--number-of-times", 4, "-o", output, "--quiet"
    )
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    found = read_model(PropagateResults, output / "results.json")
    assert found.n_sites == 30 * 4 * 5 * 3
    assert "1800 sites in 30 × 4 × 5 cells, slab along a" in done.stdout
    assert "1 figure written in" in done.stdout
    assert found.figures == ("propagation.png",)
    assert (output / "propagation.png").read_bytes().startswith(b"\x89PNG")
    assert len(read_profiles(output / PROPAGATION_FILENAME).times_ps) == 4
    plain = limsm(folder / "analysis" / "model.h5", "--cells", 30, 4, 5, "--number-of-times", 4,
                  "-o", output, "--no-figures")  # fmt: skip
    assert plain.exit_code == 0, plain.output
    assert "1800 sites" in plain.stderr
    again = read_model(PropagateResults, output / "results.json")
    assert (again.figures, again.times_ps) == ((), found.times_ps)


def test_options_reach_the_job(folder):
    done = limsm(
        folder / "analysis", "--cells", 3, 4, 5, "--start", "point", "--site", "S2", "--axis", "c",
        "--times-ps", "0, 2.5 10", "--method", "sparse", "--keep-density", "-o", folder / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = read_model(PropagateResults, folder / "out" / "results.json")
    assert (found.cells, found.start, found.axis, found.method) == (
        (3, 4, 5),
        "point",
        "c",
        "sparse",
    )
    assert found.times_ps == (0.0, 2.5, 10.0)
    done = limsm(
        folder / "analysis", "--cells", 40, 1, 1, "--start", "gaussian", "--width", 12.5,
        "--total-time-ps", 100, "-o", folder / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = read_model(PropagateResults, folder / "out" / "results.json")
    assert found.variance_fick_angstrom2[0] == pytest.approx(12.5**2, rel=0.1)
    assert found.times_ps[-1] == 100.0


def test_bad_input_is_one_line(folder):
    model = folder / "analysis"
    output = ("-o", folder / "out")
    assert refusal(*output).startswith("give a model.h5")
    assert "nothing.h5 does not exist" in refusal(folder / "nothing.h5", *output)
    (folder / "text.h5").write_text("none")
    assert "no readable HDF5" in refusal(folder / "text.h5", *output)
    assert refusal(model, "--cells", 0, 1, 1, *output).startswith("cells.0: Input should be")
    assert "two cells or more" in refusal(model, "--cells", 1, 1, 1, *output)
    assert "write numbers as in 1,10,100" in refusal(model, "--times-ps", "1;10", *output)
    assert "must be ascending" in refusal(model, "--times-ps", "10,1", *output)
    assert "width_angstrom is needed" in refusal(model, "--start", "gaussian", *output)
    assert "site Na1 is not in" in refusal(model, "--start", "point", "--site", "Na1", *output)
    assert "raise memory_mb" in refusal(model, "--cells", 900, 900, 900, *output)
    assert "choose another -o" in refusal(model, "-o", model)
    (folder / "input.json").write_text("{}")
    assert "--axis has no effect" in refusal(folder / "input.json", "--axis", "b")


def test_summary_shows_the_last_time_of_many(folder):
    times = ",".join(str(0.5 * k) for k in range(1, 41))
    done = limsm(
        folder / "analysis", "--cells", 4, 4, 4, "--times-ps", times, "-o", folder / "out",
        "--no-figures",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = [line for line in done.stdout.splitlines() if line.startswith("      ")]
    assert len(rows) == 1 + 12
    assert rows[-1].split()[0] == "20"
    found = read_model(PropagateResults, folder / "out" / "results.json")
    warned = found.model_copy(update={"warnings": ("made up",)})
    assert propagation_text(warned).endswith("\nwarning: made up")
