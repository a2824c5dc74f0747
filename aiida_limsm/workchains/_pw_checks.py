"""Checks of a pw.x calculation before anything is submitted: code, structure, MD settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from aiida import orm
from ase.data import covalent_radii
from matscipy.neighbours import neighbour_list
from pymatgen.core.periodic_table import Element

from aiida_limsm.units import RYDBERG_TIME_TO_FS

from ._pseudos import check_cutoffs, check_pseudos

#: No molecule or crystal has atoms closer than this; H2 has 0.74 Å.
_LEAST_DISTANCE_ANGSTROM: Final = 0.5
#: Share of the sum of covalent radii below which two atoms are suspect.
_SUSPECT_SHARE: Final = 0.6
#: Force constant of the stiffest bond taken into account, about that of X-H stretching.
_STIFF_BOND_N_PER_M: Final = 500.0
_AMU_KG: Final = 1.66053906660e-27
#: Steps per period of the fastest vibration: fewer than the first are warned of, fewer than the
#: second refused; more than the third are waste, and most often fs given for atomic units.
_STEPS_PER_PERIOD: Final = (12.0, 6.0, 100.0)
#: pw.x's names of Gaussian and Fermi-Dirac smearing.
_STEADY_SMEARINGS: Final = ("gaussian", "gauss", "fermi-dirac", "f-d", "fd")
#: Above this every solid of interest here has melted; a larger one is in another unit.
_HIGHEST_TEMPERATURE_K: Final = 5000.0


def check_pw_code(code: orm.AbstractCode) -> None:
    """Check that a code is pw.x.

    Raises
    ------
    ValueError
        With the plugin that it is for. A code without a default plugin is accepted.
    """
    plugin = code.default_calc_job_plugin
    if plugin not in (None, "quantumespresso.pw"):
        raise ValueError(
            f"code '{code.full_label}' is for the plugin '{plugin}', not for pw.x: give a code of "
            "the plugin 'quantumespresso.pw' (`verdi code list -P quantumespresso.pw`)"
        )


def check_structure(structure: orm.StructureData, mobile_species: str | None = None) -> list[str]:
    """Check that a structure is a crystal that pw.x can take.

    Parameters
    ----------
    structure
        The structure.
    mobile_species
        Element that must be in it.

    Returns
    -------
    list of str
        A warning for atoms that are closer than 0.6 times the sum of their covalent radii.

    Raises
    ------
    ValueError
        If the mobile species is missing, a site is partly occupied, a direction is not periodic,
        or two atoms are closer than 0.5 Å.
    """
    formula = structure.get_formula()
    if mobile_species is not None and mobile_species not in structure.get_symbols_set():
        raise ValueError(
            f"structure: there is no {mobile_species} in {formula}; give a structure that has "
            "the mobile species, or set mobile_species"
        )
    if structure.is_alloy or structure.has_vacancies:
        raise ValueError(
            f"structure: {formula} has partly occupied sites; give an ordered cell, such as one "
            "of pymatgen's OrderDisorderedStructureTransformation"
        )
    if not all(structure.pbc):
        raise ValueError(
            f"structure: {formula} is not periodic in all three directions (pbc "
            f"{structure.pbc}); set pbc to (True, True, True), with a vacuum where it is meant"
        )
    return _check_distances(structure)


def _check_distances(structure: orm.StructureData) -> list[str]:
    atoms = structure.get_ase()
    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbour_list("ijd", atoms, 2 * _SUSPECT_SHARE * radii.max())
    if not len(distances):
        return []
    nearest = int(np.argmin(distances))
    names = " and ".join(
        f"{atoms.symbols[index]} {index + 1}" for index in (first[nearest], second[nearest])
    )
    if distances[nearest] < _LEAST_DISTANCE_ANGSTROM:
        raise ValueError(
            f"structure: {names} of {structure.get_formula()} are {distances[nearest]:.2f} Å "
            "apart; remove the duplicate or check the cell"
        )
    shares = distances / (radii[first] + radii[second])
    if shares.min() >= _SUSPECT_SHARE:
        return []
    worst = int(np.argmin(shares))
    return [
        f"structure: {atoms.symbols[first[worst]]} {first[worst] + 1} and "
        f"{atoms.symbols[second[worst]]} {second[worst] + 1} of {structure.get_formula()} are "
        f"only {distances[worst]:.2f} Å apart"
    ]


def check_supercell(repetitions: Sequence[int]) -> None:
    """Check the repetitions of a supercell along its three axes.

    Raises
    ------
    ValueError
        Unless they are three whole numbers of at least 1.
    """
    values = list(repetitions)
    if len(values) != 3 or any(type(value) is not int or value < 1 for value in values):
        raise ValueError(
            f"supercell: give three whole numbers of at least 1, such as [2, 2, 2], not {values}"
        )


def check_occupations(structure: orm.StructureData, system: Mapping[str, Any]) -> list[str]:
    """Check that the occupations suit forces, and a metal where it may be one.

    Returns
    -------
    list of str
        A warning for fixed occupations in a structure of metals and metalloids only.

    Raises
    ------
    ValueError
        For tetrahedra (their energy is not variational, so forces are wrong) and for smearing
        without a width.
    """
    occupations = str(system.get("occupations", "fixed"))
    if occupations.startswith("tetrahedra"):
        raise ValueError(
            f"SYSTEM.occupations '{occupations}' is not for forces: use 'smearing' with "
            "smearing 'gaussian' and degauss 0.01"
        )
    if occupations == "smearing" and not system.get("degauss", 0.0) > 0:
        raise ValueError("SYSTEM.degauss: smearing needs a width in Ry, such as 0.01")
    elements = [Element(symbol) for symbol in structure.get_symbols_set()]
    metallic = all(element.is_metal or element.is_metalloid for element in elements)
    if occupations == "fixed" and metallic:
        return [
            f"SYSTEM.occupations is fixed, but {structure.get_formula()} may be a metal: use "
            "'smearing' with smearing 'gaussian' and degauss 0.01"
        ]
    return []


def check_smearing(system: Mapping[str, Any]) -> list[str]:
    """Warn of a smearing whose occupations do not fall steadily with energy.

    With few k-points more than one Fermi level, or none within its tolerance, gives the number of
    electrons; then the SCF of some frame of a long MD cannot converge, with whatever mixing
    (docs/reference-data.md; F. J. dos Santos and N. Marzari, arXiv:2212.07988).
    """
    smearing = str(system.get("smearing", "gaussian")).lower()
    if system.get("occupations") != "smearing" or smearing in _STEADY_SMEARINGS:
        return []
    return [
        f"SYSTEM.smearing '{smearing}' may find no Fermi level in some frame of a long MD with few "
        "k-points: 'gaussian' always does"
    ]


def check_time_step(structure: orm.StructureData, dt: float) -> list[str]:
    """Compare an MD time step with the fastest vibration that the lightest atom can have.

    The period is that of the lightest mass m on a bond as stiff as X-H stretching,
    T = 2π √(m/k) with k = 500 N/m: 11.5 fs for H, 30 fs for Li. For a harmonic oscillator the
    Verlet algorithm gives a frequency ω' with sin(ω' dt/2) = ω dt/2, that is too high by
    (ω dt)²/24: 1.1 % at 12 steps a period, 4.6 % at 6, unstable at π. So Li is warned of above
    2.5 fs and refused above 5.0 fs, H above 0.96 and 1.9 fs.

    Parameters
    ----------
    structure
        Its kinds have the masses that pw.x moves.
    dt
        ``dt`` of CONTROL in Rydberg atomic units (0.0484 fs).

    Returns
    -------
    list of str
        A warning for fewer than 12 or more than 100 steps a period.

    Raises
    ------
    ValueError
        For a time step that is not positive, or fewer than 6 steps a period.
    """
    if not dt > 0:
        raise ValueError(f"CONTROL.dt {dt:g}: give a positive time step in Rydberg atomic units")
    lightest = min(structure.kinds, key=lambda kind: kind.mass)
    period_fs = 1e15 * 2 * math.pi * math.sqrt(lightest.mass * _AMU_KG / _STIFF_BOND_N_PER_M)
    enough, least, waste = _STEPS_PER_PERIOD
    time_step_fs = dt * RYDBERG_TIME_TO_FS
    good = period_fs / enough
    text = (
        f"CONTROL.dt {dt:g} (Rydberg atomic units) is {time_step_fs:.3g} fs, {{}} for "
        f"{lightest.symbol}: use up to {good / RYDBERG_TIME_TO_FS:.0f} ({good:.1f} fs)"
    )
    if time_step_fs > period_fs / least:
        raise ValueError(text.format("far too long"))
    if time_step_fs > good:
        return [text.format("long")]
    if time_step_fs < period_fs / waste:
        return [text.format("very short") + "; or was it meant in fs?"]
    return []


def check_md_settings(parameters: Mapping[str, Any], steps: int, temperature: float | None) -> None:
    """Check what makes a pw.x input one of MD.

    Raises
    ------
    ValueError
        For another calculation, symmetry switched on, no steps, or an impossible temperature.
    """
    calculation = parameters.get("CONTROL", {}).get("calculation")
    if calculation != "md":
        raise ValueError(f"CONTROL.calculation is '{calculation}', must be 'md'")
    if steps < 1:
        raise ValueError(f"steps: {steps} asked; ask for at least one MD step")
    if temperature is not None and not 0 < temperature < _HIGHEST_TEMPERATURE_K:
        raise ValueError(
            f"temperature: {temperature:g} K is not between 0 and {_HIGHEST_TEMPERATURE_K:g} K"
        )
    if parameters.get("SYSTEM", {}).get("nosym") is not True:
        # pw.x makes the forces and the first velocities as symmetric as the first frame
        raise ValueError(
            "SYSTEM.nosym must be true: symmetry of the first frame would constrain the MD"
        )


def check_pw_inputs(
    *,
    code: orm.AbstractCode,
    structure: orm.StructureData,
    pseudos: Mapping[str, Any],
    parameters: Mapping[str, Any],
    mobile_species: str | None = None,
) -> list[str]:
    """Check what every pw.x calculation needs.

    Parameters
    ----------
    code, structure, pseudos
        Nodes; ``pseudos`` by kind name.
    parameters
        Namelists of pw.x.
    mobile_species
        Element that must be in the structure.

    Returns
    -------
    list of str
        Warnings: what may be wrong but is sometimes meant.

    Raises
    ------
    ValueError
        With one line that names the remedy.
    """
    check_pw_code(code)
    warnings = check_structure(structure, mobile_species)
    check_pseudos(structure, pseudos)
    system = parameters.get("SYSTEM", {})
    return [*warnings, *check_cutoffs(pseudos, system), *check_occupations(structure, system)]


def check_md_inputs(
    *,
    code: orm.AbstractCode,
    structure: orm.StructureData,
    pseudos: Mapping[str, Any],
    parameters: Mapping[str, Any],
    steps: int,
    temperature: float | None,
    mobile_species: str | None = None,
) -> list[str]:
    """Check an ab initio MD run; parameters, warnings and errors of :func:`check_pw_inputs`.

    Parameters
    ----------
    steps
        MD steps asked for.
    temperature
        Of the thermostat or the start, in K; None where there is none.
    """
    check_md_settings(parameters, steps, temperature)
    if len(structure.sites) < 2:
        raise ValueError(
            f"structure: {structure.get_formula()} has one atom, which nothing moves; give a "
            "supercell"
        )
    warnings = check_pw_inputs(
        code=code,
        structure=structure,
        pseudos=pseudos,
        parameters=parameters,
        mobile_species=mobile_species,
    )
    warnings += check_smearing(parameters.get("SYSTEM", {}))
    # 20 is pw.x's own default
    return [*warnings, *check_time_step(structure, parameters["CONTROL"].get("dt", 20.0))]
