"""What decides a DFT energy: the settings that labels must share to be one reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm

#: Further keys of SYSTEM that change energies; named in the settings only where they are set.
_SYSTEM_KEYS = (
    "nspin",
    "noncolin",
    "lspinorb",
    "input_dft",
    "vdw_corr",
    "assume_isolated",
    "tot_charge",
    "ecfixed",
)


def dft_settings(
    parameters: Mapping[str, Any],
    k_points: Mapping[str, Any],
    pseudos: Mapping[str, Any],
    functional: str | None,
) -> dict[str, Any]:
    """Collect what decides a DFT energy; equal settings mean comparable labels.

    Parameters
    ----------
    parameters
        Namelists of pw.x, names in the case of aiida-quantumespresso.
    k_points
        From :func:`k_point_settings`.
    pseudos
        UPF nodes by element (aiida-pseudo's or AiiDA's own).
    functional
        As pw.x printed it.

    Returns
    -------
    dict
        Plain JSON; pseudopotentials by file name and md5.
    """
    system = parameters.get("SYSTEM", {})
    return {
        "code": "Quantum ESPRESSO pw.x",
        "functional": functional,
        "ecutwfc_ry": system.get("ecutwfc"),
        # Four times ecutwfc is pw.x's own default, whatever the pseudopotential.
        "ecutrho_ry": system.get("ecutrho", 4 * system.get("ecutwfc", 0.0)),
        "k_points": dict(k_points),
        "smearing": system.get("smearing"),
        "degauss_ry": system.get("degauss"),
        **{key: system[key] for key in _SYSTEM_KEYS if key in system},
        "pseudopotentials": {
            element: {"file": node.filename, "md5": md5_of(node)}
            for element, node in sorted(pseudos.items())
        },
    }


def k_point_settings(
    kpoints: orm.KpointsData,
    distance: orm.Float | None = None,
    offset: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Describe the k-points so that cells of different size can be compared.

    A mesh made from a distance differs between a cell and its supercell although the sampling is
    the same; there the distance and the offset are what counts, and not the mesh.
    """
    if distance is not None:
        return {
            "distance_per_angstrom": distance.value,
            "offset": list(offset if offset is not None else kpoints.get_kpoints_mesh()[1]),
        }
    try:
        mesh, own_offset = kpoints.get_kpoints_mesh()
    except AttributeError:
        return {"list": kpoints.get_kpoints().tolist()}
    return {"mesh": list(mesh), "offset": list(own_offset)}


def differing_settings(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of settings in which two sets of labels differ.

    Pseudopotentials are compared for the elements that both have: a trajectory of lithium metal
    and one of a silicide can share a reference.
    """
    keys = sorted({*first, *other} - {"pseudopotentials"})
    found = [key for key in keys if first.get(key) != other.get(key)]
    ours, theirs = (dict(settings.get("pseudopotentials", {})) for settings in (first, other))
    found += [
        f"pseudopotential of {element}"
        for element in sorted(ours.keys() & theirs.keys())
        if ours[element].get("md5") != theirs[element].get("md5")
    ]
    return found


def merged_settings(all_settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that comparable labels share, with the pseudopotentials of all."""
    merged = dict(all_settings[0])
    pseudos: dict[str, Any] = {}
    for settings in all_settings:
        pseudos |= settings.get("pseudopotentials", {})
    return {**merged, "pseudopotentials": dict(sorted(pseudos.items()))}


def md5_of(pseudo: Any) -> str:
    """Return the md5 of a UPF node: aiida-pseudo's nodes say ``md5``, AiiDA's own ``md5sum``."""
    return str(getattr(pseudo, "md5", None) or pseudo.md5sum)
