"""Hopping on periodic networks whose diffusion tensor is known exactly, and trajectories of it.

Ions jump independently of one another, in continuous time, between the sites of a crystal. What
an analysis makes of such a trajectory can be held against the exact answer::

    network = triclinic_network(seed=1).rotated(random_rotation(2))
    trajectory = HoppingTrajectory(network, n_ions=104, n_frames=100_000, frame_interval_ps=0.02)
    for block in trajectory.blocks():  # float32, bounded memory
        ...
    network.diffusion_tensor()

Everything is decided by the seeds; how the frames are cut into blocks does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import spsolve

from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .arrays import FloatArray, IntArray, sum_by
from .sites import SiteLattice
from .supercells import fold_cells

__all__ = ["HoppingNetwork", "HoppingTrajectory", "random_rotation"]

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

ION_NUMBER = 3
"""Atomic number written for the ions."""

BALANCE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class HoppingNetwork:
    """Jumps between sites of a periodic crystal, each with its rate and its reverse.

    Attributes
    ----------
    lattice
        The sites, and the atoms of the framework.
    from_site, to_site, image
        Jumps (i, j, n), shape (n_jumps,), (n_jumps,), (n_jumps, 3): from site i to site j in the
        cell n vectors away. The list holds every jump and its reverse (j, i, −n).
    rate_per_ps
        Rates k(i, j, n), shape (n_jumps,), 1/ps, in detailed balance.
    """

    lattice: SiteLattice
    from_site: IntArray
    to_site: IntArray
    image: IntArray
    rate_per_ps: FloatArray

    @property
    def n_sites(self) -> int:
        """Number of sites in the cell."""
        return self.lattice.n_sites

    @property
    def jump_vectors(self) -> FloatArray:
        """Vector of every jump, shape (n_jumps, 3), Å."""
        return self.lattice.jump_vectors(self.from_site, self.to_site, self.image)

    @cached_property
    def stationary_distribution(self) -> FloatArray:
        """Probability of an ion to be on each site, shape (n_sites,).

        From detailed balance, π_j = π_i k_ij / k_ji, along a spanning tree. Networks that are not
        connected give every connected set the share of its sites.

        Raises
        ------
        ValueError
            The rates are not in detailed balance.
        """
        n = self.n_sites
        rates = self._rate_matrix()
        number, sets = connected_components(rates, directed=False)
        log_pi = np.zeros(n)
        share = np.bincount(sets, minlength=number) / n
        pi = np.empty(n)
        for label in range(number):
            members = np.flatnonzero(sets == label)
            order, before = breadth_first_order(rates, members[0])
            if len(order) < len(members):
                raise ValueError("a jump has no reverse: list both, with their rates")
            for site in order[1:]:
                i = before[site]
                log_pi[site] = log_pi[i] + np.log(rates[i, site] / rates[site, i])
            weight = np.exp(log_pi[members] - log_pi[members].max())
            pi[members] = share[label] * weight / weight.sum()
        flux = pi[self.from_site] * self.rate_per_ps
        if np.abs(flux - flux[self._reverse]).max(initial=0.0) > BALANCE_TOLERANCE * flux.max(
            initial=0.0
        ):
            raise ValueError("the rates are not in detailed balance: they have no equilibrium")
        return pi

    def _rate_matrix(self) -> Any:
        """Return Σ_n k(i, j, n) between different sites as a sparse matrix without zeros."""
        other = (self.from_site != self.to_site) & (self.rate_per_ps > 0)
        return sparse.csr_matrix(
            (self.rate_per_ps[other], (self.from_site[other], self.to_site[other])),
            shape=(self.n_sites, self.n_sites),
        )

    @property
    def _reverse(self) -> IntArray:
        """Row of the reverse of every jump."""
        there = np.column_stack([self.from_site, self.to_site, self.image])
        back = np.column_stack([self.to_site, self.from_site, -self.image])
        order, back_order = np.lexsort(there.T[::-1]), np.lexsort(back.T[::-1])
        if not np.array_equal(there[order], back[back_order]):
            raise ValueError("a jump has no reverse: list both, with their rates")
        reverse = np.empty(len(order), dtype=np.int64)
        reverse[back_order] = order
        return reverse

    @property
    def jump_rate_per_ps(self) -> float:
        """Mean number of jumps of an ion per ps."""
        return float(self.stationary_distribution[self.from_site] @ self.rate_per_ps)

    def diffusion_tensor(self) -> FloatArray:
        """Return the exact tracer diffusion tensor, shape (3, 3), cm²/s.

        With the generator Q of the jumps, a_i = Σ k d the mean velocity on site i and Q χ = −a,

            D = ½ Σ π_i k(i,j,n) (d + χ_j − χ_i) ⊗ (d + χ_j − χ_i)

        (Haus & Kehr, Phys. Rep. 150, 263 (1987); in this form Trinkle, Phys. Rev. Lett. 121,
        235901 (2018), eq. 4).
        """
        pi, d, n = self.stationary_distribution, self.jump_vectors, self.n_sites
        flux = pi[self.from_site] * self.rate_per_ps
        velocity = np.column_stack([sum_by(self.from_site, flux * d[:, a], n) for a in range(3)])
        rates = self._rate_matrix()
        _, sets = connected_components(rates, directed=False)
        fixed = np.unique(sets, return_index=True)[1]  # χ is free up to a constant in every set
        free = np.setdiff1d(np.arange(n), fixed)
        chi = np.zeros((n, 3))
        if len(free):
            weighted = sparse.diags(pi) @ rates
            laplacian = sparse.diags(np.asarray(weighted.sum(axis=1)).ravel()) - weighted
            solved = spsolve(laplacian.tocsr()[free][:, free].tocsc(), velocity[free])
            chi[free] = np.asarray(solved).reshape(len(free), 3)
        jump = d + chi[self.to_site] - chi[self.from_site]
        tensor = 0.5 * np.einsum("k,ka,kb->ab", flux, jump, jump)
        return np.asarray(tensor * ANGSTROM2_PER_PS_TO_CM2_PER_S)

    def rotated(self, rotation: npt.ArrayLike) -> HoppingNetwork:
        """Return the network of the crystal turned by an orthogonal matrix, r → r @ rotation."""
        turn = np.asarray(rotation, dtype=np.float64)
        lattice = replace(
            self.lattice,
            cell=self.lattice.cell @ turn,
            positions=self.lattice.positions @ turn,
            framework_positions=self.lattice.framework_positions @ turn,
        )
        return replace(self, lattice=lattice)

    def with_jump_rate(self, jump_rate_per_ps: float) -> HoppingNetwork:
        """Return the network with all rates scaled to this mean number of jumps per ion and ps."""
        return replace(
            self, rate_per_ps=self.rate_per_ps * (jump_rate_per_ps / self.jump_rate_per_ps)
        )

    def walk(
        self,
        n_ions: int,
        n_frames: int,
        frame_interval_ps: float,
        seed: int = 0,
        supercell: npt.ArrayLike | None = None,
        block_frames: int = 4096,
    ) -> Iterator[tuple[Int32Array, Int32Array]]:
        """Yield the sites (n, n_ions) and cells (n, n_ions, 3) of ions, block by block.

        Ions start in equilibrium, in cell 0 or anywhere in ``supercell`` (3, 3 integers, rows in
        cell vectors).
        """
        start_random, random = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
        order = np.lexsort((np.arange(len(self.from_site)), self.from_site))
        first = np.searchsorted(self.from_site[order], np.arange(self.n_sites + 1))
        total = np.append(0.0, np.cumsum(self.rate_per_ps[order]))
        cumulative = total[1:] - total[first[self.from_site[order]]]
        leave = total[first[1:]] - total[first[:-1]]
        site = start_random.choice(self.n_sites, size=n_ions, p=self.stationary_distribution)
        cell = np.zeros((n_ions, 3), dtype=np.int64)
        if supercell is not None:
            matrix = np.asarray(supercell, dtype=np.int64)
            size = abs(round(float(np.linalg.det(matrix))))
            cell = fold_cells(start_random.integers(size, size=(n_ions, 3)), matrix)
        with np.errstate(divide="ignore"):
            next_jump = start_random.exponential(size=n_ions) / leave[site]
        for begin in range(0, n_frames, block_frames):
            n = min(block_frames, n_frames - begin)
            sites = np.empty((n, n_ions), dtype=np.int32)
            images = np.empty((n, n_ions, 3), dtype=np.int32)
            _walk(
                random, begin, frame_interval_ps, first, self.to_site[order], self.image[order],
                cumulative, leave, site, cell, next_jump, sites, images,
            )  # fmt: skip
            yield sites, images


def random_rotation(seed: int) -> FloatArray:
    """Return a rotation matrix (3, 3) drawn evenly (QR of a Gaussian matrix; Mezzadri, 2007)."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.sign(np.linalg.det(q)))


