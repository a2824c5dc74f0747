"""Parser of ``limsm.evaluate``."""

from __future__ import annotations

from pathlib import Path

from aiida import orm

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import EvaluateResults

from .base import LimsmParser


class EvaluateParser(LimsmParser):
    """Keeps the points behind the errors as a file node."""

    RESULTS_MODEL = EvaluateResults
    CACHE_VERSION = 2

    def attach(self, results: EvaluateResults, folder: Path | None) -> None:
        """Attach ``parity``."""
        if results.status is Status.FINISHED:
            with self.retrieved.base.repository.open("parity.h5", "rb") as handle:
                self.out("parity", orm.SinglefileData(handle, filename="parity.h5"))
