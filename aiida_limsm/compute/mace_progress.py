"""What ``mace_run_train`` writes while it trains, read as it grows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .mace_command import REPLAY_HEAD
from .train_results import EpochRecord, ValidationErrors

__all__ = ["TrainingProgress"]


class TrainingProgress:
    """Reads MACE's JSON lines (``results/*_train.txt``), each of them once.

    Attributes
    ----------
    diverged
        Whether a loss was not finite.
    heads
        Names of the heads that were validated.
    initial
        Errors before the first step, None until they are there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "results"
        self._offsets: dict[Path, int] = {}
        self._epochs: dict[int, EpochRecord] = {}
        self._batches: dict[int, list[float]] = {}
        self._replay: dict[int | None, dict[str, float]] = {}
        self.diverged = False
        self.heads: set[str] = set()
        self.initial: ValidationErrors | None = None

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

    def growth(self) -> float:
        """Return the last validation force RMSE over the one before training; 0 if unknown."""
        if self.initial is None or not self._epochs:
            return 0.0
        last = self._epochs[max(self._epochs)].rmse_forces_mev_per_angstrom
        return last / max(self.initial.rmse_forces_mev_per_angstrom, 1.0)

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
        if record.get("mode") == "opt" and isinstance(epoch, int):
            self._batches.setdefault(epoch, []).append(loss)
            return None
        # before the first epoch MACE validates once, as epoch null
        if record.get("mode") != "eval" or not (epoch is None or isinstance(epoch, int)):
            return None
        forces, energy = float(record["rmse_f"]), float(record["rmse_e_per_atom"])
        if not (math.isfinite(forces) and math.isfinite(energy)):
            self.diverged = True
            return None
        head = str(record.get("head", ""))
        self.heads.add(head)
        if head == REPLAY_HEAD:  # comes before the head that is trained
            self._replay[epoch] = {
                "replay_rmse_forces_mev_per_angstrom": 1e3 * forces,
                "replay_rmse_energy_mev_per_atom": 1e3 * energy,
            }
            return None
        values: dict[str, Any] = {
            "loss": loss,
            "rmse_forces_mev_per_angstrom": 1e3 * forces,
            "rmse_energy_mev_per_atom": 1e3 * energy,
            **self._replay.get(epoch, {}),
        }
        if epoch is None:
            self._batches.clear()  # a restart does epochs again that were begun
            self.initial = self.initial or ValidationErrors(**values)
            return None
        batches = self._batches.get(epoch)
        values["train_loss"] = sum(batches) / len(batches) if batches else None
        self._epochs[epoch] = EpochRecord(epoch=epoch, **values)
        return self._epochs[epoch]
