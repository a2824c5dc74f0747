"""Both engines of `limsm md` give one physics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md
from aiida_limsm.compute.results import MdResults

MakeFolder = Callable[..., Path]
ENGINES = ("ase", "mace")
INPUT = {
    "temperature_k": 700.0, "equilibration_steps": 5, "frame_interval_steps": 2, "seed": 3,
    "thermostat": "nose_hoover_chain", "steps": 20,
}  # fmt: skip


def run(folder: Path, **changes: Any) -> MdResults:
    results = run_md(MdInput(**{**INPUT, **changes}), folder, lambda line: None)
    assert results.status is Status.FINISHED
    return results


@pytest.mark.parametrize("changes", [{"dtype": "float64"}, {"barostat": "flexible"}])
def test_engines_agree(make_md_folder: MakeFolder, changes: dict[str, Any]) -> None:
    from aiida_limsm.trajectory.h5md import Trajectory

    ends, energies = [], []
    for engine in ENGINES:
        folder = make_md_folder(engine)
        run(folder, engine=engine, **changes)
        with Trajectory(folder / "trajectory.h5") as trajectory:
            ends.append(trajectory.frame(-1))
            assert (trajectory.cell_changes_at is not None) == ("barostat" in changes)
            energies.append(trajectory.potential_energy)
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-4)
    np.testing.assert_allclose(energies[0], energies[1], atol=1e-3)


@pytest.mark.slow
def test_energy_drifts_alike(make_md_folder: MakeFolder) -> None:
    drifts = []
    for engine in ENGINES:
        results = run(
            make_md_folder(engine), engine=engine, thermostat="nve", time_step_fs=2.0, steps=1000,
            dtype="float64", equilibration_thermostat="csvr",
        )  # fmt: skip
        drifts.append(results.runs[0].conserved_drift_ev_per_atom_ns)
    assert abs(drifts[0]) < 1.0
    assert drifts[1] == pytest.approx(drifts[0], abs=1e-3)


@pytest.mark.slow
def test_temperatures_are_distributed_alike(make_md_folder: MakeFolder) -> None:
    """Canonical with either: mean T, variance 2 T² / (3N − 3)."""
    means, spreads, errors = [], [], []
    for seed, engine in enumerate(ENGINES):  # other seeds: else the runs are the same
        folder = make_md_folder(engine)
        run(
            folder, engine=engine, thermostat="csvr", thermostat_time_fs=20.0, seed=seed,
            equilibration_steps=200, steps=2000,
        )  # fmt: skip
        table = np.genfromtxt(folder / "thermo.csv", delimiter=",", names=True)
        temperatures = table["temperature_k"][table["step"] > 0]
        blocks = temperatures.reshape(20, -1).mean(axis=1)
        means.append(temperatures.mean())
        spreads.append(temperatures.std())
        errors.append(blocks.std(ddof=1) / np.sqrt(len(blocks)))
    assert max(errors) < 40.0
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    assert means[0] == pytest.approx(700.0, abs=4 * errors[0])
    assert spreads == pytest.approx([700.0 * np.sqrt(2 / (3 * 15 - 3))] * 2, rel=0.15)
