"""Checks of pseudopotentials: the family is installed, every kind has its own, cutoffs fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiida import orm
from aiida_pseudo.groups.family import PseudoPotentialFamily
from aiida_pseudo.groups.mixins import RecommendedCutoffMixin

from aiida_limsm.calculations.dft_settings import md5_of

#: Where pseudopotentials come from when the machine has no network.
OFFLINE_REMEDY = (
    "without a network `aiida-limsm setup` installs 'limsm/demo' (Li and Si only), which protocol "
    "'fast' and the override pseudo_family take"
)
#: Below this share of the recommended cutoff nothing is submitted. Forces of limsm/demo are off by
#: 2 meV/Å at the recommended cutoff, 14 at 0.6, 27 at 0.5, 68 at 0.4 (`benchmarks/run.sh cutoffs`).
REFUSED_CUTOFF_SHARE = 0.5


def install_command(label: str) -> str:
    """Return the aiida-pseudo command that installs a family of this label.

    Examples
    --------
    >>> install_command("SSSP/1.3/PBE/precision")
    'aiida-pseudo install sssp -v 1.3 -x PBE -p precision'
    >>> install_command("PseudoDojo/0.5/PBE/SR/standard/upf")
    'aiida-pseudo install pseudo-dojo -v 0.5 -x PBE -r SR -p standard -f upf'
    """
    match label.split("/"):
        case ["SSSP", version, functional, protocol]:
            return f"aiida-pseudo install sssp -v {version} -x {functional} -p {protocol}"
        case ["PseudoDojo", version, functional, relativistic, protocol, form]:
            return (
                f"aiida-pseudo install pseudo-dojo -v {version} -x {functional} "
                f"-r {relativistic} -p {protocol} -f {form}"
            )
    return "aiida-pseudo install sssp -v 1.3 -x PBE -p efficiency"


def require_pseudo_family(label: str, elements: Iterable[str] = ()) -> PseudoPotentialFamily:
    """Return the family of a label.

    Parameters
    ----------
    label
        Such as ``SSSP/1.3/PBE/efficiency``, ``PseudoDojo/0.5/PBE/SR/standard/upf`` or
        ``limsm/demo``.
    elements
        Symbols that it must have.

    Raises
    ------
    ValueError
        If it is not installed or lacks an element; one line that says what to do.
    """
    found = orm.QueryBuilder().append(PseudoPotentialFamily, filters={"label": label}).all()
    if not found:
        installed = sorted(
            orm.QueryBuilder().append(PseudoPotentialFamily, project="label").all(flat=True)
        )
        raise ValueError(
            f"pseudopotential family '{label}' is not installed (installed: "
            f"{', '.join(installed) or 'none'}): run `{install_command(label)}`; {OFFLINE_REMEDY}"
        )
    family: PseudoPotentialFamily = found[0][0]
    if missing := sorted(set(elements) - set(family.elements)):
        raise ValueError(
            f"pseudopotential family '{label}' has none for {', '.join(missing)}: choose a family "
            "with all elements, such as SSSP/1.3/PBE/efficiency (override pseudo_family)"
        )
    return family


def check_pseudos(structure: orm.StructureData, pseudos: Mapping[str, Any]) -> None:
    """Check that every kind of a structure has a pseudopotential of its own element.

    Parameters
    ----------
    structure
        The structure.
    pseudos
        UPF nodes by kind name.

    Raises
    ------
    ValueError
        With the kind and the remedy.
    """
    for kind in structure.kinds:
        if kind.name not in pseudos:
            raise ValueError(
                f"pseudos: none for kind '{kind.name}'; take those of a family, as "
                "get_builder_from_protocol does"
            )
        element = pseudos[kind.name].element
        if element != kind.symbol:
            raise ValueError(
                f"pseudos: kind '{kind.name}' is {kind.symbol}, but its pseudopotential is of "
                f"{element} ({pseudos[kind.name].filename}); give the one of {kind.symbol}"
            )
    if spare := sorted(set(pseudos) - set(structure.get_kind_names())):
        raise ValueError(
            f"pseudos: the structure has no kind '{spare[0]}', only "
            f"{', '.join(structure.get_kind_names())}; leave it out"
        )


def recommended_cutoffs_ry(pseudo: Any) -> tuple[float, float, str] | None:
    """Return what installed families recommend for a pseudopotential.

    The families are found by the file's md5. Where several recommend something, the lowest
    counts: a check should not warn of what one of them calls enough.

    Returns
    -------
    tuple or None
        Cutoff of wave functions and of density in Ry, at the family's default stringency, and
        the family's label; None where no family says anything.
    """
    query = orm.QueryBuilder().append(PseudoPotentialFamily, tag="family", project="*")
    query.append(orm.Data, with_group="family", filters={"attributes.md5": md5_of(pseudo)})
    found = []
    for family in query.all(flat=True):
        if not isinstance(family, RecommendedCutoffMixin):
            continue
        try:
            wfc, rho = family.get_recommended_cutoffs(elements=pseudo.element, unit="Ry")
        except ValueError:  # a family whose cutoffs were never set
            continue
        found.append((float(wfc), float(rho), str(family.label)))
    return min(found) if found else None


def check_cutoffs(pseudos: Mapping[str, Any], system: Mapping[str, Any]) -> list[str]:
    """Compare the cutoffs with what the families of the pseudopotentials recommend.

    Parameters
    ----------
    pseudos
        UPF nodes by kind name.
    system
        Namelist SYSTEM of pw.x.

    Returns
    -------
    list of str
        A warning for each cutoff below the recommended one.

    Raises
    ------
    ValueError
        For a missing cutoff, or one below half (:data:`REFUSED_CUTOFF_SHARE`) of the recommended.
    """
    wfc = system.get("ecutwfc")
    if not wfc or wfc <= 0:
        raise ValueError("SYSTEM.ecutwfc: give the cutoff of the wave functions, in Ry")
    # Four times ecutwfc is pw.x's own default, whatever the pseudopotential.
    given = {"ecutwfc": float(wfc), "ecutrho": float(system.get("ecutrho", 4.0 * wfc))}
    warnings = []
    if given["ecutrho"] < 4.0 * given["ecutwfc"]:
        warnings.append(
            f"SYSTEM.ecutrho {given['ecutrho']:g} Ry is less than four times ecutwfc "
            f"({given['ecutwfc']:g} Ry): forces and stress become noisy"
        )
    needed: dict[str, tuple[float, str]] = {}
    for kind, pseudo in sorted(pseudos.items()):
        found = recommended_cutoffs_ry(pseudo)
        if found is None:
            warnings.append(
                f"no installed family recommends cutoffs for {pseudo.filename} (kind '{kind}'): "
                "check yourself that forces are converged"
            )
            continue
        for key, value in zip(given, found[:2], strict=True):
            needed[key] = max(needed.get(key, (0.0, "")), (value, f"{pseudo.element} {found[2]}"))
    for key, (least, source) in needed.items():
        text = f"SYSTEM.{key} {given[key]:g} Ry is below the {least:g} Ry recommended for {source}"
        if given[key] < REFUSED_CUTOFF_SHARE * least:
            raise ValueError(f"{text} by more than half: raise it to {least:g} Ry")
        if given[key] < least:
            warnings.append(text)
    return warnings
