"""Nudged elastic band with any ASE calculator: relax end points, then the band, then climb."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.mep import NEB
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

Array = NDArray[np.float64]
Optimiser = Literal["fire", "bfgs", "lbfgs"]

# ASE is not typed
_Band: Any = NEB

__all__ = [
    "BandUnphysical",
    "ImageCalculator",
    "Optimiser",
    "check_physical",
    "relax",
    "relax_band",
]

#: Without a climbing image until forces are below this (eV/Å): only then the highest image is near
#: the saddle point (Henkelman, Uberuaga & Jónsson, J. Chem. Phys. 113, 9901 (2000)).
CLIMB_BELOW = 0.3


class BandUnphysical(Exception):
    """The potential left the region that it knows; ``kind`` is ``forces`` or ``distance``."""

    def __init__(self, kind: Literal["forces", "distance"], message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ImageCalculator(Calculator):
    """Remembers the last result of one image; all images share the model behind.

    ASE's optimisers ask for forces several times a step, and one calculator shared by the images
    forgets each of them when it comes to the next.
    """

    implemented_properties = ["energy", "forces"]

    def __init__(self, shared: Calculator) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shared = shared
        self.calls = 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Ask the model for energy and forces."""
        super().calculate(  # type: ignore[no-untyped-call]
            atoms, list(properties), list(system_changes)
        )
        copy: Any = self.atoms.copy()  # type: ignore[union-attr]
        copy.calc = self.shared
        self.results = {
            "forces": np.array(copy.get_forces(), dtype=np.float64),
            "energy": float(copy.get_potential_energy()),
        }
        self.calls += 1


@dataclass(frozen=True)
class Step:
    """State of an optimisation after ``number`` steps, with the largest force left (eV/Å)."""

    number: int
    fmax: float
    converged: bool


def check_physical(
    images: Sequence[Any], max_force_ev_per_angstrom: float, min_distance_angstrom: float
) -> None:
    """Raise :class:`BandUnphysical` for forces out of proportion or atoms on top of each other."""
    for number, image in enumerate(images, start=1):
        largest = float(np.linalg.norm(image.get_forces(), axis=1).max())
        if not largest <= max_force_ev_per_angstrom:  # also NaN
            raise BandUnphysical(
                "forces",
                f"image {number}: a force of {largest:.3g} eV/Å exceeds "
                f"{max_force_ev_per_angstrom:g}: the potential does not know this structure",
            )
        distances = neighbour_list("d", image, min_distance_angstrom)
        if len(distances):
            raise BandUnphysical(
                "distance",
                f"image {number}: two atoms are {distances.min():.2f} Å apart, less than "
                f"{min_distance_angstrom:g}: check the end points, or interpolate with idpp",
            )


def relax(target: Any, optimiser: Optimiser, fmax: float, max_steps: int) -> Iterator[Step]:
    """Relax a structure in its cell, or a band, step by step; positions change in place."""
    from ase.optimize import BFGS, FIRE, LBFGS

    minimiser: Any = {"fire": FIRE, "bfgs": BFGS, "lbfgs": LBFGS}[optimiser](target, logfile=None)
    for converged in minimiser.irun(fmax=fmax, steps=max_steps):
        forces = np.asarray(target.get_forces()).reshape(-1, 3)
        largest = float(np.linalg.norm(forces, axis=1).max())
        yield Step(minimiser.nsteps, largest, bool(converged))


def relax_band(
    images: list[Atoms],
    optimiser: Optimiser,
    fmax: float,
    max_steps: int,
    *,
    climb: bool = True,
    climbing: bool = False,
    spring_ev_per_angstrom2: float = 0.1,
    on_climb: Callable[[], None] = lambda: None,
) -> Iterator[Step]:
    """Relax the images between the ends, step by step; positions change in place.

    Improved tangents (Henkelman & Jónsson, J. Chem. Phys. 113, 9978 (2000)). Where ``climb`` the
    highest image climbs to the saddle point once forces are below 0.3 eV/Å and it lies above both
    ends; where no image does there is nothing to climb to.

    Parameters
    ----------
    images
        All images with a calculator each; the ends stay.
    optimiser
        FIRE is robust on bands, whose forces are no gradient of an energy.
    fmax
        Force on an atom of an image, perpendicular to the path (eV/Å), at which to stop.
    max_steps
        Together.
    climb, climbing
        Whether the highest image climbs, and whether it does from the first step on.
    spring_ev_per_angstrom2
        Spring constant between images.
    on_climb
        Called when the climbing begins.
    """
    band: Any = _Band(images, k=spring_ev_per_angstrom2, climb=climbing, method="improvedtangent")
    done = 0
    if climb and not climbing:
        # a low barrier may show only where the band has converged
        for threshold in (max(fmax, CLIMB_BELOW), fmax):
            before = done
            for step in relax(band, optimiser, threshold, max_steps - before):
                done = before + step.number
                yield Step(done, step.fmax, False)
            if not step.converged or _has_peak(images):
                break
        if not (step.converged and _has_peak(images)):
            yield Step(done, step.fmax, step.converged)
            return
        band.climb = True
        on_climb()
    for step in relax(band, optimiser, fmax, max_steps - done):
        yield Step(done + step.number, step.fmax, step.converged)


def _has_peak(images: Sequence[Any]) -> bool:
    """Return whether an image lies above both ends: without, the climbing one would not stop."""
    energies = [image.get_potential_energy() for image in images]
    return bool(max(energies[1:-1]) > max(energies[0], energies[-1]))
