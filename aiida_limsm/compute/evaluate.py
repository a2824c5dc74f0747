"""``limsm evaluate`` and ``limsm inspect``: what a potential is, and how far off it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiida_limsm.files import whole_file

from .base import JobError, Status
from .evaluate_file import PARITY_FILENAME
from .inputs import EvaluateInput
from .results import ErrorSummary, EvaluateResults, PotentialInfo

if TYPE_CHECKING:
    from ase import Atoms
    from mace.calculators import MACECalculator

    from aiida_limsm.atomistic.committee import Committee
    from aiida_limsm.atomistic.evaluation import Parity
    from aiida_limsm.markov.observe import Step

TOO_MUCH_ALIKE = 5.0
"""Where the error of a committee is this many times its spread, a warning says so."""


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
    job: EvaluateInput,
    folder: Path,
    progress: Callable[[str], None] = print,
    step: Step = lambda *_: None,
) -> EvaluateResults:
    """Predict every frame of every dataset file; write the points to ``parity.h5``.

    Parameters
    ----------
    job
        Files are relative to ``folder``.
    progress, step
        Get lines for people, and how far long work is.

    Raises
    ------
    JobError
        For a missing or damaged file, an unlabelled frame, an element that a potential lacks, a
        head or a device that is not there; before anything is predicted.
    """
    import numpy as np

    from aiida_limsm.atomistic.committee import Committee
    from aiida_limsm.atomistic.evaluation import evaluate_frames

    from .evaluate_summary import detail, summarise_committee

    started = time.monotonic()
    datasets, calculators = _open_all(job, folder)
    points: dict[str, Parity] = {}
    committees: dict[str, Committee] = {}
    for label, frames in datasets.items():
        found = [
            evaluate_frames(frames, calculator, partial(step, f"{label}{member}"))
            for calculator, member in zip(calculators, _members(calculators), strict=True)
        ]
        points[label] = found[0]
        rmse = summarise(found[0]).rmse_forces_mev_per_angstrom
        line = f"{label}: {len(frames)} frames, force RMSE {rmse:.1f} meV/Å"
        if len(found) > 1:
            forces = np.stack([parity.forces[:, 1] for parity in found])
            committees[label] = Committee.of(forces, found[0].forces[:, 0])
            line += f", {len(found)} potentials"
        progress(line)
    _write_points(points, committees, folder / PARITY_FILENAME)
    edges = job.force_bins_ev_per_angstrom
    spreads = {
        label: summarise_committee(committee, points[label].n_atoms)
        for label, committee in committees.items()
    }
    return EvaluateResults(
        status=Status.FINISHED,
        message=f"{sum(len(frames) for frames in datasets.values())} frames evaluated",
        warnings=tuple(
            f"{label}: the error is {found.scaling_factor:.0f} times the spread of the committee: "
            "multiply the spread by that; members on drawn frames (resample_frames) differ more"
            for label, found in spreads.items()
            if (found.scaling_factor or 0.0) > TOO_MUCH_ALIKE
        ),
        errors={label: summarise(parity) for label, parity in points.items()},
        details={label: detail(parity, edges) for label, parity in points.items()},
        committee=spreads,
        wall_seconds=time.monotonic() - started,
    )


def _open_all(
    job: EvaluateInput, folder: Path
) -> tuple[dict[str, list[Atoms]], list[MACECalculator]]:
    """Read the frames and load the potentials, the one to judge first; refuse what does not fit."""
    from aiida_limsm.atomistic.evaluation import check_labels
    from aiida_limsm.atomistic.potential import describe_model, load_calculator, require_elements

    potentials = [folder / name for name in (job.potential_file, *job.committee_files)]
    for path in (*potentials, *(folder / name for name in job.dataset_files.values())):
        if not path.is_file():
            raise JobError(Status.INVALID_INPUT, f"{path} does not exist")
    datasets = {label: read_frames(folder / name) for label, name in job.dataset_files.items()}
    symbols = {
        symbol for frames in datasets.values() for atoms in frames for symbol in atoms.symbols
    }
    name = job.potential_file
    try:
        for label, frames in datasets.items():
            name = job.dataset_files[label]
            check_labels(frames)
        calculators = []
        seen: dict[str, str] = {}
        for path in potentials:
            name = path.name
            info = describe_model(path)
            require_elements(info.elements, symbols)
            if info.sha256 in seen:
                raise ValueError(
                    f"is the same model as {seen[info.sha256]}: a committee needs potentials of "
                    "different seeds"
                )
            seen[info.sha256] = path.name
            calculators.append(
                load_calculator(
                    path, head=job.head, device=job.device, dtype=job.dtype, e0s_ev=job.e0s_ev
                )
            )
    except ValueError as error:
        text = str(error)
        raise JobError(Status.INVALID_INPUT, text if name in text else f"{name}: {text}") from error
    return datasets, calculators


def _members(calculators: Sequence[object]) -> list[str]:
    """Return what to add to the name of a stage, per potential."""
    number = len(calculators)
    return [""] if number == 1 else [f", {k}/{number}" for k in range(1, number + 1)]


def _write_points(points: dict[str, Parity], committees: dict[str, Committee], path: Path) -> None:
    """Write labels and predictions, a group per dataset; the file appears when it is whole."""
    import h5py

    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        for label, parity in points.items():
            group = file.create_group(label)
            for name in ("n_atoms", "energy", "forces", "numbers", "stress"):
                if (values := getattr(parity, name)) is not None:
                    group.create_dataset(name, data=values, compression="gzip")
            if label in committees:
                committee = committees[label]
                for name in ("mean", "spread", "error"):
                    group.create_dataset(
                        f"committee_{name}", data=getattr(committee, name), compression="gzip"
                    )


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
