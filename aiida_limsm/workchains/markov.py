"""MarkovWorkChain: trajectories → sites → Markov state model → diffusion tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_limsm.calculations.markov import MarkovCalculation
from aiida_limsm.data.trajectory import MolecularDynamicsData

from ._restart import LimsmRestartWorkChain


class MarkovWorkChain(LimsmRestartWorkChain):
    """The Markov analysis of the replicas of one system at one temperature."""

    PROTOCOL_NAME = "markov"
    JOB_NAMESPACE = "analyse"
    _process_class = MarkovCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(MarkovCalculation, namespace="analyse")
        spec.expose_outputs(
            MarkovCalculation,
            include=("markov_model", "diffusion", "diffusion_msd", "output_parameters"),
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        sites: orm.StructureData | None = None,
        trajectories: Mapping[str, MolecularDynamicsData] | None = None,
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
        sites
            Structure whose mobile atoms mark every site; None where the parameters ask for sites
            from the density alone.
        trajectories
            Replicas to count together, keyed by a name.
        protocol, overrides, options
            As for the other workchains.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.start_builder(code, inputs, options)
        if sites is not None:
            builder.analyse.sites = sites
        if trajectories is not None:
            builder.analyse.trajectories = dict(trajectories)
        return builder
