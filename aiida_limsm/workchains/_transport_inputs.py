"""Inputs of LithiumTransportWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_limsm.data.potential import PotentialData

from .aimd import AimdWorkChain
from .finetune import FineTuneWorkChain
from .isolated_atoms import IsolatedAtomsWorkChain
from .markov import MarkovWorkChain
from .md import MolecularDynamicsWorkChain

if TYPE_CHECKING:
    from .transport import LithiumTransportWorkChain


_CUTOFFS = ("ecutwfc", "ecutrho")


def temperature_label(temperature_k: float) -> str:
    """Return a name that AiiDA accepts as a link label, such as ``T650K`` or ``T298_15K``."""
    return f"T{temperature_k:g}K".replace(".", "_")


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
    if not temperatures_k or any(not 0 < float(t) < 5000 for t in temperatures_k):
        raise ValueError("temperatures: give temperatures in K, between 0 and 5000")
    if len(set(temperatures_k)) != len(temperatures_k):
        raise ValueError("temperatures: each only once; ask for replicas instead")
    if len(supercell) != 3 or any(not isinstance(n, int) or n < 1 for n in supercell):
        raise ValueError("supercell: give three whole numbers from 1, such as 2 2 2")


def validate_transport(inputs: Any, _: Any) -> str | None:
    """Port validator: :func:`check_transport` on the nodes."""
    needed = (
        "structure",
        "foundation",
        "temperatures",
        "supercell",
        "aimd_temperatures",
        "dataset_parameters",
    )
    if any(name not in inputs for name in needed):
        return None
    mobile = _species(inputs, "md", "md", "mobile_species")
    try:
        for port in ("temperatures", "aimd_temperatures"):
            check_transport(
                inputs["structure"],
                inputs.get("sites", inputs["structure"]),
                inputs["foundation"],
                mobile,
                inputs[port].get_list(),
                inputs["supercell"].get_list(),
            )
        analysed = _species(inputs, "markov", "analyse", "species")
        if analysed != mobile:
            raise ValueError(f"markov: analyses {analysed}, the MD has {mobile} as mobile species")
        if inputs["dataset_parameters"].get_dict().get("e0s") == "fitted":
            raise ValueError(
                "dataset_parameters: e0s='fitted' needs several compositions, the ab initio MD has "
                "one: leave it at 'isolated'"
            )
        _check_energy_zero(inputs)
    except ValueError as error:
        return str(error)
    return None


def _species(inputs: Any, workchain: str, job: str, name: str) -> str:
    """Return the species that a job's parameters name; lithium where they name none."""
    parameters = inputs.get(workchain, {}).get(job, {}).get("parameters")
    return str(parameters.get_dict().get(name, "Li")) if parameters else "Li"


def _check_energy_zero(inputs: Any) -> None:
    """Refuse isolated atoms computed otherwise than the labels."""
    labels = inputs.get("aimd", {}).get("pw", {})
    atoms = inputs.get("isolated_atoms", {})
    atom_parameters = atoms.get("base", {}).get("pw", {}).get("parameters")
    if "parameters" not in labels or atom_parameters is None:
        return
    ours, theirs = (
        node.get_dict().get("SYSTEM", {}) for node in (labels["parameters"], atom_parameters)
    )
    for key in _CUTOFFS:
        if ours.get(key) != theirs.get(key):
            raise ValueError(
                f"isolated_atoms: {key} is {theirs.get(key)}, the MD uses {ours.get(key)}: "
                "energies relative to the atoms need equal cutoffs"
            )
    md5s = {kind: pseudo.md5 for kind, pseudo in labels.get("pseudos", {}).items()}
    if {pseudo.md5 for pseudo in atoms.get("pseudos", {}).values()} != set(md5s.values()):
        raise ValueError("isolated_atoms: the pseudopotentials are not those of the MD")


def _plain(builder: Any) -> Any:
    """Return a builder as nested dicts: a dynamic namespace does not accept another builder."""
    if isinstance(builder, Mapping):
        return {key: _plain(value) for key, value in builder.items() if value is not None}
    return builder


def fill_builder(
    process_class: type[LithiumTransportWorkChain],
    pw_code: orm.AbstractCode | str,
    limsm_code: orm.AbstractCode | str,
    structure: orm.StructureData,
    foundation: PotentialData,
    *,
    sites: orm.StructureData | None = None,
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
    builder.aimd_temperatures = orm.List(inputs["aimd_temperatures_k"])
    builder.temperatures = orm.List(temperatures)
    builder.supercell = orm.List(repetitions)
    builder.replicas = orm.Int(inputs["replicas"])
    builder.dataset_parameters = orm.Dict(inputs["dataset"])

    def common(name: str) -> dict[str, Any]:
        return {"protocol": protocol, "overrides": inputs[name], "options": options}

    aimd = AimdWorkChain.get_builder_from_protocol(pw_code, structure, **common("aimd"))
    for key in ("structure", "temperature"):
        aimd.pop(key, None)
    builder.aimd = _plain(aimd)
    atoms = IsolatedAtomsWorkChain.get_builder_from_protocol(
        pw_code, structure, **common("isolated_atoms")
    )
    # An energy zero is one only with the very cutoffs and pseudopotentials of the labels.
    atoms.pseudos = dict(aimd.pw.pseudos)
    parameters = atoms.base.pw.parameters.get_dict()
    system = aimd.pw.parameters.get_dict()["SYSTEM"]
    parameters["SYSTEM"].update({key: system[key] for key in _CUTOFFS})
    atoms.base.pw.parameters = orm.Dict(parameters)
    builder.isolated_atoms = _plain(atoms)
    builder.finetune = _plain(
        FineTuneWorkChain.get_builder_from_protocol(limsm_code, **common("finetune"))
    )
    builder.md = _plain(
        MolecularDynamicsWorkChain.get_builder_from_protocol(limsm_code, **common("md"))
    )
    builder.markov = _plain(
        MarkovWorkChain.get_builder_from_protocol(limsm_code, **common("markov"))
    )
    return builder
