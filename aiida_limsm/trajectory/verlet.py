"""Velocities and thermostat heat of a Verlet trajectory, from its positions and forces.

pw.x integrates with position Verlet: velocities at a step are (x(t+dt) - x(t-dt)) / 2dt, and a
thermostat changes the velocity with which the step is entered. It prints neither velocities nor
the heat; both follow exactly from positions and forces.
"""

from __future__ import annotations

import numpy as np

from ..markov.arrays import FloatArray
from ..units import EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2

__all__ = ["kinetic_energies", "thermostat_heat", "verlet_velocities"]


def accelerations(forces_ev_per_angstrom: FloatArray, masses_u: FloatArray) -> FloatArray:
    """Return accelerations in Å/fs² without that of the centre of mass, which pw.x takes off.

    Parameters
    ----------
    forces_ev_per_angstrom
        Shape (frames, atoms, 3).
    masses_u
        Atomic masses, shape (atoms,).
    """
    mean = forces_ev_per_angstrom.sum(axis=1, keepdims=True) / masses_u.sum()
    return EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2 * (
        forces_ev_per_angstrom / masses_u[:, None] - mean
    )


def verlet_velocities(
    positions_angstrom: FloatArray,
    next_positions_angstrom: FloatArray,
    forces_ev_per_angstrom: FloatArray,
    masses_u: FloatArray,
    time_step_fs: float,
) -> FloatArray:
    """Return the velocities at the steps, in Å/fs, shape (frames, atoms, 3).

    ``v(t) = (x(t+dt) - x(t)) / dt - a(t) dt / 2``: the same as Verlet's central difference, but
    with the velocity as the thermostat left it, and also at the first step of a run.

    Parameters
    ----------
    positions_angstrom, next_positions_angstrom
        At each step and after it (not wrapped), shape (frames, atoms, 3).
    forces_ev_per_angstrom
        Shape (frames, atoms, 3).
    masses_u
        Atomic masses, shape (atoms,).
    time_step_fs
        Time step.
    """
    drift = (next_positions_angstrom - positions_angstrom) / time_step_fs
    return drift - 0.5 * time_step_fs * accelerations(forces_ev_per_angstrom, masses_u)


def kinetic_energies(velocities_angstrom_per_fs: FloatArray, masses_u: FloatArray) -> FloatArray:
    """Return kinetic energies in eV, shape (frames,)."""
    squares = (velocities_angstrom_per_fs**2).sum(axis=2)
    return 0.5 * squares @ masses_u / EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2


def thermostat_heat(
    positions_angstrom: FloatArray,
    next_positions_angstrom: FloatArray,
    forces_ev_per_angstrom: FloatArray,
    masses_u: FloatArray,
    time_step_fs: float,
) -> FloatArray:
    """Return the energy in eV that a thermostat put in at each step, shape (frames,).

    Without a thermostat the velocity at a step is that of the half step before plus half a kick,
    ``(x(t) - x(t-dt)) / dt + a(t) dt / 2``. The kinetic energy that it really has minus that one
    is the heat; it is 0 for NVE and, by definition, at the first frame. Total energy minus the sum
    of the heat is conserved by every thermostat (the effective energy of Bussi, Donadio and
    Parrinello, J. Chem. Phys. 126, 014101 (2007), eq. 15).

    Parameters are those of :func:`verlet_velocities`; the frames follow each other.
    """
    velocities = verlet_velocities(
        positions_angstrom, next_positions_angstrom, forces_ev_per_angstrom, masses_u, time_step_fs
    )
    kick = 0.5 * time_step_fs * accelerations(forces_ev_per_angstrom, masses_u)
    free = np.diff(positions_angstrom, axis=0) / time_step_fs + kick[1:]
    heat = np.zeros(len(positions_angstrom))
    heat[1:] = kinetic_energies(velocities[1:], masses_u) - kinetic_energies(free, masses_u)
    return heat
