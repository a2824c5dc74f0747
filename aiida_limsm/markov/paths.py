"""Site sequences of all ions as runs of equal site: small, whatever the number of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray, sum_by
from .packed import unique_rows
from .sites import SiteLattice
from .supercells import fold_cells

__all__ = ["JumpTable", "SitePaths", "jump_table", "unseen_share"]


@dataclass(frozen=True)
class SitePaths:
    """Runs of equal (site, cell) of every ion, in compressed rows.

    The runs of ion ``k`` are the rows ``first_run[k]:first_run[k + 1]``: first frame ``start``,
    ``site``, lattice cell ``image`` (n_runs, 3). A run ends where the next begins, the last one
    at ``frames[k]``. Every change of run is a jump.
    """

    first_run: IntArray
    start: IntArray
    site: IntArray
    image: IntArray
    frames: IntArray

    @property
    def n_ions(self) -> int:
        """Number of ions."""
        return len(self.frames)

    @property
    def n_jumps(self) -> int:
        """Number of changes of site, of all ions."""
        return len(self.start) - self.n_ions

    @property
    def run_ion(self) -> IntArray:
        """Ion of every run."""
        return np.repeat(np.arange(self.n_ions), np.diff(self.first_run))

    @property
    def duration(self) -> IntArray:
        """Length of every run in frames (the last run of an ion is cut by the end)."""
        end = np.empty_like(self.start)
        end[:-1] = self.start[1:]
        end[self.first_run[1:] - 1] = self.frames
        return end - self.start

    @property
    def jump_rows(self) -> IntArray:
        """Rows of the runs entered by a jump: the jump goes from row − 1 to row."""
        entered = np.ones(len(self.start), dtype=bool)
        entered[self.first_run[:-1]] = False
        return np.flatnonzero(entered)

    def residence_frames(self, n_sites: int) -> FloatArray:
        """Return the ion-frames spent on each site, shape (n_sites,)."""
        return sum_by(self.site, self.duration, n_sites)

    def select(self, first: int, stop: int) -> SitePaths:
        """Return the paths of the ions ``first`` to ``stop`` − 1."""
        begin, end = self.first_run[first], self.first_run[stop]
        return SitePaths(
            first_run=self.first_run[first : stop + 1] - begin,
            start=self.start[begin:end],
            site=self.site[begin:end],
            image=self.image[begin:end],
            frames=self.frames[first:stop],
        )

    def positions(self, lattice: SiteLattice, ions: slice) -> FloatArray:
        """Return the site positions at every frame, shape (n_frames, n_ions, 3), Å.

        The chosen ions must have equally many frames.
        """
        chosen = range(*ions.indices(self.n_ions))
        columns = []
        for ion in chosen:
            rows = slice(int(self.first_run[ion]), int(self.first_run[ion + 1]))
            places = lattice.positions[self.site[rows]] + self.image[rows] @ lattice.cell
            lengths = np.diff(np.append(self.start[rows], self.frames[ion]))
            columns.append(np.repeat(places, lengths, axis=0))
        return np.stack(columns, axis=1)

    def independent_jumps(self) -> tuple[int, IntArray]:
        """Count jumps left after immediate back-jumps are removed pairwise.

        Going along an ion's jumps, a jump that returns the ion exactly to the site (same cell)
        it had just left is struck out together with the jump before it, unless that one is
        already struck out; every jump belongs to one pair at most. An ion rattling between two
        sites so counts no jump, a random walk on a chain about a third of its jumps.

        Returns
        -------
        number, rows
            How many, and the rows (see :attr:`jump_rows`) of the jumps that are left.
        """
        _, struck = self._returns()
        return int((~struck).sum()), self.jump_rows[~struck]

    def bounding_jumps(self) -> IntArray:
        """Return the rows of the jumps that an upper bound of D must count.

        Those of :meth:`independent_jumps`, and the first jump there and back of every ion between
        every two sites: ions that do not remember where they came from return by chance as well,
        one in z times among z neighbours, and only where an ion goes on returning it rattles.
        """
        rows, (returns, struck) = self.jump_rows, self._returns()
        second = np.flatnonzero(returns)
        if len(second) == 0:
            return rows
        here, there = rows[second], rows[second] - 1
        ends = np.column_stack(
            [self.site[here], self.image[here], self.site[there], self.image[there]]
        )
        pair = np.column_stack([self.run_ion[here], _smaller(ends, np.roll(ends, 4, axis=1))])
        first = second[np.unique(unique_rows(pair)[1], return_index=True)[1]]
        struck[first] = struck[first - 1] = False
        return rows[~struck]

    def _returns(self) -> tuple[BoolArray, BoolArray]:
        """Tell of every jump whether it takes back the one before, and whether it is of a pair."""
        rows = self.jump_rows
        if len(rows) == 0:
            return np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)
        ion = self.run_ion
        back = np.zeros(len(rows), dtype=bool)
        second = rows[rows >= 2]
        returns = (
            (ion[second] == ion[second - 2])
            & (self.site[second] == self.site[second - 2])
            & (self.image[second] == self.image[second - 2]).all(axis=1)
        )
        back[rows >= 2] = returns
        # in an unbroken row of returns every other one pairs with the jump before it
        index = np.arange(len(rows))
        run_start = np.maximum.accumulate(np.where(~back, index, 0))
        returns = back & ((index - run_start) % 2 == 1)
        struck = returns.copy()
        struck[:-1] |= returns[1:]
        return returns, struck

    def double_occupancy(self, supercell: IntArray) -> float:
        """Return the fraction of ion-frames in which another ion holds the same site.

        ``supercell`` (3, 3): integer rows, the MD cell in lattice vectors; sites that differ by
        a vector of the MD cell are one site. All ions are taken to be of one trajectory.
        """
        if len(self.start) == 0:
            return 0.0
        keys = np.column_stack([self.site, fold_cells(self.image, supercell)])
        _, place = unique_rows(keys)
        begin, end = self.start, self.start + self.duration
        time = np.concatenate([begin, end])
        change = np.concatenate([np.ones(len(begin)), -np.ones(len(end))])
        where = np.concatenate([place, place])
        order = np.lexsort((change, time, where))
        occupancy = np.cumsum(change[order])[:-1]
        span = np.diff(time[order])
        same = np.diff(where[order]) == 0
        shared = same & (occupancy >= 2)
        return float((occupancy[shared] * span[shared]).sum() / self.frames.sum())

    @staticmethod
    def concatenate(paths: Sequence[SitePaths]) -> SitePaths:
        """Put the ions of several trajectories side by side."""
        if len(paths) == 1:
            return paths[0]
        offsets = np.cumsum([0] + [len(p.start) for p in paths])
        first = [p.first_run[:-1] + offset for p, offset in zip(paths, offsets[:-1], strict=True)]
        return SitePaths(
            first_run=np.concatenate([*first, offsets[-1:]]).astype(np.int64),
            start=np.concatenate([p.start for p in paths]),
            site=np.concatenate([p.site for p in paths]),
            image=np.concatenate([p.image for p in paths]),
            frames=np.concatenate([p.frames for p in paths]),
        )


@dataclass(frozen=True)
class JumpTable:
    """Observed jumps by (from, to, cell): vector (Å), number, rate and its Poisson error.

    The rate is jumps per time the ions spent on the starting site, 1/ps; its error is
    √jumps / that time. Rows are sorted by number of jumps, most frequent first.
    """

    from_site: IntArray
    to_site: IntArray
    image: IntArray
    vector: FloatArray
    jumps: IntArray
    rate_per_ps: FloatArray
    rate_error_per_ps: FloatArray


def jump_table(paths: SitePaths, lattice: SiteLattice, frame_interval_ps: float) -> JumpTable:
    """Count the jumps of all ions, kind by kind."""
    rows = paths.jump_rows
    start, end = paths.site[rows - 1], paths.site[rows]
    image = paths.image[rows] - paths.image[rows - 1]
    kinds, index = unique_rows(np.column_stack([start, end, image]))
    number = np.bincount(index, minlength=len(kinds))
    order = np.argsort(-number, kind="stable")
    kinds, number = kinds[order], number[order]
    time = paths.residence_frames(lattice.n_sites) * frame_interval_ps
    held = time[kinds[:, 0]]
    return JumpTable(
        from_site=kinds[:, 0],
        to_site=kinds[:, 1],
        image=kinds[:, 2:],
        vector=lattice.jump_vectors(kinds[:, 0], kinds[:, 1], kinds[:, 2:]),
        jumps=number,
        rate_per_ps=number / held,
        rate_error_per_ps=np.sqrt(number) / held,
    )


def unseen_share(paths: SitePaths, rows: IntArray) -> float:
    """Return the Good-Turing estimate of the share of jumps whose kind was not seen yet.

    It is the share of the given jumps (``rows``, see :attr:`SitePaths.jump_rows`) whose kind was
    seen once (Good, Biometrika 40, 237 (1953)); a jump and its reverse are one kind.
    """
    if len(rows) == 0:
        return 0.0
    start, end = paths.site[rows - 1], paths.site[rows]
    image = paths.image[rows] - paths.image[rows - 1]
    there = np.column_stack([start, end, image])
    back = np.column_stack([end, start, -image])
    number = np.bincount(unique_rows(_smaller(there, back))[1])
    return float((number == 1).sum() / number.sum())


def _smaller(there: IntArray, back: IntArray) -> IntArray:
    """Return of every two rows the one that comes first: equal for a jump and its reverse."""
    every = np.arange(len(there))
    column = np.argmax(there != back, axis=1)
    swap = there[every, column] > back[every, column]
    return np.where(swap[:, None], back, there)
