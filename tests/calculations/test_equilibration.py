"""Two halves of a run: alike by chance, or still on the way."""

from __future__ import annotations

import io

import numpy as np
import pytest
from aiida import orm
from scipy.signal import lfilter

from aiida_limsm.calculations.equilibration import check_equilibration, compare_halves

HEAD = "step,time_ps,temperature_k,potential_energy_ev\n"


def correlated(rows: int, memory: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=rows + 200)
    return lfilter([1.0], [1.0, -memory], noise)[200:]


def test_correlated_noise_is_rarely_taken_for_drift() -> None:
    found = [compare_halves(correlated(600, 0.8, seed)) for seed in range(400)]
    sigma = np.array([halves["difference_sigma"] for halves in found if halves])
    # as if every row were new, the spread would be 3
    assert 0.8 < sigma.std() < 1.4
    assert np.mean(np.abs(sigma) > 3) < 0.03


def test_drift_is_seen() -> None:
    halves = compare_halves(correlated(600, 0.8, 1) + np.linspace(0, 10, 600))
    assert halves is not None
    assert halves["difference_sigma"] > 3
    assert halves["second"] - halves["first"] == pytest.approx(5, abs=1.5)


@pytest.mark.parametrize("series", [np.arange(19.0), np.full(100, 3.0)])
def test_nothing_to_judge(series: np.ndarray) -> None:
    assert compare_halves(series) is None


def table(drift: float) -> str:
    rows = [HEAD]
    # equilibration does not count, however hot it was
    rows += [f"{step},{step / 500},5000,0.0\n" for step in range(-100, 0, 10)]
    heat, energy = correlated(200, 0.5, 2), correlated(200, 0.5, 3) + np.linspace(0, drift, 200)
    rows += [f"{10 * k},{k / 50},{600 + 20 * heat[k]:.10g},{energy[k]:.10g}\n" for k in range(200)]
    return "".join(rows)


@pytest.mark.usefixtures("aiida_profile")
def test_every_run_of_a_folder_is_judged() -> None:
    folder = orm.FolderData()
    for path, drift in (("runs/500K-0/thermo.csv", 0.0), ("runs/500K-1/thermo.csv", 9.0)):
        folder.base.repository.put_object_from_filelike(io.BytesIO(table(drift).encode()), path)
    found = check_equilibration(folder).get_dict()
    assert [run["table"] for run in found["runs"]] == [
        "runs/500K-0/thermo.csv", "runs/500K-1/thermo.csv",
    ]  # fmt: skip
    assert all(run["rows"] == 200 for run in found["runs"])
    (warning,) = found["warnings"]
    assert warning.startswith("runs/500K-1: potential energy (eV) of the two halves")
    assert "equilibrate longer" in warning
