"""Frames of a molecular dynamics run, read from the text output of Quantum ESPRESSO's pw.x.

The text is read and not the XML file: pw.x flushes it with every SCF cycle, so it holds every
whole step also after the job was killed, while the XML file may be that of the job before, or cut
in the middle. It has the velocities' part, too: kinetic energy, temperature and the next positions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from ..markov.arrays import FloatArray, IntArray
from ..units import (
    BOHR_TO_ANGSTROM,
    RYDBERG_TO_EV,
    RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS,
    U_TO_RYDBERG_MASS,
)

__all__ = ["Ending", "PwMdOutput", "read_pw_md"]

FORCE_UNIT = RYDBERG_TO_EV / BOHR_TO_ANGSTROM
STRESS_UNIT = RYDBERG_TO_EV / BOHR_TO_ANGSTROM**3
_NUMBER = re.compile(r"[-+]?\d+\.\d+(?:[EeDd][-+]?\d+)?")
_ATOMS = re.compile(r"number of atoms/cell\s*=\s*(\d+)")
_ALAT = re.compile(r"lattice parameter \(alat\)\s*=\s*([\d.]+)")
_VERSION = re.compile(r"Program PWSCF v\.(\S+) starts")
_FUNCTIONAL = re.compile(r"Exchange-correlation\s*=\s*(\S+)")
_ITERATION = re.compile(r"iteration\s*=\s*(\d+)")
_UNITS = {"angstrom": 1.0, "bohr": BOHR_TO_ANGSTROM}


class Ending(str, Enum):
    """How a run of pw.x ended, by its own words."""

    FINISHED = "finished"
    OUT_OF_TIME = "out of time"
    SCF_FAILED = "SCF not converged"
    #: The smearing has no unique Fermi level: the occupations do not add up to the electrons.
    FERMI_LEVEL = "no Fermi level"
    ERROR = "error"
    UNREADABLE = "numbers too large to print"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class PwMdOutput:
    """The whole frames of one run; a frame counts once pw.x has moved the atoms on from it.

    Attributes
    ----------
    energies_ev
        Total energies, shape (frames,).
    forces_ev_per_angstrom
        Shape (frames, atoms, 3).
    stress_ev_per_angstrom3
        Shape (frames, 3, 3), tension positive as in ASE; None where it was not asked for.
    next_positions_angstrom
        Where the step led: the positions of the frame that follows, shape (frames, atoms, 3).
    kinetic_energies_ev, temperatures_k
        As printed, shape (frames,).
    momenta_u_angstrom_per_fs
        Total momentum that is in the printed kinetic energy, shape (frames, 3). Andersen's
        collisions leave half of what they gave to the centre of mass in there, although pw.x
        takes it off the positions. NaN where the output ends before it.
    iterations
        pw.x's own step number, which goes on over full restarts, shape (frames,).
    scf_cycles
        SCF iterations of each frame, shape (frames,).
    start_positions_angstrom
        First positions to the seven digits of the header, shape (atoms, 3); None without a header.
    ending, message
        How it ended, and pw.x's words for it.
    wrong_charge
        pw.x's warning that the occupations of the last, unfinished SCF do not add up, or empty.
    """

    energies_ev: FloatArray
    forces_ev_per_angstrom: FloatArray
    stress_ev_per_angstrom3: FloatArray | None
    next_positions_angstrom: FloatArray
    kinetic_energies_ev: FloatArray
    temperatures_k: FloatArray
    momenta_u_angstrom_per_fs: FloatArray
    iterations: IntArray
    scf_cycles: IntArray
    start_positions_angstrom: FloatArray | None
    functional: str | None
    version: str | None
    ending: Ending
    message: str
    wrong_charge: str = ""

    def __len__(self) -> int:
        return len(self.energies_ev)


def read_pw_md(lines: Iterable[str]) -> PwMdOutput:
    """Read the whole frames of a molecular dynamics run of pw.x (6.6 to 7.5).

    Parameters
    ----------
    lines
        The text output, line by line (an open file); it may end anywhere.

    Returns
    -------
    PwMdOutput
        Also of a run that failed; then it may have no frames, and says why.
    """
    reader = _Reader(iter(lines))
    reader.read()
    frames, atoms = reader.frames, reader.atoms

    def stack(name: str, *shape: int) -> FloatArray:
        return np.array([getattr(frame, name) for frame in frames], float).reshape(
            len(frames), *shape
        )

    has_stress = bool(frames) and all(frame.stress is not None for frame in frames)
    return PwMdOutput(
        energies_ev=stack("energy"),
        forces_ev_per_angstrom=stack("forces", atoms, 3),
        stress_ev_per_angstrom3=stack("stress", 3, 3) if has_stress else None,
        next_positions_angstrom=stack("positions", atoms, 3),
        kinetic_energies_ev=stack("kinetic"),
        temperatures_k=stack("temperature"),
        momenta_u_angstrom_per_fs=stack("momentum", 3),
        iterations=np.array([frame.iteration for frame in frames], dtype=np.int64),
        scf_cycles=np.array([frame.scf_cycles for frame in frames], dtype=np.int64),
        start_positions_angstrom=reader.start,
        functional=reader.functional,
        version=reader.version,
        ending=reader.ending,
        message=reader.message,
        wrong_charge=reader.wrong_charge,
    )


@dataclass
class _Frame:
    """One step while it is being read."""

    energy: float | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    iteration: int = 0
    positions: FloatArray | None = None
    kinetic: float | None = None
    temperature: float | None = None
    momentum: tuple[float, ...] = (np.nan, np.nan, np.nan)
    scf_cycles: int = 0


@dataclass
class _Reader:
    """What has been read so far; ``lines`` is consumed line by line."""

    lines: Iterator[str]
    atoms: int = 0
    alat: float = 0.0
    start: FloatArray | None = None
    functional: str | None = None
    version: str | None = None
    frames: list[_Frame] = field(default_factory=list)
    current: _Frame = field(default_factory=_Frame)
    ending: Ending = Ending.INTERRUPTED
    message: str = "the output ends before the run did"
    last_step: bool = False
    wrong_charge: str = ""

    def read(self) -> None:
        for line in self.lines:
            if not line.endswith("\n"):
                return  # cut in the middle of a line
            try:
                self._take(line)
            except StopIteration:
                return
            except ValueError:
                # Fortran prints asterisks where a number does not fit: the run has exploded
                self.ending, self.message = Ending.UNREADABLE, f"cannot read '{line.strip()}'"
                return

    def _take(self, line: str) -> None:
        if "integrated charge=" in line:
            self.wrong_charge = " ".join(line.replace("=", " ").split())
        elif "Error in routine" in line:
            text = next(self.lines, "").strip()
            self.ending, self.message = Ending.ERROR, f"{line.strip()} {text}"
        elif "=" in line:
            self._take_value(line)
        elif line.startswith("ATOMIC_POSITIONS"):
            self.current.positions = self._positions(line)
        elif "Forces acting on atoms" in line:
            self.current.forces = FORCE_UNIT * self._rows(self.atoms, after="force =")
        elif "site n." in line and "positions (alat units)" in line and self.start is None:
            self.start = self.alat * BOHR_TO_ANGSTROM * self._rows(self.atoms, after="= (")
        elif "convergence" in line:
            self._take_convergence(line)
        elif "Linear momentum :" in line and self.frames:
            # printed after the frame is closed, in units of the lattice parameter
            scale = self.alat * RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS / U_TO_RYDBERG_MASS
            numbers = line.partition(":")[2].split()
            self.frames[-1].momentum = tuple(scale * float(text) for text in numbers[:3])
        elif "Maximum CPU time exceeded" in line:
            self.ending, self.message = Ending.OUT_OF_TIME, "stopped itself for want of time"
        elif "The maximum number of steps has been reached" in line:
            self.last_step = True
        elif self.version is None and (match := _VERSION.search(line)):
            self.version = match[1]
        elif "JOB DONE" in line and self.last_step:
            self.ending, self.message = Ending.FINISHED, "all steps done"

    def _take_value(self, line: str) -> None:
        frame = self.current
        if line.startswith("!"):
            frame.energy = RYDBERG_TO_EV * _number(line)
        elif "kinetic energy (Ekin)" in line:
            frame.kinetic = RYDBERG_TO_EV * _number(line)
        elif "Ekin + Etot (const)" in line:
            self._close_frame(_number(line) * RYDBERG_TO_EV)
        elif "total   stress" in line:
            # pw.x counts compression positive, ASE and MACE tension
            frame.stress = -STRESS_UNIT * self._rows(3)
        elif "Entering Dynamics" in line:
            if match := _ITERATION.search(line):
                frame.iteration = int(match[1])
        elif "temperature  " in line and line.rstrip().endswith("K") and frame.kinetic is not None:
            frame.temperature = _number(line)
        elif match := _ATOMS.search(line):
            self.atoms = int(match[1])
        elif match := _ALAT.search(line):
            self.alat = float(match[1])
        elif (match := _FUNCTIONAL.search(line)) and self.functional is None:
            self.functional = match[1]

    def _take_convergence(self, line: str) -> None:
        if "convergence NOT achieved" in line:
            self.ending, self.message = Ending.SCF_FAILED, line.strip()
            if self.wrong_charge:
                self.ending = Ending.FERMI_LEVEL
                self.message += f" ({self.wrong_charge})"
        elif "convergence has been achieved in" in line:
            self.wrong_charge = ""
            self.current.scf_cycles = int(line.split(" in ")[1].split()[0])

    def _close_frame(self, total_ev: float) -> None:
        """Take the frame if it is whole, and begin the next."""
        frame, self.current = self.current, _Frame()
        if None in (frame.energy, frame.kinetic, frame.temperature):
            return
        if frame.forces is None or frame.positions is None:
            return
        assert frame.energy is not None
        assert frame.kinetic is not None
        if abs(frame.energy + frame.kinetic - total_ev) > 1e-5 * max(1.0, abs(total_ev) * 1e-3):
            raise ValueError("energies do not add up")
        self.frames.append(frame)

    def _rows(self, count: int, after: str = "") -> FloatArray:
        """Read three numbers from each of the next lines, blank ones passed over."""
        rows: list[list[float]] = []
        while len(rows) < count:
            line = self._next_line()
            if not line.strip() or (after and after not in line):
                continue
            numbers = line.rpartition(after)[2] if after else line
            rows.append([float(text) for text in numbers.strip(" )\n").split()[:3]])
        return np.array(rows, dtype=float).reshape(count, 3)

    def _positions(self, header: str) -> FloatArray:
        unit = header.partition("(")[2].partition(")")[0].strip()
        scale = _UNITS.get(unit) or (self.alat * BOHR_TO_ANGSTROM if unit == "alat" else None)
        if scale is None:
            raise ValueError(f"positions in '{unit}'")
        rows = [self._next_line().split()[1:4] for _ in range(self.atoms)]
        return scale * np.array(rows, dtype=float).reshape(self.atoms, 3)

    def _next_line(self) -> str:
        line = next(self.lines)
        if not line.endswith("\n"):
            raise StopIteration
        return line


def _number(line: str) -> float:
    """Return the first decimal number after the equals sign."""
    match = _NUMBER.search(line, line.index("="))
    if match is None:
        raise ValueError("no number")
    return float(match[0].replace("D", "E").replace("d", "e"))
