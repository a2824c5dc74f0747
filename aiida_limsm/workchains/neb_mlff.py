"""MlffNebWorkChain: one path with one potential, continued after the walltime."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessHandlerReport, process_handler

from aiida_limsm.calculations.base import EXIT_CODES
from aiida_limsm.calculations.neb import MlffNebCalculation
from aiida_limsm.compute.base import Status
from aiida_limsm.data.potential import PotentialData

from ._restart import LimsmRestartWorkChain, fill_job


class MlffNebWorkChain(LimsmRestartWorkChain):
    """``limsm neb`` until the band has converged, whatever the queue's walltime."""

    PROTOCOL_NAME = "neb"
    JOB_NAMESPACE = "mlff"
    _process_class = MlffNebCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.expose_inputs(MlffNebCalculation, namespace="mlff", exclude=("parent_folder",))
        spec.expose_outputs(MlffNebCalculation, include=("path", "output_parameters"))
        spec.exit_code(
            420, "ERROR_NOT_CONVERGED", message="{label}<{pk}>: {reason}; the path is in `path`."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        images: orm.TrajectoryData | None = None,
        potential: PotentialData | None = None,
        *,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        code
            The ``limsm`` code (node or label).
        images, potential
            End points or a whole path, and the force field; may be set on the builder later.
        protocol, overrides, options
            As for the other workchains.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        builder: Any = cls.get_builder()
        fields = {"n_images": inputs["n_images"], "relax_ends": inputs["relax_ends"]}
        if images is not None and len(images.get_stepids()) > 2:
            del fields["n_images"]
        fill_job(
            builder.mlff,
            code,
            {**fields, **inputs["mlff"]},
            {"options": inputs["mlff_options"]},
            options,
        )
        builder.max_iterations = orm.Int(inputs["max_iterations"])
        if images is not None:
            builder.mlff.images = images
        if potential is not None:
            builder.mlff.potential = potential
        return builder

    @process_handler(priority=450)
    def handle_not_converged(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Stop with the path so far: who asked for so many steps decides whether to go on."""
        if calculation.exit_status != EXIT_CODES[Status.NOT_CONVERGED]:
            return None
        self._attach_what_there_is(calculation)
        # else the number of iterations would be blamed where this was the last allowed
        self.ctx.is_finished = True
        return ProcessHandlerReport(
            True,
            self.exit_codes.ERROR_NOT_CONVERGED.format(
                label=calculation.process_label, pk=calculation.pk, reason=calculation.exit_message
            ),
        )