@dataclass(frozen=True)
class HoppingTrajectory:
    """Frames of ions that hop on a network and vibrate about their sites; framework atoms follow.

    Attributes
    ----------
    network
        The network.
    n_ions, n_frames, frame_interval_ps
        Size and time between frames, ps.
    supercell
        MD cell in cell vectors of the network, (3, 3) integers.
    seed
        Of the walk and the vibrations.
    vibration_angstrom, framework_vibration_angstrom
        Standard deviation σ of the vibration along each Cartesian axis, Å.
    vibration_time_ps
        Correlation time of the vibrations (an Ornstein-Uhlenbeck process, sampled exactly).
    wrapped
        Fold positions into the MD cell; else they are unwrapped.
    """

    network: HoppingNetwork
    n_ions: int
    n_frames: int
    frame_interval_ps: float
    supercell: IntArray
    seed: int = 0
    vibration_angstrom: float = 0.0
    framework_vibration_angstrom: float = 0.0
    vibration_time_ps: float = 0.03
    wrapped: bool = False

    @cached_property
    def md_lattice(self) -> SiteLattice:
        """Sites and framework of the MD cell."""
        return self.network.lattice.expand(self.supercell)

    @property
    def cell(self) -> FloatArray:
        """Vectors of the MD cell as rows, (3, 3), Å."""
        return self.md_lattice.cell

    @property
    def numbers(self) -> IntArray:
        """Atomic numbers, ions first, (n_atoms,)."""
        ions = np.full(self.n_ions, ION_NUMBER, dtype=np.int64)
        return np.append(ions, self.md_lattice.framework_numbers)

    @property
    def n_atoms(self) -> int:
        """Number of ions and framework atoms."""
        return self.n_ions + len(self.md_lattice.framework_numbers)

    def walk(self, block_frames: int = 4096) -> Iterator[tuple[Int32Array, Int32Array]]:
        """Yield the true sites and cells, see :meth:`HoppingNetwork.walk`."""
        return self.network.walk(
            self.n_ions, self.n_frames, self.frame_interval_ps, self.seed, self.supercell,
            block_frames,
        )  # fmt: skip

    def blocks(self, block_frames: int = 4096) -> Iterator[Float32Array]:
        """Yield consecutive positions of all atoms, (n, n_atoms, 3), Å, float32."""
        random = np.random.default_rng(np.random.SeedSequence(self.seed).spawn(3)[2])
        framework = self.md_lattice.framework_positions
        positions, cell = self.network.lattice.positions, self.network.lattice.cell
        sigma = np.full(self.n_atoms, self.framework_vibration_angstrom)
        sigma[: self.n_ions] = self.vibration_angstrom
        memory = float(np.exp(-self.frame_interval_ps / self.vibration_time_ps))
        state = random.standard_normal((self.n_atoms, 3))
        for sites, images in self.walk(block_frames):
            shape = (len(sites), self.n_atoms, 3)
            if sigma.any():
                x = random.standard_normal(shape, dtype=np.float32)
                _vibrate(x, state, memory, sigma)
            else:
                x = np.zeros(shape, dtype=np.float32)
            _add_sites(x, sites, images, positions, cell)
            x[:, self.n_ions :] += framework.astype(np.float32)
            yield _wrap(x, self.cell) if self.wrapped else x

    def count_jumps(self) -> int:
        """Count changes of site or cell between consecutive frames, of all ions."""
        number = 0
        last_site = last_image = None
        for sites, images in self.walk():
            if last_site is not None:
                number += int(((sites[0] != last_site) | (images[0] != last_image).any(-1)).sum())
            moved = (sites[1:] != sites[:-1]) | (images[1:] != images[:-1]).any(axis=-1)
            number += int(moved.sum())
            last_site, last_image = sites[-1], images[-1]
        return number


