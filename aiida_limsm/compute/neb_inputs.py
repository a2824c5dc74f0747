"""Input of ``limsm neb``, see :mod:`.inputs`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import LimsmModel
from .inputs import Device, Dtype, Positive, PositiveInt

__all__ = ["NebInput"]


class NebInput(LimsmModel):
    """Migration path between two minima with a machine-learned force field, in one fixed cell.

    ``structure_files`` hold the images in order: all frames of all files. Two frames are the end
    points, and ``n_images`` images (both ends counted) are interpolated between them; more are the
    band to start from. With ``single_points`` nothing is relaxed: energies and forces of the given
    images, for the comparison of potentials on one path. ``fmax_ev_per_angstrom`` holds for end
    points and band; ``max_steps`` for each of the two relaxations of ends and for the band.
    """

    potential_file: str = "potential.model"
    head: str | None = None
    structure_files: Annotated[tuple[str, ...], Field(min_length=1)] = ("images.extxyz",)
    n_images: Annotated[int, Field(ge=3, le=100)] | None = None
    single_points: bool = False
    relax_ends: bool = True
    interpolation: Literal["idpp", "linear"] = "idpp"
    climb: bool = True
    optimiser: Literal["fire", "bfgs", "lbfgs"] = "fire"
    fmax_ev_per_angstrom: Positive = 0.03
    max_steps: PositiveInt = 500
    spring_ev_per_angstrom2: Positive = 0.1
    checkpoint_interval_steps: PositiveInt = 10
    check_order: bool = True
    max_displacement_angstrom: Positive = 6.0
    max_force_ev_per_angstrom: Positive = 50.0
    min_distance_angstrom: Positive = 1.0
    max_seconds: Positive | None = None
    device: Device = "cpu"
    dtype: Dtype = "float64"
    threads: PositiveInt = 1

    @model_validator(mode="after")
    def _single_points_have_their_images(self) -> NebInput:
        if self.single_points and self.n_images is not None:
            raise ValueError("single_points takes the images as they are: leave out n_images")
        return self
