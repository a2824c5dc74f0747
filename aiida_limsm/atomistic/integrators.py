"""Integrators of an MD run: ASE's, at zero net momentum, with a state that can be saved.

A crystal that is at rest as a whole has 3N − 3 degrees of freedom. Each class below states that
to its ASE parent, keeps an energy that the exact dynamics would conserve, and names the
attributes that the next step depends on besides positions, momenta, cell and random state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.nose_hoover_chain import (
    MTKNPT,
    IsotropicMTKNPT,
    NoseHooverChainNVT,
    NoseHooverChainThermostat,
)
from ase.md.verlet import VelocityVerlet

from aiida_limsm.units import GPA_TO_EV_PER_ANGSTROM3


@dataclass(frozen=True)
class Ensemble:
    """Thermostat and barostat; ``barostat`` goes with the Nosé–Hoover chain only."""

    thermostat: str
    temperature_k: float
    time_step_fs: float
    friction_per_ps: float = 2.0
    thermostat_time_fs: float = 100.0
    barostat: str | None = None
    pressure_gpa: float = 0.0
    barostat_time_fs: float = 1000.0


def degrees_of_freedom(n_atoms: int) -> int:
    """Return 3N − 3: the net momentum is zero and stays so."""
    return 3 * n_atoms - 3


def temperature_k(atoms: Any) -> float:
    """Return the kinetic temperature over 3N − 3 degrees of freedom."""
    return float(2.0 * atoms.get_kinetic_energy() / (degrees_of_freedom(len(atoms)) * units.kB))


class _SavedState:
    """``STATE`` names attributes (dots lead into parts), numbers or arrays of float64."""

    STATE: tuple[str, ...] = ()
    atoms: Any

    def state(self) -> dict[str, Any]:
        """Return the state in numbers and lists, exactly."""
        return {name: np.asarray(_get(self, name)).tolist() for name in self.STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        for name in self.STATE:
            old, value = _get(self, name), state[name]
            *path, last = name.split(".")
            target: Any = _get(self, ".".join(path)) if path else self
            setattr(target, last, np.array(value) if isinstance(old, np.ndarray) else float(value))


def _get(item: Any, name: str) -> Any:
    for part in name.split("."):
        item = getattr(item, part)
    return item


class _Verlet(_SavedState, VelocityVerlet):
    def conserved_energy(self) -> float:
        return float(self.atoms.get_total_energy())


class _Langevin(_SavedState, LangevinBAOAB):
    """Without net momentum; what the bath gives is booked.

    Friction and noise act on momenta relative to the centre of mass: the noise's share in it is
    taken off, which leaves the canonical distribution of the 3N − 3 others as it is. The conserved
    energy is H minus the heat: the effective energy of Bussi and Parrinello, Phys. Rev. E 75,
    056707 (2007).
    """

    STATE = ("heat_ev",)
    heat_ev = 0.0

    def _BAOAB_OU(self, drag_gamma_mod: float = 0.0) -> None:
        before = self.atoms.get_kinetic_energy()
        super()._BAOAB_OU(drag_gamma_mod)  # type: ignore[no-untyped-call]
        remove_net_momentum(self.atoms)
        self.heat_ev += float(self.atoms.get_kinetic_energy() - before)

    def conserved_energy(self) -> float:
        return float(self.atoms.get_total_energy()) - self.heat_ev


class _Csvr(_SavedState, Bussi):
    STATE = ("transferred_energy",)

    def __init__(self, atoms: Any, temperature: float, **kwargs: Any) -> None:
        super().__init__(atoms, temperature_K=temperature, **kwargs)  # type: ignore[no-untyped-call]
        self.ndof = degrees_of_freedom(len(atoms))
        self.target_kinetic_energy = 0.5 * units.kB * temperature * self.ndof

    def conserved_energy(self) -> float:
        return float(self.atoms.get_total_energy() - self.transferred_energy)


class _NoseHooverChain(_SavedState, NoseHooverChainNVT):
    STATE = ("_thermostat._eta", "_thermostat._p_eta")

    def __init__(self, atoms: Any, temperature: float, tdamp: float, **kwargs: Any) -> None:
        super().__init__(atoms, temperature_K=temperature, tdamp=tdamp, **kwargs)
        self._thermostat = _chain(self, temperature, tdamp)

    def conserved_energy(self) -> float:
        return float(self.get_conserved_energy())


class _Isotropic(_SavedState, IsotropicMTKNPT):
    STATE = (
        "_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi",
        "_eps", "_p_eps",
    )  # fmt: skip

    def __init__(self, atoms: Any, temperature: float, tdamp: float, **kwargs: Any) -> None:
        super().__init__(atoms, temperature_K=temperature, tdamp=tdamp, **kwargs)
        self._thermostat = _chain(self, temperature, tdamp)
        self._num_atoms_global = len(atoms) - 1

    def conserved_energy(self) -> float:
        return float(self.get_conserved_energy())


class _Flexible(_SavedState, MTKNPT):
    STATE = (
        "_thermostat._eta", "_thermostat._p_eta", "_barostat._xi", "_barostat._p_xi", "_h", "_p_g",
    )  # fmt: skip

    def __init__(self, atoms: Any, temperature: float, tdamp: float, **kwargs: Any) -> None:
        super().__init__(atoms, temperature_K=temperature, tdamp=tdamp, **kwargs)
        self._thermostat = _chain(self, temperature, tdamp)
        self._num_atoms_global = len(atoms) - 1

    def conserved_energy(self) -> float:
        return float(self.get_conserved_energy())


def _chain(integrator: Any, temperature: float, tdamp: float) -> NoseHooverChainThermostat:
    """Return ASE's chain for 3 (N − 1) degrees of freedom."""
    return NoseHooverChainThermostat(
        num_atoms_global=len(integrator.atoms) - 1,
        masses=integrator.masses,
        temperature_K=temperature,
        tdamp=tdamp,
    )


