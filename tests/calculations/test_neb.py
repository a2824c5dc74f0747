"""The CalcJob of ``limsm neb``, paths as nodes, and end points from a jump table."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from aiida import orm
from ase import Atoms

from aiida_limsm.calculations.neb import MlffNebCalculation
from aiida_limsm.calculations.neb_jumps import jump_endpoints
from aiida_limsm.calculations.neb_paths import (
    ENERGIES,
    FORCES,
    compare_paths,
    dft_path,
    draw_paths,
    images_of,
    interpolate_images,
    join_images,
    path_of,
    select_image,
    single_point_path,
)
from aiida_limsm.data.markov_model import MarkovModelData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.report.neb import comparison_text
from aiida_limsm.report.neb_paths import PathComparison

Prepare = Callable[..., Any]
Refuse = Callable[..., str]


def two_ends() -> list[Atoms]:
    start = Atoms("LiSi", [[1.0, 1.0, 1.0], [4.0, 4.0, 4.0]], cell=[8] * 3, pbc=True)
    end = start.copy()
    end.positions[0] = [7.5, 1.0, 1.0]  # through the face of the cell: 1.5 Å
    return [start, end]


@pytest.fixture
def ends(aiida_profile: Any) -> list[orm.StructureData]:
    return [orm.StructureData(ase=atoms) for atoms in two_ends()]


@pytest.fixture
def images(ends: list[orm.StructureData]) -> orm.TrajectoryData:
    return join_images(*ends)


@pytest.fixture
def neb(code: orm.Code, potential: PotentialData, images: orm.TrajectoryData) -> dict[str, Any]:
    return {"code": code, "potential": potential, "images": images}


def test_job(prepare: Prepare, neb: dict[str, Any], remote: orm.RemoteData) -> None:
    made = prepare(MlffNebCalculation, **neb, parent_folder=remote)
    assert sorted(made.files) == ["images.extxyz", "input.json"]
    written = json.loads(made.files["input.json"])
    assert written["structure_files"] == ["images.extxyz"]
    frames = ase.io.read(io.StringIO(made.files["images.extxyz"]), format="extxyz", index=":")
    assert [str(frame.symbols) for frame in frames] == ["LiSi", "LiSi"]
    np.testing.assert_allclose(frames[1].positions[0], [-0.5, 1.0, 1.0])
    calcinfo = made.calcinfo
    (codeinfo,) = calcinfo.codes_info
    assert codeinfo.cmdline_params == ["neb", "input.json"]
    assert calcinfo.retrieve_temporary_list == ["path.extxyz"]
    assert [Path(source).name for _, source, _ in calcinfo.remote_copy_list] == ["checkpoint.npz"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": 3}, "neb: images: Extra inputs"),
        ({"n_images": 2}, "neb: n_images: Input should be greater"),
        ({"max_displacement_angstrom": 1.0}, r"neb: atom 1 \(Li\) moves 1.50 Å"),
        ({"structure_files": ["a.cif"]}, "neb: structure_files come from other inputs"),
    ],
)
def test_fields_are_checked(
    refuse: Refuse, neb: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    line = refuse(MlffNebCalculation, **neb, parameters=orm.Dict(fields))
    assert re.match(message, line), line


def test_elements_are_checked(refuse: Refuse, neb: dict[str, Any]) -> None:
    other = [atoms.copy() for atoms in two_ends()]
    for atoms in other:
        atoms.symbols[1] = "Ge"
    neb["images"] = path_of(other)
    line = refuse(MlffNebCalculation, **neb)
    assert line.startswith("neb: the potential knows Li, Si; the structure has Ge")


def test_joined_and_taken_apart(images: orm.TrajectoryData) -> None:
    assert images.symbols == ["Li", "Si"]
    last = select_image(images, orm.Int(-1)).get_ase()
    np.testing.assert_allclose(last.positions[0], [-0.5, 1.0, 1.0])
    assert all(last.pbc)
    assert images.creator.process_label == "join_images"


def test_kinds_that_are_no_elements(aiida_profile: Any) -> None:
    structure = orm.StructureData(cell=np.eye(3) * 5)
    structure.append_atom(position=(0, 0, 0), symbols="Li", name="Li1")
    with pytest.raises(ValueError, match="kinds Li1 are not named as their elements"):
        join_images(structure, structure)


def test_interpolated(ends: list[orm.StructureData]) -> None:
    path = interpolate_images(*ends, orm.Int(5), orm.Str("idpp"))
    x = path.get_array("positions")[:, 0, 0]
    np.testing.assert_allclose(x, np.linspace(1.0, -0.5, 5), atol=0.02)


PATH_FILE = """RESTART INFORMATION
       6
      15
       0
