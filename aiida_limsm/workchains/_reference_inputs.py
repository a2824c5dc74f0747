"""Inputs of ReferenceWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from aiida import orm

from ._aimd_inputs import validate_aimd
from ._label_inputs import named_structures, own_pseudos
from .aimd import AimdWorkChain
from .isolated_atoms import IsolatedAtomsWorkChain
from .label import LabelWorkChain

if TYPE_CHECKING:
    from .reference import ReferenceWorkChain

CUTOFFS = ("ecutwfc", "ecutrho")


def temperature_label(temperature_k: float) -> str:
    """Return a name that AiiDA accepts as a link label, such as ``T650K`` or ``T298_15K``."""
    return f"T{temperature_k:g}K".replace(".", "_")


def check_temperatures(temperatures_k: Sequence[float]) -> None:
    """Check a list of temperatures.

    Raises
    ------
    ValueError
        With one line that names the remedy.
    """
    if not temperatures_k or any(not 0 < float(t) < 5000 for t in temperatures_k):
        raise ValueError("temperatures: give temperatures in K, between 0 and 5000")
    if len(set(temperatures_k)) != len(temperatures_k):
        raise ValueError("temperatures: each only once; ask for replicas instead")


def validate_reference(inputs: Any, _: Any) -> str | None:
    """Port validator: everything that can be known to fail before a job is submitted."""
    try:
        if "temperatures" in inputs:
            check_temperatures(inputs["temperatures"].get_list())
        # a workchain that makes the structures itself leaves them out of what it exposes
        for name, structure in sorted(inputs.get("structures", {}).items()):
            _check_run(inputs, name, structure)
        _check_energy_zero(inputs)
        _check_fit(inputs)
    except ValueError as error:
        return str(error)
    return None


def _check_run(inputs: Any, name: str, structure: orm.StructureData) -> None:
    if "pseudos" not in (pw := inputs.get("aimd", {}).get("pw", {})):
        return
    run = {
        **inputs["aimd"],
        "structure": structure,
        "pw": {**pw, "pseudos": own_pseudos(structure, pw["pseudos"])},
    }
    if message := validate_aimd(run, None):
        raise ValueError(f"structures.{name}: {message}")


def _check_energy_zero(inputs: Any) -> None:
    """Refuse an energy zero that is missing, or was computed otherwise than the labels."""
    atoms = inputs.get("isolated_atoms", {})
    if "dataset_parameters" in inputs:
        e0s = inputs["dataset_parameters"].get_dict().get("e0s", "isolated")
        if e0s == "isolated" and not atoms and inputs.get("structures"):
            raise ValueError("isolated_atoms: missing; give them, or e0s='fitted' for the dataset")
        if e0s == "fitted" and atoms:
            raise ValueError("isolated_atoms: not used with e0s='fitted'; leave them out")
    labels = inputs.get("aimd", {}).get("pw", {})
    atom_parameters = atoms.get("base", {}).get("pw", {}).get("parameters")
    if "parameters" not in labels or atom_parameters is None:
        return
    ours, theirs = (
        node.get_dict().get("SYSTEM", {}) for node in (labels["parameters"], atom_parameters)
    )
    for key in CUTOFFS:
        if ours.get(key) != theirs.get(key):
            raise ValueError(
                f"isolated_atoms: {key} is {theirs.get(key)}, the MD uses {ours.get(key)}: "
                "energies relative to the atoms need equal cutoffs"
            )
    md5s = {pseudo.md5 for pseudo in labels.get("pseudos", {}).values()}
    if not md5s <= {pseudo.md5 for pseudo in atoms.get("pseudos", {}).values()}:
        raise ValueError("isolated_atoms: the pseudopotentials are not those of the MD")


def _check_fit(inputs: Any) -> None:
    """Refuse to fit an energy zero to compositions that do not determine it."""
    structures = [
        *inputs.get("structures", {}).values(),
        *inputs.get("label", {}).get("structures", {}).values(),
    ]
    settings = inputs["dataset_parameters"].get_dict() if "dataset_parameters" in inputs else {}
    if settings.get("e0s") != "fitted" or not structures:
        return
    compositions = [structure.get_composition(mode="full") for structure in structures]
    elements = sorted({element for composition in compositions for element in composition})
    counts = [[composition.get(element, 0) for element in elements] for composition in compositions]
    if np.linalg.matrix_rank(np.array(counts)) < len(elements):
        raise ValueError(
            f"dataset_parameters: e0s='fitted' needs as many independent compositions as elements "
            f"({', '.join(elements)}): add structures, or use 'isolated'"
        )


def plain(builder: Any) -> Any:
    """Return a builder as nested dicts without what was not filled.

    A dynamic namespace does not accept another builder, and an optional namespace must not be
    there at all.
    """
    if not isinstance(builder, Mapping):
        return builder
    values = {key: plain(value) for key, value in builder.items()}
    return {
        key: value
        for key, value in values.items()
        if value is not None and not (isinstance(value, dict) and not value)
    }


def fill_builder(
    process_class: type[ReferenceWorkChain],
    code: orm.AbstractCode | str,
    structures: Mapping[str, orm.StructureData] | Sequence[orm.StructureData],
    *,
    label_structures: Mapping[str, orm.StructureData] | Sequence[orm.StructureData] = (),
    temperatures_k: Sequence[float] | None = None,
    protocol: str | None = None,
    overrides: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Return a builder of ReferenceWorkChain filled from a protocol.

    Parameters
    ----------
    process_class
        The workchain.
    code
        A pw.x code (node or label).
    structures
        Start structures of the MD, by name or in order.
    label_structures
        Structures for single points.
    temperatures_k
        Of the MD; the protocol's where None.
    protocol
        ``fast``, ``balanced`` or ``stringent``.
    overrides
        Same nesting as ``protocols/reference.yaml``.
    options
        Job options for all jobs.

    Raises
    ------
    ValueError
        For an unknown protocol or pseudopotential family, and for structures that do not fit.
    """
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    named = named_structures(structures)

    def common(name: str) -> dict[str, Any]:
        return {"protocol": protocol, "overrides": inputs[name], "options": options}

    runs = [
        AimdWorkChain.get_builder_from_protocol(code, structure, **common("aimd"))
        for structure in named.values()
    ]
    batch: Any = None
    if label_structures:
        batch = LabelWorkChain.get_builder_from_protocol(code, label_structures, **common("label"))
    # One energy zero: the highest cutoffs and the pseudopotentials of all elements, everywhere.
    jobs = [run.pw for run in runs] + ([batch.base.pw] if batch else [])
    pseudos = {kind: node for run in runs for kind, node in run.pw.pseudos.items()}
    cutoffs = {
        key: max(job.parameters.get_dict()["SYSTEM"][key] for job in jobs) for key in CUTOFFS
    }

    def with_cutoffs(parameters: orm.Dict) -> orm.Dict:
        content = parameters.get_dict()
        content["SYSTEM"].update(cutoffs)
        return orm.Dict(content)

    builder: Any = process_class.get_builder()
    builder.structures = named
    builder.temperatures = orm.List(list(temperatures_k or inputs["temperatures_k"]))
    builder.seed = orm.Int(inputs["seed"])
    builder.dataset_parameters = orm.Dict(inputs["dataset"])
    aimd = runs[0]
    for key in ("structure", "temperature", "seed"):
        aimd.pop(key, None)
    aimd.pw.pseudos = pseudos
    aimd.pw.parameters = with_cutoffs(aimd.pw.parameters)
    builder.aimd = plain(aimd)
    if batch:
        batch.base.pw.parameters = with_cutoffs(batch.base.pw.parameters)
        pseudos = {**pseudos, **batch.pseudos}
        builder.label = plain(batch)
    if inputs["dataset"].get("e0s", "isolated") == "isolated":
        atoms = IsolatedAtomsWorkChain.get_builder_from_protocol(
            code, next(iter(named.values())), **common("isolated_atoms")
        )
        atoms.pseudos = {pseudo.element: pseudo for pseudo in pseudos.values()}
        atoms.base.pw.parameters = with_cutoffs(atoms.base.pw.parameters)
        builder.isolated_atoms = plain(atoms)
    return builder
