"""What every job of the ``limsm`` command shares: model settings, status, files, versions."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from aiida_limsm.files import whole_file

INPUT_FILENAME = "input.json"
RESULTS_FILENAME = "results.json"
LOG_FILENAME = "limsm.log"
MODEL_FILENAME = "model.h5"
PATHS_FILENAME = "paths.h5"
PROPAGATION_FILENAME = "propagation.h5"


class LimsmModel(BaseModel):
    """Base of all inputs and results: immutable, and a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Status(str, Enum):
    """How a job ended. The AiiDA parsers map every value to one exit code."""

    FINISHED = "finished"
    OUT_OF_WALLTIME = "out_of_walltime"
    INVALID_INPUT = "invalid_input"
    DISK_FULL = "disk_full"
    INTERNAL_ERROR = "internal_error"
    # md
    FORCES_EXPLODED = "forces_exploded"
    TEMPERATURE_RUNAWAY = "temperature_runaway"
    ATOMS_TOO_CLOSE = "atoms_too_close"
    FRAMEWORK_UNSTABLE = "framework_unstable"
    COMMITTEE_DISAGREES = "committee_disagrees"
    # train
    LOSS_NOT_FINITE = "loss_not_finite"
    LOSS_EXPLODED = "loss_exploded"
    REPLAY_IGNORED = "replay_ignored"
    TRAINING_FAILED = "training_failed"
    # analyse
    TRAJECTORY_UNUSABLE = "trajectory_unusable"
    # neb
    NOT_CONVERGED = "not_converged"
    END_POINTS_COLLAPSED = "end_points_collapsed"


class JobError(Exception):
    """A job cannot go on; carries the status for ``results.json`` and one line for people."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class JobResults(LimsmModel):
    """What every ``results.json`` begins with."""

    status: Status
    message: str = ""
    warnings: tuple[str, ...] = ()


ModelT = TypeVar("ModelT", bound=LimsmModel)


def first_error(error: ValidationError) -> str:
    """Return the first failed field of a pydantic error as one line: ``field: reason``."""
    detail = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in detail["loc"]) or "input"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{field}: {message}"


def read_model(model: type[ModelT], path: Path) -> ModelT:
    """Read and validate one JSON file.

    Raises
    ------
    JobError
        With :attr:`Status.INVALID_INPUT`, naming the file and the first wrong field.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise JobError(Status.INVALID_INPUT, f"{path} does not exist") from None
    except OSError as error:
        raise JobError(Status.INVALID_INPUT, f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise JobError(Status.INVALID_INPUT, f"{path}: {first_error(error)}") from None


def write_model(model: LimsmModel, path: Path) -> None:
    """Write a model as JSON, atomically: a reader sees the old file or the new one, whole."""
    text = json.dumps(model.model_dump(mode="json", by_alias=True), indent=2, sort_keys=True)
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
