# ruff: noqa: NPY002 (compiled code has the legacy generator only)
"""Synthetic networks with a known diffusion tensor, and walks on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numba import njit

from aiida_limsm.markov.sites import SiteLattice


@njit
def _walk(seed, start, frames, interval, first, target, image, cumulative, sites, images):
    np.random.seed(seed)
    for ion in range(len(start)):
        s = start[ion]
        cell = np.zeros(3, np.int64)
        clock = 0.0
        total = cumulative[first[s + 1] - 1] if first[s + 1] > first[s] else 0.0
        next_jump = np.random.exponential(1.0 / total) if total > 0 else 1e300
        for frame in range(frames):
            clock = frame * interval
            while next_jump <= clock:
                pick = np.random.random() * total
                row = first[s]
                while cumulative[row] < pick:
                    row += 1
                for a in range(3):
                    cell[a] += image[row, a]
                s = target[row]
                total = cumulative[first[s + 1] - 1]
                next_jump += np.random.exponential(1.0 / total)
            sites[frame, ion] = s
            for a in range(3):
                images[frame, ion, a] = cell[a]


@dataclass(frozen=True)
class Network:
    """Continuous-time hopping: rate (1/ps) of every (from, to, cell), with its reverse listed."""

    lattice: SiteLattice
    start: np.ndarray
    end: np.ndarray
    image: np.ndarray
    rate: np.ndarray

    @property
    def stationary(self):
        n = self.lattice.n_sites
        q = np.zeros((n, n))
        np.add.at(q, (self.start, self.end), self.rate)
        np.add.at(q, (self.start, self.start), -self.rate)
        system = np.vstack([q.T, np.ones(n)])
        return np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]

    def diffusion(self):
        """Exact D in cm²/s from the generator (the continuous-time closed form)."""
        n = self.lattice.n_sites
        q = np.zeros((n, n))
        np.add.at(q, (self.start, self.end), self.rate)
        np.add.at(q, (self.start, self.start), -self.rate)
        d = self.lattice.jump_vectors(self.start, self.end, self.image)
        pi = self.stationary
        a = np.zeros((n, 3))
        np.add.at(a, self.start, self.rate[:, None] * d)
        chi = np.linalg.lstsq(q, -a, rcond=None)[0]
        jump = d + chi[self.end] - chi[self.start]
        return 0.5e-4 * np.einsum("k,ka,kb->ab", pi[self.start] * self.rate, jump, jump)

    def walk(self, ions, frames, interval, seed):
        """Sites (frames, ions) and cells (frames, ions, 3), from equilibrium."""
        order = np.lexsort((np.arange(len(self.start)), self.start))
        first = np.searchsorted(self.start[order], np.arange(self.lattice.n_sites + 1))
        cumulative = np.zeros(len(order))
        for s in range(self.lattice.n_sites):
            rows = slice(first[s], first[s + 1])
            cumulative[rows] = np.cumsum(self.rate[order][rows])
        random = np.random.default_rng(seed)
        start = random.choice(self.lattice.n_sites, size=ions, p=self.stationary)
        sites = np.zeros((frames, ions), dtype=np.int64)
        images = np.zeros((frames, ions, 3), dtype=np.int64)
        _walk(
            seed, start, frames, interval, first, self.end[order], self.image[order],
            cumulative, sites, images,
        )  # fmt: skip
        return sites, images

    def positions(self, ions, frames, interval, seed, sigma=0.0, memory=0.5):
        """Positions with Ornstein-Uhlenbeck vibrations of ``sigma`` Å per component."""
        sites, images = self.walk(ions, frames, interval, seed)
        x = self.lattice.positions[sites] + images @ self.lattice.cell
        if sigma:
            random = np.random.default_rng(seed + 1)
            noise = random.normal(size=x.shape)
            for frame in range(1, frames):
                noise[frame] = memory * noise[frame - 1] + np.sqrt(1 - memory**2) * noise[frame]
            x = x + sigma * noise
        return x


def lattice_of(cell, positions, labels=None):
    """A lattice from Cartesian positions, without symmetry search."""
    cell = np.asarray(cell, dtype=float)
    scaled = np.asarray(positions, dtype=float) @ np.linalg.inv(cell) % 1.0
    n = len(scaled)
    return SiteLattice(
        cell=cell,
        positions=scaled @ cell,
        labels=tuple(labels or [f"S{k + 1}" for k in range(n)]),
        orbits=("1a",) * n,
        multiplicities=(1,) * n,
        framework_positions=np.zeros((0, 3)),
        framework_numbers=np.zeros(0, dtype=np.int64),
    )


def neighbour_network(lattice, reach, energies, prefactor, seed=None, spread=0.0):
    """Reversible network over all pairs nearer than ``reach``: k_ij = k e^(E_i) × pair factor."""
    from aiida_limsm.markov.neighbours import neighbour_list

    nb = neighbour_list(lattice.cell, lattice.positions, reach=4.0)
    start = np.repeat(np.arange(lattice.n_sites), np.diff(nb.first))
    near = nb.distance < reach
    start, end, image = start[near], nb.site[near], nb.image[near]
    random = np.random.default_rng(seed)
    barrier: dict[tuple, float] = {}
    rate = np.empty(len(start))
    for k in range(len(start)):
        forward = (start[k], end[k], *image[k])
        backward = (end[k], start[k], *(-image[k]))
        key = min(forward, backward)
        factor = barrier.setdefault(key, float(np.exp(spread * random.normal())))
        rate[k] = prefactor * factor * np.exp(energies[start[k]])
    return Network(lattice, start, end, image, rate)


class ArraySource:
    """Frames held in memory."""

    def __init__(self, x, interval):
        self.x, self.frame_interval_ps = x, interval
        self.n_frames, self.n_ions = x.shape[:2]

    def chunks(self, ions, size=333):
        for begin in range(0, self.n_frames, size):
            yield self.x[begin : begin + size, ions]


def d03_network(rate=0.05, bias=1.0):
    """Primitive D0_3: one octahedral and two tetrahedral sites, jumps of 2.65 Å."""
    cell = 3.06 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    scaled = np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]])
    lattice = lattice_of(cell, scaled @ cell)
    return neighbour_network(lattice, 2.8, np.array([bias, 0.0, 0.0]), rate)


@pytest.fixture(scope="session")
def toolbox():
    """Everything above, for tests (test modules cannot import from one another)."""

    class Tools:
        network = Network
        source = ArraySource
        lattice = staticmethod(lattice_of)
        neighbours = staticmethod(neighbour_network)
        d03 = staticmethod(d03_network)

    return Tools
