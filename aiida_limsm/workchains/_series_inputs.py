"""Inputs of DiffusionSeriesWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from aiida import orm
from pydantic import ValidationError

from aiida_limsm.calculations.md import MolecularDynamicsCalculation
from aiida_limsm.compute.base import first_error
from aiida_limsm.compute.inputs import AnalyseInput
from aiida_limsm.data.potential import PotentialData

from ._reference_inputs import plain, temperature_label
from ._transport_inputs import check_transport, species_of
from .markov import MarkovWorkChain
from .md import MolecularDynamicsWorkChain

if TYPE_CHECKING:
    from .series import DiffusionSeriesWorkChain

#: Outputs of MolecularDynamicsWorkChain that can be analysed.
ANALYSED = ("trajectory", "mobile")
#: Fields of an MD job that the series sets itself.
OWN = ("temperature_k", "more_temperatures_k", "replicas", "barostat")


def member_label(supercell: Sequence[int], temperature_k: float) -> str:
    """Return a name that AiiDA accepts as a link label, such as ``s2x1x1_T650K``."""
    return f"s{'x'.join(map(str, supercell))}_{temperature_label(temperature_k)}"


def members_of(
    supercells: Sequence[Sequence[int]],
    temperatures_k: Sequence[float],
    size_temperatures_k: Sequence[float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return what each member of the series is, by label: large cells, which last, first.

    With ``size_temperatures_k`` only the first supercell is at all temperatures, the others at
    these.
    """
    order = sorted(supercells, key=lambda cell: -cell[0] * cell[1] * cell[2])
    return {
        member_label(supercell, temperature): {
            "supercell": list(supercell),
            "temperature_k": float(temperature),
        }
        for supercell in order
        for temperature in temperatures_k
        if size_temperatures_k is None
        or list(supercell) == list(supercells[0])
        or temperature in size_temperatures_k
    }


def check_series(
    structure: orm.StructureData,
    sites: orm.StructureData,
    potential: PotentialData,
    mobile_species: str,
    temperatures_k: Sequence[float],
    supercells: Sequence[Sequence[int]],
    size_temperatures_k: Sequence[float] | None = None,
) -> None:
    """Refuse what would fail hours later.

    Raises
    ------
    ValueError
        With one line that names the remedy.
    """
    if not supercells:
        raise ValueError("supercells: give at least one, such as [[2, 2, 2], [3, 3, 3]]")
    for supercell in supercells:
        if not isinstance(supercell, (list, tuple)):
            raise ValueError(f"supercells: each is three whole numbers, not {supercell}")
        check_transport(structure, sites, potential, mobile_species, temperatures_k, supercell)
    if len({tuple(cell) for cell in supercells}) < len(supercells):
        raise ValueError("supercells: each only once; ask for replicas instead")
    if others := set(size_temperatures_k or ()) - set(temperatures_k):
        raise ValueError(
            f"size_temperatures: {', '.join(f'{t:g}' for t in sorted(others))} K is none of the "
            "temperatures; add it there"
        )


def validate_series(inputs: Any, _: Any) -> str | None:
    """Port validator: :func:`check_series` on the nodes, and what each workchain says itself."""
    needed = ("structure", "potential", "temperatures", "supercells")
    if any(name not in inputs for name in needed):
        return None
    for name in ("replicas", "max_concurrent"):
        if name in inputs and inputs[name].value < 1:
            return f"{name}: give at least 1"
    mobile = species_of(inputs, "md", "md", "mobile_species")
    try:
        check_series(
            inputs["structure"],
            inputs.get("sites", inputs["structure"]),
            inputs["potential"],
            mobile,
            inputs["temperatures"].get_list(),
            inputs["supercells"].get_list(),
            inputs["size_temperatures"].get_list() if "size_temperatures" in inputs else None,
        )
        species = species_of(inputs, "markov", "analyse", "species")
        if species != mobile:
            raise ValueError(f"markov: analyses {species}, the MD has {mobile} as mobile species")
        parameters = inputs["md"]["md"]["parameters"].get_dict()
        if given := [name for name in OWN[1:] if parameters.get(name) not in (None, 1, [])]:
            raise ValueError(
                f"md: leave {', '.join(given)} out; temperatures and replicas are inputs of "
                "the series, and its cells are constant"
            )
        analysed = inputs["analysed"].value if "analysed" in inputs else ANALYSED[0]
        if analysed not in ANALYSED:
            raise ValueError(f"analysed: choose one of {', '.join(ANALYSED)}, not '{analysed}'")
        if analysed == "mobile" and parameters.get("mobile_interval_steps") is None:
            raise ValueError(
                "analysed: 'mobile' needs mobile_interval_steps in the MD's parameters"
            )
        _check_jobs(inputs)
    except ValueError as error:
        return str(error)
    return None


