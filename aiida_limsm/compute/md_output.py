"""What one run of ``limsm md`` writes: frames, mobile ions, thermodynamic data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aiida_limsm.files import disk_errors
from aiida_limsm.trajectory.segments import SegmentWriter, join_segments, truncate_segments

from .inputs import MdInput

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_limsm.atomistic.md import Sample

SEGMENTS_FOLDER = "segments"
MOBILE_SEGMENTS_FOLDER = "mobile_segments"
TRAJECTORY_FILENAME = "trajectory.h5"
MOBILE_FILENAME = "mobile.h5"
THERMO_FILENAME = "thermo.csv"

THERMO_COLUMNS = (
    "step", "time_ps", "temperature_k", "potential_energy_ev", "conserved_energy_ev",
    "volume_angstrom3", "pressure_gpa", "committee_spread_ev_per_angstrom",
)  # fmt: skip


class RunOutput:
    """Writes one run into a folder and, after :meth:`finish`, joins it into whole files.

    What lies in the folder of a step after ``last_step`` belongs to a killed past and is dropped:
    the run does it again.
    """

    def __init__(self, folder: Path, job: MdInput, atoms: Atoms, last_step: int | None) -> None:
        self.folder = folder
        self._job = job
        folder.mkdir(parents=True, exist_ok=True)
        kept = -1 if last_step is None else last_step
        cell = atoms.cell.array if job.barostat is None else None
        self._frames = _segments(
            folder / SEGMENTS_FOLDER, atoms.numbers, cell, job.frame_interval_steps, job, kept
        )
        self._mobile: SegmentWriter | None = None
        if job.mobile_interval_steps is not None:
            chosen = atoms.symbols == job.mobile_species
            self._mobile = _segments(
                folder / MOBILE_SEGMENTS_FOLDER, atoms.numbers[chosen], cell,
                job.mobile_interval_steps, job, kept, framework_at_rest=True,
            )  # fmt: skip
        path = folder / THERMO_FILENAME
        with disk_errors(path):
            _cut_table(path, last_step)
            self._thermo: TextIO = path.open("a", encoding="utf-8")
            if path.stat().st_size == 0:
                print(",".join(THERMO_COLUMNS), file=self._thermo)

    def frame(self, sample: Sample) -> None:
        """Store all atoms."""
        cell = None if self._job.barostat is None else sample.cell
        self._frames.append(
            sample.positions, sample.step, sample.temperature_k, sample.potential_energy_ev, cell
        )

    def mobile(self, sample: Sample) -> None:
        """Store the mobile ions, relative to the framework."""
        assert self._mobile is not None  # asked for by the same input
        self._mobile.append(
            sample.mobile, sample.step, sample.temperature_k, sample.potential_energy_ev
        )

    def thermo(self, sample: Sample) -> None:
        """Add a line to the table."""
        values = (
            sample.step * self._job.time_step_fs / 1000.0, sample.temperature_k,
            sample.potential_energy_ev, sample.conserved_ev, sample.volume_angstrom3,
            sample.pressure_gpa, sample.spread_ev_per_angstrom,
        )  # fmt: skip
        row = [str(sample.step), *("" if value is None else f"{value:.10g}" for value in values)]
        print(",".join(row), file=self._thermo)

    def flush(self) -> None:
        """Bring all that is held back to the disk.

        Raises
        ------
        OSError
            The disk is full or gone.
        """
        self._frames.flush()
        if self._mobile is not None:
            self._mobile.flush()
        with disk_errors(self.folder / THERMO_FILENAME):
            self._thermo.flush()
            os.fsync(self._thermo.fileno())

    def close(self) -> None:
        """Let go of the table."""
        with disk_errors(self.folder / THERMO_FILENAME):
            self._thermo.close()

    def finish(self) -> dict[str, str]:
        """Join the segments; return sha256 by file name, empty where there is no frame."""
        found = {}
        for writer, name in ((self._frames, TRAJECTORY_FILENAME), (self._mobile, MOBILE_FILENAME)):
            if writer is not None and writer.n_frames:
                found[name] = join_segments(writer.folder, self.folder / name)
        return found


def _segments(
    folder: Path,
    numbers: object,
    cell: object,
    interval_steps: int,
    job: MdInput,
    last_step: int,
    framework_at_rest: bool = False,
) -> SegmentWriter:
    truncate_segments(folder, last_step)
    return SegmentWriter(
        folder,
        numbers=numbers,  # type: ignore[arg-type]
        cell=cell,  # type: ignore[arg-type]
        frame_interval_ps=interval_steps * job.time_step_fs / 1000.0,
        initial_step=max(last_step, 0),
        framework_at_rest=framework_at_rest,
    )


def _cut_table(path: Path, last_step: int | None) -> None:
    """Drop lines after a step, and one that was cut short; all of them for a new run."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as table:
        for number, line in enumerate(table):
            if last_step is None or not line.endswith(b"\n"):
                break
            if number and int(line.split(b",", 1)[0]) > last_step:
                break
            end += len(line)
    os.truncate(path, end)
