"""Ready-made hopping networks, for tests and benchmarks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .arrays import FloatArray
from .neighbours import nearest_distances, neighbour_list
from .sites import SiteLattice
from .synthetic import HoppingNetwork

__all__ = [
    "d0_3_network",
    "interstitial_network",
    "orthorhombic_network",
    "reversible_network",
    "site_lattice",
    "triclinic_network",
]

FRAMEWORK_NUMBER = 14


def site_lattice(
    cell: npt.ArrayLike, positions: npt.ArrayLike, framework: npt.ArrayLike | None = None
) -> SiteLattice:
    """Make a lattice from Cartesian positions (Å), without search for symmetry.

    ``framework`` (n, 3), Å, are silicon atoms.
    """
    rows = np.asarray(cell, dtype=np.float64)
    inverse = np.linalg.inv(rows)

    def inside(points: npt.ArrayLike) -> FloatArray:
        scaled = np.asarray(points, dtype=np.float64).reshape(-1, 3) @ inverse % 1.0
        return np.asarray(np.where(scaled >= 1.0, 0.0, scaled) @ rows)

    sites = inside(positions)
    others = inside(np.zeros((0, 3)) if framework is None else framework)
    n = len(sites)
    return SiteLattice(
        cell=rows,
        positions=sites,
        labels=tuple(f"S{k + 1}" for k in range(n)),
        orbits=("1a",) * n,
        multiplicities=(1,) * n,
        framework_positions=others,
        framework_numbers=np.full(len(others), FRAMEWORK_NUMBER, dtype=np.int64),
    )


def reversible_network(
    lattice: SiteLattice,
    reach_angstrom: float,
    energies_kt: npt.ArrayLike,
    prefactor_per_ps: float,
    seed: int = 0,
    spread: float = 0.0,
) -> HoppingNetwork:
    """Make the network of all jumps shorter than ``reach_angstrom``, in detailed balance.

    Parameters
    ----------
    lattice
        The sites.
    reach_angstrom
        Longest jump, Å.
    energies_kt
        Energy E of every site in units of kT, (n_sites,): occupancies go as e^−E.
    prefactor_per_ps
        k in k(i→j) = k f e^(E_i), 1/ps.
    seed, spread
        The factor f of a jump and its reverse is e^(``spread`` × a normal random number).
    """
    nearest = float(nearest_distances(lattice.cell, lattice.positions).max())
    found = neighbour_list(lattice.cell, lattice.positions, reach_angstrom / nearest)
    near = found.distance < reach_angstrom
    start = np.repeat(np.arange(lattice.n_sites), np.diff(found.first))[near]
    end, image = found.site[near], found.image[near]
    there = np.column_stack([start, end, image])
    back = np.column_stack([end, start, -image])
    column = np.argmax(there != back, axis=1)
    every = np.arange(len(there))
    swap = there[every, column] > back[every, column]
    pairs, pair = np.unique(np.where(swap[:, None], back, there), axis=0, return_inverse=True)
    random = np.random.default_rng(seed)
    factor = np.exp(spread * random.normal(size=len(pairs)))[pair.reshape(-1)]
    energies = np.asarray(energies_kt, dtype=np.float64)
    rate = prefactor_per_ps * factor * np.exp(energies[start])
    return HoppingNetwork(lattice, start, end, image, rate)


def triclinic_network(
    seed: int, n_sites: int = 4, energy_spread_kt: float = 0.7, jump_rate_per_ps: float = 1.0
) -> HoppingNetwork:
    """Make a random triclinic crystal with unequal sites and barriers that conducts in 3D."""
    random = np.random.default_rng(seed)
    while True:
        cell = np.diag(random.uniform(4.5, 6.5, 3)) + 0.8 * random.normal(size=(3, 3))
        positions = random.uniform(size=(n_sites, 3)) @ cell
        if np.linalg.det(cell) < 26.0 * n_sites or nearest_distances(cell, positions).min() < 2.3:
            continue
        lattice = site_lattice(cell, positions, [_largest_hole(cell, positions, random)])
        energies = energy_spread_kt * random.normal(size=n_sites)
        network = reversible_network(lattice, 4.2, energies, 1.0, seed, spread=0.5)
        if len(network.from_site) == 0:
            continue
        principal = np.linalg.eigvalsh(network.diffusion_tensor())
        if principal[0] > 0.05 * principal[2]:
            return network.with_jump_rate(jump_rate_per_ps)


def orthorhombic_network(
    seed: int, anisotropy_kt: float = 2.0, jump_rate_per_ps: float = 1.0
) -> HoppingNetwork:
    """Make a body-centred-like orthorhombic crystal that conducts best along x, worst along z.

    Two sites of unequal energy; jumps along x and y, and between the sites. Each rate has a factor
    e^(``anisotropy_kt`` × (cos x − cos z)), by the angles of the jump to the axes x and z.
    """
    cell = np.diag([2.9, 4.1, 5.3])
    lattice = site_lattice(
        cell, [[0.0, 0.0, 0.0], cell.sum(axis=0) / 2 + [0.3, 0.0, 0.0]], [[1.45, 0.0, 2.65]]
    )
    random = np.random.default_rng(seed)
    energies = np.append(0.0, random.uniform(0.5, 1.5))
    network = reversible_network(lattice, 4.2, energies, 1.0)
    vectors = network.jump_vectors
    cosines = np.abs(vectors) / np.linalg.norm(vectors, axis=1)[:, None]
    rate = network.rate_per_ps * np.exp(anisotropy_kt * (cosines[:, 0] - cosines[:, 2]))
    return HoppingNetwork(
        lattice, network.from_site, network.to_site, network.image, rate
    ).with_jump_rate(jump_rate_per_ps)


def d0_3_network(rate_per_ps: float = 0.05, bias_kt: float = 1.0) -> HoppingNetwork:
    """Make the Li sublattice of D0_3 Li3Si: one octahedral and two tetrahedral sites.

    Jumps of 2.65 Å between them; the octahedral site is ``bias_kt`` higher in energy.
    """
    cell = 3.06 * np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    scaled = np.array([[0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]])
    lattice = site_lattice(cell, scaled @ cell, [[0.0, 0.0, 0.0]])
    return reversible_network(lattice, 2.8, [bias_kt, 0.0, 0.0], rate_per_ps)


def interstitial_network(rate_per_ps: float = 0.02, energy_kt: float = 2.0) -> HoppingNetwork:
    """Make a simple cubic crystal whose ions leave their site only through interstitials.

    One regular site at a corner, three interstitial ones ``energy_kt`` higher at the middles of
    the edges, 2 Å from it; framework atom in the middle of the cell.
    """
    half = 2.0
    positions = np.array([[0.0, 0.0, 0.0], [half, 0.0, 0.0], [0.0, half, 0.0], [0.0, 0.0, half]])
    lattice = site_lattice(2 * half * np.eye(3), positions, [[half, half, half]])
    return reversible_network(lattice, 1.1 * half, [0.0, *[energy_kt] * 3], rate_per_ps)


def _largest_hole(
    cell: FloatArray, positions: FloatArray, random: np.random.Generator
) -> FloatArray:
    """Return the one of many random points that is farthest from all sites."""
    points = random.uniform(size=(400, 3)) @ cell
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    cloud = (positions[None] + (images @ cell)[:, None]).reshape(-1, 3)
    distance = np.linalg.norm(points[:, None] - cloud[None], axis=-1).min(axis=1)
    return np.asarray(points[np.argmax(distance)])
