import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from aiida_limsm.compute.analyse import run_analyse
from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.inputs import AnalyseInput
from aiida_limsm.compute.results import AnalyseResults
from aiida_limsm.markov.io import load_model, read_curves
from aiida_limsm.trajectory.h5md import H5mdFile

A = 6.12
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
LI = np.concatenate([FCC + 0.5, FCC + 0.25, FCC + 0.75]) % 1


def sites():
    return Atoms("Si4Li12", scaled_positions=np.vstack([FCC, LI]), cell=A * np.eye(3), pbc=True)


def write_trajectory(path, frames=400, hop=0.02, interval=0.05, seed=0, extra=None, shift=0.0):
    """Random hops between nearest sites of a 2 × 2 × 1 cell, 40 Li, with drift and vibration."""
    random = np.random.default_rng(seed)
    framework = sites()[:4].repeat((2, 2, 1))
    lithium = sites()[4:].repeat((2, 2, 1)).positions[:40]
    jumps = A / 4 * np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)])
    # tetrahedral sites have octahedral sites on four of the eight corners only
    octahedral = A * (FCC + 0.5)
    x = np.empty((frames, len(framework) + 40 + (1 if extra else 0), 3))
    ions = lithium.copy()
    for frame in range(frames):
        for ion in np.flatnonzero(random.uniform(size=40) < hop):
            trial = ions[ion] + jumps[random.integers(8)]
            scaled = (trial / A) % 1
            silicon = np.abs((scaled - FCC + 0.5) % 1 - 0.5).max(axis=1) < 0.01
            away = (ions - trial) / (A * np.array([2, 2, 1]))
            free = np.abs(away - np.rint(away)).max(axis=1).min() > 0.05
            if free and not silicon.any():
                ions[ion] = trial
        x[frame, : len(framework)] = framework.positions
        x[frame, len(framework) : len(framework) + 40] = ions
        if extra:
            x[frame, -1] = octahedral[0] + 0.05 * frame
    x += 0.15 * random.normal(size=x.shape)
    x += np.array([shift, 0, 0]) + 0.01 * np.arange(frames)[:, None, None]
    numbers = [14] * len(framework) + [3] * 40 + ([extra] if extra else [])
    file = H5mdFile(path, numbers, np.diag([2 * A, 2 * A, A]), interval)
    file.append(x, np.arange(frames), np.full(frames, 700.0), np.zeros(frames))
    file.close()


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "structure.extxyz", sites())
    return tmp_path


def job(**choices):
    base = {"trajectory_files": ("t.h5",), "bootstrap_samples": 30, "number_of_lags": 5}
    return AnalyseInput(**base | choices)


def quiet(_):
    pass


def test_whole_run(folder):
    write_trajectory(folder / "t.h5")
    lines = []
    results = run_analyse(job(), folder, lines.append)
    assert results.status is Status.FINISHED
    assert results.diffusion.markov.resolved
    assert results.diffusion.msd.resolved
    assert results.agreement_sigma < 3
    assert (results.n_ions, results.n_frames) == (40, 400)
    assert results.temperature_k == pytest.approx(700.0)
    assert results.duration_ps == pytest.approx(399 * 0.05)
    assert {site.orbit for site in results.sites} <= {"4a", "4b", "8c"}
    assert len(results.sites) == 3  # the primitive cell of the twelve sites given
    occupied = sum(s.occupancy for s in results.sites)
    assert occupied == pytest.approx(40 / 16)
    assert results.sites[0].vibration_amplitude_a == pytest.approx(0.26, abs=0.05)
    assert sum(s.stationary_probability for s in results.sites) == pytest.approx(1.0)
    assert results.jumps[0].distance_a == pytest.approx(A * 3**0.5 / 4)
    assert sum(row.count for row in results.jumps) == results.n_jumps
    assert results.framework_msd_angstrom2 == pytest.approx(6 * 0.15**2, rel=0.2)
    assert results.assignment.startswith("core, radius 0.7")
    assert results.framework_drift_a == pytest.approx(399 * 0.01 * 3**0.5, abs=0.1)
    (warning,) = results.warnings
    assert warning.startswith("t.h5: the framework drifts by 6.9")
    assert lines
    model = load_model(folder / results.model_file)
    value = np.trace(model.diffusion_tensor()) / 3
    assert value == pytest.approx(results.diffusion.markov.isotropic_cm2_s)
    assert len(read_curves(folder / results.model_file).lag_ps) > 2
    text = json.dumps(results.model_dump(mode="json", by_alias=True))
    assert json.loads(text)["jumps"][0]["from"] in {site.label for site in results.sites}
    assert AnalyseResults.model_validate_json(text) == results


