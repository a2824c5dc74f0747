"""What one pw.x calculation was, read from its node, inputs and outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

_HEADER_BYTES = 20_000
_FUNCTIONAL_V2 = re.compile(r'functional\s*=\s*"([^"]+)"', re.IGNORECASE)
_FUNCTIONAL_V1 = re.compile(r"^\s*(.+?)\s+Exchange-Correlation functional", re.MULTILINE)


@dataclass(frozen=True)
class Pseudopotential:
    """One pseudopotential file and the functional in its header."""

    element: str
    filename: str
    md5: str
    functional: str | None


@dataclass(frozen=True)
class PwRecord:
    """One pw.x calculation behind a number; None where the node does not say.

    ``frames_used`` counts frames in training, validation and test sets on the way to the number.
    """

    pk: int
    uuid: str
    label: str
    role: str
    formula: str | None
    atoms: int | None
    functional: str | None
    functional_from: str | None
    ecutwfc_ry: float | None
    ecutrho_ry: float | None
    k_points: str | None
    pseudopotentials: tuple[Pseudopotential, ...]
    frames_parsed: int | None
    frames_used: int | None
    code_version: str | None
    exit_status: int | None
    cached_from: str | None


def read_pw(pk: int, frames_used: int | None) -> PwRecord:
    """Read what a pw.x calculation was; missing inputs or outputs give None, not an error."""
    node: Any = orm.load_node(pk)
    inputs: dict[str, Any] = {
        link.link_label: link.node
        for link in node.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
    }
    outputs: dict[str, Any] = {
        link.link_label: link.node
        for link in node.base.links.get_outgoing(link_type=LinkType.CREATE).all()
    }
    parameters = _namelists(inputs.get("parameters"))
    results = _content(outputs.get("output_parameters"))
    system = parameters.get("SYSTEM", {})
    structure = inputs.get("structure")
    atoms = len(structure.base.attributes.get("sites", ())) if structure is not None else None
    pseudos = _pseudopotentials(inputs)
    functional, functional_from = _functional(results, system, pseudos)
    calculation = str(parameters.get("CONTROL", {}).get("calculation", "scf")).lower()
    ecutwfc = _number(system.get("ecutwfc"))
    return PwRecord(
        pk=pk,
        uuid=node.uuid,
        label=node.label,
        role=_role(calculation, atoms),
        formula=None if structure is None else structure.get_formula(mode="hill"),
        atoms=atoms,
        functional=functional,
        functional_from=functional_from,
        ecutwfc_ry=ecutwfc,
        # Four times ecutwfc is pw.x's own default, whatever the pseudopotential.
        ecutrho_ry=_number(system.get("ecutrho")) or (4 * ecutwfc if ecutwfc else None),
        k_points=_k_points(inputs.get("kpoints"), _content(inputs.get("settings"))),
        pseudopotentials=pseudos,
        frames_parsed=_frames_parsed(calculation, outputs, results),
        frames_used=frames_used,
        code_version=_code_version(results),
        exit_status=node.exit_status,
        cached_from=node.base.caching.get_cache_source(),
    )


def _content(node: orm.Node | None) -> dict[str, Any]:
    return dict(node.base.attributes.all) if isinstance(node, orm.Dict) else {}


def _namelists(node: orm.Node | None) -> dict[str, dict[str, Any]]:
    """Return the namelists with the names written as aiida-quantumespresso accepts them all."""
    return {
        namelist.upper(): {key.lower(): value for key, value in content.items()}
        for namelist, content in _content(node).items()
        if isinstance(content, dict)
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _role(calculation: str, atoms: int | None) -> str:
    if calculation in ("md", "vc-md"):
        return "AIMD segment"
    if calculation == "scf":
        return "isolated atom" if atoms == 1 else "single point"
    if calculation in ("relax", "vc-relax"):
        return "relaxation"
    return calculation


def _k_points(node: Any, settings: dict[str, Any]) -> str | None:
    if any(key.lower() == "gamma_only" and value for key, value in settings.items()):
        return "Γ only"
    if not isinstance(node, orm.KpointsData):
        return None
    mesh = node.base.attributes.get("mesh", None)
    if mesh is None:
        return f"{len(node.get_array('kpoints'))} listed points"
    text = "×".join(str(number) for number in mesh)
    offset = node.base.attributes.get("offset", None) or [0.0, 0.0, 0.0]
    return text + (f" shift {' '.join(f'{part:g}' for part in offset)}" if any(offset) else "")


def _pseudopotentials(inputs: dict[str, orm.Node]) -> tuple[Pseudopotential, ...]:
    found = []
    for label, node in sorted(inputs.items()):
        if not label.startswith("pseudos__"):
            continue
        attributes = node.base.attributes.all
        found.append(
            Pseudopotential(
                element=str(attributes.get("element", label.removeprefix("pseudos__"))),
                filename=str(attributes.get("filename", "")),
                md5=str(attributes.get("md5", "")),
                functional=_functional_of_upf(node),
            )
        )
    return tuple(found)


def _functional_of_upf(node: orm.Node) -> str | None:
    """Read the functional from the header of a UPF file (formats 1 and 2)."""
    if not isinstance(node, orm.SinglefileData):
        return None
    # Comments in a header may be in any encoding; what is looked for is ASCII.
    with node.open(mode="rb") as handle:
        header = handle.read(_HEADER_BYTES).decode("ascii", errors="replace")
    for pattern in (_FUNCTIONAL_V2, _FUNCTIONAL_V1):
        if match := pattern.search(header):
            return " ".join(match.group(1).split())
    return None


def _functional(
    results: dict[str, Any], system: dict[str, Any], pseudos: tuple[Pseudopotential, ...]
) -> tuple[str | None, str | None]:
    """Return the functional and where it was read: what pw.x said comes first."""
    if parsed := results.get("dft_exchange_correlation"):
        return str(parsed), "pw.x output"
    if asked := system.get("input_dft"):
        return str(asked), "input_dft"
    headers = sorted({pseudo.functional for pseudo in pseudos if pseudo.functional})
    return (", ".join(headers), "pseudopotentials") if headers else (None, None)


def _frames_parsed(
    calculation: str, outputs: dict[str, Any], results: dict[str, Any]
) -> int | None:
    if calculation == "scf":
        return (1 if "energy" in results else 0) if results else None
    if calculation != "md" or "retrieved" not in outputs:
        return None
    from aiida_limsm.calculations.aimd import read_segment

    return len(read_segment(outputs["retrieved"]))


def _code_version(results: dict[str, Any]) -> str | None:
    version = results.get("creator_version") or results.get("code_version")
    return f"{results.get('creator_name', 'PWSCF').upper()} {version}" if version else None
