"""``limsm neb`` with the demo model: a lithium vacancy of Li3Si."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms

from aiida_limsm.atomistic.crystals import li3si
from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.jobs import execute
from aiida_limsm.compute.neb import CHECKPOINT_FILENAME, PATH_FILENAME, run_neb
from aiida_limsm.compute.neb_inputs import NebInput
from aiida_limsm.compute.neb_results import NebResults

FAST = {"n_images": 3, "optimiser": "bfgs", "fmax_ev_per_angstrom": 0.05}


@pytest.fixture(scope="module")
def ends() -> list[Atoms]:
    """An ion of the 8c sublattice beside the vacancy that it will take (4b), 15 atoms."""
    crystal = li3si()
    start, end = crystal[1:], crystal[1:]
    end.positions[3] = crystal.positions[0]
    return [start, end]


@pytest.fixture
def run(tmp_path: Path, demo_model: Path, ends: list[Atoms]) -> Callable[..., NebResults]:
    """Run the job in a folder of that name."""

    def start(name: str = "run", images: list[Atoms] | None = None, **fields: Any) -> NebResults:
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            shutil.copyfile(demo_model, folder / "potential.model")
        ase.io.write(folder / "images.extxyz", images or ends)
        return run_neb(NebInput(**{**FAST, **fields}), folder, lambda _: None)

    return start


def path_in(folder: Path) -> list[Atoms]:
    return ase.io.read(folder / PATH_FILENAME, index=":")


def test_barrier_and_path(run: Callable[..., NebResults], tmp_path: Path) -> None:
    results = run(n_images=5)
    assert results.status is Status.FINISHED
    assert results.converged
    assert results.climbed
    assert results.fmax_ev_per_angstrom < 0.05
    profile = results.profile
    assert profile.highest_image in (2, 3, 4)
    reaction = profile.energy_ev[-1] - profile.energy_ev[0]
    assert profile.reaction_energy_ev == pytest.approx(reaction)
    assert profile.barrier_forward_ev - profile.barrier_backward_ev == pytest.approx(reaction)
    assert f"barrier {profile.barrier_forward_ev:.3f} eV forwards" in results.message
    assert profile.coordinate[0] == 0.0
    assert profile.coordinate[-1] == 1.0
    assert len(profile.fit_energy_ev) == 20 * 4 + 1
    images = path_in(tmp_path / "run")
    energies = [image.get_potential_energy() for image in images]
    np.testing.assert_allclose(energies, profile.energy_ev, atol=1e-6)
    # the ends are minima, and so is the band perpendicular to the path
    assert np.abs(images[0].get_forces()).max() < 0.05
    assert np.abs(images[-1].get_forces()).max() < 0.05
    # the saddle: no force left at all
    saddle = images[profile.highest_image - 1]
    assert np.linalg.norm(saddle.get_forces(), axis=1).max() < 0.05


def test_single_points_of_a_path(run: Callable[..., NebResults], tmp_path: Path) -> None:
    """Energies of a path that is relaxed already are those of the relaxation."""
    relaxed = run()
    single = run("single", path_in(tmp_path / "run"), n_images=None, single_points=True)
    assert single.status is Status.FINISHED
    assert single.converged is None
    assert single.force_calls == single.n_images == 3
    assert single.profile.energy_ev == pytest.approx(relaxed.profile.energy_ev, abs=1e-5)
    assert not (tmp_path / "single" / CHECKPOINT_FILENAME).exists()


def test_a_band_to_start_from(run: Callable[..., NebResults], tmp_path: Path) -> None:
    run()
    again = run("again", path_in(tmp_path / "run"), n_images=None)
    assert again.status is Status.FINISHED
    assert again.n_images == 3
    with pytest.raises(JobError, match="n_images is 5 but 3 images are given"):
        run("wrong", path_in(tmp_path / "run"), n_images=5)


def test_continues_after_the_walltime(run: Callable[..., NebResults], tmp_path: Path) -> None:
    """A time of next to nothing: one step a run, and what there is is written each time."""
    whole = run("whole", fmax_ev_per_angstrom=0.1)
    for count in (1, 2):
        results = run(max_seconds=1e-6, fmax_ev_per_angstrom=0.1)
        assert results.status is Status.OUT_OF_WALLTIME
        assert f"after step {count} of 'initial': run it again" in results.message
        assert len(path_in(tmp_path / "run")) == 2
    results = run(fmax_ev_per_angstrom=0.1)
    assert results.status is Status.FINISHED
    assert results.restarts == 2
    assert results.profile.barrier_forward_ev == pytest.approx(
        whole.profile.barrier_forward_ev, abs=0.01
    )


def test_continues_in_the_band(run: Callable[..., NebResults]) -> None:
    stopped = run(relax_ends=False, max_seconds=1e-6, fmax_ev_per_angstrom=0.1)
    assert stopped.status is Status.OUT_OF_WALLTIME
    assert "after step 1 of 'band'" in stopped.message
    assert stopped.profile is not None
    assert run(relax_ends=False, fmax_ev_per_angstrom=0.1).status is Status.FINISHED


def test_more_steps_continue_what_did_not_converge(run: Callable[..., NebResults]) -> None:
    short = run(max_steps=3, fmax_ev_per_angstrom=0.02)
    assert short.status is Status.NOT_CONVERGED
    assert not short.converged
    assert "has a force of" in short.message
    assert "raise max_steps and run it again" in short.message
    done = run(max_steps=300, fmax_ev_per_angstrom=0.02)
    assert done.status is Status.FINISHED
    assert done.restarts == 1


def test_band_that_does_not_converge_is_kept(
    run: Callable[..., NebResults], tmp_path: Path
) -> None:
    results = run(max_steps=2, fmax_ev_per_angstrom=1e-3, relax_ends=False)
    assert results.status is Status.NOT_CONVERGED
    assert results.profile is not None
    assert results.end_displacements_angstrom is None
    assert len(path_in(tmp_path / "run")) == 3


def test_ends_that_relax_into_one_minimum(
    run: Callable[..., NebResults], ends: list[Atoms], tmp_path: Path
) -> None:
    near = ends[0].copy()
    near.positions[3] += [0.3, 0.3, 0.3]
    results = run(images=[ends[0], near], fmax_ev_per_angstrom=0.02)
    assert results.status is Status.END_POINTS_COLLAPSED
    assert "one of them is no minimum of this potential" in results.message
    assert results.end_displacements_angstrom[1] > 0.3
    assert len(path_in(tmp_path / "run")) == 2
    # without the relaxation: uphill all the way, said and no error
    slope = run("slope", images=[ends[0], near], relax_ends=False, climb=False)
    assert slope.status is Status.FINISHED


def test_a_path_without_a_barrier(run: Callable[..., NebResults], tmp_path: Path) -> None:
    """From a minimum up to a squeezed structure there is nothing but uphill."""
    run("relax", fmax_ev_per_angstrom=0.02)
    start = path_in(tmp_path / "relax")[0]
    squeezed = start.copy()
    squeezed.positions[3] -= [0.35, 0.35, 0.35]
    found = run("uphill", images=[start, squeezed], relax_ends=False, interpolation="linear")
    assert found.status is Status.FINISHED, found.message
    assert not found.climbed
    assert found.profile.monotonic
    assert "no barrier: the energy changes monotonically by" in found.message
    assert found.profile.barrier_forward_ev == pytest.approx(found.profile.reaction_energy_ev)
    assert found.profile.barrier_backward_ev == 0.0


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        (
            {"max_force_ev_per_angstrom": 0.1},
            Status.FORCES_EXPLODED,
            r"image 1: a force of 0\.\d+ eV/Å exceeds 0.1",
        ),
        (
            {"min_distance_angstrom": 2.6},
            Status.ATOMS_TOO_CLOSE,
            r"two atoms are 2\.\d+ Å apart, less than 2.6",
        ),
    ],
)
def test_guards(
    run: Callable[..., NebResults], tmp_path: Path, fields: Any, status: Status, message: str
) -> None:
    results = run(**fields)
    assert results.status is status
    assert re.search(message, results.message)
    assert results.profile is None
    assert len(path_in(tmp_path / "run")) == 2


def test_a_checkpoint_of_another_path(run: Callable[..., NebResults]) -> None:
    run(max_steps=2)
    with pytest.raises(JobError, match=r"checkpoint.npz is of a run with another n_images"):
        run(n_images=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:-1], "a path keeps its composition"),
        (lambda a: a[::-1], "give all images in one order of atoms"),
    ],
)
def test_ends_that_do_not_match(
    run: Callable[..., NebResults], ends: list[Atoms], change: Any, message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        run(images=[ends[0], change(ends[1])])
    assert caught.value.status is Status.INVALID_INPUT


def test_elements_and_files(run: Callable[..., NebResults], ends: list[Atoms]) -> None:
    other = [atoms.copy() for atoms in ends]
    for atoms in other:
        atoms.symbols[atoms.symbols == "Li"] = "Na"
    with pytest.raises(JobError, match="the potential knows Li, Si but the structure holds Na"):
        run(images=other)
    with pytest.raises(JobError, match=r"nothing\.cif does not exist"):
        run("missing", structure_files=("images.extxyz", "nothing.cif"))


def test_input_fields() -> None:
    with pytest.raises(ValueError, match="single_points takes the images as they are"):
        NebInput(single_points=True, n_images=5)


def test_same_input_same_bytes(run: Callable[..., NebResults], tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(name)
    first, second = ((tmp_path / name / PATH_FILENAME).read_bytes() for name in "ab")
    assert first == second


def test_as_a_job(tmp_path: Path, demo_model: Path, ends: list[Atoms]) -> None:
    shutil.copyfile(demo_model, tmp_path / "potential.model")
    for name, atoms in zip(("start.cif", "end.cif"), ends, strict=True):
        ase.io.write(tmp_path / name, atoms)
    job = NebInput(**FAST, structure_files=("start.cif", "end.cif"))
    results = execute("neb", job, tmp_path)
    assert results.status is Status.FINISHED, results.message
    assert "band: step" in (tmp_path / "limsm.log").read_text()
