"""``limsm evaluate`` and ``limsm inspect``: what a potential is, and how far off it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aiida_limsm.files import whole_file

from .base import JobError, Status
from .inputs import EvaluateInput
from .results import ErrorSummary, EvaluateResults, PotentialInfo

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_limsm.atomistic.evaluation import Parity

PARITY_FILENAME = "parity.h5"


def inspect_potential(path: Path) -> PotentialInfo:
    """Describe a model file.

    Raises
    ------
    JobError
        If the file is not a MACE model.
    """
    from aiida_limsm.atomistic.potential import describe_model

    try:
        return PotentialInfo(**asdict(describe_model(path)))
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error


def read_frames(path: Path) -> list[Atoms]:
    """Read all frames of a file.

    Raises
    ------
    JobError
        If the file cannot be read or holds no frames.
    """
    import ase.io

    try:
        frames = list(ase.io.read(path, index=":"))
    except Exception as error:  # ASE's readers raise anything
        raise JobError(
            Status.INVALID_INPUT,
            f"{path} cannot be read ({type(error).__name__}): write it as extxyz",
        ) from error
    if not frames:
        raise JobError(Status.INVALID_INPUT, f"{path} holds no frames")
    return frames


def run_evaluate(
    job: EvaluateInput, folder: Path, progress: Callable[[str], None] = print
) -> EvaluateResults:
    """Predict every frame of every dataset file; write the points to ``parity.h5``.

    Raises
    ------
    JobError
        For a missing file, an unlabelled frame or an element the potential lacks.
    """
    from aiida_limsm.atomistic.evaluation import evaluate_frames
    from aiida_limsm.atomistic.potential import describe_model, load_calculator, require_elements

    started = time.monotonic()
    for name in (job.potential_file, *job.dataset_files.values()):
        if not (folder / name).is_file():
            raise JobError(Status.INVALID_INPUT, f"{folder / name} does not exist")
    datasets = {label: read_frames(folder / name) for label, name in job.dataset_files.items()}
    errors: dict[str, ErrorSummary] = {}
    points: dict[str, Parity] = {}
    try:
        symbols = {
            symbol for frames in datasets.values() for atoms in frames for symbol in atoms.symbols
        }
        require_elements(describe_model(folder / job.potential_file).elements, symbols)
        calculator = load_calculator(
            folder / job.potential_file,
            head=job.head,
            device=job.device,
            dtype=job.dtype,
            e0s_ev=job.e0s_ev,
        )
        for label, frames in datasets.items():
            points[label] = evaluate_frames(frames, calculator)
            errors[label] = summarise(points[label])
            progress(
                f"{label}: {len(frames)} frames, force RMSE "
                f"{errors[label].rmse_forces_mev_per_angstrom:.1f} meV/Å"
            )
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error
    _write_points(points, folder / PARITY_FILENAME)
    return EvaluateResults(
        status=Status.FINISHED,
        message=f"{sum(e.frames for e in errors.values())} frames evaluated",
        errors=errors,
        wall_seconds=time.monotonic() - started,
    )


def _write_points(points: dict[str, Parity], path: Path) -> None:
    """Write labels and predictions, a group per dataset; the file appears when it is whole."""
    import h5py

    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for label, parity in points.items():
            group = file.create_group(label)
            for name in ("n_atoms", "energy", "forces", "numbers", "stress"):
                if (values := getattr(parity, name)) is not None:
                    group.create_dataset(name, data=values, compression="gzip")


def summarise(parity: Parity) -> ErrorSummary:
    """Reduce the points of one dataset to its errors, in meV."""
    import numpy as np
    from ase.data import chemical_symbols

    from aiida_limsm.atomistic.evaluation import rms

    difference = parity.forces[:, 1] - parity.forces[:, 0]
    energy = (parity.energy[:, 1] - parity.energy[:, 0]) / parity.n_atoms
    stress = parity.stress
    return ErrorSummary(
        frames=len(parity.n_atoms),
        atoms=int(parity.n_atoms.sum()),
        rmse_forces_mev_per_angstrom=1e3 * rms(difference),
        mae_forces_mev_per_angstrom=1e3 * float(np.abs(difference).mean()),
        rms_forces_mev_per_angstrom=1e3 * rms(parity.forces[:, 0]),
        rmse_forces_per_element_mev_per_angstrom={
            chemical_symbols[z]: 1e3 * rms(difference[parity.numbers == z])
            for z in np.unique(parity.numbers)
        },
        rmse_energy_mev_per_atom=1e3 * rms(energy),
        mean_energy_error_mev_per_atom=1e3 * float(energy.mean()),
        rmse_stress_mev_per_angstrom3=(
            None if stress is None else 1e3 * rms(stress[:, 1] - stress[:, 0])
        ),
    )
