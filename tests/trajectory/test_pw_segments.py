"""Joining segments: recorded runs, and runs made of one recorded run cut in pieces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_limsm.atomistic.crystals import li11si4
from aiida_limsm.trajectory.pw_output import PwMdOutput, read_pw_md
from aiida_limsm.trajectory.pw_segments import join_runs
from aiida_limsm.units import RYDBERG_TIME_TO_FS

RECORDED = Path(__file__).parents[1] / "data_files" / "qe_md"
DT = 50 * RYDBERG_TIME_TO_FS
ATOMS = li11si4()
MASSES = np.array([{"Li": 6.94, "Si": 28.085}[symbol] for symbol in ATOMS.symbols])
PER_FRAME = (
    "energies_ev", "forces_ev_per_angstrom", "stress_ev_per_angstrom3", "next_positions_angstrom",
    "kinetic_energies_ev", "temperatures_k", "momenta_u_angstrom_per_fs", "iterations",
    "scf_cycles",
)  # fmt: skip


def recorded(case: str) -> PwMdOutput:
    with (RECORDED / case / "aiida.out").open() as lines:
        return read_pw_md(lines)


def piece(run: PwMdOutput, start: int, stop: int, **changes: Any) -> PwMdOutput:
    return replace(run, **{name: getattr(run, name)[start:stop] for name in PER_FRAME}, **changes)


def restarted(run: PwMdOutput, start: int, stop: int) -> PwMdOutput:
    """Frames as a run restarted from velocities gives them: counted from 1, with a header."""
    positions = ATOMS.positions if start == 0 else run.next_positions_angstrom[start - 1]
    part = piece(run, start, stop, start_positions_angstrom=positions.round(6))
    return replace(part, iterations=np.arange(1, len(part) + 1))


def test_two_recorded_segments() -> None:
    parts = [recorded("segment_0"), recorded("segment_1")]
    run = join_runs(ATOMS.positions, parts, MASSES, DT)
    assert len(run) == 6
    np.testing.assert_array_equal(run.positions_angstrom[0], ATOMS.positions)
    np.testing.assert_array_equal(run.positions_angstrom[3], parts[0].next_positions_angstrom[2])
    assert [(join.first_frame, join.frames, join.repeated) for join in run.joins] == [
        (0, 3, False),
        (3, 3, False),
    ]
    # the thermostat changed the total energy by far more than the SCF and Verlet do
    total = run.energies_ev + run.kinetic_energies_ev
    assert np.ptp(run.conserved_energies_ev) < 0.1 * np.ptp(total)
    assert np.ptp(run.conserved_energies_ev) < 5e-3


def test_collisions_of_andersen() -> None:
    """pw.x leaves half of their momentum in the kinetic energy that it prints."""
    segment = recorded("andersen")
    assert np.linalg.norm(segment.momenta_u_angstrom_per_fs, axis=1).max() > 0.01
    run = join_runs(ATOMS.positions, [segment], MASSES, DT)
    assert (run.kinetic_energies_ev <= segment.kinetic_energies_ev).all()
    assert np.abs(run.kinetic_energies_ev - segment.kinetic_energies_ev).max() > 1e-3
    total = run.energies_ev + run.kinetic_energies_ev
    assert np.ptp(run.conserved_energies_ev) < 0.02
    assert np.ptp(total) > 5 * np.ptp(run.conserved_energies_ev)


@given(data=st.data())
def test_however_it_is_cut_it_is_the_same_run(data: st.DataObject) -> None:
    """Continued, restarted from velocities, killed at once: every frame once, equal energies."""
    whole = recorded("out_of_time")
    expected = join_runs(ATOMS.positions, [whole], MASSES, DT)
    segments, done = [], 0
    while done < len(whole):
        how = data.draw(st.sampled_from(["continue", "velocities", "nothing"]))
        stop = data.draw(st.integers(done + 1, len(whole)))
        if how == "nothing":
            segments.append(piece(whole, 0, 0))
            if len(segments) > 12:
                break
            continue
        previous = [segment for segment in segments if len(segment)]
        if how == "velocities" or not previous:
            start = max(done - 1, 0)
            segments.append(restarted(whole, start, stop))
        else:
            part = piece(whole, done, stop)
            first = previous[-1].iterations[-1] + 1
            segments.append(replace(part, iterations=np.arange(first, first + len(part))))
        done = stop
    run = join_runs(ATOMS.positions, segments, MASSES, DT)
    assert len(run) == done
    for name in ("positions_angstrom", "velocities_angstrom_per_fs", "energies_ev", "heat_ev"):
        np.testing.assert_allclose(
            getattr(run, name), getattr(expected, name)[:done], atol=1e-9, err_msg=name
        )
    assert sum(join.frames for join in run.joins) == done
    assert all(join.energy_difference_ev == 0 for join in run.joins)


def test_the_repeated_frame_tells_how_well_it_was_repeated() -> None:
    whole = recorded("out_of_time")
    again = restarted(whole, 1, 4)
    again = replace(again, energies_ev=again.energies_ev + np.array([2e-3, 0, 0]))
    run = join_runs(ATOMS.positions, [piece(whole, 0, 2), again], MASSES, DT)
    assert run.joins[1].repeated
    assert run.joins[1].energy_difference_ev == pytest.approx(2e-3)
    assert run.energies_ev[1] == whole.energies_ev[1], "the first computation counts"


def test_heat_of_a_thermostat_at_the_repeated_frame() -> None:
    """It acts there once more; the conserved energy knows."""
    whole = recorded("out_of_time")
    again = restarted(whole, 1, 4)
    kinetic = again.kinetic_energies_ev.copy()
    kinetic[0] += 0.3
    run = join_runs(
        ATOMS.positions,
        [piece(whole, 0, 2), replace(again, kinetic_energies_ev=kinetic)],
        MASSES,
        DT,
    )
    plain = join_runs(ATOMS.positions, [whole], MASSES, DT)
    np.testing.assert_allclose(run.heat_ev - plain.heat_ev, [0, 0, 0.3, 0.3], atol=1e-9)


@pytest.mark.parametrize(
    ("segments", "line"),
    [
        (
            lambda run: [piece(run, 0, 2), piece(run, 3, 4)],
            "segment 1 begins with step 4, the one before it ended with 2",
        ),
        (
            lambda run: [piece(run, 0, 3), restarted(run, 0, 2)],
            "segment 1 does not begin where the one before it ended: atoms are up to 0.1",
        ),
        (
            lambda run: [
                piece(run, 0, 2),
                replace(restarted(run, 1, 3), start_positions_angstrom=None),
            ],
            "atoms are up to inf",
        ),
    ],
)  # fmt: skip
def test_segments_that_do_not_follow_each_other(segments: Any, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        join_runs(ATOMS.positions, segments(recorded("out_of_time")), MASSES, DT)


@pytest.mark.parametrize(
    ("positions", "masses", "dt"),
    [
        (ATOMS.positions, MASSES * 1.01, DT),
        (ATOMS.positions, MASSES, DT / 2),
        (ATOMS.positions + 0.01 * np.eye(15, 3), MASSES, DT),
    ],
)
def test_what_contradicts_the_printed_kinetic_energy(
    positions: Any, masses: Any, dt: float
) -> None:
    with pytest.raises(ValueError, match=r"^frame \d: positions and forces give a kinetic energy"):
        join_runs(positions, [recorded("segment_0")], masses, dt)


def test_another_number_of_atoms() -> None:
    with pytest.raises(ValueError, match="the output has 15 atoms, not 14"):
        join_runs(ATOMS.positions[:14], [recorded("segment_0")], MASSES[:14], DT)


def test_cut_before_the_momentum() -> None:
    """The last frame is whole, but what pw.x printed of its energy cannot be compared."""
    text = (RECORDED / "andersen" / "aiida.out").read_text()
    end = text.rindex("     Linear momentum :")
    run = join_runs(ATOMS.positions, [read_pw_md(text[:end].splitlines(True))], MASSES, DT)
    assert len(run) == 5
    assert np.isfinite(run.kinetic_energies_ev).all()


def test_no_frames() -> None:
    run = join_runs(ATOMS.positions, [recorded("killed")], MASSES, DT)
    assert len(run) == 0
    assert run.positions_angstrom.shape == (0, 15, 3)
    assert len(run.conserved_energies_ev) == 0