def remove_net_momentum(atoms: Any) -> None:
    """Bring the centre of mass to rest; velocities relative to it stay."""
    momenta, masses = atoms.get_momenta(), atoms.get_masses()
    atoms.set_momenta(momenta - np.outer(masses / masses.sum(), momenta.sum(axis=0)))


def make_integrator(atoms: Atoms, ensemble: Ensemble, rng: np.random.Generator) -> Any:
    """Return an ASE dynamics with ``state``, ``restore`` and ``conserved_energy``.

    ``atoms`` must be in the cell in which the run began, also where a state is restored after.
    """
    fs = units.fs
    temperature = ensemble.temperature_k
    time_step = ensemble.time_step_fs * fs
    bath: dict[str, Any] = {
        "temperature": temperature,
        "timestep": time_step,
        "tdamp": ensemble.thermostat_time_fs * fs,
    }
    if ensemble.barostat is not None:
        kind = _Isotropic if ensemble.barostat == "isotropic" else _Flexible
        return kind(
            atoms,
            pressure_au=ensemble.pressure_gpa * GPA_TO_EV_PER_ANGSTROM3,
            pdamp=ensemble.barostat_time_fs * fs,
            **bath,
        )
    if ensemble.thermostat == "nose_hoover_chain":
        return _NoseHooverChain(atoms, **bath)
    if ensemble.thermostat == "csvr":
        taut = ensemble.thermostat_time_fs * fs
        return _Csvr(atoms, temperature, timestep=time_step, taut=taut, rng=rng)
    if ensemble.thermostat == "langevin":
        relaxation = 1000.0 * fs / ensemble.friction_per_ps
        langevin: Any = _Langevin
        return langevin(atoms, time_step, temperature_K=temperature, T_tau=relaxation, rng=rng)
    return _Verlet(atoms, timestep=time_step)