NUMBER OF IMAGES
   2
APPLY CONSTANT BIAS
F
ENERGIES, POSITIONS AND GRADIENTS
Image:    1
      -36.5000000000
      2.0 2.0 2.0     -0.001 0.0 0.0  1  1  1
      7.0 7.0 7.0      0.001 0.0 0.0  1  1  1
Image:    2
      -36.4000000000
      3.0 2.0 2.0     -0.002 0.0 0.0
      7.0 7.0 7.0      0.002 0.0 0.0
"""


def retrieved(text: str | None) -> orm.FolderData:
    folder = orm.FolderData()
    if text is not None:
        folder.base.repository.put_object_from_filelike(io.StringIO(text), "aiida.path")
    return folder.store()


def test_path_of_neb_x(images: orm.TrajectoryData) -> None:
    """Hartree atomic units, gradients: the opposite of forces."""
    path = dft_path(retrieved(PATH_FILE), images)
    hartree, bohr = 27.211386245988, 0.529177210903
    np.testing.assert_allclose(path.get_array(ENERGIES), np.array([-36.5, -36.4]) * hartree)
    np.testing.assert_allclose(path.get_array("positions")[1, 0], np.array([3.0, 2, 2]) * bohr)
    np.testing.assert_allclose(path.get_array(FORCES)[1, 0, 0], 0.002 * hartree / bohr)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "neb.x left no aiida.path: it stopped before its first step"),
        (PATH_FILE[:-40], "aiida.path is no whole path of 2 atoms"),
        (PATH_FILE.replace("-36.4000000000", "***"), "aiida.path is no whole path of 2 atoms"),
        ("", "aiida.path is no whole path of 2 atoms"),
    ],
)
def test_no_path_of_neb_x(images: orm.TrajectoryData, text: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dft_path(retrieved(text), images)


def evaluated(energies: list[float]) -> orm.TrajectoryData:
    start = two_ends()[0]
    frames = []
    for share in np.linspace(0, 1, len(energies)):
        frame = start.copy()
        frame.positions[0, 0] -= 1.5 * share
        frames.append(frame)
    return path_of(frames, energies, np.zeros((len(energies), 2, 3)))


def test_single_points(images: orm.TrajectoryData) -> None:
    outputs: dict[str, Any] = {}
    for number, energy in enumerate((-3.0, -2.5)):
        outputs[f"parameters_{number}"] = orm.Dict({"energy": energy, "energy_units": "eV"})
        trajectory = orm.TrajectoryData()
        trajectory.set_trajectory(["Li", "Si"], np.zeros((1, 2, 3)))
        trajectory.set_array("forces", np.full((1, 2, 3), float(number)))
        outputs[f"trajectory_{number}"] = trajectory
    path = single_point_path(images, **outputs)
    np.testing.assert_allclose(path.get_array(ENERGIES), [-3.0, -2.5])
    np.testing.assert_allclose(path.get_array(FORCES)[1], 1.0)
    np.testing.assert_allclose(path.get_array("positions"), images.get_array("positions"))


def test_comparison_and_figure(aiida_profile: Any) -> None:
    """Barriers are relative to each method's own first image: energy zeros do not matter."""
    methods = {
        "dft": {"energies_of": "dft", "path_of": "dft", "converged": True},
        "tuned": {"energies_of": "tuned", "path_of": "tuned", "converged": False},
        "tuned_on_dft": {"energies_of": "tuned", "path_of": "dft", "converged": None},
    }
    comparison = compare_paths(
        orm.Dict(methods),
        dft=evaluated([-990.0, -989.5, -989.9]),
        tuned=evaluated([5.0, 5.45, 5.05]),
        tuned_on_dft=evaluated([5.0, 5.51, 5.2]),
    )
    values = comparison.get_dict()
    assert set(values["methods"]) == {"dft", "tuned", "tuned on the path of dft"}
    found = {(d["method"], d["reference"]): d for d in values["differences"]}
    own = found["tuned", "dft"]
    assert own["forward_mev"] == pytest.approx(-50)
    assert own["backward_mev"] == pytest.approx(0, abs=1e-6)
    assert own["reaction_mev"] == pytest.approx(-50)
    assert found["tuned on the path of dft", "dft"]["forward_mev"] == pytest.approx(10)
    assert (values["one_minimum"], values["warnings"]) == ([], [])
    figure = draw_paths(comparison)
    assert figure.get_content("rb").startswith(b"\x89PNG")
    assert draw_paths(comparison).get_content("rb") == figure.get_content("rb")


