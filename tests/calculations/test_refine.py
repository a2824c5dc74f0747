"""Active learning: which frames are chosen, and when it is good enough."""

from __future__ import annotations

import io
from typing import Any

import h5py
import numpy as np
import pytest
from aiida import orm

from aiida_limsm.atomistic.crystals import li11si4
from aiida_limsm.calculations._farthest import (
    closest_share,
    farthest_points,
    neighbour_descriptor,
)
from aiida_limsm.calculations.refine import collect_rounds, judge_round, select_frames

pytestmark = pytest.mark.usefixtures("aiida_profile")


def describe(atoms: Any, **kwargs: Any) -> Any:
    return neighbour_descriptor(atoms.numbers, atoms.positions, np.array(atoms.cell), **kwargs)


def test_the_descriptor_of_two_atoms() -> None:
    cell = np.eye(3) * 20
    found = neighbour_descriptor(
        np.array([3, 14]), np.array([[0, 0, 0], [2.0, 0, 0]]), cell, 1, 6.0
    )
    # pairs LiLi, LiSi, SiLi, SiSi: only unlike atoms are near
    np.testing.assert_allclose(found, [0, 1 / 2 - 1 / 6, 1 / 2 - 1 / 6, 0])


def test_the_descriptor_knows_no_frame_of_reference() -> None:
    from scipy.spatial.transform import Rotation

    atoms = li11si4()
    atoms.rattle(0.1, seed=1)
    before = describe(atoms)
    other = atoms[np.random.default_rng(2).permutation(len(atoms))]
    other.translate([100.3, -50.1, 7.0])
    turn = Rotation.from_euler("xyz", [20, 30, 40], degrees=True).as_matrix()
    other.set_cell(np.array(other.cell) @ turn.T, scale_atoms=False)
    other.positions = other.positions @ turn.T
    np.testing.assert_allclose(describe(other), before, atol=1e-10)
    other.positions[0] += [0.2, 0.0, 0.0]
    assert np.linalg.norm(describe(other) - before) > 1e-3


def test_farthest_points() -> None:
    points = np.array([[0.0], [1.0], [2.0], [10.0], [10.0], [5.0]])
    assert farthest_points(points, 1, 3) == [1, 3, 5]
    # equal points are chosen once
    assert farthest_points(points, 3, 6) == [3, 0, 5, 2, 1]


def test_the_closest_pair_over_the_cell_boundary() -> None:
    cell = np.eye(3) * 8
    # covalent radius of lithium 1.28 Å
    share = closest_share(np.array([3, 3]), np.array([[0.1, 0, 0], [7.9, 0, 0]]), cell)
    assert share == pytest.approx(0.2 / 2.56)
    assert closest_share(np.array([3, 3]), np.array([[0.0, 0, 0], [4, 0, 0]]), cell) == 1.0


def spread_file(atoms: Any, rattles: Any, spreads: Any, forces: Any, first: int = 0) -> Any:
    """Write what ``limsm spread`` writes: frames displaced by so much, with so much spread."""
    count = len(rattles)
    frames = [atoms.copy() for _ in range(count)]
    for number, (frame, size) in enumerate(zip(frames, rattles, strict=True)):
        frame.rattle(size, seed=number)
    columns = {
        "frame": first + np.arange(count),
        "positions": np.array([frame.positions for frame in frames]),
        "cell": np.array([np.array(frame.cell) for frame in frames]),
        "numbers": atoms.numbers,
        "spread": np.outer(spreads, np.linspace(0.5, 1.0, len(atoms))),
        "force": np.outer(forces, np.ones(len(atoms))),
    }
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, values in columns.items():
            file[name] = values
    buffer.seek(0)
    return orm.SinglefileData(buffer, filename="spread.h5"), frames


def select(structure: Any, spread: Any, scaling: float = 1.0, **settings: Any) -> Any:
    judged = orm.Dict({"scaling_factor": scaling})
    return select_frames(orm.Dict(settings), structure, spread, judged)


def test_frames_of_large_spread_that_differ() -> None:
    structure = orm.StructureData(ase=li11si4())
    # 0 and 3 are nearly the crystal; 2 agrees; 4 has forces, 5 overlaps: no crystals
    spread, frames = spread_file(
        li11si4(),
        [0.001, 0.1, 0.1, 0.001, 0.1, 1.0],
        [0.2, 0.3, 0.01, 0.2, 0.4, 0.5],
        [1.0, 1.0, 1.0, 1.0, 30.0, 1.0],
        first=40,
    )
    chosen = select(structure, spread, number=2, min_spread_ev_per_angstrom=0.1)
    summary = chosen.pop("selection").get_dict()
    assert summary["frames"] == 6
    assert (summary["with_large_spread"], summary["not_physical"]) == (5, 2)
    # the largest spread first; of the two crystals the one that is farther
    assert summary["chosen"][0] == 41
    assert summary["spreads_ev_per_angstrom"] == pytest.approx([0.3, 0.2])
    assert set(chosen) == {f"frame_{number:04d}" for number in summary["chosen"]}
    frame = chosen["frame_0041"]
    np.testing.assert_allclose(frame.get_ase().positions, frames[1].positions)
    assert frame.get_kind_names() == structure.get_kind_names()
    # the same again
    again = select(structure, spread, number=2, min_spread_ev_per_angstrom=0.1)
    assert again["selection"].get_dict() == summary


