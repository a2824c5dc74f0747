"""Settings of ``build_dataset``: what is kept, how it is split, which energy zero it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from aiida import orm
from pydantic import Field, PlainValidator, ValidationError, model_validator

from aiida_limsm.compute.base import LimsmModel, first_error

Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


def _auto_or_from(least: int) -> PlainValidator:
    def check(value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if value == "auto" or whole:
            return value
        raise ValueError(f"give 'auto' or a whole number from {least}, not {value!r}")

    return PlainValidator(check)


class DatasetSettings(LimsmModel):
    """How frames become a dataset.

    Attributes
    ----------
    skip_frames
        Dropped at the start of each MD trajectory (the crystal is not yet warm).
    stride
        Every n-th frame of a trajectory is kept. ``auto``: the statistical inefficiency of the
        forces, measured for each trajectory (:mod:`._correlation`).
    gap_frames
        Kept frames that are dropped between two blocks. ``auto``: so many that energy and forces
        have decorrelated from one block to the next.
    train_fraction, valid_fraction
        Of the kept frames of each trajectory; the rest is for the test.
    label_split
        Frames of label batches have no time: ``train`` gives all to the training, ``blocks``
        cuts each batch in its order, with neither stride nor gap.
    duplicate_tolerance_angstrom
        Frames no atom of which is further off are the same frame.
    max_force_ev_per_angstrom
        Frames with a longer force vector are removed. Without it none is removed.
    outlier_deviations
        Frames are reported as outliers where the logarithm of the largest force is so many
        (scaled) median absolute deviations above the median.
    e0s
        Energy zero of each element: ``isolated`` atoms, or ``fitted`` to the training frames.
    """

    skip_frames: Annotated[int, Field(ge=0)] = 0
    stride: Annotated[int | Literal["auto"], _auto_or_from(1)] = "auto"
    gap_frames: Annotated[int | Literal["auto"], _auto_or_from(0)] = "auto"
    train_fraction: Fraction = 0.7
    valid_fraction: Fraction = 0.1
    label_split: Literal["train", "blocks"] = "train"
    duplicate_tolerance_angstrom: Positive = 1e-3
    max_force_ev_per_angstrom: Positive | None = None
    outlier_deviations: Positive = 6.0
    e0s: Literal["isolated", "fitted"] = "isolated"

    @model_validator(mode="after")
    def _leave_a_test_set(self) -> DatasetSettings:
        if self.train_fraction + self.valid_fraction >= 1:
            raise ValueError("train_fraction + valid_fraction must leave frames for the test")
        return self


def read_settings(values: Mapping[str, Any]) -> DatasetSettings:
    """Return the settings of a mapping.

    Raises
    ------
    ValueError
        With one line that names the first wrong field.
    """
    try:
        return DatasetSettings.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"dataset parameters: {first_error(error)}") from None


def validate_dataset(node: orm.Dict | None, _: object) -> str | None:
    """Port validator for a ``DatasetSettings`` Dict."""
    if node is not None:
        try:
            read_settings(node.get_dict())
        except ValueError as error:
            return str(error)
    return None
