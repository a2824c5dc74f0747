"""What ``mace_run_train`` writes while it trains, read as it grows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .results import EpochRecord


class TrainingProgress:
    """Reads MACE's JSON lines (``results/*_train.txt``), each of them once.

    Attributes
    ----------
    diverged
        Whether a loss was not finite.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "results"
        self._offsets: dict[Path, int] = {}
        self._epochs: dict[int, EpochRecord] = {}
        self.diverged = False

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """All epochs so far in order, a redone one once."""
        return tuple(self._epochs[epoch] for epoch in sorted(self._epochs))

    def update(self) -> list[EpochRecord]:
        """Read what is new; return the epochs in it."""
        new = []
        for path in sorted(self._folder.glob("*_train.txt")):
            for record in self._new_lines(path):
                if (epoch := self._take(record)) is not None:
                    new.append(epoch)
        return new

    def _new_lines(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as handle:
            handle.seek(self._offsets.get(path, 0))
            text = handle.read()
        end = text.rfind(b"\n") + 1  # the last line may be half written
        self._offsets[path] = self._offsets.get(path, 0) + end
        records = []
        for line in text[:end].splitlines():
            # a killed training leaves half a line, and the next one writes on behind it
            if line.startswith(b"{") and line.endswith(b"}") and line.count(b"{") == 1:
                records.append(json.loads(line))
        return records

    def _take(self, record: dict[str, Any]) -> EpochRecord | None:
        loss = float(record.get("loss", 0.0))
        if not math.isfinite(loss):
            self.diverged = True
            return None
        epoch = record.get("epoch")
        # before the first epoch MACE validates once, as epoch null
        if record.get("mode") != "eval" or not isinstance(epoch, int):
            return None
        forces, energy = float(record["rmse_f"]), float(record["rmse_e_per_atom"])
        if not (math.isfinite(forces) and math.isfinite(energy)):
            self.diverged = True
            return None
        self._epochs[epoch] = EpochRecord(
            epoch=epoch,
            loss=loss,
            rmse_forces_mev_per_angstrom=1e3 * forces,
            rmse_energy_mev_per_atom=1e3 * energy,
        )
        return self._epochs[epoch]
