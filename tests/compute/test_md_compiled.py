"""`limsm md` with a model that torch compiles: a small one with random weights, real compilers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiida_limsm.compute.base import JobError, Status
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md
from aiida_limsm.trajectory.h5md import Trajectory

INPUT = {
    "temperature_k": 700.0, "steps": 40, "frame_interval_steps": 2, "thermostat": "csvr",
    "checkpoint_interval_steps": 10, "seed": 3, "compile_model": True,
    # forces of random weights are no physics
    "max_force_ev_per_angstrom": 1e6, "max_temperature_factor": 1e6, "min_distance_fraction": 0.0,
}  # fmt: skip


def run(folder: Path, **changes: Any) -> Any:
    lines: list[str] = []
    results = run_md(MdInput(**{**INPUT, **changes}), folder, lines.append)
    assert results.status is Status.FINISHED, results.message
    return lines


@pytest.fixture
def small_folder(make_md_folder: Callable[..., Path]) -> Callable[[str], Path]:
    """Return a factory of folders with a model of one layer."""
    from aiida_limsm.atomistic.potential import import_mace

    import_mace()
    import torch
    from e3nn import o3
    from mace.modules import ScaleShiftMACE, interaction_classes

    torch.manual_seed(0)
    block = interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = ScaleShiftMACE(
        r_max=4.0, num_bessel=4, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block,
        interaction_cls_first=block, num_interactions=1, num_elements=2,
        hidden_irreps=o3.Irreps("4x0e"), MLP_irreps=o3.Irreps("4x0e"), gate=torch.tanh,
        atomic_energies=np.array([-1.0, -2.0]), avg_num_neighbors=12.0, atomic_numbers=[3, 14],
        correlation=1, radial_MLP=[4], atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip

    def factory(name: str) -> Path:
        folder = make_md_folder(name)
        torch.save(model, folder / "potential.model")
        return folder

    return factory


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile anew, and leave nothing outside."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_cache")
def test_a_compiled_run_is_the_same_run_and_continues_bit_for_bit(
    small_folder: Callable[[str], Path],
) -> None:
    plain, whole, parts = (small_folder(name) for name in ("plain", "whole", "parts"))
    run(plain, compile_model=False)
    lines = run(whole)
    assert any("compiling" in line for line in lines)
    run(parts, steps=18)
    assert any("continuing from step 18" in line for line in run(parts))
    frames = []
    for folder in (plain, whole, parts):
        with Trajectory(folder / "trajectory.h5") as trajectory:
            frames.append(np.stack([trajectory.frame(k) for k in range(21)]))
    moved = np.abs(frames[0][-1] - frames[0][0]).max()
    assert moved > 0.05
    np.testing.assert_allclose(frames[1], frames[0], atol=1e-3 * moved)
    np.testing.assert_array_equal(frames[2], frames[1])


@pytest.mark.slow
def test_without_a_compiler_it_says_what_is_missing(
    small_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "empty"))
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(JobError, match=r"needs a C\+\+ compiler.*else leave it out") as caught:
        run(small_folder("run"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"engine": "ase"}, "goes with engine 'mace'"), ({"threads": 2}, "take workers instead")],
)
def test_what_is_not_compiled(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MdInput(**{**INPUT, **changes})
    MdInput(**{**INPUT, "threads": 2, "device": "cuda"})
