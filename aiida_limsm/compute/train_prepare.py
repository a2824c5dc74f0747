"""Before a training: what MACE would fail on late or pass over silently, and the energy zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiida_limsm.files import whole_file
from aiida_limsm.labels import ENERGY_KEY, FORCES_KEY

from .base import JobError, Status
from .evaluate import inspect_potential, read_frames
from .mace_command import DRAWN_FRAMES
from .results import PotentialInfo
from .train_inputs import TrainInput, check_head

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["CURRENT_FOUNDATION", "Prepared", "prepare"]

CURRENT_FOUNDATION = "foundation_e0.model"
#: Fields of the input that name files of frames, and what each is called in results.
_FRAMES = {
    "train": "train_file", "valid": "valid_file", "test": "test_file",
    "replay train": "replay_train_file", "replay valid": "replay_valid_file",
}  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """What a training starts from.

    ``foundation`` is the file given to MACE, ``e0s_ev`` the isolated atoms of the labels for every
    element in the frames, ``energy_zero_error`` what they leave, in eV per atom.
    """

    frames: dict[str, list[Atoms]]
    foundation: str | None
    foundation_info: PotentialInfo | None
    e0s_ev: dict[str, float]
    energy_zero_error: float | None
    warnings: tuple[str, ...]


def _refuse(message: str) -> JobError:
    return JobError(Status.INVALID_INPUT, message)


def prepare(job: TrainInput, folder: Path) -> Prepared:
    """Check the input; write the foundation with the right E0s, and the frames if they are drawn.

    Raises
    ------
    JobError
        For input that cannot be trained on; one line with the remedy.
    """
    files = {label: getattr(job, field) for label, field in _FRAMES.items()}
    for name in (*files.values(), job.foundation_file):
        if name is not None and not (folder / name).is_file():
            raise _refuse(f"{folder / name} does not exist")
    from aiida_limsm.atomistic.potential import require_device, write_with_e0s

    try:
        require_device(job.device)
    except ValueError as error:
        raise _refuse(str(error)) from error
    frames = {label: read_frames(folder / name) for label, name in files.items() if name}
    for label, found in frames.items():
        _require_labels(found, str(files[label]))
    if job.batch_size > len(frames["train"]):
        raise _refuse(
            f"batch_size {job.batch_size} exceeds the {len(frames['train'])} training frames: "
            "lower it"
        )
    elements = {label: _elements(found) for label, found in frames.items()}
    ours = sorted(set().union(*(elements[s] for s in ("train", "valid", "test") if s in elements)))
    if job.e0s_ev is not None and (missing := [s for s in ours if s not in job.e0s_ev]):
        raise _refuse(f"e0s_ev: no isolated-atom energy of {', '.join(missing)}")
    if job.resample_frames:
        _write_drawn(frames["train"], job.seed, folder / DRAWN_FRAMES)
    if job.foundation_file is None:
        return _from_scratch(job, frames, ours)

    source, info = _foundation(job, folder / job.foundation_file)
    for label, symbols in elements.items():
        if unknown := ", ".join(sorted(symbols - set(info.elements))):
            raise _refuse(
                f"{files[label]}: the foundation knows {_some(info.elements)} but not {unknown}: "
                f"take a foundation model trained with {unknown}"
            )
    e0s, zero_error, warnings = _energy_zero(job, source, info, frames["train"], ours)
    everywhere = sorted(set().union(*elements.values()))
    asked = {symbol: e0s.get(symbol, info.e0s_ev[symbol]) for symbol in everywhere}
    # With replay the foundation's head keeps the zero of the replay labels, the new one gets ours.
    in_file: Mapping[str, float] = e0s
    if job.strategy == "multihead":
        in_file = job.replay_e0s_ev or {}
        if unknown := ", ".join(sorted(set(in_file) - set(info.elements))):
            raise _refuse(f"replay_e0s_ev: the foundation does not know {unknown}")
    try:
        write_with_e0s(source, folder / CURRENT_FOUNDATION, in_file)
    except ValueError as failed:
        raise _refuse(f"foundation_file: {failed}") from failed
    if job.strategy == "multihead":
        _check_replay(job, folder, {**info.e0s_ev, **in_file}, frames["replay train"])
    return Prepared(frames, CURRENT_FOUNDATION, info, asked, zero_error, warnings)


def _foundation(job: TrainInput, path: Path) -> tuple[Path, PotentialInfo]:
    """Return the foundation, of several heads the one that was chosen, and what it is."""
    info = inspect_potential(path)
    try:
        check_head(job.foundation_head, info.heads)
    except ValueError as error:
        raise _refuse(str(error)) from error
    if job.foundation_head is None or len(info.heads) == 1:
        return path, info
    from aiida_limsm.atomistic.potential import write_head

    target = path.with_name(CURRENT_FOUNDATION)
    write_head(path, target, job.foundation_head)
    return target, inspect_potential(target)


def _require_labels(frames: list[Atoms], name: str) -> None:
    for index, atoms in enumerate(frames):
        if ENERGY_KEY in atoms.info and FORCES_KEY in atoms.arrays:
            continue
        # ASE puts keys without a prefix into a calculator
        other = sorted(atoms.calc.results) if atoms.calc is not None else []
        other += [
            key
            for key in (*atoms.info, *atoms.arrays)
            if key.lower().endswith(("energy", "forces", "force"))
        ]
        hint = f" (it has {', '.join(other)}: rename them)" if other else ""
        raise _refuse(
            f"{name}: frame {index} has no {ENERGY_KEY} and {FORCES_KEY} labels{hint}; every "
            "frame needs both"
        )


def _write_drawn(frames: list[Atoms], seed: int, path: Path) -> None:
    """Write as many frames drawn with replacement; a restart draws the same."""
    import ase.io
    import numpy as np

    drawn = np.random.default_rng(seed).integers(len(frames), size=len(frames))
    with whole_file(path) as temporary:
        ase.io.write(temporary, [frames[index] for index in drawn], format="extxyz")


def _elements(frames: list[Atoms]) -> set[str]:
    return {symbol for atoms in frames for symbol in atoms.symbols}


def _some(elements: tuple[str, ...]) -> str:
    return ", ".join(elements) if len(elements) <= 12 else f"{len(elements)} elements"


def _from_scratch(job: TrainInput, frames: dict[str, list[Atoms]], ours: list[str]) -> Prepared:
    e0s = dict(job.e0s_ev or {})
    warnings: tuple[str, ...] = ()
    if job.e0s == "estimated":
        import numpy as np

        from aiida_limsm.atomistic.energy_zero import estimate_e0s

        train = frames["train"]
        found = estimate_e0s(train, np.zeros(len(train)), dict.fromkeys(ours, 0.0))
        e0s, warnings = found.e0s_ev, _not_unique(found.unique)
        if missing := [symbol for symbol in ours if symbol not in e0s]:
            raise _refuse(f"e0s 'estimated': no training frame holds {', '.join(missing)}")
    return Prepared(frames, None, None, {s: e0s[s] for s in ours}, None, warnings)


def _not_unique(unique: bool) -> tuple[str, ...]:
    if unique:
        return ()
    return (
        "the training frames have too few compositions to tell the isolated-atom energies of the "
        "elements apart: only their sum in these compositions is right",
    )


def _energy_zero(
    job: TrainInput, source: Path, info: PotentialInfo, train: list[Atoms], ours: list[str]
) -> tuple[dict[str, float], float, tuple[str, ...]]:
    """Return the E0s of the labels and how far they are from the foundation; refuse a mismatch."""
    from aiida_limsm.atomistic.energy_zero import (
        energy_zero_error,
        estimate_e0s,
        few_of,
        predicted_energies,
    )

    few = few_of(train) if job.e0s != "estimated" else train
    predicted = predicted_energies(few, _load(job, source))
    warnings: tuple[str, ...] = ()
    if job.e0s == "isolated":
        e0s = {symbol: (job.e0s_ev or {})[symbol] for symbol in ours}
    elif job.e0s == "foundation":
        e0s = {symbol: info.e0s_ev[symbol] for symbol in ours}
    else:
        found = estimate_e0s(few, predicted, info.e0s_ev)
        e0s = {symbol: found.e0s_ev.get(symbol, info.e0s_ev[symbol]) for symbol in ours}
        warnings = _not_unique(found.unique)
    error = energy_zero_error(few, predicted, info.e0s_ev, e0s)
    if abs(error) > job.max_energy_zero_error_ev_per_atom:
        remedy = (
            "their code has another energy zero: take e0s 'isolated' or 'estimated'"
            if job.e0s == "foundation"
            else "e0s_ev are not those of the labels' DFT: compute the atoms with its settings, or "
            "take e0s 'estimated'"
        )
        raise _refuse(
            f"labels and foundation differ by {error:.2f} eV per atom relative to isolated atoms, "
            f"more than {job.max_energy_zero_error_ev_per_atom:g}: {remedy}"
        )
    return e0s, error, warnings


def _load(job: TrainInput, path: Path) -> Calculator:
    from aiida_limsm.atomistic.potential import load_calculator

    try:
        return load_calculator(path, device=job.device, dtype="float64")
    except ValueError as error:
        raise _refuse(f"foundation_file: {error}") from error


def _check_replay(
    job: TrainInput, folder: Path, e0s: Mapping[str, float], replay: list[Atoms]
) -> None:
    """Refuse replay labels of another energy zero than the foundation's head will have."""
    from aiida_limsm.atomistic.energy_zero import energy_zero_error, few_of, predicted_energies

    few = few_of(replay)
    predicted = predicted_energies(few, _load(job, folder / CURRENT_FOUNDATION))
    error = energy_zero_error(few, predicted, e0s, e0s)
    if abs(error) > job.max_energy_zero_error_ev_per_atom:
        raise _refuse(
            f"{job.replay_train_file}: replay labels and foundation differ by {error:.2f} eV per "
            "atom: give frames with the labels that the foundation was trained on, or "
            "replay_e0s_ev of their DFT"
        )
