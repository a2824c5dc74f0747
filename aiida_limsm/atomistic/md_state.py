"""Checkpoint of an MD run: everything that the next step depends on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from aiida_limsm.files import whole_file


@dataclass
class RunningStatistics:
    """Sums over production frames, so that a restart continues the averages."""

    frames: int = 0
    temperature_sum: float = 0.0
    temperature_square_sum: float = 0.0
    framework_msd_angstrom2: float = 0.0
    restarts: int = 0

    def add(self, temperature_k: float, framework_msd_angstrom2: float) -> None:
        """Count one frame."""
        self.frames += 1
        self.temperature_sum += temperature_k
        self.temperature_square_sum += temperature_k**2
        self.framework_msd_angstrom2 = framework_msd_angstrom2

    @property
    def mean_temperature_k(self) -> float | None:
        """Mean over the frames, None before the first."""
        return self.temperature_sum / self.frames if self.frames else None

    @property
    def std_temperature_k(self) -> float | None:
        """Standard deviation over the frames, None before the second."""
        if self.frames < 2:
            return None
        mean = self.temperature_sum / self.frames
        variance = self.temperature_square_sum / self.frames - mean**2
        return float(np.sqrt(max(variance, 0.0)))


@dataclass
class Checkpoint:
    """State after ``step`` steps; negative steps are equilibration.

    Positions (Å, unwrapped) and momenta (ASE units) are float64 of shape (N, 3);
    ``reference`` are the positions at production step 0, from which the framework's
    displacement is measured. ``identity`` names what a continued run must have in common with
    this one; the caller decides what that is.
    """

    step: int
    positions: NDArray[np.float64]
    momenta: NDArray[np.float64]
    reference: NDArray[np.float64]
    random_state: dict[str, Any]
    statistics: RunningStatistics = field(default_factory=RunningStatistics)
    identity: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write atomically: a kill leaves the old checkpoint or the new one."""
        meta = {
            "step": self.step,
            "random_state": self.random_state,
            "statistics": asdict(self.statistics),
            "identity": self.identity,
        }
        with whole_file(path) as temporary, temporary.open("wb") as handle:
            np.savez(
                handle,
                positions=self.positions,
                momenta=self.momenta,
                reference=self.reference,
                meta=np.array(json.dumps(meta)),
            )
            handle.flush()
            os.fsync(handle.fileno())

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read a checkpoint.

        Raises
        ------
        ValueError
            If the file is not a checkpoint of this program.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                meta = json.loads(str(data["meta"]))
                return cls(
                    step=int(meta["step"]),
                    positions=data["positions"],
                    momenta=data["momenta"],
                    reference=data["reference"],
                    random_state=meta["random_state"],
                    statistics=RunningStatistics(**meta["statistics"]),
                    identity=meta["identity"],
                )
        except (OSError, KeyError, ValueError, EOFError, TypeError, BadZipFile) as error:
            raise ValueError(
                f"{path} is not a readable checkpoint: remove it to start anew"
            ) from error