def test_same_input_same_output(folder):
    write_trajectory(folder / "t.h5", frames=120)
    outputs = []
    for _ in range(2):
        results = run_analyse(job(), folder, quiet)
        values = results.model_dump(exclude={"wall_seconds"})
        outputs.append((values, (folder / "model.h5").read_bytes()))
    assert outputs[0] == outputs[1]


def test_shift_of_the_framework_is_taken_off_and_told(folder):
    write_trajectory(folder / "t.h5", frames=120)
    write_trajectory(folder / "s.h5", frames=120, shift=0.6)
    plain = run_analyse(job(), folder, quiet)
    moved = run_analyse(job(trajectory_files=("s.h5",)), folder, quiet)
    assert moved.n_jumps == plain.n_jumps
    assert any("shifted by (0.6" in line for line in moved.warnings)


def test_replicas_are_counted_together(folder):
    write_trajectory(folder / "a.h5", frames=120, seed=1)
    write_trajectory(folder / "b.h5", frames=100, seed=2)
    results = run_analyse(job(trajectory_files=("a.h5", "b.h5"), skip_ps=1.0), folder, quiet)
    assert results.n_ions == 80
    assert results.n_frames == 180


def test_sites_of_every_cell_apart(folder):
    write_trajectory(folder / "t.h5", frames=100)
    results = run_analyse(job(pool="none"), folder, quiet)
    assert len(results.sites) == 48
    assert sum(s.occupancy for s in results.sites) == pytest.approx(40)


def test_another_species_that_is_not_in_the_sites_file_is_left_alone(folder):
    write_trajectory(folder / "t.h5", frames=120, extra=11)
    with_sodium = run_analyse(job(), folder, quiet)
    assert with_sodium.n_ions == 40
    assert with_sodium.double_occupancy_fraction == 0.0


def test_no_jumps_is_a_result(folder):
    write_trajectory(folder / "t.h5", frames=60, hop=0.0)
    results = run_analyse(job(), folder, quiet)
    assert results.n_jumps == 0
    assert not results.diffusion.markov.resolved
    assert results.diffusion.markov.upper_bound_cm2_s > 0
    assert results.diffusion.markov.isotropic_cm2_s == 0


def failure(folder, **choices):
    with pytest.raises(JobError) as caught:
        run_analyse(job(**choices), folder, quiet)
    assert "\n" not in caught.value.message
    return caught.value


def test_unusable_trajectories_say_what_to_do(folder):
    error = failure(folder)
    assert error.status is Status.TRAJECTORY_UNUSABLE
    assert "does not exist" in error.message
    write_trajectory(folder / "t.h5", frames=40)
    assert "run longer or skip less" in failure(folder, skip_ps=2.0).message
    assert "has no Na; it holds Li, Si" in failure(folder, species="Na").message
    assert "half the smallest distance" in failure(folder, core_radius_angstrom=1.5).message
    assert "not shorter than" in failure(folder, lag_ps=5.0).message
    write_trajectory(folder / "one.h5", frames=1)
    assert "1 frame(s)" in failure(folder, trajectory_files=("one.h5",)).message
    write_trajectory(folder / "other.h5", frames=40, interval=0.1)
    assert "frame interval" in failure(folder, trajectory_files=("t.h5", "other.h5")).message
    write(folder / "t.extxyz", [sites()] * 3)
    assert "--frame-interval-fs" in failure(folder, trajectory_files=("t.extxyz",)).message


def test_sites_that_do_not_fit(folder):
    write_trajectory(folder / "t.h5", frames=40)
    write(folder / "big.extxyz", Atoms("Li", cell=np.eye(3) * 5.0, pbc=True))
    error = failure(folder, structure_file="big.extxyz")
    assert error.status is Status.TRAJECTORY_UNUSABLE
    assert "does not tile" in error.message
    error = failure(folder, structure_file="no.extxyz")
    assert error.status is Status.INVALID_INPUT
    sodium = sites()
    sodium.numbers[4:] = 11
    write(folder / "na.extxyz", sodium)
    message = failure(folder, structure_file="na.extxyz", species="Na").message
    assert "has no Na" in message
