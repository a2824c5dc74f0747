"""Results of ``limsm neb``, see :mod:`.results`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from .base import JobResults, LimsmModel

if TYPE_CHECKING:
    from aiida_limsm.atomistic.band import Profile

__all__ = ["NebResults", "PathProfile"]


class PathProfile(LimsmModel):
    """Energies along a migration path, and what follows from them.

    ``coordinate`` is ``distance_angstrom`` (√Σ|Δr|² summed over the steps) over that of the last
    image. Barriers are those of the highest image: the saddle point where it climbed.
    ``monotonic``: images and fit lie between the energies of the ends, there is no barrier. The fit
    is a piecewise cubic through energies and forces, relative to the first image.
    """

    barrier_forward_ev: float
    barrier_backward_ev: float
    reaction_energy_ev: float
    fit_barrier_forward_ev: float
    monotonic: bool
    highest_image: int = Field(description="counted from 1")
    coordinate: tuple[float, ...]
    distance_angstrom: tuple[float, ...]
    energy_ev: tuple[float, ...]
    tangential_force_ev_per_angstrom: tuple[float, ...]
    fit_coordinate: tuple[float, ...]
    fit_energy_ev: tuple[float, ...]

    @classmethod
    def of(cls, profile: Profile) -> PathProfile:
        """Return the plain numbers of a profile."""
        energy = profile.energy_ev
        return cls(
            barrier_forward_ev=profile.barrier_forward_ev,
            barrier_backward_ev=profile.barrier_backward_ev,
            reaction_energy_ev=float(energy[-1] - energy[0]),
            fit_barrier_forward_ev=float(profile.fit_energy_ev.max()),
            monotonic=profile.monotonic,
            highest_image=profile.highest + 1,
            coordinate=tuple(profile.coordinate.tolist()),
            distance_angstrom=tuple(profile.distance_angstrom.tolist()),
            energy_ev=tuple(energy.tolist()),
            tangential_force_ev_per_angstrom=tuple(profile.tangential_force.tolist()),
            fit_coordinate=tuple(
                (profile.fit_distance_angstrom / profile.distance_angstrom[-1]).tolist()
            ),
            fit_energy_ev=tuple(profile.fit_energy_ev.tolist()),
        )


class NebResults(JobResults):
    """Result of ``limsm neb``; positions, energies and forces of the images are in ``path_file``.

    ``converged`` is None for single points. Of a run that stopped early the images are those of
    its last step.
    """

    path_file: str | None = None
    figures: tuple[str, ...] = ()
    n_images: int = 0
    converged: bool | None = None
    climbed: bool = False
    fmax_ev_per_angstrom: float | None = Field(
        default=None, description="largest force left on the band, perpendicular to the path"
    )
    end_displacements_angstrom: tuple[float, float] | None = Field(
        default=None, description="largest way of an atom in the relaxation of each end point"
    )
    profile: PathProfile | None = None
    steps: int = 0
    force_calls: int = 0
    restarts: int = 0
    wall_seconds: float = 0.0
