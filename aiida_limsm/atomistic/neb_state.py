"""Checkpoint of a band that is being relaxed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from aiida_limsm.files import whole_file

#: Relaxation of the first and of the last image, then of the band without and with climbing image.
Stage = Literal["initial", "final", "band", "climb"]

__all__ = ["BandCheckpoint", "Stage"]


@dataclass
class BandCheckpoint:
    """Positions (K, N, 3) in Å of all images within a stage, and the steps done in each stage.

    ``given`` are the positions at the start, from which the relaxation of the ends is measured.
    ``identity`` names what a continued run must have in common with this one.
    """

    stage: Stage
    positions: NDArray[np.float64]
    given: NDArray[np.float64]
    steps: dict[str, int] = field(default_factory=dict)
    force_calls: int = 0
    restarts: int = 0
    identity: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write atomically: a kill leaves the old checkpoint or the new one."""
        names = ("stage", "steps", "force_calls", "restarts", "identity")
        meta = json.dumps({name: getattr(self, name) for name in names})
        with whole_file(path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, positions=self.positions, given=self.given, meta=np.array(meta))
            handle.flush()
            os.fsync(handle.fileno())

    @classmethod
    def read(cls, path: Path) -> BandCheckpoint:
        """Read a checkpoint.

        Raises
        ------
        ValueError
            If the file is not a checkpoint of this program.
        """
        try:
            with np.load(path, allow_pickle=False) as data:
                meta = json.loads(str(data["meta"]))
                return cls(positions=data["positions"], given=data["given"], **meta)
        except (OSError, KeyError, ValueError, EOFError, TypeError, BadZipFile) as error:
            raise ValueError(
                f"{path} is not a readable checkpoint: remove it to start anew"
            ) from error
