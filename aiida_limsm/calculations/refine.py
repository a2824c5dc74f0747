"""Calcfunctions of active learning: is it good enough, which frames are labelled, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_limsm.compute.base import Status

from ._farthest import closest_share, farthest_points, neighbour_descriptor
from ._refine_settings import RefineTargets, SelectionSettings
from ._settings import read_settings
from .structures import symbols_of

__all__ = ["collect_rounds", "judge_round", "select_frames"]


@calcfunction
def judge_round(
    targets: orm.Dict, errors: orm.Dict, spread: orm.SinglefileData, md: orm.Dict
) -> orm.Dict:
    """Compare a round's potentials with the targets.

    Parameters
    ----------
    targets
        Fields of :class:`RefineTargets`.
    errors
        ``errors_after`` of limsm.finetune with a committee.
    spread
        Of limsm.spread, on the frames of the MD.
    md
        Results of limsm.md. A run that a guard stopped is never good enough.

    Returns
    -------
    Dict
        ``converged`` and the ``reason``; ``force_rmse_mev_per_angstrom`` with the number of
        ``train_frames``; ``spread_ev_per_angstrom``, the quantile over frames of the largest spread
        of an atom times ``scaling_factor``; ``md_frames`` and ``md_message``.
    """
    wanted = read_settings(RefineTargets, targets.get_dict())
    found = errors.get_dict()
    rmse = _force_rmse(found, wanted.split)
    scaling = scaling_factor(found) if wanted.rescale else 1.0
    largest = _read_spread(spread)["spread"].max(axis=1)
    quantile = scaling * float(np.quantile(largest, wanted.spread_quantile))
    survived = md["status"] == Status.FINISHED.value
    reached = []
    if wanted.max_spread_ev_per_angstrom is not None:
        text = f"spread {quantile:.3f} eV/Å, target {wanted.max_spread_ev_per_angstrom:g} eV/Å"
        reached.append((quantile <= wanted.max_spread_ev_per_angstrom, text))
    if wanted.max_force_rmse_mev_per_angstrom is not None:
        text = "no force error on held-out frames"
        if rmse is not None:
            limit = wanted.max_force_rmse_mev_per_angstrom
            text = f"force RMSE {rmse:.1f} meV/Å, target {limit:g} meV/Å"
        reached.append((rmse is not None and rmse <= limit, text))
    converged = survived and any(each for each, _ in reached)
    reasons = [text for each, text in reached if each == converged or not survived]
    if not survived:
        reasons.insert(0, f"the MD was stopped: {md['message']}")
    return orm.Dict(
        {
            "converged": converged,
            "reason": "; ".join(reasons),
            "train_frames": found["errors"]["train"]["frames"],
            "force_rmse_mev_per_angstrom": rmse,
            "split": wanted.split,
            "scaling_factor": scaling,
            "spread_ev_per_angstrom": quantile,
            "spread_quantile": wanted.spread_quantile,
            "md_frames": len(largest),
            "md_message": md["message"],
        }
    )


@calcfunction
def select_frames(
    settings: orm.Dict, structure: orm.StructureData, spread: orm.SinglefileData, judged: orm.Dict
) -> dict[str, Any]:
    """Pick frames with a large spread that differ from each other.

    Of the frames that qualify the one with the largest spread is the first; each following one is
    the farthest from those chosen (:mod:`._farthest`).

    Parameters
    ----------
    settings
        Fields of :class:`SelectionSettings`.
    structure
        With which the MD began; frames have its kinds.
    spread
        Of limsm.spread.
    judged
        Of :func:`judge_round`, with the scaling factor.

    Returns
    -------
    dict
        ``frame_0012``, … (StructureData) by the number of the frame in the trajectory, and
        ``selection`` (Dict): how many there were, qualified, and were chosen, with their spreads.

    Raises
    ------
    ValueError
        The frames are not of this structure.
    """
    wanted = read_settings(SelectionSettings, settings.get_dict())
    data = _read_spread(spread)
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols_of(structure)])
    if not np.array_equal(numbers, data["numbers"]):
        raise ValueError("structure: its atoms are not those of the frames")
    spreads = judged["scaling_factor"] * data["spread"].max(axis=1)
    large = spreads >= wanted.min_spread_ev_per_angstrom
    physical = data["force"].max(axis=1) <= wanted.max_force_ev_per_angstrom
    for each in np.flatnonzero(large & physical):
        share = closest_share(numbers, data["positions"][each], data["cell"][each])
        physical[each] = share >= wanted.min_distance_share
    candidates = np.flatnonzero(large & physical)
    chosen: list[int] = []
    if len(candidates):
        points = np.stack(
            [
                neighbour_descriptor(
                    numbers, data["positions"][index], data["cell"][index], wanted.neighbours,
                    wanted.cutoff_angstrom,
                )
                for index in candidates
            ]
        )  # fmt: skip
        first = int(spreads[candidates].argmax())
        chosen = [int(candidates[n]) for n in farthest_points(points, first, wanted.number)]
    outputs: dict[str, Any] = {}
    for index in sorted(chosen):
        frame = structure.clone()
        frame.reset_cell(data["cell"][index].tolist())
        frame.reset_sites_positions(data["positions"][index].tolist())
        outputs[f"frame_{data['frame'][index]:04d}"] = frame
    summary = {
        "frames": len(spreads),
        "with_large_spread": int(large.sum()),
        "not_physical": int((large & ~physical).sum()),
        "chosen": [int(data["frame"][index]) for index in chosen],
        "spreads_ev_per_angstrom": [float(spreads[index]) for index in chosen],
    }
    return {**outputs, "selection": orm.Dict(summary)}


@calcfunction
def collect_rounds(**rounds: orm.Dict) -> orm.Dict:
    """Join what was found in all rounds.

    Parameters
    ----------
    **rounds
        ``judged_01``, ``selection_01``, ``labelled_01``, …

    Returns
    -------
    Dict
        ``rounds``: a list, each with the fields of :func:`judge_round` and, where frames were
        labelled, ``selection`` and ``labels``.
    """
    history: list[dict[str, Any]] = []
    for key in sorted(key for key in rounds if key.startswith("judged_")):
        number = key.removeprefix("judged_")
        entry = {"round": int(number), **rounds[key].get_dict()}
        for part, name in (("selection", "selection"), ("labelled", "labels")):
            if f"{part}_{number}" in rounds:
                entry[name] = rounds[f"{part}_{number}"].get_dict()
        history.append(entry)
    return orm.Dict({"rounds": history})


def scaling_factor(errors: Mapping[str, Any]) -> float:
    """Return rms error over rms spread of a committee on held-out frames, 1 where unknown."""
    for split in ("valid", "test"):
        factor = errors.get("committee", {}).get(split, {}).get("scaling_factor")
        if factor is not None:
            return float(factor)
    return 1.0


def _force_rmse(errors: Mapping[str, Any], split: str) -> float | None:
    found = errors["errors"].get(split)
    return None if found is None else float(found["rmse_forces_mev_per_angstrom"])


def _read_spread(node: orm.SinglefileData) -> dict[str, NDArray[Any]]:
    with node.as_path() as path, h5py.File(path, "r") as file:
        return {name: np.asarray(values[()]) for name, values in file.items()}
