"""Parser of ``limsm.compare``."""

from __future__ import annotations

from pathlib import Path

from aiida import orm

from aiida_limsm.compute.compare_models import CompareResults

from .base import LimsmParser


class CompareParser(LimsmParser):
    """Keeps the curves behind the overlaps as a file node."""

    RESULTS_MODEL = CompareResults

    def attach(self, results: CompareResults, folder: Path | None) -> None:
        """Attach ``curves``."""
        if results.curves_file is not None:
            with self.retrieved.base.repository.open(results.curves_file, "rb") as handle:
                self.out("curves", orm.SinglefileData(handle, filename=results.curves_file))
