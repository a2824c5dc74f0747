"""What AimdWorkChain does when a job of pw.x ends, for every way in which it can end.

How a job ended is read from pw.x's own text, where whole frames are counted too: aiida-
quantumespresso's exit codes call an SCF that failed inside the MD a success. The exit code only
says what pw.x cannot: memory, monitors, the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiida import orm
from aiida.engine import (
    BaseRestartWorkChain,
    ExitCode,
    ProcessHandlerReport,
    process_handler,
)
from aiida.plugins import CalculationFactory

from aiida_limsm.calculations.monitors import RUNAWAY, SCF_STUCK
from aiida_limsm.trajectory.pw_output import Ending

PwCalculation: Any = CalculationFactory("quantumespresso.pw")
_CODES = PwCalculation.exit_codes

#: What is tried one after the other when an SCF does not converge (changes of ELECTRONS): less
#: of the new density, then a mixing that fits inhomogeneous cells, then patience and a slow but
#: stable diagonalisation.
SCF_REMEDIES: tuple[dict[str, Any], ...] = (
    {"mixing_beta": 0.2, "electron_maxstep": 200},
    {"mixing_beta": 0.1, "mixing_mode": "local-TF", "electron_maxstep": 300},
    {"mixing_beta": 0.05, "mixing_ndim": 16, "diagonalization": "cg", "electron_maxstep": 500},
)
#: Tried when the diagonalisation breaks down.
DIAGONALISATIONS = ("cg", "paro")
_DIAGONALISATION_CODES = {
    _CODES.ERROR_COMPUTING_CHOLESKY.status,
    _CODES.ERROR_DIAGONALIZATION_TOO_MANY_BANDS_NOT_CONVERGED.status,
    _CODES.ERROR_S_MATRIX_NOT_POSITIVE_DEFINITE.status,
    _CODES.ERROR_ZHEGVD_FAILED.status,
    _CODES.ERROR_QR_FAILED.status,
    _CODES.ERROR_EIGENVECTOR_CONVERGENCE.status,
    _CODES.ERROR_BROYDEN_FACTORIZATION.status,
}
_SCHEDULER_CODES = {
    _CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME.status,
    _CODES.ERROR_SCHEDULER_NODE_FAILURE.status,
}
#: What programs, libraries, kernels and schedulers write when memory is exhausted.
_MEMORY_WORDS = (
    "out of memory",
    "out-of-memory",
    "oom-kill",
    "oom_kill",
    "cannot allocate memory",
    "insufficient virtual memory",
    "error allocating",
    "allocation would exceed memory limit",
    "std::bad_alloc",
)
#: Occupation below which the highest band counts as empty.
_EMPTY_BAND = 0.005
#: Jobs in a row without a new frame after which it is hopeless.
MAX_BARREN = 3


class AimdHandlers(BaseRestartWorkChain):
    """The process handlers of AimdWorkChain, in order of priority.

    ``ctx.ending``, ``ctx.message`` and ``ctx.new_frames`` describe the last job, ``ctx.done`` the
    frames so far. A handler sets ``ctx.resume``: ``start``, ``continue`` (full restart from the
    folder) or ``velocities`` (from the last whole frame).
    """

    def _go_on(self, how: str, action: str) -> ProcessHandlerReport:
        self.ctx.resume = how if self.ctx.done else "start"
        self.report(f"{self.ctx.message}: {action}")
        return ProcessHandlerReport(True)

    def _give_up(self, code: ExitCode, **values: Any) -> ProcessHandlerReport:
        return ProcessHandlerReport(
            True,
            code.format(frames=self.ctx.done, steps=self._steps_in_all(), **values),
        )

    def _steps_in_all(self) -> int:
        return int(self.inputs.equilibration_steps.value + self.inputs.steps.value)

    @process_handler(priority=900)
    def handle_runaway(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Stop a run whose temperature or energy explodes: going on cannot help."""
        message = monitor_message(calculation)
        if self.ctx.runaway:
            reason = self.ctx.runaway
            self._remark(f"{reason}: the last frames are no reference")
        elif message.startswith(RUNAWAY):
            reason = message
        elif self.ctx.ending == Ending.UNREADABLE.value:
            reason = self.ctx.message
        else:
            return None
        return self._give_up(self.exit_codes.ERROR_RUNAWAY, reason=reason)

    @process_handler(priority=890)
    def handle_other_monitors(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Respect a stop by a monitor of the user's."""
        message = monitor_message(calculation)
        if not message or message.startswith(SCF_STUCK):
            return None
        return self._give_up(self.exit_codes.ERROR_STOPPED_BY_MONITOR, reason=message)

    @process_handler(priority=800)
    def handle_insufficient_bands(
        self, calculation: orm.CalcJobNode
    ) -> ProcessHandlerReport | None:
        """Add bands where the highest one is occupied, and go on: never from the start again."""
        system = calculation.inputs.parameters.get_dict().get("SYSTEM", {})
        if system.get("occupations") == "fixed" or "output_band" not in calculation.outputs:
            return None
        highest = calculation.outputs.output_band.get_array("occupations")[..., -1].max()
        if highest < _EMPTY_BAND:
            return None
        bands = calculation.outputs.output_parameters.get_dict()["number_of_bands"]
        more = bands + max(4, bands // 20)
        self.ctx.changes.setdefault("SYSTEM", {})["nbnd"] = more
        self._remark(
            f"the highest of {bands} bands was occupied ({highest:.3f}) up to frame "
            f"{self.ctx.done}; {more} bands from there on"
        )
        if self.ctx.done >= self._steps_in_all():
            return None
        return self._go_on("velocities", f"continuing with {more} bands instead of {bands}")

    @process_handler(priority=750)
    def handle_all_done(self, _: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """End with the last frame, however the job that gave it ended."""
        self.ctx.is_finished = self.ctx.done >= self._steps_in_all()
        return ProcessHandlerReport(True) if self.ctx.is_finished else None

    @process_handler(priority=700)
    def handle_finished(self, _: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on with the next segment when all steps of a job were done."""
        if self.ctx.ending != Ending.FINISHED.value or not self.ctx.new_frames:
            return None
        return self._go_on("continue", "next segment")

    @process_handler(priority=650)
    def handle_out_of_walltime(self, _: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Continue a job that stopped itself in time; its folder holds everything."""
        if self.ctx.ending != Ending.OUT_OF_TIME.value:
            return None
        if self.ctx.barren >= MAX_BARREN:
            return self._give_up(self.exit_codes.ERROR_WALLTIME_TOO_SHORT)
        return self._go_on("continue", "continuing from its folder")

    @process_handler(priority=610)
    def handle_fermi_level(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Stop where the smearing has no unique Fermi level: no mixing can cure that.

        Another smearing would, but frames before and after it would not be one reference.
        """
        stopped = monitor_message(calculation)
        if self.ctx.ending != Ending.FERMI_LEVEL.value and not (stopped and self.ctx.wrong_charge):
            return None
        if stopped:
            self.ctx.message = f"{stopped} ({self.ctx.wrong_charge})"
        smearing = calculation.inputs.parameters.get_dict()["SYSTEM"].get("smearing", "gaussian")
        return self._give_up(
            self.exit_codes.ERROR_NO_FERMI_LEVEL, smearing=smearing, reason=self.ctx.message
        )

    @process_handler(priority=600)
    def handle_scf_failed(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Try the frame again with another mixing when its SCF failed or is stuck."""
        message = monitor_message(calculation)
        stuck = message.startswith(SCF_STUCK)
        if self.ctx.ending != Ending.SCF_FAILED.value and not stuck:
            return None
        if stuck:
            self.ctx.message = message
        return self._try_next(SCF_REMEDIES, "scf_attempts", self.exit_codes.ERROR_SCF_NOT_CONVERGED)

    @process_handler(priority=550)
    def handle_diagonalisation(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Try another algorithm when the diagonalisation broke down."""
        if calculation.exit_status not in _DIAGONALISATION_CODES:
            return None
        # of the run and not of the last job, which may have had a remedy already
        own = self.inputs.pw.parameters.get_dict().get("ELECTRONS", {}).get("diagonalization")
        remedies = tuple({"diagonalization": name} for name in DIAGONALISATIONS if name != own)
        return self._try_next(
            remedies, "diagonalisations", self.exit_codes.ERROR_DIAGONALISATION_FAILED
        )

    def _try_next(
        self, remedies: tuple[dict[str, Any], ...], counter: str, hopeless: ExitCode
    ) -> ProcessHandlerReport:
        """Take the next remedy; the count starts again when a frame was won."""
        tried = 0 if self.ctx.new_frames else self.ctx.get(counter, 0)
        if tried >= len(remedies):
            return self._give_up(hopeless, reason=self.ctx.message)
        self.ctx[counter] = tried + 1
        self.ctx.changes["ELECTRONS"] = dict(remedies[tried])
        changed = ", ".join(f"{key} = {value}" for key, value in remedies[tried].items())
        return self._go_on("velocities", f"trying the last frame again with {changed}")

    @process_handler(priority=500)
    def handle_out_of_memory(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Say so when memory was short: at once, unless the job got on until then."""
        short = calculation.exit_status == _CODES.ERROR_SCHEDULER_OUT_OF_MEMORY.status
        if not short and (line := memory_complaint(calculation)):
            short, self.ctx.message = True, line
        if not short:
            return None
        if not self.ctx.new_frames:
            return self._give_up(self.exit_codes.ERROR_OUT_OF_MEMORY, reason=self.ctx.message)
        return self._go_on("velocities", "out of memory after new frames, restarting")

    @process_handler(priority=100)
    def handle_interrupted(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Restart from the last whole frame whatever else cut a job off."""
        reason = self.ctx.message
        if not self.ctx.version_seen:
            last = list(_last_lines(calculation))[-1:]
            reason = f"pw.x did not start: {last[0].strip() if last else 'it printed nothing'}"
        elif calculation.exit_status:
            reason = f"{reason} ({str(calculation.exit_message).rstrip('.')})"
        # A first job that cannot start, or stops with an error, will do so again.
        hopeless = not self.ctx.done and (
            self.ctx.ending == Ending.ERROR.value
            or not (self.ctx.version_seen or calculation.exit_status in _SCHEDULER_CODES)
        )
        if hopeless or self.ctx.barren >= MAX_BARREN:
            return self._give_up(self.exit_codes.ERROR_NO_PROGRESS, reason=reason)
        if calculation.exit_status == _CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME.status:
            # pw.x looks at the clock between SCF cycles only: leave it more time to stop
            self.ctx.time_share *= 0.9
        return self._go_on("velocities", "restarting from the last whole frame")

    def _remark(self, text: str) -> None:
        self.ctx.remarks = [*self.ctx.remarks, text]
        self.report(text)


def monitor_message(calculation: orm.CalcJobNode) -> str:
    """Return why a monitor stopped a job, or nothing where none did."""
    stopped = calculation.exit_status == _CODES.STOPPED_BY_MONITOR.status
    return str(calculation.exit_message) if stopped else ""


def memory_complaint(calculation: orm.CalcJobNode) -> str | None:
    """Return the line in which a job says that it ran out of memory, or None."""
    found = [
        line.strip()
        for line in _last_lines(calculation)
        if any(word in line.lower() for word in _MEMORY_WORDS)
    ]
    return found[-1] if found else None


def _last_lines(calculation: orm.CalcJobNode, count: int = 200) -> Iterator[str]:
    """Yield the ends of what a job and its scheduler wrote."""
    if "retrieved" not in calculation.outputs:
        return
    repository = calculation.outputs.retrieved.base.repository
    names = set(repository.list_object_names())
    for option in ("scheduler_stderr", "scheduler_stdout", "output_filename"):
        name = calculation.get_option(option)
        if name in names:
            yield from repository.get_object_content(name, "r").splitlines()[-count:]
