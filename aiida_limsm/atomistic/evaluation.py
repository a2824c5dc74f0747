"""Errors of a potential against labelled frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from aiida_limsm.labels import ENERGY_KEY, FORCES_KEY, STRESS_KEY

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """Labels and predictions, frame by frame and atom by atom.

    Attributes
    ----------
    n_atoms
        Atoms per frame, shape (F,).
    energy
        Reference and predicted total energy, shape (F, 2), eV.
    forces
        Reference and predicted forces, shape (A, 2, 3), eV/Å, A atoms over all frames.
    numbers
        Atomic numbers, shape (A,).
    stress
        Reference and predicted stress, shape (F, 2, 3, 3), eV/Å³, ASE's sign; None when a frame
        has no label.
    """

    n_atoms: NDArray[np.int64]
    energy: Array
    forces: Array
    numbers: NDArray[np.int64]
    stress: Array | None


def evaluate_frames(
    frames: Sequence[Atoms],
    calculator: Calculator,
    progress: Callable[[int, int], None] | None = None,
) -> Parity:
    """Predict every frame and pair the predictions with the labels.

    Raises
    ------
    ValueError
        As :func:`check_labels`.
    """
    check_labels(frames)
    energy = np.empty((len(frames), 2))
    forces, stress = [], []
    for index, labelled in enumerate(frames):
        atoms: Any = Atoms(
            numbers=labelled.numbers,
            positions=labelled.positions,
            cell=labelled.cell,
            pbc=labelled.pbc,
        )
        atoms.calc = calculator
        energy[index] = labelled.info[ENERGY_KEY], atoms.get_potential_energy()
        forces.append(np.stack([labelled.arrays[FORCES_KEY], atoms.get_forces()], axis=1))
        if STRESS_KEY in labelled.info:
            reference = np.asarray(labelled.info[STRESS_KEY], dtype=float).reshape(3, 3)
            stress.append(np.stack([reference, atoms.get_stress(voigt=False)]))
        if progress is not None:
            progress(index + 1, len(frames))
    return Parity(
        n_atoms=np.array([len(atoms) for atoms in frames], dtype=np.int64),
        energy=energy,
        forces=np.concatenate(forces),
        numbers=np.concatenate([atoms.numbers for atoms in frames]).astype(np.int64),
        stress=np.stack(stress) if len(stress) == len(frames) else None,
    )


def check_labels(frames: Sequence[Atoms]) -> None:
    """Make sure that frames can be judged.

    Raises
    ------
    ValueError
        If there is no frame, or one has no ``REF_energy`` or ``REF_forces``, or none that are
        finite.
    """
    if not frames:
        raise ValueError("there are no frames to evaluate")
    for index, atoms in enumerate(frames):
        if ENERGY_KEY not in atoms.info or FORCES_KEY not in atoms.arrays:
            raise ValueError(
                f"frame {index} has no {ENERGY_KEY} and {FORCES_KEY} labels: write the energies "
                "and forces of DFT under these names"
            )
        labels = [np.ravel(atoms.info[ENERGY_KEY]), np.ravel(atoms.arrays[FORCES_KEY])]
        if not np.isfinite(np.concatenate(labels)).all():
            raise ValueError(f"frame {index} has labels that are not finite: leave it out")


def rms(values: Array) -> float:
    """Root of the mean square of all components."""
    return float(np.sqrt(np.mean(np.square(values))))
