"""Protocols and options shared by the workchains."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida_quantumespresso.workflows.protocols.utils import ProtocolMixin, recursive_merge

__all__ = [
    "LimsmProtocolMixin",
    "code_options",
    "load_code",
    "outputs_of",
    "recursive_merge",
    "run_calcfunction",
]


class LimsmProtocolMixin(ProtocolMixin):
    """Protocols fast, balanced and stringent from ``protocols/<name>.yaml``."""

    PROTOCOL_NAME: str

    @classmethod
    def get_protocol_filepath(cls) -> pathlib.Path:
        """Return the YAML of this workchain."""
        return pathlib.Path(__file__).parent / "protocols" / f"{cls.PROTOCOL_NAME}.yaml"

    @classmethod
    def get_protocol_inputs(
        cls,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | pathlib.Path | None = None,
    ) -> dict[str, Any]:
        """Return the inputs of a protocol.

        Raises
        ------
        ValueError
            For an unknown protocol; names those that there are.
        """
        known = cls.get_available_protocols()
        if protocol is not None and protocol not in known and cls._check_if_alias(protocol) is None:
            raise ValueError(f"unknown protocol '{protocol}': choose one of {', '.join(known)}")
        inputs: dict[str, Any] = super().get_protocol_inputs(protocol, overrides)
        return inputs


def run_calcfunction(function: Any, label: str, *args: Any, **kwargs: Any) -> Any:
    """Run a calcfunction under a call link label, by which the trace and the report find it."""
    return function(*args, metadata={"call_link_label": label}, **kwargs)


def outputs_of(node: orm.ProcessNode, namespace: str) -> dict[str, Any]:
    """Return a namespace of outputs of a process, empty where it has none."""
    return dict(node.outputs[namespace].items()) if namespace in node.outputs else {}


def load_code(code: orm.AbstractCode | str) -> orm.AbstractCode:
    """Return a code given as a node or as ``label@computer``."""
    return orm.load_code(code) if isinstance(code, str) else code


def code_options(
    code: orm.AbstractCode, options: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return job options that fit a code: user's over protocol's, one rank by default.

    A code declared without MPI and an option ``withmpi: True`` make AiiDA except, so the code's
    own word wins.
    """
    merged: dict[str, Any] = recursive_merge(dict(options), dict(extra or {}))
    merged.setdefault("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
    if code.with_mpi is not None:
        merged["withmpi"] = bool(code.with_mpi)
    return merged
