"""Forces of the shipped pseudopotentials against the cutoff: where a label stops being one."""

from __future__ import annotations

import shutil

import numpy as np
from ase.calculators.espresso import Espresso, EspressoProfile
from measuring import SCRATCH, note, save, table

from aiida_limsm.atomistic.crystals import li11si4
from aiida_limsm.cli.resources import CUTOFFS_RY, find_program, program_folders, pseudo_folder

CUTOFFS = (6, 8, 10, 12, 14, 16, 20, 26, 32)


def main() -> None:
    """Compare forces, stress and energy differences of two rattled cells with those at 32 Ry."""
    program = find_program("pw.x", program_folders())
    if program is None:
        raise SystemExit("pw.x is missing: run `make setup`")
    profile = EspressoProfile(str(program), str(pseudo_folder()))
    files = {path.name.split(".")[0]: path.name for path in pseudo_folder().glob("*.UPF")}
    folder = SCRATCH / "cutoffs"
    cells = []
    for seed in (1, 2):
        atoms = li11si4()
        atoms.rattle(0.15, seed=seed)
        cells.append(atoms)
    found = {}
    for cutoff in CUTOFFS:
        note(f"{cutoff} Ry")
        energies, forces, stresses = [], [], []
        for atoms in cells:
            atoms.calc = Espresso(
                profile=profile,
                pseudopotentials=files,
                directory=folder,
                kpts=(2, 2, 2),
                koffset=(1, 1, 1),
                input_data={
                    "control": {"tprnfor": True, "tstress": True},
                    "system": {
                        "ecutwfc": cutoff,
                        "nosym": True,
                        "occupations": "smearing",
                        "smearing": "mv",
                        "degauss": 0.02,
                    },
                    "electrons": {"conv_thr": 1e-8, "mixing_beta": 0.4},
                },
            )
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
            stresses.append(atoms.get_stress(voigt=False))
            shutil.rmtree(folder)
        found[cutoff] = (energies[1] - energies[0], np.array(forces), np.array(stresses))
    reference = found[CUTOFFS[-1]]
    natoms = len(cells[0])
    results = {
        str(cutoff): {
            "share_of_recommended": cutoff / max(CUTOFFS_RY.values()),
            "forces_rmse_mev_per_angstrom": 1e3 * rms(forces - reference[1]),
            "stress_rmse_mev_per_angstrom3": 1e3 * rms(stress - reference[2]),
            "energy_difference_error_mev_per_atom": 1e3 * abs(energy - reference[0]) / natoms,
        }
        for cutoff, (energy, forces, stress) in found.items()
    }
    rows = [
        [cutoff, *(f"{value:.2f}" for value in values.values())]
        for cutoff, values in results.items()
    ]
    header = [
        "ecutwfc, Ry",
        f"share of the recommended {max(CUTOFFS_RY.values()):g}",
        "forces, meV/Å",
        "stress, meV/Å³",
        "energy difference, meV/atom",
    ]
    results["rms_force_mev_per_angstrom"] = {"all": 1e3 * rms(reference[1])}
    save("cutoffs", results, {"errors": table(header, rows)})


def rms(values: np.ndarray) -> float:
    """Return the root mean square of all components."""
    return float(np.sqrt(np.mean(values**2)))


if __name__ == "__main__":
    main()
