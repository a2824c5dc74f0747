"""Large models: fit, D, MSD, propagation; one task a call, so that its peak memory is its own."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import inputs
import numpy as np

from aiida_limsm.markov.assignment import SiteAssigner
from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.fitting import fit_with_errors
from aiida_limsm.markov.model import MarkovModel, estimate_model
from aiida_limsm.markov.propagation import Method, propagate
from aiida_limsm.markov.start_profiles import slab_density
from aiida_limsm.markov.stepping import Boundary
from aiida_limsm.markov.synthetic import HoppingNetwork
from aiida_limsm.markov.synthetic_networks import reversible_network
from aiida_limsm.units import ANGSTROM2_PER_PS_TO_CM2_PER_S

FIT_LAG_PS = 0.1
FIT_JUMP_RATE_PER_PS = 1.0
BARRIER_SPREAD_KT = 1.0
ENERGY_SPREAD_KT = 1.0
TIMES_PS = np.geomspace(1.0, 1e5, 11)


def chain(network: HoppingNetwork) -> MarkovModel:
    """Return the chain 1 + Q τ of a network: the same D, at a lag as long as rates allow."""
    pi, n = network.stationary_distribution, network.n_sites
    flux = pi[network.from_site] * network.rate_per_ps
    leave = np.bincount(network.from_site, weights=flux, minlength=n)
    lag = 0.5 * float((pi / leave).min())
    stay = np.arange(n)
    return MarkovModel(
        network.lattice,
        lag,
        np.concatenate([network.from_site, stay]),
        np.concatenate([network.to_site, stay]),
        np.concatenate([network.image, np.zeros((n, 3), dtype=np.int64)]),
        np.concatenate([flux * lag, pi - leave * lag]),
    )


def disordered(edge: int) -> HoppingNetwork:
    """Return a cube of 12·edge³ sites of D0_3 with random barriers and energies: no symmetry."""
    lattice = inputs.hopping(2, edge).md_lattice
    energies = ENERGY_SPREAD_KT * np.random.default_rng(0).normal(size=lattice.n_sites)
    network = reversible_network(lattice, 2.8, energies, 1.0, seed=0, spread=BARRIER_SPREAD_KT)
    return network.with_jump_rate(inputs.JUMP_RATE_PER_PS)


def fit(edge: int, frames: int) -> dict[str, Any]:
    """Fit every site of a supercell as a state of its own, some 27 jumps seen of every kind."""
    trajectory = inputs.hopping(frames, edge, jump_rate_per_ps=FIT_JUMP_RATE_PER_PS)
    lattice, ions = trajectory.md_lattice, trajectory.n_ions
    assigner = SiteAssigner(lattice, ions, "core")
    for block in trajectory.blocks(64):
        assigner.add(block[:, :ions])
    paths = assigner.finish()
    lag = round(FIT_LAG_PS / trajectory.frame_interval_ps)
    clock = _Clock()
    counts = count_transitions(paths, lattice.n_sites, lag, 5)
    clock("counts")
    model = estimate_model(counts, lattice, FIT_LAG_PS)
    clock("model")
    d = np.trace(model.diffusion_tensor()) / 3
    clock("d")
    found = fit_with_errors(paths, lattice, lag, 5, trajectory.frame_interval_ps, 20, 0)
    clock("errors, timescales")
    return {
        "states": lattice.n_sites,
        "transitions": len(model.flux),
        "d_cm2_s": d,
        "d_error": float((found.samples[:, :3].mean(axis=1)).std(ddof=1)),
        "d_true": float(np.trace(trajectory.network.diffusion_tensor()) / 3),
        "seconds": clock.seconds,
    }


def supercell(edge: int) -> dict[str, Any]:
    """D, MSD and propagation where every site is different."""
    network = disordered(edge)
    model = chain(network)
    clock = _Clock()
    d = float(np.trace(model.diffusion_tensor()) / 3)
    clock("D")
    late = np.array([2e4, 4e4]) * model.lag_ps
    msd = model.msd(np.concatenate([TIMES_PS, late]))
    slope = float((msd[-1] - msd[-2]) / (late[1] - late[0]) / 6 * ANGSTROM2_PER_PS_TO_CM2_PER_S)
    clock("MSD at 13 times")
    start = np.zeros((1, 1, 1, network.n_sites))
    start[..., : network.n_sites // 2] = model.stationary_distribution[: network.n_sites // 2]
    drift = _drift(start, propagate(model, start, TIMES_PS, "sparse"))
    clock("propagation to 11 times")
    return {
        "states": network.n_sites, "d_cm2_s": d, "d_of_msd_slope": slope, "ions_drift": drift,
        "exact": float(np.trace(network.diffusion_tensor()) / 3) if edge <= 8 else None,
        "steps": float(TIMES_PS[-1] / model.lag_ps), "seconds": clock.seconds,
    }  # fmt: skip


def spread(length: int, method: Method, boundary: Boundary) -> dict[str, Any]:
    """Propagation on length³ cells of the primitive model."""
    model = chain(inputs.hopping(2).network)
    cells = (length, length, length)
    start = slab_density(model, cells, 0)
    clock = _Clock()
    drift = _drift(start, propagate(model, start, TIMES_PS, method, (boundary,) * 3))
    clock("propagation to 11 times")
    return {
        "sites": int(start.size), "ions_drift": drift,
        "steps": float(TIMES_PS[-1] / model.lag_ps), "seconds": clock.seconds,
    }  # fmt: skip


def _drift(start: Any, densities: Any) -> float:
    """Return the largest relative change of the number of ions."""
    total = float(start.sum())
    return max(abs(float(density.sum()) / total - 1) for density in densities)


class _Clock:
    """CPU seconds between calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.process_time()

    def __call__(self, name: str) -> None:
        now = time.process_time()
        self.seconds[name] = now - self._last
        self._last = now


TASKS: dict[str, Callable[[], dict[str, Any]]] = {
    "fit": lambda: fit(8, 10_000),
    "supercell-small": lambda: supercell(8),
    "supercell": lambda: supercell(20),
    "bloch-6": lambda: spread(70, "bloch", "periodic"),
    "bloch-7": lambda: spread(150, "bloch", "periodic"),
    "sparse-6": lambda: spread(70, "sparse", "reflecting"),
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]]()))
