"""Synthetic networks with a known diffusion tensor, in the short form tests like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, settings

from aiida_limsm.markov.synthetic import HoppingNetwork
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    reversible_network,
    site_lattice,
)

# most examples are seeds: a smaller seed explains no more, and looking for one takes minutes
settings.register_profile("seeds", phases=[Phase.explicit, Phase.reuse, Phase.generate])
settings.load_profile("seeds")


class Network(HoppingNetwork):
    """A hopping network with short names, and whole walks in memory."""

    start = property(lambda self: self.from_site)
    end = property(lambda self: self.to_site)
    rate = property(lambda self: self.rate_per_ps)
    stationary = property(lambda self: self.stationary_distribution)
    diffusion = HoppingNetwork.diffusion_tensor

    def walk(self, ions, frames, interval, seed):
        """Sites (frames, ions) and cells (frames, ions, 3), from equilibrium."""
        (sites, images), *_ = HoppingNetwork.walk(
            self, ions, frames, interval, seed, block_frames=frames
        )
        return sites.astype(np.int64), images.astype(np.int64)

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


def short(network):
    return Network(
        network.lattice,
        network.from_site,
        network.to_site,
        network.image,
        network.rate_per_ps,
    )


class ArraySource:
    """Frames held in memory."""

    def __init__(self, x, interval):
        self.x, self.frame_interval_ps = x, interval
        self.n_frames, self.n_ions = x.shape[:2]

    def chunks(self, ions, size=333):
        for begin in range(0, self.n_frames, size):
            yield self.x[begin : begin + size, ions]

    def blocks(self, size=333):
        return self.chunks(slice(None), size)


@pytest.fixture(scope="session")
def toolbox():
    """Everything above, for tests (test modules cannot import from one another)."""

    class Tools:
        network = Network
        source = ArraySource

        @staticmethod
        def lattice(cell, positions, labels=None):
            """A lattice from Cartesian positions, without symmetry search."""
            return site_lattice(cell, positions)

        @staticmethod
        def neighbours(lattice, reach, energies, prefactor, seed=0, spread=0.0):
            """Reversible network over all pairs nearer than ``reach``: k_ij = k f e^(E_i)."""
            return short(reversible_network(lattice, reach, energies, prefactor, seed, spread))

        @staticmethod
        def d03(rate=0.05, bias=1.0):
            """Primitive D0_3: one octahedral and two tetrahedral sites, jumps of 2.65 Å."""
            return short(d0_3_network(rate, bias))

    return Tools
