"""The one way our parsers read ``results.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode
from aiida.parsers import Parser
from pydantic import ValidationError

from aiida_limsm.calculations.base import EXIT_CODES
from aiida_limsm.compute.base import RESULTS_FILENAME, JobResults, Status, first_error


class LimsmParser(Parser):
    """Base of the parsers: status to exit code, files to nodes."""

    RESULTS_MODEL: ClassVar[type[JobResults]]
    CACHE_VERSION = 1

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Read the results with the model that wrote them and attach the outputs.

        Outputs are attached whatever the status: nothing computed is lost.
        """
        try:
            text = self._read(RESULTS_FILENAME)
            results = self.RESULTS_MODEL.model_validate_json(text)
        except (OSError, ValidationError) as error:
            if isinstance(error, ValidationError):
                self.logger.error(f"{RESULTS_FILENAME}: {first_error(error)}")
            else:
                self._log_stderr()
            return self.exit_codes.ERROR_NO_RESULTS
        for warning in results.warnings:
            self.logger.warning(warning)
        self.out("output_parameters", orm.Dict(self.plain(results)))
        folder = kwargs.get("retrieved_temporary_folder")
        try:
            self.attach(results, Path(folder) if folder else None)
        except (OSError, ValueError) as error:
            return self.exit_codes.ERROR_OUTPUT_FILE.format(reason=error)
        if results.status is Status.FINISHED:
            return None
        return ExitCode(
            EXIT_CODES[results.status],
            results.message,
            invalidates_cache=getattr(
                self.exit_codes, f"ERROR_{results.status.name}"
            ).invalidates_cache,
        )

    @staticmethod
    def plain(results: JobResults) -> dict[str, Any]:
        """Return what goes into ``output_parameters``."""
        return results.model_dump(mode="json", by_alias=True)

    def attach(self, results: Any, folder: Path | None) -> None:
        """Create the output nodes from the results and the temporarily retrieved files."""
        raise NotImplementedError

    def _read(self, name: str) -> str:
        return self.retrieved.base.repository.get_object_content(name, "r")

    def _log_stderr(self) -> None:
        """Show the end of stderr: a job that left no results mostly says there why."""
        try:
            text = self._read("stderr.txt")
        except OSError:
            return
        if lines := [line for line in text.splitlines() if line.strip()]:
            self.logger.error(lines[-1])