def _check_jobs(inputs: Any) -> None:
    """Refuse parameters that the jobs would refuse, which alone do not see them all."""
    md = dict(inputs["md"]["md"])
    temperature = inputs["temperatures"].get_list()[0]
    md["parameters"] = orm.Dict({**md["parameters"].get_dict(), "temperature_k": temperature})
    nodes = {"structure": inputs["structure"], "potential": inputs["potential"]}
    try:
        MolecularDynamicsCalculation.build_input({**md, **nodes})
    except ValueError as error:
        raise ValueError(f"md: {error}") from None
    parameters = inputs["markov"]["analyse"].get("parameters")
    fields = parameters.get_dict() if parameters is not None else {}
    place = None if fields.get("sites") == "density" else "structure.extxyz"
    try:
        AnalyseInput.model_validate(
            {**fields, "trajectory_files": ("r0.h5",), "structure_file": place}
        )
    except ValidationError as error:
        raise ValueError(f"markov: {first_error(error)}") from None


def fill_builder(
    process_class: type[DiffusionSeriesWorkChain],
    code: orm.AbstractCode | str,
    structure: orm.StructureData,
    potential: PotentialData,
    *,
    sites: orm.StructureData | None = None,
    supercells: Sequence[Sequence[int]] | None = None,
    temperatures_k: Sequence[float] | None = None,
    size_temperatures_k: Sequence[float] | None = None,
    replicas: int | None = None,
    length_ns: float | None = None,
    store: Literal["repository", "remote"] | None = None,
    analysed: Literal["trajectory", "mobile"] | None = None,
    protocol: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Return a builder of DiffusionSeriesWorkChain filled from a protocol.

    Parameters
    ----------
    process_class
        The workchain.
    code
        The ``limsm`` code (node or label).
    structure, potential
        The cell that is repeated, and the force field.
    sites
        Structure whose mobile atoms mark every site; ``structure`` where None.
    supercells, temperatures_k, replicas
        The series; the protocol's where None.
    size_temperatures_k
        Temperatures of all supercells, where the others are for the first supercell alone.
    length_ns
        Of each trajectory; the protocol's where None.
    store
        Where trajectories are kept, as for MolecularDynamicsWorkChain.
    analysed
        ``trajectory`` (the default) or ``mobile``, which needs ``mobile_interval_steps``.
    protocol
        ``fast``, ``balanced`` or ``stringent``.
    overrides
        Same nesting as ``protocols/series.yaml``.
    options
        Job options for all jobs.

    Raises
    ------
    ValueError
        For an unknown protocol and for nodes that do not fit.
    """
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    temperatures = list(temperatures_k or inputs["temperatures_k"])
    cells = list(supercells or inputs["supercells"])
    mobile = inputs["md"].get("md", {}).get("mobile_species", "Li")
    check_series(
        structure, sites or structure, potential, mobile, temperatures, cells, size_temperatures_k
    )

    builder: Any = process_class.get_builder()
    builder.structure = structure
    if sites is not None:
        builder.sites = sites
    builder.potential = potential
    builder.temperatures = orm.List(temperatures)
    builder.supercells = orm.List([list(cell) for cell in cells])
    if size_temperatures_k is not None:
        builder.size_temperatures = orm.List(list(size_temperatures_k))
    builder.replicas = orm.Int(inputs["replicas"] if replicas is None else replicas)
    builder.max_concurrent = orm.Int(inputs["max_concurrent"])
    if analysed is not None:
        builder.analysed = orm.Str(analysed)
    common: dict[str, Any] = {"protocol": protocol, "options": options}
    builder.md = plain(
        MolecularDynamicsWorkChain.get_builder_from_protocol(
            code, length_ns=length_ns, store=store, overrides=inputs["md"], **common
        )
    )
    builder.markov = plain(
        MarkovWorkChain.get_builder_from_protocol(code, overrides=inputs["markov"], **common)
    )
    return builder
