"""MolecularDynamicsWorkChain: MLFF MD, continued until the asked length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from aiida import orm
from aiida.engine import ExitCode

from aiida_limsm.calculations.equilibration import check_equilibration
from aiida_limsm.calculations.md import MolecularDynamicsCalculation, stays_remote
from aiida_limsm.data.potential import PotentialData

from ._protocol import run_calcfunction
from ._restart import LimsmRestartWorkChain

FS_PER_NS = 1e6


class MolecularDynamicsWorkChain(LimsmRestartWorkChain):
    """One trajectory of one cell at one temperature, whatever the queue's walltime."""

    PROTOCOL_NAME = "md"
    JOB_NAMESPACE = "md"
    # of workers side by side only their starts are in the log
    CHECKPOINT_LINE = r"(\S+  )?step \d|group \d"
    _process_class = MolecularDynamicsCalculation

    @classmethod
    def define(cls, spec: Any) -> None:
        """Declare inputs, outline and outputs."""
        super().define(spec)
        spec.expose_inputs(MolecularDynamicsCalculation, namespace="md", exclude=("parent_folder",))
        spec.inputs.validator = validate_md
        spec.expose_outputs(
            MolecularDynamicsCalculation,
            include=("trajectory", "mobile", "runs", "output_parameters"),
        )
        spec.output(
            "equilibration",
            valid_type=orm.Dict,
            required=False,
            help="Temperature and potential energy of the two halves, and warnings.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode | str,
        structure: orm.StructureData | None = None,
        potential: PotentialData | None = None,
        *,
        temperature_k: float | None = None,
        length_ns: float | None = None,
        store: Literal["repository", "remote"] | None = None,
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
        length_ns
            Length of the production, kept as the ``steps`` that reach it; the protocol's where
            None.
        store
            Whether trajectories are copied into AiiDA's repository (the default) or stay in the
            folder of the job, where :class:`.markov.MarkovWorkChain` reads them.
        protocol, overrides, options
            As for the other workchains.

        Raises
        ------
        ValueError
            For an unknown protocol, or a length that is not positive.
        """
        inputs = cls.get_protocol_inputs(protocol, overrides)
        if temperature_k is not None:
            inputs["md"]["temperature_k"] = temperature_k
        if length_ns is not None:
            inputs["md"]["steps"] = steps_of(length_ns, inputs["md"])
        builder = cls.start_builder(code, inputs, options)
        if store is not None:
            builder.md.store = orm.Str(store)
        if structure is not None:
            builder.md.structure = structure
        if potential is not None:
            builder.md.potential = potential
        return builder

    def results(self) -> ExitCode | None:
        """Attach the outputs, and say whether the halves of the run differ."""
        failed = super().results()
        if failed is not None:
            return failed
        job = self.ctx.children[self.ctx.iteration - 1]
        found = run_calcfunction(check_equilibration, "equilibration", job.outputs.retrieved)
        for warning in found["warnings"]:
            self.report(f"warning: {warning}")
        self.out("equilibration", found)
        return None


def steps_of(length_ns: float, md: Mapping[str, Any]) -> int:
    """Return the steps of a length, rounded up to whole frames.

    Parameters
    ----------
    length_ns
        Length of the production.
    md
        Fields of the job: ``time_step_fs`` and ``frame_interval_steps``.
    """
    if not length_ns > 0 or not math.isfinite(length_ns):
        raise ValueError(f"length_ns: must be positive, not {length_ns}")
    interval = int(md["frame_interval_steps"])
    # 1 ns in frames of 0.1 ps is 10000, not 10001 for rounding
    frames = math.ceil(length_ns * FS_PER_NS / (md["time_step_fs"] * interval) * (1 - 1e-12))
    return max(frames, 1) * interval


def validate_md(inputs: Any, _: Any) -> str | None:
    """Refuse to clean the folders in which trajectories are to stay."""
    clean = inputs.get("clean_workdir")
    if clean is not None and clean.value and stays_remote(inputs.get("md", {})):
        return "clean_workdir: would remove the trajectories that store 'remote' leaves there"
    return None
