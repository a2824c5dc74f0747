"""Reading pw.x's text output: recorded runs, whole and cut anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_limsm.trajectory.pw_output import Ending, read_pw_md

RECORDED = Path(__file__).parents[1] / "data_files" / "qe_md"
RY = 13.605693
BOHR = 0.529177211


def text(case: str) -> str:
    return (RECORDED / case / "aiida.out").read_text()


def numbers(pattern: str, case: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, text(case))]


def test_frames_of_a_whole_run() -> None:
    run = read_pw_md(text("segment_0").splitlines(keepends=True))
    assert (len(run), run.ending, run.version, run.functional) == (
        3, Ending.FINISHED, "7.2", "PBE",
    )  # fmt: skip
    assert run.iterations.tolist() == [1, 2, 3]
    assert run.scf_cycles.tolist() == [9, 8, 5]
    case = "segment_0"
    np.testing.assert_allclose(
        run.energies_ev, RY * np.array(numbers(r"!\s+total energy\s+=\s+(\S+) Ry", case)), rtol=1e-7
    )
    np.testing.assert_allclose(
        run.kinetic_energies_ev, RY * np.array(numbers(r"\(Ekin\) =\s+(\S+) Ry", case)), rtol=1e-7
    )
    np.testing.assert_allclose(
        run.temperatures_k, numbers(r"temperature\s{5,}=\s+(\S+) K", case), rtol=1e-12
    )
    # compression is a positive pressure for pw.x, tension a positive stress for ASE
    pressure = np.array(numbers(r"P=\s*(\S+)", case)) * 0.1 / 160.21766
    assert run.stress_ev_per_angstrom3 is not None
    trace = np.trace(run.stress_ev_per_angstrom3, axis1=1, axis2=2) / 3
    np.testing.assert_allclose(trace, -pressure, atol=4e-6)  # printed with 0.01 kbar
    block = text(case).split("Forces acting on atoms")[2]
    first = [float(x) for x in re.search(r"force =\s+(\S+)\s+(\S+)\s+(\S+)", block).groups()]
    np.testing.assert_allclose(
        run.forces_ev_per_angstrom[1, 0], np.array(first) * RY / BOHR, atol=1e-6
    )
    last = text(case).split("ATOMIC_POSITIONS (angstrom)\n")[3].splitlines()[0].split()
    np.testing.assert_allclose(run.next_positions_angstrom[2, 0], [float(x) for x in last[1:]])
    assert run.start_positions_angstrom is not None
    np.testing.assert_allclose(run.start_positions_angstrom[0], [3.06, 0, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("case", "frames", "ending", "words"),
    [
        ("segment_1", 3, Ending.FINISHED, "all steps done"),
        ("out_of_time", 4, Ending.OUT_OF_TIME, "stopped itself"),
        ("out_of_time_at_once", 0, Ending.OUT_OF_TIME, "stopped itself"),
        ("scf_failed", 1, Ending.SCF_FAILED, "convergence NOT achieved after   7"),
        ("scf_failed_at_once", 0, Ending.SCF_FAILED, "convergence NOT achieved after   5"),
        ("fermi_level", 1, Ending.FERMI_LEVEL, "integrated charge 58.00118675, expected 58.0"),
        ("killed", 0, Ending.INTERRUPTED, "the output ends"),
        ("killed_midway", 3, Ending.INTERRUPTED, "the output ends"),
        ("out_of_memory", 0, Ending.INTERRUPTED, "the output ends"),
        ("scf_stuck", 0, Ending.INTERRUPTED, "the output ends"),
        ("few_bands", 2, Ending.FINISHED, "all steps done"),
        ("runaway", 6, Ending.FINISHED, "all steps done"),
        ("too_close", 0, Ending.UNREADABLE, "Forces acting on atoms"),
        ("bad_input", 0, Ending.ERROR, "readpp (1): file pseudo/none.UPF not found"),
    ],
)
def test_how_runs_end(case: str, frames: int, ending: Ending, words: str) -> None:
    run = read_pw_md(text(case).splitlines(keepends=True))
    assert (len(run), run.ending) == (frames, ending)
    assert words in run.message
    assert run.forces_ev_per_angstrom.shape[0] == frames


@given(share=st.floats(0, 1))
def test_cut_anywhere_only_whole_frames_are_read(share: float) -> None:
    """A job may be killed in the middle of any line."""
    whole = text("segment_0")
    cut = whole[: int(share * len(whole))]
    run = read_pw_md(cut.splitlines(keepends=True))
    # a frame is whole when its last line is
    assert len(run) == len(re.findall(r"Ekin \+ Etot \(const\).*Ry\s*\n", cut))
    if not len(run):
        return
    full = read_pw_md(whole.splitlines(keepends=True))
    for name in ("energies_ev", "forces_ev_per_angstrom", "next_positions_angstrom"):
        np.testing.assert_array_equal(getattr(run, name), getattr(full, name)[: len(run)])


def test_nothing_at_all() -> None:
    run = read_pw_md(())
    assert (len(run), run.ending, run.version) == (0, Ending.INTERRUPTED, None)
    assert run.start_positions_angstrom is None


def test_a_run_without_stress() -> None:
    lines = [
        line for line in text("segment_0").splitlines(keepends=True) if "total   stress" not in line
    ]
    run = read_pw_md(lines)
    assert len(run) == 3
    assert run.stress_ev_per_angstrom3 is None


@pytest.mark.parametrize(("unit", "scale"), [("bohr", BOHR), ("alat", 6.12)])
def test_positions_in_other_units(unit: str, scale: float) -> None:
    changed = text("segment_0").replace("ATOMIC_POSITIONS (angstrom)", f"ATOMIC_POSITIONS ({unit})")
    run, plain = (
        read_pw_md(each.splitlines(keepends=True)) for each in (changed, text("segment_0"))
    )
    np.testing.assert_allclose(
        run.next_positions_angstrom, scale * plain.next_positions_angstrom, rtol=1e-5
    )


def test_energies_that_do_not_add_up_are_not_believed() -> None:
    changed = text("segment_0").replace("(Ekin) =           0.1", "(Ekin) =           0.2", 1)
    run = read_pw_md(changed.splitlines(keepends=True))
    assert (len(run), run.ending) == (0, Ending.UNREADABLE)
