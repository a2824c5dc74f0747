"""Inputs of LabelWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiida import orm
from aiida.plugins import WorkflowFactory

from aiida_limsm.calculations.kpoints import check_mesh

from ._protocol import code_options, load_code
from ._pseudos import check_cutoffs, check_pseudos, require_pseudo_family
from ._pw_checks import check_occupations, check_pw_code, check_structure

if TYPE_CHECKING:
    from .label import LabelWorkChain

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")

#: Thresholds of a relaxation: without meaning for a single point, but in the hash of every job.
_NOT_FOR_SCF = ("etot_conv_thr", "forc_conv_thr")


def own_pseudos(structure: orm.StructureData, pseudos: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pseudopotentials of the kinds that a structure has."""
    return {kind: pseudos[kind] for kind in structure.get_kind_names() if kind in pseudos}


def _check(inputs: Any) -> None:
    if "max_concurrent" in inputs and inputs["max_concurrent"].value < 1:
        raise ValueError("max_concurrent: give at least 1")
    if "max_failed_fraction" in inputs and not 0 <= inputs["max_failed_fraction"].value <= 1:
        raise ValueError("max_failed_fraction: give a number between 0 and 1")
    base = inputs.get("base", {})
    _check_kpoints(inputs, base)
    if "parameters" in base.get("pw", {}):
        _check_parameters(base["pw"]["parameters"].get_dict())
    if "structures" in inputs and not inputs["structures"]:
        raise ValueError("structures: give at least one")
    by_element: dict[str, str] = {}
    for kind, pseudo in inputs.get("pseudos", {}).items():
        if by_element.setdefault(pseudo.element, pseudo.md5) != pseudo.md5:
            raise ValueError(
                f"pseudos: kind '{kind}' and another of {pseudo.element} differ; labels are of one "
                "reference only with one pseudopotential per element"
            )


def _check_kpoints(inputs: Any, base: Any) -> None:
    if "structures" in inputs and ("kpoints" in base) == ("kpoints_distance" in base):
        raise ValueError("base: give either kpoints or kpoints_distance")
    if "kpoints" in base and "kpoints_offset" in inputs:
        raise ValueError("kpoints_offset: goes with kpoints_distance; base.kpoints has its own")
    if "kpoints_distance" in base:
        offset = inputs["kpoints_offset"].get_list() if "kpoints_offset" in inputs else [0, 0, 0]
        check_mesh(base["kpoints_distance"].value, offset)


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    control, electrons = parameters.get("CONTROL", {}), parameters.get("ELECTRONS", {})
    if control.get("calculation", "scf") != "scf":
        raise ValueError(f"CONTROL.calculation is '{control['calculation']}', must be 'scf'")
    for key in ("tprnfor", "tstress"):
        if control.get(key) is not True:
            raise ValueError(f"CONTROL.{key} must be true: labels are energy, forces and stress")
    if electrons.get("scf_must_converge") is False or electrons.get("electron_maxstep", 100) < 1:
        raise ValueError(
            "ELECTRONS: leave out scf_must_converge and give electron_maxstep a positive number; "
            "an SCF that did not converge is no label"
        )


def input_warnings(inputs: Any) -> list[str]:
    """Return what may be wrong with a batch.

    Raises
    ------
    ValueError
        With the label of the structure and the remedy.
    """
    pw, pseudos = inputs["base"]["pw"], inputs["pseudos"]
    system = pw["parameters"].get_dict().get("SYSTEM", {})
    check_pw_code(pw["code"])
    warnings: list[str] = []
    used: dict[str, Any] = {}
    for label, structure in sorted(inputs["structures"].items()):
        own = own_pseudos(structure, pseudos)
        used |= own
        try:
            found = [*check_structure(structure), *check_occupations(structure, system)]
            check_pseudos(structure, own)
        except ValueError as error:
            raise ValueError(f"structures.{label}: {error}") from error
        warnings += [f"{label}: {text}" for text in found]
    return [*check_cutoffs(used, system), *warnings]


def validate_label(inputs: Any, _: Any) -> str | None:
    """Port validator: everything that can be known to fail before a job is submitted."""
    try:
        _check(inputs)
        # a workchain that makes the structures itself leaves them out of what it exposes
        if inputs.get("structures"):
            input_warnings(inputs)
    except ValueError as error:
        return str(error)
    return None


def fill_builder(
    process_class: type[LabelWorkChain],
    code: orm.AbstractCode | str,
    structures: Mapping[str, orm.StructureData] | Sequence[orm.StructureData],
    *,
    protocol: str | None = None,
    overrides: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Return a builder; see :meth:`LabelWorkChain.get_builder_from_protocol`."""
    code = load_code(code)
    named = named_structures(structures)
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    base_inputs = inputs["base"]
    every_kind = _every_kind(list(named.values()))
    if "pseudos" not in base_inputs["pw"]:
        require_pseudo_family(base_inputs["pseudo_family"], every_kind.get_symbols_set())
    base = PwBaseWorkChain.get_builder_from_protocol(
        code, every_kind, protocol=protocol, overrides=base_inputs
    )
    builder: Any = process_class.get_builder()
    builder.pseudos = dict(base.pw.pseudos)
    parameters = base.pw.parameters.get_dict()
    for key in _NOT_FOR_SCF:
        parameters["CONTROL"].pop(key, None)
    for key in ("structure", "pseudos"):
        base.pw.pop(key, None)
    base.pop("kpoints_force_parity", None)
    base.pw.parameters = orm.Dict(parameters)
    base.pw.metadata = {
        "options": code_options(code, base_inputs["pw"]["metadata"]["options"], options)
    }
    builder.base = base
    builder.structures = named
    if "kpoints" not in base_inputs:
        builder.kpoints_offset = orm.List(inputs["kpoints_offset"])
    builder.max_concurrent = orm.Int(inputs["max_concurrent"])
    builder.max_failed_fraction = orm.Float(inputs["max_failed_fraction"])
    return builder


def named_structures(
    structures: Mapping[str, orm.StructureData] | Sequence[orm.StructureData],
) -> dict[str, orm.StructureData]:
    """Return structures by name; those given in order are named by their number.

    Raises
    ------
    ValueError
        For no structure, or a name that AiiDA does not take as a link label.
    """
    if not isinstance(structures, Mapping):
        structures = {f"structure_{index:04d}": node for index, node in enumerate(structures)}
    if not structures:
        raise ValueError("structures: give at least one")
    for label in structures:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", label):
            raise ValueError(
                f"structures: '{label}' is no label for AiiDA; use letters, digits and single "
                "underscores, such as hot_0001"
            )
    return dict(structures)


def _every_kind(structures: Sequence[orm.StructureData]) -> orm.StructureData:
    """Return a structure with one site of every kind, for the cutoffs and pseudopotentials."""
    union = orm.StructureData(cell=structures[0].cell)
    for structure in structures:
        for kind in structure.kinds:
            if kind.name not in union.get_kind_names():
                union.append_kind(kind)
                site = next(site for site in structure.sites if site.kind_name == kind.name)
                union.append_site(site)
    return union
