"""Geometry and energy profile of a migration path: images of one crystal, in order, fixed cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.geometry import find_mic as _find_mic
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
Interpolation = Literal["idpp", "linear"]

__all__ = [
    "MONOTONIC_EV", "Profile", "check_images", "collapsed", "interpolate_band",
    "largest_displacement", "path_coordinate", "profile_of", "unwrapped",
]  # fmt: skip

# ASE is not typed
find_mic: Any = _find_mic

#: Largest difference of two cells that are one (Å).
SAME_CELL = 1e-3
#: End points closer than this (Å, largest displacement of an atom) are one structure.
SAME_STRUCTURE = 0.1
#: Relaxed end points closer than this (Å, or this share of their first distance) are one minimum.
COLLAPSED = 0.3
#: A path is monotonic where no image lies outside of the energies of its ends by more (eV).
MONOTONIC_EV = 1e-3
#: Two ways to the end whose lengths differ less than this (Å) cannot be told apart.
AMBIGUOUS = 0.05


def check_images(
    images: Sequence[Atoms],
    *,
    max_displacement_angstrom: float = 6.0,
    check_order: bool = True,
    distinct: bool = True,
) -> None:
    """Refuse images that are no path: another composition, order or cell, atoms exchanged, too far.

    Parameters
    ----------
    images
        At least two, in order.
    max_displacement_angstrom
        Longest way of an atom from one image to the next.
    check_order
        Also refuse end points whose atoms another assignment brings much closer together.
    distinct
        Also refuse end points that are one structure.

    Raises
    ------
    ValueError
        Names what does not fit and the remedy.
    """
    if len(images) < 2:
        raise ValueError(f"a path has at least two images, the end points; {len(images)} given")
    first = images[0]
    for number, image in enumerate(images[1:], start=2):
        what = f"image {number}" if len(images) > 2 else "the final structure"
        _check_same_crystal(first, image, what)
    for number, (start, end) in enumerate(pairwise(images), start=1):
        _check_step(start, end, number, max_displacement_angstrom)
    if distinct and (moved := largest_displacement(first, images[-1])) < SAME_STRUCTURE:
        raise ValueError(
            f"the end points are one structure (no atom moves more than {moved:.3f} Å): "
            "give two different minima"
        )
    if check_order and len(images) == 2:
        _check_order(first, images[-1])


def _check_same_crystal(first: Atoms, other: Atoms, what: str) -> None:
    if len(first) != len(other) or sorted(first.numbers) != sorted(other.numbers):
        raise ValueError(
            f"{what} is {other.symbols.formula}, the first is "
            f"{first.symbols.formula}: a path keeps its composition"
        )
    if (wrong := np.flatnonzero(first.numbers != other.numbers)).size:
        index = int(wrong[0])
        raise ValueError(
            f"{what} has {other.symbols[index]} as atom {index + 1}, the first has "
            f"{first.symbols[index]}: give all images in one order of atoms"
        )
    if np.abs(first.cell.array - other.cell.array).max() > SAME_CELL or any(first.pbc != other.pbc):
        raise ValueError(f"{what} has another cell than the first: a path keeps one fixed cell")


def _check_step(start: Atoms, end: Atoms, number: int, limit: float) -> None:
    vectors, lengths = find_mic(end.positions - start.positions, start.cell, start.pbc)
    far = int(np.argmax(lengths))
    name = f"atom {far + 1} ({start.symbols[far]})"
    if lengths[far] > limit:
        raise ValueError(
            f"{name} moves {lengths[far]:.2f} Å between images {number} and {number + 1}, more "
            f"than {limit:g}: give intermediate images, or raise max_displacement_angstrom"
        )
    if lengths[far] > SAME_STRUCTURE and start.pbc.any():
        shifts = np.array(list(product(*[(-1, 0, 1) if p else (0,) for p in start.pbc])))
        others = np.linalg.norm(vectors[far] + shifts @ start.cell.array, axis=1)
        if np.sort(others)[1] - lengths[far] < AMBIGUOUS:
            raise ValueError(
                f"{name} can reach its end by two ways of one length through the periodic cell: "
                "take a larger cell, or give intermediate images"
            )


def _check_order(first: Atoms, last: Atoms) -> None:
    """Compare with the assignment of equal atoms that minimises Σ|Δr|²."""
    given = best = 0.0
    exchanged: list[int] = []
    for number in np.unique(first.numbers):
        members = np.flatnonzero(first.numbers == number)
        between = last.positions[members][None] - first.positions[members][:, None]
        lengths = find_mic(between.reshape(-1, 3), first.cell, first.pbc)[1]
        cost = lengths.reshape(len(members), -1) ** 2
        column = linear_sum_assignment(cost)[1]
        given += float(np.trace(cost))
        best += float(cost[np.arange(len(members)), column].sum())
        exchanged += [int(members[k]) for k in np.flatnonzero(column != np.arange(len(members)))]
    # a knock-on chain of ions is longer than the shortest assignment, but not by this factor
    if exchanged and given > 2 * best + 1.0:
        names = " and ".join(str(index + 1) for index in exchanged[:2])
        raise ValueError(
            f"atoms seem exchanged between the end points (such as {names}): give both in one "
            "order of atoms, or set check_order to false if the exchange is meant"
        )


def largest_displacement(start: Atoms, end: Atoms) -> float:
    """Return the longest way of an atom between two images by minimum image, Å."""
    return float(find_mic(end.positions - start.positions, start.cell, start.pbc)[1].max())


def collapsed(given: Sequence[Atoms], relaxed: Sequence[Atoms]) -> str | None:
    """Return in words that end points have relaxed into one minimum, None where they have not.

    Parameters
    ----------
    given, relaxed
        First and last image before and after.
    """
    before, apart = (largest_displacement(ends[0], ends[-1]) for ends in (given, relaxed))
    if apart >= COLLAPSED * min(1.0, before):
        return None
    return f"the end points relax into one minimum ({apart:.2f} Å apart, {before:.2f} Å before)"


def unwrapped(images: Sequence[Atoms]) -> list[Atoms]:
    """Return copies whose atoms never jump through the cell: each image continues the last.

    Only species, positions, cell and periodicity are kept.
    """
    found: list[Atoms] = []
    for image in images:
        positions = image.positions
        if found:
            last = found[-1]
            positions = (
                last.positions + find_mic(positions - last.positions, last.cell, last.pbc)[0]
            )
        found.append(
            Atoms(numbers=image.numbers, positions=positions, cell=image.cell, pbc=image.pbc)
        )
    return found


def interpolate_band(
    initial: Atoms, final: Atoms, n_images: int, method: Interpolation = "idpp"
) -> list[Atoms]:
    """Return ``n_images`` images from one end to the other, both included.

    ``idpp`` is the image dependent pair potential (Smidstrup et al., J. Chem. Phys. 140, 214106
    (2014)), which keeps atoms apart where a straight line would push them into each other.

    Parameters
    ----------
    initial, final
        End points in one order of atoms; the way is that of the minimum image.
    n_images
        At least three.
    """
    import ase.mep

    if n_images < 3:
        raise ValueError(f"n_images: {n_images} leave no image between the end points, give 3")
    ends: list[Any] = unwrapped([initial, final])
    start, end = ends
    images: list[Any] = [start, *(start.copy() for _ in range(n_images - 2)), end]
    band: Any = ase.mep.NEB(images, method="improvedtangent")  # type: ignore[no-untyped-call]
    band.interpolate("linear")
    if method == "idpp":
        band.interpolate("idpp", mic=bool(start.pbc.any()))
        for image in images:
            image.calc = None
    return images


def path_coordinate(images: Sequence[Atoms]) -> Array:
    """Return the length of the path up to every image, shape (K,), Å.

    Σ over steps of √Σ|Δr|² over all atoms, minimum image and without masses, so that paths of all
    methods have one coordinate.
    """
    steps = [
        np.linalg.norm(find_mic(end.positions - start.positions, start.cell, start.pbc)[0])
        for start, end in pairwise(images)
    ]
    return np.concatenate([[0.0], np.cumsum(steps)])


@dataclass(frozen=True)
class Profile:
    """Energies along a path.

    Attributes
    ----------
    distance_angstrom
        Length of the path up to every image, shape (K,), see :func:`path_coordinate`.
    energy_ev
        Total energies, shape (K,).
    tangential_force
        Force along the path towards its end, shape (K,), eV/Å.
    fit_distance_angstrom, fit_energy_ev
        Piecewise cubic through energies and tangential forces (ASE's fit of a band), energies
        relative to the first image, shape (20 (K − 1) + 1,).
    """

    distance_angstrom: Array
    energy_ev: Array
    tangential_force: Array
    fit_distance_angstrom: Array
    fit_energy_ev: Array

    @property
    def coordinate(self) -> Array:
        """Distance in units of the length of the whole path."""
        return self.distance_angstrom / self.distance_angstrom[-1]

    @property
    def highest(self) -> int:
        """Image of highest energy, counted from 0."""
        return int(np.argmax(self.energy_ev))

    @property
    def barrier_forward_ev(self) -> float:
        """Energy of the highest image above the first; with a climbing image, the saddle point."""
        return float(self.energy_ev.max() - self.energy_ev[0])

    @property
    def barrier_backward_ev(self) -> float:
        """Energy of the highest image above the last."""
        return float(self.energy_ev.max() - self.energy_ev[-1])

    @property
    def monotonic(self) -> bool:
        """Whether images and fit lie between the energies of the ends: there is no barrier."""
        top = max(self.energy_ev.max(), self.energy_ev[0] + self.fit_energy_ev.max())
        above = top - max(self.energy_ev[0], self.energy_ev[-1])
        return bool(max(above, self.valley_ev) <= MONOTONIC_EV)

    @property
    def missed_ev(self) -> float:
        """How far the top of the fit lies above the highest image: too few images if much."""
        return float(self.fit_energy_ev.max() - self.barrier_forward_ev)

    @property
    def valley_ev(self) -> float:
        """How far the lowest image lies below the lower end point; 0 where it is an end point."""
        return float(min(self.energy_ev[0], self.energy_ev[-1]) - self.energy_ev.min())


def profile_of(images: Sequence[Atoms], energy_ev: Array, forces: Array) -> Profile:
    """Return the profile of a path from energies (K,) in eV and forces (K, N, 3) in eV/Å."""
    from ase.utils import forcecurve

    path = unwrapped(images)
    fit: Any = forcecurve.fit_raw(  # type: ignore[no-untyped-call]
        energy_ev, forces, [image.positions for image in path]
    )
    return Profile(
        distance_angstrom=path_coordinate(path),
        energy_ev=np.asarray(energy_ev, dtype=np.float64),
        tangential_force=np.array([-slope(line) for line in fit.lines]),
        fit_distance_angstrom=np.asarray(fit.fit_path),
        fit_energy_ev=np.asarray(fit.fit_energies),
    )


def slope(line: tuple[Array, Array]) -> float:
    """Return the slope of a tangent line of ASE's fit, eV/Å."""
    x, y = line
    return float((y[-1] - y[0]) / (x[-1] - x[0]))
