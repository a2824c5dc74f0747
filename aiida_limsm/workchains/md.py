"""MolecularDynamicsWorkChain: MLFF MD, continued until the asked length."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_limsm.calculations.md import MolecularDynamicsCalculation
from aiida_limsm.data.potential import PotentialData

from ._restart import LimsmRestartWorkChain


class MolecularDynamicsWorkChain(LimsmRestartWorkChain):
    """One trajectory of one cell at one temperature, whatever the queue's walltime."""

    PROTOCOL_NAME = "md"
    JOB_NAMESPACE = "md"
    _process_class = MolecularDynamicsCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(MolecularDynamicsCalculation, namespace="md", exclude=("parent_folder",))
        spec.expose_outputs(
            MolecularDynamicsCalculation, include=("trajectory", "output_parameters")
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData | None = None,
        potential: PotentialData | None = None,
        *,
        temperature_k: float | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Any:
        """Return a builder filled from a protocol.

        Parameters
        ----------
        code
            The ``limsm`` code (node or label).
        structure, potential
            The MD cell and the force field; may be set on the builder later.
        temperature_k
            Target temperature; the protocol's where None.
        protocol, overrides, options
            As for the other workchains.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        if temperature_k is not None:
            inputs["md"]["temperature_k"] = temperature_k
        builder = cls.start_builder(code, inputs, options)
        if structure is not None:
            builder.md.structure = structure
        if potential is not None:
            builder.md.potential = potential
        return builder
