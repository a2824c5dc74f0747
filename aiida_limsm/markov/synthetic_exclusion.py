"""Hopping of ions that block one another's sites, with the exact answer for a single vacancy.

An ion that has left a vacancy behind is likely to fall back into it: its jumps remember those
before them, which a Markov model of one ion cannot know at a short lag.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from numba import njit

from .arrays import FloatArray, IntArray, sum_by
from .packed import unique_rows
from .supercells import cells_inside, fold_cells
from .synthetic import HoppingNetwork, HoppingTrajectory, Int32Array
from .synthetic_networks import site_lattice

__all__ = ["ExclusionTrajectory", "single_vacancy_tensor"]


class ExclusionTrajectory(HoppingTrajectory):
    """A :class:`~aiida_limsm.markov.synthetic.HoppingTrajectory` in which no site takes two ions.

    Jumps onto an occupied site do not happen; nothing else keeps the ions apart. All arrangements
    of the ions on the sites of the MD cell are equally likely at the start, which is equilibrium
    where the sites have one energy.
    """

    def walk(self, block_frames: int = 4096) -> Iterator[tuple[Int32Array, Int32Array]]:
        """Yield sites (n, n_ions) and cells (n, n_ions, 3), block by block.

        Raises
        ------
        ValueError
            There are more ions than sites.
        """
        network, n = self.network, self.network.n_sites
        cells = cells_inside(self.supercell)
        if self.n_ions > n * len(cells):
            raise ValueError(f"{self.n_ions} ions do not fit on {n * len(cells)} sites")
        order = np.argsort(network.from_site, kind="stable")
        first = np.searchsorted(network.from_site[order], np.arange(n + 1))
        image = network.image[order]
        leads_to = _number_of(cells[:, None] + image[None], cells, self.supercell)
        cumulative = np.cumsum(network.rate_per_ps[order])
        random = np.random.default_rng(np.random.SeedSequence(self.seed).spawn(1)[0])
        cell_number, site = np.divmod(random.permutation(n * len(cells))[: self.n_ions], n)
        cell = cells[cell_number]
        taken = np.zeros((len(cells), n), dtype=np.bool_)
        taken[cell_number, site] = True
        clock = np.zeros(1)
        for begin in range(0, self.n_frames, block_frames):
            frames = min(block_frames, self.n_frames - begin)
            sites = np.empty((frames, self.n_ions), dtype=np.int32)
            images = np.empty((frames, self.n_ions, 3), dtype=np.int32)
            _walk_blocked(
                random, begin, self.frame_interval_ps, first, network.to_site[order], image,
                leads_to, cumulative, site, cell, cell_number, taken, clock, sites, images,
            )  # fmt: skip
            yield sites, images


def single_vacancy_tensor(network: HoppingNetwork, supercell: npt.ArrayLike) -> FloatArray:
    """Return the exact tracer diffusion tensor where one site of the MD cell is empty, cm²/s.

    Tracer and vacancy together are a Markov chain. Its states are the site of the tracer and the
    place of the vacancy seen from the tracer's cell, and its transitions that move the tracer
    carry the tracer's jump: D is that of :meth:`.synthetic.HoppingNetwork.diffusion_tensor`.

    Parameters
    ----------
    network
        Jumps of an ion next to an empty site.
    supercell
        MD cell in cell vectors of the network, (3, 3) integers; three cells wide at least, so
        that two places are neighbours in one way only.

    Returns
    -------
    FloatArray
        Shape (3, 3).
    """
    matrix = np.asarray(supercell, dtype=np.int64)
    cells, n = cells_inside(matrix), network.n_sites
    home = int(_number_of(np.zeros((1, 3), dtype=np.int64), cells, matrix)[0])
    places = n * len(cells)  # place = site + n × number of the cell
    state = np.arange(n * places)  # state = place of the vacancy + places × site of the tracer
    tracer, vacancy = np.divmod(state, places)
    rows, rates = [], []
    for i, j, image, rate in zip(
        network.from_site, network.to_site, network.image, network.rate_per_ps, strict=True
    ):
        before = state[(vacancy % n == j) & (vacancy != tracer + n * home)]
        away = cells[vacancy[before] // n] - image
        ion = i + n * _number_of(away, cells, matrix)
        moves = ion == tracer[before] + n * home
        left = i + n * int(_number_of(-image[None], cells, matrix)[0])  # seen from the new cell
        after = np.where(moves, left + places * j, ion + places * tracer[before])
        rows.append(np.column_stack([before, after, moves[:, None] * image]))
        rates.append(np.full(len(before), rate))
    chain, index = unique_rows(np.concatenate(rows))
    used, ends = np.unique(chain[:, :2], return_inverse=True)
    ends = ends.reshape(-1, 2)
    lattice = site_lattice(network.lattice.cell, network.lattice.positions[tracer[used]])
    rate = sum_by(index, np.concatenate(rates), len(chain))
    return HoppingNetwork(lattice, ends[:, 0], ends[:, 1], chain[:, 2:], rate).diffusion_tensor()


def _number_of(image: IntArray, cells: IntArray, supercell: IntArray) -> IntArray:
    """Return which of the ``cells`` each image (..., 3) repeats, shape (...)."""
    known = {tuple(cell): k for k, cell in enumerate(cells.tolist())}
    folded = fold_cells(image, supercell).reshape(-1, 3)
    return np.array([known[tuple(row)] for row in folded.tolist()]).reshape(image.shape[:-1])


@njit(cache=True, nogil=True)
def _walk_blocked(  # type: ignore[no-untyped-def]
    random, begin, interval, first, target, image, leads_to, cumulative,
    site, cell, cell_number, taken, clock, sites, images,
):  # fmt: skip
    """Try jumps one after another until the next frame; ``clock`` and the ions are kept up to date.

    Every ion tries at the rate of the fastest site, and does nothing for the part of it that its
    own site lacks.
    """
    fastest = 0.0
    for s in range(len(first) - 1):
        below = cumulative[first[s] - 1] if first[s] > 0 else 0.0
        fastest = max(fastest, cumulative[first[s + 1] - 1] - below)
    mean = 1.0 / (fastest * len(site))
    for frame in range(sites.shape[0]):
        now = (begin + frame) * interval
        while clock[0] <= now:
            ion = random.integers(0, len(site))
            s = site[ion]
            pick = random.random() * fastest + (cumulative[first[s] - 1] if first[s] > 0 else 0.0)
            row = first[s]
            while row < first[s + 1] and cumulative[row] <= pick:
                row += 1
            if row < first[s + 1]:
                there = leads_to[cell_number[ion], row]
                if not taken[there, target[row]]:
                    taken[cell_number[ion], s] = False
                    taken[there, target[row]] = True
                    cell_number[ion] = there
                    site[ion] = target[row]
                    for a in range(3):
                        cell[ion, a] += image[row, a]
            clock[0] += random.standard_exponential() * mean
        for ion in range(len(site)):
            sites[frame, ion] = site[ion]
            for a in range(3):
                images[frame, ion, a] = cell[ion, a]
