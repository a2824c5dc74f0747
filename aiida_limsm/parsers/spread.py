"""Parser of ``limsm.spread``."""

from __future__ import annotations

from pathlib import Path

from aiida import orm

from aiida_limsm.compute.spread_models import SpreadResults

from .base import LimsmParser


class SpreadParser(LimsmParser):
    """Keeps frames and spread as a file node."""

    RESULTS_MODEL = SpreadResults

    def attach(self, results: SpreadResults, folder: Path | None) -> None:
        """Attach ``spread``."""
        if results.spread_file is not None:
            with self.retrieved.base.repository.open(results.spread_file, "rb") as handle:
                self.out("spread", orm.SinglefileData(handle, filename=results.spread_file))
