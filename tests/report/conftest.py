"""A made-up study: every number in it is synthetic and means nothing about a material."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import (
    AnalyseResults,
    Bottleneck,
    DiffusionEstimate,
    DiffusionEstimates,
    ErrorSummary,
    HavenRatio,
    JumpSummary,
    MdResults,
    PrincipalAxis,
    Ratio,
    SiteSummary,
)
from aiida_limsm.compute.train_results import EpochRecord
from aiida_limsm.markov.curves import Curves
from aiida_limsm.report.study import AimdSummary, StageTime, Study, TemperatureResult

BOLTZMANN = 8.617333262e-5
A = 6.12
CELL = A / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=float)
SITES = (("Li1", "8c", (0.25, 0.25, 0.25)), ("Li2", "8c", (0.75, 0.75, 0.75)),
         ("Li3", "4b", (0.5, 0.5, 0.5)))  # fmt: skip


def estimate(method, d, error, jumps=400, reason="", bound=None):
    """A diagonal tensor with a diagonal covariance; ``reason`` makes it unresolved."""
    tensor = np.diag([1.1 * d, d, 0.9 * d])
    covariance = np.diag([3 * error**2] * 3 + [error**2] * 3)
    return DiffusionEstimate(
        method=method,
        tensor_cm2_s=tuple(map(tuple, tensor.tolist())),
        error_cm2_s=tuple(map(tuple, (error * (1 + (3**0.5 - 1) * np.eye(3))).tolist())),
        covariance_cm4_s2=tuple(map(tuple, covariance.tolist())),
        isotropic_cm2_s=d,
        isotropic_error_cm2_s=error,
        resolved=not reason,
        upper_bound_cm2_s=bound,
        reason=reason,
    )


def jump_rows(rate):
    """Nearest-neighbour jumps 8c ↔ 4b and the slower 8c → 8c of D0₃."""
    rows = []
    positions = {name: np.array(scaled) @ CELL for name, _, scaled in SITES}
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij")).reshape(3, -1).T
    for start in positions:
        for end in positions:
            for image in images.tolist():
                vector = positions[end] - positions[start] + image @ CELL
                distance = float(np.linalg.norm(vector))
                if not 0.1 < distance < 3.2:
                    continue
                k = rate * (1.0 if distance < 2.9 else 0.25) * (1.4 if start == "Li3" else 1.0)
                jumps = max(int(200 * k), 1)
                rows.append(
                    JumpSummary(
                        from_site=start, to_site=end, image=tuple(image), distance_a=distance,
                        vector_a=tuple(vector), count=jumps, rate_per_ps=k,
                        rate_error=k / jumps**0.5,
                    )
                )  # fmt: skip
    return tuple(sorted(rows, key=lambda row: -row.count))


def curves_for(d, seed):
    random = np.random.default_rng(seed)
    lag = np.geomspace(0.05, 10, 16)
    time = np.linspace(0.05, 40, 60)
    msd = 6 * d * 1e4 * time
    return Curves(
        lag_ps=lag,
        d_of_lag_cm2_s=d * (1 + 0.5 * np.exp(-lag / 0.3)) * random.normal(1, 0.02, len(lag)),
        d_of_lag_error_cm2_s=d * 0.04 * (1 + lag / 4),
        msd_time_ps=time,
        msd_md_angstrom2=msd + 0.35 + 0.02 * msd * np.sin(time / 6),
        msd_md_error_angstrom2=0.05 + 0.08 * msd * (time / 40) ** 0.5,
        msd_projected_angstrom2=msd * 1.01,
        msd_model_angstrom2=msd,
    )


def analysis(temperature, d, sigma=0.8, jumps=1800, **changes):
    values = {
        "status": Status.FINISHED, "species": "Li", "n_ions": 22, "n_frames": 20001,
        "frame_interval_fs": 20.0,
        "duration_ps": 400.0, "temperature_k": temperature - 1.3,
        "cell_angstrom": tuple(map(tuple, (2 * CELL).tolist())),
        "sites_cell_angstrom": tuple(map(tuple, CELL.tolist())),
        "assignment": "core, radius 0.9 Å", "pool": "translations", "lag_time_ps": 1.20112,
        "lag_reason": "D agrees with that of all longer lags",
        "n_jumps": jumps, "n_independent_jumps": jumps // 2,
        "diffusion": DiffusionEstimates(
            markov=estimate("Markov state model", d, 0.06 * d),
            msd=estimate("MSD", 1.07 * d, 0.07 * d),
            uncorrelated=estimate("without correlation", 1.3 * d, 0.06 * d),
        ),
        "agreement_sigma": sigma,
        "sites": tuple(
            SiteSummary(label=name, orbit=orbit, multiplicity=int(orbit[0]), frac=at,
                        occupancy=(0.95, 0.92, 0.88)[k], vibration_amplitude_a=0.4,
                        stationary_probability=1 / 3)
            for k, (name, orbit, at) in enumerate(SITES)
        ),
        "jumps": jump_rows(0.02 * d / 1e-6),
        "implied_timescales_ps": (4.2, 1.1), "implied_timescales_error_ps": (0.3, None),
        "ck_max_deviation": 0.013, "ck_max_deviation_sigma": 1.4,
        "correlation_factor": Ratio(value=0.77, error=0.03, resolved=True),
        "haven_ratio": HavenRatio(
            value=0.6, error=0.5, resolved=False, reason="its error is larger than a third",
            charge_cm2_s=1.6 * d, charge_error_cm2_s=d, window_ps=12.5, independent_windows=32,
            charge_tensor_cm2_s=tuple(map(tuple, (1.6 * d * np.eye(3)).tolist())),
            charge_tensor_error_cm2_s=tuple(map(tuple, (d * np.ones((3, 3))).tolist())),
        ),
        "principal_axes": tuple(
            PrincipalAxis(d_cm2_s=factor * d, error_cm2_s=0.1 * d, axis=axis, direction=name)
            for factor, axis, name in (
                (1.1, (1.0, 0.0, 0.0), "[1 0 0]"), (1.0, (0.0, 1.0, 0.0), "[0 1 0]"),
                (0.9, (0.0, 0.0, 1.0), "[0 0 1]"),
            )
        ),
        "dimensionality": 3,
        "bottlenecks": (
            Bottleneck(direction="x", percolates=True, rate_per_ps=0.02 * d / 1e-6,
                       from_site="Li1", to_site="Li3", distance_a=A * 3**0.5 / 4),
            Bottleneck(direction="y", percolates=True, rate_per_ps=0.01, from_site="Li1",
                       to_site="Li2", distance_a=9.9),
            Bottleneck(direction="z", percolates=False),
        ),
        "framework_msd_angstrom2": 0.31, "wall_seconds": 12.0,
    }  # fmt: skip
    return AnalyseResults(**(values | changes))


def result(temperature, d, **changes):
    return TemperatureResult(
        temperature_k=temperature,
        analysis=analysis(temperature, d, **changes),
        curves=curves_for(d, int(temperature)),
        md=MdResults(
            status=Status.FINISHED, frames=20001, steps_done=200000, frame_interval_ps=0.02,
            mean_temperature_k=temperature - 1.3, std_temperature_k=24.0,
            framework_msd_angstrom2=0.31, steps_per_second=210.0, wall_seconds=950.0,
        ),
        pks={"diffusion": int(temperature) + 1, "markov_model": int(temperature) + 2},
    )  # fmt: skip


def summary(rmse):
    return ErrorSummary(
        frames=40, atoms=1200, rmse_forces_mev_per_angstrom=rmse,
        mae_forces_mev_per_angstrom=0.7 * rmse, rms_forces_mev_per_angstrom=612.0,
        rmse_forces_per_element_mev_per_angstrom={"Li": 0.8 * rmse, "Si": 1.4 * rmse},
        rmse_energy_mev_per_atom=0.05 * rmse, mean_energy_error_mev_per_atom=0.4,
    )  # fmt: skip


def unresolved(temperature):
    """A temperature with two jumps: a bound and nothing else."""
    few = {"jumps": 2, "reason": "2 independent jumps seen, 10 asked", "bound": 3.14e-7}
    made = result(temperature, 1e-8, sigma=0.3, jumps=4)
    found = made.analysis.model_copy(
        update={
            "diffusion": DiffusionEstimates(
                markov=estimate("Markov state model", 4e-8, 5e-8, **few),
                msd=estimate("MSD", 6e-8, 9e-8, **few),
                uncorrelated=estimate("without correlation", 4e-8, 5e-8, **few),
            ),
            "correlation_factor": None,
            "jumps": made.analysis.jumps[:2],
        }
    )
    return replace(made, analysis=found)


def arrhenius(temperature):
    return 4e-4 * np.exp(-0.22 / (BOLTZMANN * temperature))


@pytest.fixture
def primitive_cell():
    """Cell of the three sites; the MD cell is twice as long along each vector."""
    return CELL.copy()


@pytest.fixture(scope="session")
def study() -> Study:
    """Four temperatures: one unresolved, one where the methods disagree."""
    random = np.random.default_rng(1)
    reference = random.normal(0, 0.6, (1200, 3))
    return Study(
        title="Synthetic test study",
        formula="Li11Si4", sites_formula="Li12Si4", supercell="2 × 2 × 2", mobile_species="Li",
        generated_by="aiida-limsm 0.0.0",
        aimd=(AimdSummary(700.0, 1500, 1.45, 101), AimdSummary(900.0, 1500, 1.45, 109)),
        held_out_before=summary(212.0), held_out_after=summary(41.0),
        parity_forces=np.stack([reference, reference + random.normal(0, 0.041, (1200, 3))], axis=1),
        history=tuple(
            EpochRecord(epoch=k, loss=1 / (k + 1),
                        rmse_forces_mev_per_angstrom=38 + 170 * float(np.exp(-k / 6)),
                        rmse_energy_mev_per_atom=3.0)
            for k in range(30)
        ),
        temperatures=(
            result(900.0, arrhenius(900)), result(700.0, arrhenius(700)),
            result(800.0, 1.1 * arrhenius(800), sigma=2.9, assignment="nearest"), unresolved(500.0),
        ),
        trace_text="DiffusionData (PK 901)\n  <- MarkovCalculation <script>alert(1)</script>",
        trace_rows=(
            {"PK": "101", "role": "AIMD", "functional": "PBE", "cutoffs (Ry)": "16/64"},
            {"PK": "109", "role": "AIMD", "functional": "PBE", "frames used": "300"},
        ),
        limits=("Toy: these numbers are synthetic.", "Not toy: the code that draws them."),
        stages=(StageTime("AIMD", 3700.0, 100), StageTime("fine-tuning", 840.0, 200)),
        settings={"cutoff": "16 Ry", "time step": "2 fs"},
    )  # fmt: skip
