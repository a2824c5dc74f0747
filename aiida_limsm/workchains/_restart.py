"""Restart logic shared by the workchains around one restartable ``limsm`` job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import BaseRestartWorkChain, ProcessHandlerReport, process_handler, while_

from aiida_limsm.calculations.base import EXIT_CODES
from aiida_limsm.compute.base import LOG_FILENAME, Status

from ._protocol import LimsmProtocolMixin, code_options, load_code


def fill_job(
    job: Any,
    code: orm.AbstractCode | str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Any],
    options: Mapping[str, Any] | None,
) -> None:
    """Set code, parameters and options of one job's namespace of a builder."""
    code = load_code(code)
    job.code = code
    job.parameters = orm.Dict(dict(parameters))
    job.metadata = {"options": code_options(code, inputs["options"], options)}


class LimsmRestartWorkChain(LimsmProtocolMixin, BaseRestartWorkChain):
    """Continues a job from its folder as long as it stops for want of time.

    A subclass exposes the inputs of its ``_process_class`` in the namespace ``JOB_NAMESPACE``.
    """

    JOB_NAMESPACE: str
    #: Start of a line of the log (a regular expression) that a job writes with a checkpoint of its
    #: own; None where a killed job starts anew.
    CHECKPOINT_LINE: str | None = None
    _process_class: Any

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare the plain outline: the job, again while it has to be continued."""
        super().define(spec)
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.exit_code(310, "ERROR_JOB_FAILED", message="{label}<{pk}>: {reason}")

    @classmethod
    def start_builder(
        cls, code: orm.AbstractCode | str, inputs: Mapping[str, Any], options: Any
    ) -> Any:
        """Return a builder with code, parameters and options of the job from a protocol."""
        builder: Any = cls.get_builder()
        fill_job(builder[cls.JOB_NAMESPACE], code, inputs[cls.JOB_NAMESPACE], inputs, options)
        builder.max_iterations = orm.Int(inputs["max_iterations"])
        return builder

    def setup(self) -> None:
        """Collect the inputs of the first job."""
        super().setup()
        self.ctx.inputs = AttributeDict(
            self.exposed_inputs(self._process_class, self.JOB_NAMESPACE)
        )

    @process_handler(priority=500)
    def handle_out_of_walltime(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Continue a job that stopped itself; its folder holds the checkpoint."""
        if calculation.exit_status != EXIT_CODES[Status.OUT_OF_WALLTIME]:
            return None
        self.ctx.inputs.parent_folder = calculation.outputs.remote_folder
        self.report(f"{calculation.process_label}<{calculation.pk}> ran out of time: continuing it")
        return ProcessHandlerReport(True)

    @process_handler(priority=450)
    def handle_killed(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Continue a job that was killed after it had got on, or repeat it, once in a row."""
        if not self._was_killed(calculation):
            return None
        label = f"{calculation.process_label}<{calculation.pk}>"
        if self._got_on(calculation):
            self.ctx.inputs.parent_folder = calculation.outputs.remote_folder
            self.report(f"{label} was killed: continuing it")
            return ProcessHandlerReport(True)
        before = self.ctx.children[self.ctx.iteration - 2] if self.ctx.iteration > 1 else None
        if before is None or not self._was_killed(before) or self._got_on(before):
            # a node that failed: parent_folder is still where this job began
            self.report(f"{label} was killed before a checkpoint of its own: once more")
            return ProcessHandlerReport(True)
        # twice is no accident: that is for a person to look at
        self.ctx.is_finished = True
        return ProcessHandlerReport(
            True,
            self.exit_codes.ERROR_JOB_FAILED.format(
                label=calculation.process_label,
                pk=calculation.pk,
                reason="the second job in a row that was killed before a checkpoint of its own, or "
                f"never started; see `verdi process report {calculation.pk}` and stderr.txt",
            ),
        )

    def _was_killed(self, calculation: orm.CalcJobNode) -> bool:
        status: int = self._process_class.exit_codes.ERROR_NO_RESULTS.status
        return calculation.exit_status == status

    def _got_on(self, calculation: orm.CalcJobNode) -> bool:
        if self.CHECKPOINT_LINE is None:
            return False
        try:
            log = calculation.outputs.retrieved.base.repository.get_object_content(LOG_FILENAME)
        except OSError:
            return False
        return any(re.match(self.CHECKPOINT_LINE, line) for line in log.splitlines())

    @process_handler(priority=400)
    def handle_unrecoverable(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Stop at once where trying again cannot help, with the job's own words."""
        status = calculation.exit_status
        if calculation.is_finished_ok or status is None or not 310 <= status < 400:
            return None
        self.report(f"{calculation.process_label}<{calculation.pk}>: {calculation.exit_message}")
        self._attach_what_there_is(calculation)
        # or in the last allowed iteration AiiDA's own "maximum exceeded" would hide the reason
        self.ctx.is_finished = True
        return ProcessHandlerReport(
            True,
            self.exit_codes.ERROR_JOB_FAILED.format(
                label=calculation.process_label, pk=calculation.pk, reason=calculation.exit_message
            ),
        )

    def _attach_what_there_is(self, calculation: orm.CalcJobNode) -> None:
        """Expose outputs of a failed job too: nothing computed is lost."""
        outputs: dict[str, Any] = self.exposed_outputs(calculation, self._process_class)
        self.out_many(outputs)