def _wrap(x: Float32Array, cell: FloatArray) -> Float32Array:
    scaled = x.astype(np.float64) @ np.linalg.inv(cell)
    return np.asarray((scaled - np.floor(scaled)) @ cell, dtype=np.float32)


@njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]
    random, begin, interval, first, target, image, cumulative, leave,
    site, cell, next_jump, sites, images,
):  # fmt: skip
    """Move every ion from frame to frame; ``site``, ``cell``, ``next_jump`` are kept up to date.

    Ion by ion within a frame, so that the random numbers fall to the same jumps whatever the
    length of a block.
    """
    for frame in range(sites.shape[0]):
        clock = (begin + frame) * interval
        for ion in range(sites.shape[1]):
            s = site[ion]
            while next_jump[ion] <= clock:
                pick = random.random() * leave[s]
                row = first[s]
                while cumulative[row] <= pick and row < first[s + 1] - 1:
                    row += 1
                for a in range(3):
                    cell[ion, a] += image[row, a]
                s = target[row]
                next_jump[ion] += random.standard_exponential() / leave[s]
            site[ion] = s
            sites[frame, ion] = s
            for a in range(3):
                images[frame, ion, a] = cell[ion, a]


@njit(cache=True, nogil=True)
def _vibrate(x, state, memory, sigma):  # type: ignore[no-untyped-def]
    """Turn white noise into vibrations: state ← memory·state + √(1 − memory²)·noise."""
    fresh = np.sqrt(1.0 - memory * memory)
    for frame in range(x.shape[0]):
        for atom in range(x.shape[1]):
            for a in range(3):
                state[atom, a] = memory * state[atom, a] + fresh * x[frame, atom, a]
                x[frame, atom, a] = sigma[atom] * state[atom, a]


@njit(cache=True, nogil=True)
def _add_sites(x, sites, images, positions, cell):  # type: ignore[no-untyped-def]
    """Add the position of its site to every ion (the first atoms of ``x``)."""
    for frame in range(sites.shape[0]):
        for ion in range(sites.shape[1]):
            s = sites[frame, ion]
            for a in range(3):
                place = positions[s, a]
                for b in range(3):
                    place += images[frame, ion, b] * cell[b, a]
                x[frame, ion, a] += np.float32(place)