def test_the_spread_is_rescaled() -> None:
    structure = orm.StructureData(ase=li11si4())
    spread, _ = spread_file(li11si4(), [0.1, 0.1], [0.02, 0.05], [1.0, 1.0])
    limit = {"min_spread_ev_per_angstrom": 0.3}
    assert list(select(structure, spread, 1.0, **limit)) == ["selection"]
    assert sorted(select(structure, spread, 10.0, **limit)) == ["frame_0001", "selection"]


def test_frames_of_another_cell_are_refused() -> None:
    spread, _ = spread_file(li11si4(), [0.1], [1.0], [1.0])
    with pytest.raises(ValueError, match="its atoms are not those of the frames"):
        select(orm.StructureData(ase=li11si4()[::-1]), spread)


def errors(rmse: float = 80.0, **committee: Any) -> orm.Dict:
    split = {"frames": 4, "rmse_forces_mev_per_angstrom": rmse}
    return orm.Dict(
        {"errors": {"train": {**split, "frames": 10}, "test": split}, "committee": committee}
    )


def judge(targets: Any, found: orm.Dict, status: str = "finished") -> dict[str, Any]:
    # largest spread of an atom in the frames: 10, 20, … 100 meV/Å
    spread, _ = spread_file(li11si4(), [0.1] * 10, np.arange(0.01, 0.105, 0.01), [1.0] * 10)
    md = orm.Dict({"status": status, "message": "step 8: atoms too close"})
    return judge_round(orm.Dict(targets), found, spread, md).get_dict()


def test_a_target_of_the_spread() -> None:
    targets = {"max_spread_ev_per_angstrom": 0.06, "spread_quantile": 0.5}
    good = judge(targets, errors())
    assert good["converged"]
    assert good["spread_ev_per_angstrom"] == pytest.approx(0.055)
    assert good["reason"] == "spread 0.055 eV/Å, target 0.06 eV/Å"
    assert (good["train_frames"], good["md_frames"], good["scaling_factor"]) == (10, 10, 1.0)
    # the error is twice the spread: 'valid' counts, where it is known
    factors = {"test": {"scaling_factor": 1.0}, "valid": {"scaling_factor": 2.0}}
    scaled = judge(targets, errors(**factors))
    assert not scaled["converged"]
    assert scaled["spread_ev_per_angstrom"] == pytest.approx(0.11)
    assert judge({**targets, "rescale": False}, errors(**factors))["converged"]


def test_a_target_of_the_force_error_is_enough() -> None:
    targets = {"max_spread_ev_per_angstrom": 0.01, "max_force_rmse_mev_per_angstrom": 100.0}
    good = judge(targets, errors(80.0))
    assert good["converged"]
    assert good["reason"] == "force RMSE 80.0 meV/Å, target 100 meV/Å"
    bad = judge(targets, errors(120.0))
    assert not bad["converged"]
    assert bad["reason"].startswith("spread 0.0")
    assert bad["reason"].endswith("force RMSE 120.0 meV/Å, target 100 meV/Å")
    nothing = judge({"max_force_rmse_mev_per_angstrom": 100.0, "split": "valid"}, errors(80.0))
    assert not nothing["converged"]
    assert nothing["reason"] == "no force error on held-out frames"


def test_md_that_was_stopped_is_never_good_enough() -> None:
    found = judge({"max_spread_ev_per_angstrom": 1.0}, errors(), status="atoms_too_close")
    assert not found["converged"]
    assert found["reason"].startswith("the MD was stopped: step 8: atoms too close")


def test_the_history_is_in_order() -> None:
    rounds = {
        "judged_01": orm.Dict({"converged": False}),
        "selection_01": orm.Dict({"chosen": [3]}),
        "labelled_01": orm.Dict({"labelled": 1}),
        "judged_02": orm.Dict({"converged": True}),
    }
    assert collect_rounds(**rounds)["rounds"] == [
        {
            "round": 1,
            "converged": False,
            "selection": {"chosen": [3]},
            "labels": {"labelled": 1},
        },
        {"round": 2, "converged": True},
    ]


def test_settings_without_a_target() -> None:
    from aiida_limsm.workchains.refine import RefineWorkChain

    ports = RefineWorkChain.spec().inputs
    for name, values, line in (
        ("targets", {}, "without a target nothing is ever good enough"),
        ("targets", {"max_spread_ev_per_angstrom": -1}, "max_spread_ev_per_angstrom: "),
        ("selection", {"number": 0}, "number: "),
        ("selection", {"many": 1}, "many: Extra inputs are not permitted"),
    ):
        error = ports[name].validate(orm.Dict(values))
        assert error is not None
        assert line in error.message
