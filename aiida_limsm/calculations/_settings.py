"""Settings in a Dict, read as the pydantic model that they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aiida import orm
from pydantic import ValidationError

from aiida_limsm.compute.base import LimsmModel, first_error

SettingsT = TypeVar("SettingsT", bound=LimsmModel)


def read_settings(model: type[SettingsT], values: Mapping[str, Any]) -> SettingsT:
    """Return settings of a mapping.

    Raises
    ------
    ValueError
        With one line that names the first wrong field.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(first_error(error)) from None


def settings_validator(model: type[LimsmModel]) -> Callable[[orm.Dict | None, Any], str | None]:
    """Return a port validator for a Dict of these settings."""

    def validate(node: orm.Dict | None, _: Any) -> str | None:
        if node is not None:
            try:
                read_settings(model, node.get_dict())
            except ValueError as error:
                return str(error)
        return None

    return validate
