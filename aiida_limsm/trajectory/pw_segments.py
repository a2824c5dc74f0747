"""Segments of a pw.x molecular dynamics run, joined to one run without a gap or a repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..markov.arrays import BoolArray, FloatArray, IntArray
from ..units import EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2
from .pw_output import PwMdOutput
from .verlet import kinetic_energies, thermostat_heat, verlet_velocities

__all__ = ["Join", "JoinedRun", "join_runs"]

#: A restart from given velocities repeats a frame: its header gives positions to 1e-7 of the
#: lattice parameter, which itself has four decimals.
_SAME_POSITION_ANGSTROM = 1e-3
#: pw.x prints kinetic energies with 1e-7 eV; another mass, time step or unit is seen at once.
_SAME_KINETIC_EV = 1e-4


@dataclass(frozen=True)
class Join:
    """Where a segment begins in the joined run, and what its first frame says of the join.

    ``repeated`` segments were restarted from velocities: their first frame is the last one of the
    segment before, computed again and dropped. ``energy_difference_ev`` is by how much its energy
    came out differently, ``heat_ev`` what the thermostat did there once more (0 for the others).
    """

    first_frame: int
    frames: int
    repeated: bool
    energy_difference_ev: float
    heat_ev: float


@dataclass(frozen=True)
class JoinedRun:
    """All frames of a run in order; shapes as in :class:`PwMdOutput`.

    Kinetic energies and temperatures are without the motion of the centre of mass.

    ``velocities_angstrom_per_fs`` has shape (frames, atoms, 3), ``heat_ev`` (frames,) is what the
    thermostat had put in up to and including each frame.
    """

    positions_angstrom: FloatArray
    next_positions_angstrom: FloatArray
    velocities_angstrom_per_fs: FloatArray
    forces_ev_per_angstrom: FloatArray
    stress_ev_per_angstrom3: FloatArray | None
    energies_ev: FloatArray
    kinetic_energies_ev: FloatArray
    temperatures_k: FloatArray
    heat_ev: FloatArray
    scf_cycles: IntArray
    joins: tuple[Join, ...]

    @property
    def conserved_energies_ev(self) -> FloatArray:
        """Total energy less the heat of the thermostat, shape (frames,)."""
        return self.energies_ev + self.kinetic_energies_ev - self.heat_ev

    def __len__(self) -> int:
        return len(self.energies_ev)


def join_runs(
    start_positions_angstrom: FloatArray,
    segments: Sequence[PwMdOutput],
    masses_u: FloatArray,
    time_step_fs: float,
) -> JoinedRun:
    """Join segments to one run.

    Parameters
    ----------
    start_positions_angstrom
        Positions with which the first segment was started, shape (atoms, 3).
    segments
        In order of time. One whose step numbers go on continues the one before it; one that
        counts from 1 again was restarted from the last frame's positions and velocities.
    masses_u
        Atomic masses, shape (atoms,).
    time_step_fs
        Time step.

    Raises
    ------
    ValueError
        A segment does not begin where the one before it ended, or the velocities do not give
        the kinetic energies that pw.x printed.
    """
    joiner = _Joiner(np.asarray(start_positions_angstrom, float), masses_u, time_step_fs)
    for number, segment in enumerate(segments):
        joiner.add(number, segment)
    return joiner.result()


class _Joiner:
    def __init__(self, start: FloatArray, masses: FloatArray, time_step_fs: float) -> None:
        self.start, self.masses, self.time_step = start, masses, time_step_fs
        self.parts: list[tuple[FloatArray, PwMdOutput, int]] = []
        self.joins: list[Join] = []
        self.frames = 0

    def add(self, number: int, segment: PwMdOutput) -> None:
        """Append the whole frames of one segment."""
        if len(segment) == 0:
            self.joins.append(Join(self.frames, 0, False, 0.0, 0.0))
            return
        if not self.parts:
            self._append(self.start, segment)
        elif segment.iterations[0] == 1:
            self._append_repeated(number, segment)
        else:
            previous = self.parts[-1][1]
            if segment.iterations[0] != previous.iterations[-1] + 1:
                raise ValueError(
                    f"segment {number} begins with step {segment.iterations[0]}, the one before it "
                    f"ended with {previous.iterations[-1]}"
                )
            self._append(previous.next_positions_angstrom[-1], segment)

    def _append_repeated(self, number: int, segment: PwMdOutput) -> None:
        positions, previous, _ = self.parts[-1]
        last = positions[-1]
        header = segment.start_positions_angstrom
        distance = np.inf if header is None else float(np.abs(header - last).max())
        if not distance < _SAME_POSITION_ANGSTROM:
            raise ValueError(
                f"segment {number} does not begin where the one before it ended: atoms are up to "
                f"{distance:.3g} Å apart"
            )
        self._append(
            last,
            segment,
            dropped=1,
            difference=float(segment.energies_ev[0] - previous.energies_ev[-1]),
            heat=self._inner_kinetic(segment, 0) - self._inner_kinetic(previous, -1),
        )

    def _append(
        self,
        start: FloatArray,
        segment: PwMdOutput,
        dropped: int = 0,
        difference: float = 0.0,
        heat: float = 0.0,
    ) -> None:
        following = segment.next_positions_angstrom
        if following.shape[1:] != start.shape:
            raise ValueError(f"the output has {following.shape[1]} atoms, not {len(start)}")
        positions = np.concatenate([start[None], following[:-1]])
        kept = len(segment) - dropped
        self.parts.append((positions, segment, dropped))
        self.joins.append(Join(self.frames, kept, dropped > 0, difference, heat))
        self.frames += kept

    def result(self) -> JoinedRun:
        """Put the parts together and check them against pw.x's kinetic energies."""
        atoms = len(self.start)
        has_stress = all(part.stress_ev_per_angstrom3 is not None for _, part, _ in self.parts)

        def joined(name: str, *shape: int) -> FloatArray:
            arrays = [getattr(part, name)[skip:] for _, part, skip in self.parts]
            return np.concatenate(arrays) if arrays else np.zeros((0, *shape))

        positions = [array[skip:] for array, _, skip in self.parts]
        following = joined("next_positions_angstrom", atoms, 3)
        forces = joined("forces_ev_per_angstrom", atoms, 3)
        motion = (
            np.concatenate(positions) if positions else np.zeros((0, atoms, 3)),
            following,
            forces,
            self.masses,
            self.time_step,
        )
        velocities = verlet_velocities(*motion)
        printed = joined("kinetic_energies_ev")
        momenta = joined("momenta_u_angstrom_per_fs", 3)
        kinetic = printed - self._of_the_centre(momenta)
        known: BoolArray = np.asarray(np.isfinite(momenta).all(axis=1))
        self._check_kinetic(kinetic_energies(velocities, self.masses), kinetic, known)
        return JoinedRun(
            positions_angstrom=motion[0],
            next_positions_angstrom=following,
            velocities_angstrom_per_fs=velocities,
            forces_ev_per_angstrom=forces,
            stress_ev_per_angstrom3=(
                joined("stress_ev_per_angstrom3", 3, 3) if has_stress else None
            ),
            energies_ev=joined("energies_ev"),
            kinetic_energies_ev=kinetic,
            temperatures_k=joined("temperatures_k") * kinetic / np.where(printed > 0, printed, 1.0),
            heat_ev=self._heat(thermostat_heat(*motion)),
            scf_cycles=joined("scf_cycles").astype(np.int64),
            joins=tuple(self.joins),
        )

    def _inner_kinetic(self, segment: PwMdOutput, frame: int) -> float:
        centre = self._of_the_centre(segment.momenta_u_angstrom_per_fs)[frame]
        return float(segment.kinetic_energies_ev[frame] - centre)

    def _of_the_centre(self, momenta: FloatArray) -> FloatArray:
        """Return the kinetic energy of the centre of mass in eV, shape (frames,)."""
        twice_mass = 2.0 * self.masses.sum()
        return np.nansum(momenta**2, axis=1) / twice_mass / EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2

    def _heat(self, heat: FloatArray) -> FloatArray:
        """Return the heat put in so far, with what went in at repeated frames."""
        for join in self.joins:
            # The step into this frame began at the repeated one: with the velocity that the
            # thermostat made there, and not that of the frame before.
            if join.first_frame < len(heat):
                heat[join.first_frame] += join.heat_ev
        return np.cumsum(heat)

    def _check_kinetic(self, ours: FloatArray, printed: FloatArray, known: BoolArray) -> None:
        if not known.any():
            return
        frame = int(np.where(known, np.abs(ours - printed), -1.0).argmax())
        if abs(ours[frame] - printed[frame]) > _SAME_KINETIC_EV:
            raise ValueError(
                f"frame {frame}: positions and forces give a kinetic energy of {ours[frame]:.6f} "
                f"eV, pw.x printed {printed[frame]:.6f} eV: time step, masses or fixed atoms are "
                "not those of the run"
            )
