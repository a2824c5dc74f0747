"""Checkpoint of MD runs: everything that the next step depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from aiida_limsm.files import whole_file

Array = NDArray[np.float64]


@dataclass
class Moments:
    """Sums of a series, so that a restart continues its mean and standard deviation."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.count += 1
        self.total += value
        self.squares += value**2

    @property
    def mean(self) -> float | None:
        """None before the first value."""
        return self.total / self.count if self.count else None

    @property
    def std(self) -> float | None:
        """None before the second value."""
        if self.count < 2:
            return None
        variance = self.squares / self.count - (self.total / self.count) ** 2
        return float(np.sqrt(max(variance, 0.0)))


@dataclass
class Trend:
    """Sums of a straight line through a series; ``start`` is its first value."""

    count: int = 0
    start: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Count one point."""
        if self.count == 0:
            self.start = y
        y -= self.start  # a total energy is large beside its drift
        self.count += 1
        self.x += x
        self.y += y
        self.xx += x * x
        self.xy += x * y

    @property
    def slope(self) -> float | None:
        """Of the least-squares line, None before the second point."""
        spread = self.count * self.xx - self.x**2
        return (self.count * self.xy - self.x * self.y) / spread if spread > 0 else None


@dataclass
class RunningStatistics:
    """What is known of the production so far.

    ``cell_sum`` adds up the cells (Å) of all frames; ``conserved_ev`` is the conserved energy over
    the number of the step.
    """

    frames: int = 0
    restarts: int = 0
    framework_msd_angstrom2: float = 0.0
    temperature: Moments = field(default_factory=Moments)
    volume: Moments = field(default_factory=Moments)
    pressure_gpa: Moments = field(default_factory=Moments)
    cell_sum: list[list[float]] = field(default_factory=lambda: np.zeros((3, 3)).tolist())
    conserved_ev: Trend = field(default_factory=Trend)
    largest_spread_ev_per_angstrom: float | None = None

    @property
    def mean_cell(self) -> list[list[float]] | None:
        """Mean of the cell vectors over the frames, Å; None before the first."""
        return (np.array(self.cell_sum) / self.frames).tolist() if self.frames else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunningStatistics:
        """Return what :func:`dataclasses.asdict` took apart."""
        series = ("temperature", "volume", "pressure_gpa")
        parts: dict[str, Any] = {name: Moments(**values[name]) for name in series}
        parts["conserved_ev"] = Trend(**values["conserved_ev"])
        return cls(**{**values, **parts})


@dataclass
class Checkpoint:
    """State of one run after ``step`` steps; negative steps are equilibration.

    Positions (Å, unwrapped) and momenta (ASE units) are float64 of shape (N, 3), cells (3, 3), Å.
    ``reference`` and ``reference_cell`` are of production step 0, from which the framework's
    displacement is measured. ``integrator`` is the state of thermostat and barostat; ``anchor``
    are the positions and the cell that the neighbour list was built with, if the engine keeps one.
    ``ended`` holds kind and message of the guard that stopped the run, if one did.
    """

    step: int
    positions: Array
    momenta: Array
    cell: Array
    reference: Array
    reference_cell: Array
    random_state: dict[str, Any]
    integrator: dict[str, Any] = field(default_factory=dict)
    statistics: RunningStatistics = field(default_factory=RunningStatistics)
    anchor: tuple[Array, Array] | None = None
    ended: tuple[str, str] | None = None


_ARRAYS = ("positions", "momenta", "cell", "reference", "reference_cell")
_META = ("step", "random_state", "integrator", "ended")


def write_checkpoints(
    path: Path, runs: Mapping[int, Checkpoint], identity: Mapping[str, Any]
) -> None:
    """Write the runs of a group as one file: a kill leaves the old checkpoint or the new one.

    ``identity`` names what a continued run must have in common with this one; the caller decides
    what that is.
    """
    meta: dict[str, Any] = {"identity": dict(identity), "runs": {}}
    arrays: dict[str, Any] = {}
    for key, run in runs.items():
        meta["runs"][str(key)] = {
            **{name: getattr(run, name) for name in _META},
            "statistics": asdict(run.statistics),
        }
        for name in _ARRAYS:
            arrays[f"{key}_{name}"] = getattr(run, name)
        if run.anchor is not None:
            arrays[f"{key}_anchor"], arrays[f"{key}_anchor_cell"] = run.anchor
    with whole_file(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, meta=np.array(json.dumps(meta)), **arrays)
        handle.flush()
        os.fsync(handle.fileno())


def read_checkpoints(path: Path) -> tuple[dict[int, Checkpoint], dict[str, Any]]:
    """Return the runs and the identity of a checkpoint.

    Raises
    ------
    ValueError
        If the file is not a checkpoint of this program.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            meta = json.loads(str(data["meta"]))
            identity = dict(meta["identity"])
            runs = {}
            for key, values in meta["runs"].items():
                anchored = f"{key}_anchor" in data
                ended = values["ended"]
                runs[int(key)] = Checkpoint(
                    **{name: data[f"{key}_{name}"] for name in _ARRAYS},
                    **{name: values[name] for name in _META if name != "ended"},
                    statistics=RunningStatistics.from_dict(values["statistics"]),
                    anchor=(data[f"{key}_anchor"], data[f"{key}_anchor_cell"])
                    if anchored
                    else None,
                    ended=None if ended is None else (str(ended[0]), str(ended[1])),
                )
            return runs, identity
    except (OSError, KeyError, ValueError, EOFError, TypeError, AttributeError, BadZipFile) as err:
        raise ValueError(f"{path} is not a readable checkpoint: remove it to start anew") from err
