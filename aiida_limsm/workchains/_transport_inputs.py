"""Inputs of LithiumTransportWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_limsm.data.potential import PotentialData

from ._pw_checks import check_supercell
from ._reference_inputs import check_temperatures, plain, validate_reference
from .finetune import FineTuneWorkChain
from .markov import MarkovWorkChain
from .md import MolecularDynamicsWorkChain
from .reference import ReferenceWorkChain

if TYPE_CHECKING:
    from .transport import LithiumTransportWorkChain


#: Name of the cell of the study among the start structures of the reference MD.
CELL = "cell"


def check_transport(
    structure: orm.StructureData,
    sites: orm.StructureData,
    foundation: PotentialData,
    mobile_species: str,
    temperatures_k: Sequence[float],
    supercell: Sequence[int],
) -> None:
    """Refuse what would fail hours later.

    Raises
    ------
    ValueError
        With one line that names the remedy.
    """
    for name, node in (("structure", structure), ("sites", sites)):
        if mobile_species not in node.get_symbols_set():
            raise ValueError(
                f"{name}: there is no {mobile_species} in {node.get_formula()}; give a structure "
                "that has the mobile species, or set mobile_species"
            )
    if not all(structure.pbc):
        raise ValueError("structure: must be periodic in all three directions")
    foundation.check_elements(structure.get_symbols_set())
    sites_cell, cell = sites.get_cell_volume(), structure.get_cell_volume()
    ratio = cell / sites_cell
    if ratio < 0.5:
        raise ValueError(
            f"sites: its cell ({sites_cell:.0f} Å³) is larger than the structure's "
            f"({cell:.0f} Å³): sites must tile the MD cell"
        )
    check_temperatures(temperatures_k)
    check_supercell(supercell)


def validate_transport(inputs: Any, _: Any) -> str | None:
    """Port validator: :func:`check_transport` on the nodes."""
    needed = ("structure", "foundation", "temperatures", "supercell")
    if any(name not in inputs for name in needed):
        return None
    mobile = species_of(inputs, "md", "md", "mobile_species")
    try:
        check_transport(
            inputs["structure"],
            inputs.get("sites", inputs["structure"]),
            inputs["foundation"],
            mobile,
            inputs["temperatures"].get_list(),
            inputs["supercell"].get_list(),
        )
        reference = {**inputs["reference"]}
        reference["structures"] = {CELL: inputs["structure"], **inputs.get("structures", {})}
        if message := validate_reference(reference, None):
            raise ValueError(f"reference: {message}")
        analysed = species_of(inputs, "markov", "analyse", "species")
        if analysed != mobile:
            raise ValueError(f"markov: analyses {analysed}, the MD has {mobile} as mobile species")
    except ValueError as error:
        return str(error)
    return None


def species_of(inputs: Any, workchain: str, job: str, name: str) -> str:
    """Return the species that a job's parameters name; lithium where they name none."""
    parameters = inputs.get(workchain, {}).get(job, {}).get("parameters")
    return str(parameters.get_dict().get(name, "Li")) if parameters else "Li"


def fill_builder(
    process_class: type[LithiumTransportWorkChain],
    pw_code: orm.AbstractCode | str,
    limsm_code: orm.AbstractCode | str,
    structure: orm.StructureData,
    foundation: PotentialData,
    *,
    sites: orm.StructureData | None = None,
    structures: Mapping[str, orm.StructureData] | None = None,
    temperatures_k: Sequence[float] | None = None,
    supercell: Sequence[int] | None = None,
    protocol: str | None = None,
    overrides: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Return a builder of LithiumTransportWorkChain filled from a protocol.

    Parameters
    ----------
    process_class
        The workchain.
    pw_code, limsm_code
        Codes of pw.x and of ``limsm`` (node or label).
    structure
        Cell of the ab initio MD.
    foundation
        MACE model to fine-tune.
    sites
        Structure whose mobile atoms mark every site; ``structure`` where None.
    structures
        Further start structures of the ab initio MD, by name.
    temperatures_k, supercell
        Of the MLFF MD; the protocol's where None.
    protocol
        ``fast``, ``balanced`` or ``stringent``.
    overrides
        Same nesting as ``protocols/transport.yaml``.
    options
        Job options for all jobs.

    Raises
    ------
    ValueError
        For an unknown protocol or pseudopotential family, and for nodes that do not fit.
    """
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    temperatures = list(temperatures_k or inputs["temperatures_k"])
    repetitions = list(supercell or inputs["supercell"])
    mobile = inputs["md"].get("md", {}).get("mobile_species", "Li")
    check_transport(structure, sites or structure, foundation, mobile, temperatures, repetitions)

    builder: Any = process_class.get_builder()
    builder.structure = structure
    if sites is not None:
        builder.sites = sites
    builder.foundation = foundation
    builder.temperatures = orm.List(temperatures)
    builder.supercell = orm.List(repetitions)
    builder.replicas = orm.Int(inputs["replicas"])

    def common(name: str) -> dict[str, Any]:
        return {"protocol": protocol, "overrides": inputs[name], "options": options}

    reference = ReferenceWorkChain.get_builder_from_protocol(
        pw_code, {CELL: structure, **(structures or {})}, **common("reference")
    )
    reference.pop("structures")
    builder.reference = plain(reference)
    if structures:
        builder.structures = dict(structures)
    builder.finetune = plain(
        FineTuneWorkChain.get_builder_from_protocol(limsm_code, **common("finetune"))
    )
    builder.md = plain(
        MolecularDynamicsWorkChain.get_builder_from_protocol(limsm_code, **common("md"))
    )
    builder.markov = plain(
        MarkovWorkChain.get_builder_from_protocol(limsm_code, **common("markov"))
    )
    return builder
