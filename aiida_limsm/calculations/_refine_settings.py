"""Settings of active learning: when it is good enough, and which frames are labelled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from aiida_limsm.compute.base import LimsmModel

Positive = Annotated[float, Field(gt=0)]


class RefineTargets(LimsmModel):
    """When to stop: either target is enough, None is no target.

    Attributes
    ----------
    max_spread_ev_per_angstrom
        For the largest spread of an atom, in the share ``spread_quantile`` of the MD frames.
    rescale
        Multiply spreads by the committee's scaling factor (rms error over rms spread on held-out
        frames), without which members that differ in their seed alone seem far too sure.
    max_force_rmse_mev_per_angstrom
        On the frames of ``split``.
    """

    max_spread_ev_per_angstrom: Positive | None = None
    spread_quantile: Annotated[float, Field(gt=0, le=1)] = 0.95
    rescale: bool = True
    max_force_rmse_mev_per_angstrom: Positive | None = None
    split: Literal["valid", "test"] = "test"

    @model_validator(mode="after")
    def _has_a_target(self) -> RefineTargets:
        if self.max_spread_ev_per_angstrom is None and self.max_force_rmse_mev_per_angstrom is None:
            raise ValueError(
                "give max_spread_ev_per_angstrom or max_force_rmse_mev_per_angstrom: without a "
                "target nothing is ever good enough"
            )
        return self


class SelectionSettings(LimsmModel):
    """Which frames are labelled in a round.

    Attributes
    ----------
    number
        At most so many, as different from each other as can be.
    min_spread_ev_per_angstrom
        Only frames in which an atom has at least this spread, rescaled as for the targets.
    max_force_ev_per_angstrom
        No frames with a longer predicted force, which no crystal has.
    min_distance_share
        No frames with atoms closer than this share of the sum of their covalent radii.
    neighbours, cutoff_angstrom
        Of the descriptor by which frames are told apart.
    """

    number: Annotated[int, Field(ge=1, le=1000)] = 10
    min_spread_ev_per_angstrom: Annotated[float, Field(ge=0)] = 0.0
    max_force_ev_per_angstrom: Positive = 20.0
    min_distance_share: Annotated[float, Field(ge=0, le=1)] = 0.6
    neighbours: Annotated[int, Field(ge=1, le=100)] = 8
    cutoff_angstrom: Positive = 6.0
