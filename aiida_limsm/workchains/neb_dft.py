"""DftNebWorkChain: neb.x that stops itself before its walltime and goes on where it was."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessHandlerReport, process_handler
from aiida.plugins import CalculationFactory, WorkflowFactory
from aiida_quantumespresso.common.types import RestartType

from aiida_limsm.calculations.neb_paths import PATH_FILE, dft_path

from ._protocol import code_options, recursive_merge, run_calcfunction

NebBaseWorkChain: Any = WorkflowFactory("quantumespresso.neb.base")
NebCalculation: Any = CalculationFactory("quantumespresso.neb")

#: Options of a pw.x job that a job of neb.x does not share with it.
_OPTIONS_OF_PW = ("parser_name", "input_filename", "output_filename")
#: Share of the walltime after which neb.x is to stop: the image at hand is finished first.
_SHARE_OF_WALLTIME = 0.95


def band_inputs(
    base: Any,
    code: orm.AbstractCode,
    images: orm.TrajectoryData,
    path: orm.Dict,
    *,
    ends_move: bool,
) -> dict[str, Any]:
    """Return the inputs of a band with the DFT settings of pw.x calculations.

    Parameters
    ----------
    base
        Inputs of PwBaseWorkChain.
    code
        neb.x.
    images
        Where to start.
    path
        Namelist PATH as far as the user decides it.
    ends_move
        Whether neb.x relaxes the end points too.
    """
    # neb.x writes its XML before it has forces: with tprnfor there is garbage in it, on which the
    # parser breaks
    control = {"calculation": "scf", "tprnfor": False, "tstress": False}
    options = {
        key: value for key, value in base.pw.metadata.options.items() if key not in _OPTIONS_OF_PW
    }
    keywords = {
        **{key.lower(): value for key, value in path.get_dict().items()},
        "string_method": "neb",
        "num_of_images": len(images.get_stepids()),
        "first_last_opt": ends_move,
    }
    return {
        "neb": {
            "code": code,
            "images": images,
            "parameters": orm.Dict({"PATH": keywords}),
            "pw": {
                "parameters": orm.Dict(
                    recursive_merge(base.pw.parameters.get_dict(), {"CONTROL": control})
                ),
                "pseudos": base.pw.pseudos,
            },
            "metadata": {"options": code_options(code, options)},
        }
    }


class DftNebWorkChain(NebBaseWorkChain):
    """aiida-quantumespresso's NebBaseWorkChain with a walltime, and a path whatever happens.

    neb.x stops by ``max_seconds`` within an iteration; the parser then gives no outputs, but the
    restart file holds every image. The last path with energies and forces is the output ``path``,
    also of a band that did not converge.
    """

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare the output that the base class lacks; its own are there on success only."""
        super().define(spec)
        spec.output(
            "path",
            valid_type=orm.TrajectoryData,
            required=False,
            help="Images with the arrays energies_ev and forces_ev_per_angstrom.",
        )
        for name in ("output_parameters", "output_trajectory", "output_mep"):
            spec.outputs[name].required = False

    def setup(self) -> None:
        """Have neb.x stop itself: core.direct never kills, and the killed leave no restart."""
        super().setup()
        parameters = self.ctx.inputs.parameters
        parameters.setdefault("PATH", {}).setdefault("restart_mode", "from_scratch")
        limit = self.ctx.inputs.metadata.options.get("max_wallclock_seconds", None)
        if limit is not None:
            control = self.ctx.inputs.pw.parameters["CONTROL"]
            control.setdefault("max_seconds", _SHARE_OF_WALLTIME * limit)

    @process_handler(priority=580, exit_codes=[NebCalculation.exit_codes.ERROR_OUT_OF_WALLTIME])
    def handle_out_of_walltime(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on from the restart file."""
        self.set_restart_type(RestartType.FULL, calculation.outputs.remote_folder)
        self.report_error_handled(calculation, "continuing from its restart file")
        return ProcessHandlerReport(True)

    def inspect_process(self) -> ExitCode | None:
        """Attach the last path before whatever ends the workchain."""
        ending: ExitCode | None = super().inspect_process()
        if ending is not None and ending.status:
            self._attach_path()
        return ending

    def results(self) -> ExitCode | None:
        """Attach the path beside the outputs of neb.x."""
        ending: ExitCode | None = super().results()
        self._attach_path()
        return ending

    def _attach_path(self) -> None:
        """Make a path of the restart file of the last job that wrote one."""
        for calculation in reversed(self.ctx.get("children", [])):
            if "retrieved" not in calculation.outputs:
                continue
            retrieved = calculation.outputs.retrieved
            if PATH_FILE not in retrieved.base.repository.list_object_names():
                continue
            try:
                path = run_calcfunction(dft_path, "dft_path", retrieved, self.inputs.neb.images)
            except ValueError as error:
                self.report(str(error))
                continue
            self.out("path", path)
            return
