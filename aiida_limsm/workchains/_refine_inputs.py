"""Inputs of RefineWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiida import orm
from pydantic import ValidationError

from aiida_limsm.calculations._labelled import read_labelled, shared_settings
from aiida_limsm.calculations.dft_settings import dft_settings, differing_settings, k_point_settings
from aiida_limsm.compute.base import first_error
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.train_inputs import check_head
from aiida_limsm.data.potential import PotentialData

from ._label_inputs import own_pseudos, validate_label
from ._reference_inputs import plain
from ._restart import fill_job
from .finetune import FineTuneWorkChain
from .label import LabelWorkChain
from .md import MolecularDynamicsWorkChain

if TYPE_CHECKING:
    from .refine import RefineWorkChain

#: Arguments of build_dataset, and the beginning of what the rounds add: no names for sources.
_TAKEN = ("parameters", "isolated_atoms")
ROUND = "round_"


def validate_refine(inputs: Any, _: Any) -> str | None:
    """Port validator: everything that can be known to fail before a job is submitted."""
    try:
        _check(inputs)
    except ValueError as error:
        return str(error)
    return None


def _check(inputs: Any) -> None:
    if inputs["max_rounds"].value < 1:
        raise ValueError("max_rounds: give at least 1")
    if inputs["finetune"]["committee"].value < 2:
        raise ValueError("finetune.committee: a spread needs at least 2 potentials")
    structure, sources = inputs["structure"], inputs["sources"]
    if not sources:
        raise ValueError("sources: give the labelled frames to begin with")
    for name in sources:
        if name in _TAKEN or name.startswith(ROUND):
            raise ValueError(f"sources: the name '{name}' is taken, choose another")
    reference = shared_settings([read_labelled(name, sources[name]) for name in sorted(sources)])
    known = {symbol for node in sources.values() for symbol in node.symbols}
    if missing := sorted(structure.get_symbols_set() - known):
        raise ValueError(
            f"structure: no frame of the sources holds {', '.join(missing)}: label some first"
        )
    _check_energy_zero(inputs, known)
    if (foundation := inputs["finetune"].get("foundation")) is not None:
        foundation.check_elements(known)
        train = inputs["finetune"]["train"]["parameters"].get_dict()
        check_head(train.get("foundation_head"), foundation.heads)
    md = inputs["md"]["md"]
    if "store" in md and md["store"].value == "remote":
        raise ValueError("md.store: 'remote' keeps frames out of reach of labels: leave it out")
    _check_md(md["parameters"].get_dict())
    _check_labels(inputs["label"], structure, reference)


def _check_energy_zero(inputs: Any, elements: set[str]) -> None:
    isolated = inputs["dataset_parameters"].get_dict().get("e0s", "isolated") == "isolated"
    if isolated != ("isolated_atoms" in inputs):
        raise ValueError(
            "isolated_atoms: missing; give them, or e0s='fitted' for the dataset"
            if isolated
            else "isolated_atoms: not used with e0s='fitted'; leave them out"
        )
    if isolated and (missing := sorted(elements - set(inputs["isolated_atoms"].get_dict()))):
        raise ValueError(f"isolated_atoms: no energy of {', '.join(missing)}")


def _check_md(parameters: Mapping[str, Any]) -> None:
    try:
        job = MdInput.model_validate({"committee_files": ("other.model",), **parameters})
    except ValidationError as error:
        raise ValueError(f"md: {first_error(error)}") from None
    if job.replicas > 1 or job.more_temperatures_k:
        raise ValueError("md: one run at one temperature; leave out replicas, more_temperatures_k")


def _check_labels(label: Any, structure: orm.StructureData, reference: Mapping[str, Any]) -> None:
    """Refuse what pw.x would refuse, and labels that would be no reference with the sources."""
    if message := validate_label({**label, "structures": {"frame": structure}}, None):
        raise ValueError(f"label: {message}")
    base = label["base"]
    if "kpoints_distance" in base:
        offset = label["kpoints_offset"].get_list() if "kpoints_offset" in label else [0.0] * 3
        k_points = k_point_settings(orm.KpointsData(), base["kpoints_distance"], offset)
    else:
        k_points = k_point_settings(base["kpoints"])
    pseudos = own_pseudos(structure, label["pseudos"])
    settings = dft_settings(
        base["pw"]["parameters"].get_dict(),
        k_points,
        {pseudo.element: pseudo for pseudo in pseudos.values()},
        # what pw.x will print follows from the pseudopotentials
        reference.get("functional"),
    )
    if differing := differing_settings(reference, settings):
        raise ValueError(
            f"label: differs from the DFT of the sources in {', '.join(differing)}: their "
            "energies cannot be one reference"
        )


def fill_builder(
    process_class: type[RefineWorkChain],
    pw_code: orm.AbstractCode | str,
    limsm_code: orm.AbstractCode | str,
    structure: orm.StructureData,
    sources: Mapping[str, orm.TrajectoryData],
    foundation: PotentialData | None,
    *,
    isolated_atoms: orm.Dict | None,
    temperature_k: float | None,
    protocol: str | None,
    overrides: dict[str, Any] | None,
    options: dict[str, Any] | None,
) -> Any:
    """Return a builder; see :meth:`RefineWorkChain.get_builder_from_protocol`."""
    inputs = process_class.get_protocol_inputs(protocol, overrides)

    def common(name: str) -> dict[str, Any]:
        return {"protocol": protocol, "overrides": inputs[name], "options": options}

    builder: Any = process_class.get_builder()
    builder.structure = structure
    builder.sources = dict(sources)
    if isolated_atoms is not None:
        builder.isolated_atoms = isolated_atoms
    builder.dataset_parameters = orm.Dict(
        {"e0s": "fitted" if isolated_atoms is None else "isolated", **inputs["dataset"]}
    )
    builder.max_rounds = orm.Int(inputs["max_rounds"])
    builder.targets = orm.Dict(inputs["targets"])
    builder.selection = orm.Dict(inputs["selection"])
    builder.finetune = plain(
        FineTuneWorkChain.get_builder_from_protocol(
            limsm_code, foundation=foundation, **common("finetune")
        )
    )
    builder.md = plain(
        MolecularDynamicsWorkChain.get_builder_from_protocol(
            limsm_code, temperature_k=temperature_k, **common("md")
        )
    )
    fill_job(builder.spread, limsm_code, inputs["spread"], inputs, options)
    label = LabelWorkChain.get_builder_from_protocol(pw_code, [structure], **common("label"))
    label.pop("structures", None)
    builder.label = plain(label)
    return builder