def test_methods_that_found_other_minima(aiida_profile: Any) -> None:
    methods = {
        name: {"energies_of": name, "path_of": name, "converged": True} for name in ("dft", "tuned")
    }
    path = evaluated([0.0, 0.2, 0.0])
    images = images_of(path)
    images[-1].positions[1] += [0.0, 0.0, 0.9]
    other = path_of(images, [0.0, 0.2, 0.0], np.zeros((3, 2, 3)))
    comparison = compare_paths(orm.Dict(methods), orm.List(["foundation"]), dft=path, tuned=other)
    values = PathComparison.model_validate(comparison.get_dict())
    assert values.one_minimum == ("foundation",)
    assert values.warnings == (
        "the final structure of tuned is 0.90 Å from that of dft: these may be two different jumps",
    )
    assert comparison_text(values).splitlines()[-2:] == [
        "foundation: both end points relax into one minimum, no barrier",
        f"warning: {values.warnings[0]}",
    ]


@pytest.fixture
def model(
    aiida_profile: Any, markov_model_file: Path, analyse_results: dict[str, Any]
) -> MarkovModelData:
    return MarkovModelData(markov_model_file, analyse_results).store()


def cubic_lithium() -> orm.StructureData:
    return orm.StructureData(ase=Atoms("Li", cell=[3.0] * 3, pbc=True))


def test_ends_of_a_jump(model: MarkovModelData) -> None:
    ends = jump_endpoints(model, cubic_lithium(), orm.Int(1), orm.List([3, 3, 3]))
    about = ends["jump"].get_dict()
    assert (about["from"], about["to"], about["image"]) == ("Li1", "Li1", [1, 0, 0])
    assert (about["mechanism"], about["count"], about["share"]) == ("vacancy", 35, 1.0)
    initial, final = ends["initial"].get_ase(), ends["final"].get_ase()
    assert len(initial) == len(final) == 26
    moved = final.positions - initial.positions
    np.testing.assert_allclose(moved[about["moving_atom"]], [3.0, 0.0, 0.0], atol=1e-9)
    assert np.count_nonzero(np.linalg.norm(moved, axis=1)) == 1


def test_jumps_that_there_are_not(model: MarkovModelData) -> None:
    with pytest.raises(ValueError, match="rank: 2 asked, the kinds of jump of the model: 1"):
        jump_endpoints(model, cubic_lithium(), orm.Int(2), orm.List([3, 3, 3]))
    with pytest.raises(ValueError, match="ends on an image of its own start"):
        jump_endpoints(model, cubic_lithium(), orm.Int(1), orm.List([1, 1, 1]))
