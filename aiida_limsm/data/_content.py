"""Small helpers the node types share: checksums of what lies in the repository, one-line errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from aiida.common.exceptions import ValidationError
from pydantic import ValidationError as ModelError

from aiida_limsm.compute.base import LimsmModel, first_error
from aiida_limsm.files import sha256_of_stream

if TYPE_CHECKING:
    from aiida.orm import Node

ModelT = TypeVar("ModelT", bound=LimsmModel)


def check_stored_sha256(node: Node, filename: str, expected: str) -> None:
    """Compare the bytes in a node's repository with the checksum in its attributes."""
    try:
        with node.base.repository.open(filename, mode="rb") as stream:
            found = sha256_of_stream(stream)
    except FileNotFoundError:
        raise ValidationError(f"the file '{filename}' is missing from the repository") from None
    if found != expected:
        raise ValidationError(
            f"'{filename}' has sha256 {found[:12]}…, the attributes say {str(expected)[:12]}…: "
            "they must describe the same file"
        )


def check_only_files(node: Node, expected: Iterable[str]) -> None:
    """Refuse a repository that holds anything but the expected files."""
    found = set(node.base.repository.list_object_names())
    wanted = set(expected)
    if found != wanted:
        raise ValidationError(
            f"the repository must hold {', '.join(sorted(wanted)) or 'no file'}, "
            f"it holds {', '.join(sorted(found)) or 'none'}"
        )


def attributes_as_model(
    node: Node, model: type[ModelT], defaults: Mapping[str, Any] | None = None
) -> ModelT:
    """Read a node's attributes back as the pydantic model they were made from.

    ``defaults`` are fields that are no attributes of the node.
    """
    content = dict(defaults or {})
    content.update(
        (name, value)
        for name, value in node.base.attributes.all.items()
        if name in model.model_fields
    )
    try:
        return model.model_validate(content)
    except ModelError as error:
        raise ValidationError(first_error(error)) from None


def as_model(model: type[ModelT], value: ModelT | dict[str, Any]) -> ModelT:
    """Accept a model or the mapping it is made of; one clear line when the mapping is wrong."""
    if isinstance(value, model):
        return value
    try:
        return model.model_validate(value)
    except ModelError as error:
        raise ValueError(first_error(error)) from None
