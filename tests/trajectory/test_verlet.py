"""Velocities and heat of position Verlet, against a simulation that knows them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import fs

from aiida_limsm.trajectory.verlet import kinetic_energies, thermostat_heat, verlet_velocities
from aiida_limsm.units import (
    BOHR_TO_ANGSTROM,
    EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2,
    RYDBERG_TIME_TO_FS,
    RYDBERG_TO_EV,
    RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS,
)

MASSES = np.array([6.94, 6.94, 28.085, 1.008])
DT = 1.3


def simulate(
    steps: int, rescale: dict[int, float], net_force: float = 0.0
) -> dict[str, np.ndarray]:
    """Velocity Verlet of coupled springs; a thermostat scales velocities on entering a step.

    As pw.x does it: the half-step velocity is scaled, and the centre of mass is kept at rest.
    """
    rng = np.random.default_rng(4)
    unit = EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2
    springs = rng.normal(size=(4, 4)) ** 2
    springs = springs + springs.T
    x = rng.normal(size=(4, 3))
    half = rng.normal(size=(4, 3)) * 0.01
    half -= (MASSES[:, None] * half).sum(0) / MASSES.sum()

    def force(position: np.ndarray) -> np.ndarray:
        difference = position[:, None] - position[None]
        return -(springs[..., None] * difference).sum(1) + net_force

    def energy(position: np.ndarray) -> float:
        difference = position[:, None] - position[None]
        return float(0.25 * (springs * (difference**2).sum(-1)).sum())

    out: dict[str, list] = {key: [] for key in ("x", "next", "f", "v", "u", "heat")}
    for step in range(steps):
        f = force(x)
        a = unit * (f / MASSES[:, None] - f.sum(0) / MASSES.sum())
        free = half + 0.5 * DT * a
        half = half * rescale.get(step, 1.0)
        v = half + 0.5 * DT * a
        kinetic = [0.5 * (MASSES[:, None] * w**2).sum() / unit for w in (v, free)]
        half = half + DT * a
        for key, value in zip(
            out, (x, x + DT * half, f, v, energy(x), kinetic[0] - kinetic[1]), strict=True
        ):
            out[key].append(value)
        x = x + DT * half
    return {key: np.array(value) for key, value in out.items()}


@pytest.mark.parametrize("net_force", [0.0, 0.05])
def test_velocities_and_heat_are_exact(net_force: float) -> None:
    """Also with a net force, as that of a coarse grid: pw.x takes it off."""
    run = simulate(60, {7: 1.2, 20: 0.8, 21: 1.1}, net_force)
    motion = (run["x"], run["next"], run["f"], MASSES, DT)
    np.testing.assert_allclose(verlet_velocities(*motion), run["v"], atol=1e-13)
    heat = thermostat_heat(*motion)
    np.testing.assert_allclose(heat[1:], run["heat"][1:], atol=1e-11)
    assert np.flatnonzero(np.abs(heat) > 1e-9).tolist() == [7, 20, 21]


def test_total_energy_less_heat_is_conserved() -> None:
    rescale = {step: 1.0 + 0.05 * np.sin(step) for step in range(1, 400)}
    run = simulate(400, rescale)
    motion = (run["x"], run["next"], run["f"], MASSES, DT)
    kinetic = kinetic_energies(verlet_velocities(*motion), MASSES)
    total = run["u"] + kinetic
    conserved = total - np.cumsum(thermostat_heat(*motion))
    plain = simulate(400, {})
    bare = plain["u"] + kinetic_energies(plain["v"], MASSES)
    # Verlet's own fluctuation of the energy, and no more; the thermostat moved it by far more
    assert np.ptp(conserved) < 3 * np.ptp(bare)
    assert np.ptp(total) > 5 * np.ptp(conserved)


def test_units() -> None:
    """Against ASE's constants and the definition of the Rydberg atomic unit of time."""
    assert pytest.approx(1 / fs**-2, rel=1e-6) == EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2
    hbar_ev_fs = 0.6582119569
    assert pytest.approx(hbar_ev_fs / RYDBERG_TO_EV, rel=1e-8) == RYDBERG_TIME_TO_FS
    assert (
        pytest.approx(BOHR_TO_ANGSTROM / RYDBERG_TIME_TO_FS) == RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS
    )
    one = kinetic_energies(np.array([[[0.01, 0.0, 0.0]]]), np.array([6.94]))
    joule = 0.5 * 6.94 * 1.66053906660e-27 * (0.01e5) ** 2
    assert one[0] == pytest.approx(joule / 1.602176634e-19, rel=1e-8)
