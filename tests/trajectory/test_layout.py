import h5py
import numpy as np
import pytest
from ase import Atoms

from aiida_limsm.trajectory.formats import convert_to_h5md
from aiida_limsm.trajectory.h5md import H5mdFile, Trajectory

FRAMES = 40


def everything(path, **options):
    with Trajectory(path, **options) as trajectory:
        return np.concatenate(list(trajectory.iter_blocks())), trajectory.warnings


def foreign(path, changes=lambda file: None, unit="Angstrom", scale=1.0, time=0.02):
    """Write a file as another program might: one cell, species and times as the standard has it."""
    x = np.random.default_rng(0).normal(size=(FRAMES, 3, 3))
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/ions")
        value = group.create_dataset("position/value", data=x / scale)
        if unit is not None:
            value.attrs["unit"] = unit
        times = group.create_dataset("position/time", data=time * np.arange(FRAMES))
        times.attrs["unit"] = "ps"
        group["box/edges"] = np.array([8.0, 9.0, 10.0]) / scale
        group["species"] = np.array([3, 3, 14])
        changes(file)
    return x


def test_mdanalysis_files_are_read(tmp_path, walk, triclinic):
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_box

    x = walk(FRAMES)
    universe = MDAnalysis.Universe.empty(4, trajectory=True)
    universe.load_new(x.astype(np.float32), order="fac", dimensions=triclinic_box(*triclinic), dt=2)
    with MDAnalysis.Writer(
        str(tmp_path / "mda.h5md"), n_atoms=4, lengthunit="nm", timeunit="ps"
    ) as writer:
        for _ in universe.trajectory:
            writer.write(universe.atoms)
    with pytest.raises(ValueError, match="--topology"):
        Trajectory(tmp_path / "mda.h5md")
    with Trajectory(tmp_path / "mda.h5md", numbers=np.array([3, 3, 3, 14])) as trajectory:
        got = np.concatenate(list(trajectory.iter_blocks()))
        np.testing.assert_allclose(got, x, atol=1e-4)
        np.testing.assert_allclose(trajectory.cell, triclinic, atol=1e-4)
        assert trajectory.frame_interval_ps == pytest.approx(2.0)
    with pytest.raises(ValueError, match="has 4 atoms, the structure that names them"):
        Trajectory(tmp_path / "mda.h5md", numbers=np.array([3, 3, 3]))


def test_znh5md_files_are_read(tmp_path, walk, triclinic):
    import znh5md

    x = walk(FRAMES)
    frames = [Atoms("Li3Si", positions=p, cell=triclinic, pbc=True) for p in x]
    znh5md.IO(str(tmp_path / "zn.h5"), store="time", timestep=0.05).extend(frames)
    got, _ = everything(tmp_path / "zn.h5", frame_interval_ps=0.05)
    np.testing.assert_allclose(got, x, atol=1e-5)
    with Trajectory(tmp_path / "zn.h5", 0.05) as trajectory:
        assert trajectory.symbols == ["Li", "Li", "Li", "Si"]
        np.testing.assert_allclose(trajectory.cell, triclinic, atol=1e-6)


@pytest.mark.parametrize(("unit", "scale"), [("Angstrom", 1), ("nm", 10), ("pm", 0.01)])
def test_units_are_turned_into_ours(tmp_path, unit, scale):
    x = foreign(tmp_path / "md.h5", unit=unit, scale=scale)
    got, warnings = everything(tmp_path / "md.h5")
    np.testing.assert_allclose(got, x, rtol=1e-5)
    assert warnings == ()
    with Trajectory(tmp_path / "md.h5") as trajectory:
        np.testing.assert_allclose(trajectory.cell, np.diag([8.0, 9.0, 10.0]))
        assert trajectory.frame_interval_ps == pytest.approx(0.02)


def test_positions_without_a_unit_are_taken_as_angstrom_and_said(tmp_path):
    foreign(tmp_path / "md.h5", unit=None)
    assert everything(tmp_path / "md.h5")[1] == ("md.h5: positions have no unit, taken as Å",)
    foreign(tmp_path / "odd.h5", unit="furlong")
    with pytest.raises(ValueError, match="positions are in 'furlong'"):
        Trajectory(tmp_path / "odd.h5")


def test_image_counts_unwrap(tmp_path):
    turns = np.random.default_rng(1).integers(-2, 3, size=(FRAMES, 3, 3))

    def changes(file):
        file["particles/ions/image/value"] = turns

    x = foreign(tmp_path / "md.h5", changes)
    got, _ = everything(tmp_path / "md.h5")
    np.testing.assert_allclose(got, x + turns * [8.0, 9.0, 10.0], rtol=1e-5, atol=1e-5)


def test_a_time_step_instead_of_times_and_named_species(tmp_path):
    def changes(file):
        group = file["particles/ions"]
        del group["position/time"]
        group.create_dataset("position/time", data=50.0).attrs["unit"] = "fs"
        del group["species"]
        kind = h5py.enum_dtype({"Li": 1, "Si": 2}, basetype="i4")
        group.create_dataset("species", data=[1, 1, 2], dtype=kind)

    foreign(tmp_path / "md.h5", changes)
    with Trajectory(tmp_path / "md.h5") as trajectory:
        assert trajectory.frame_interval_ps == pytest.approx(0.05)
        assert trajectory.symbols == ["Li", "Li", "Si"]


def cell_at(frame):
    def changes(file):
        del file["particles/ions/box/edges"]
        edges = np.tile(np.array([8.0, 9.0, 10.0]), (FRAMES, 1))
        edges[frame:] *= 1.01
        file["particles/ions/box/edges/value"] = edges

    return changes


def test_a_cell_that_changes_is_found(tmp_path):
    foreign(tmp_path / "md.h5", cell_at(17))
    with Trajectory(tmp_path / "md.h5") as trajectory:
        assert trajectory.cell_changes_at == 17
    with pytest.raises(ValueError, match="cell changes at frame 17"):
        convert_to_h5md(tmp_path / "md.h5", tmp_path / "new.h5")
    foreign(tmp_path / "same.h5", cell_at(FRAMES))
    with Trajectory(tmp_path / "same.h5") as trajectory:
        assert trajectory.cell_changes_at is None


def edit(path, value):
    def changes(file):
        if path in file:
            del file[path]
        if value is not None:
            file[path] = value

    return changes


UNEVEN = 0.02 * np.append(np.arange(20), np.arange(19, FRAMES - 1))
ORDERS = np.tile([1, 2, 3], (FRAMES, 1))
ORDERS[-1] = [2, 1, 3]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            edit("particles/ions/position/time", None),
            "holds no times: give the frame interval (--frame-interval-fs)",
        ),
        (edit("particles/ions/position/time", UNEVEN), "not evenly spaced in time (frame 20"),
        (edit("particles/ions/box/edges", None), "has no cell"),
        (edit("particles/ions/box/edges", np.zeros(3)), "no three-dimensional cell"),
        (edit("particles/ions/species", None), "does not name its atoms"),
        (edit("particles/ions/species", [0, 1, 2]), "no atomic numbers"),
        (edit("particles/ions/position", None), "no positions"),
        (edit("particles/more/position/value", np.zeros((2, 1, 3))), "several groups"),
        (edit("particles", None), "no H5MD file"),
        (edit("particles/ions/id/value", ORDERS), "atoms change their order"),
        (edit("particles/ions/position/value", np.zeros((0, 3, 3))), "holds no frame"),
        (edit("particles/ions/position/value", np.zeros((5, 9))), "shape (5, 9)"),
        (edit("particles/ions/image/value", np.zeros((5, 3, 3))), "images have another shape"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path, changes, reason):
    foreign(tmp_path / "md.h5", changes)
    with pytest.raises(ValueError, match=r"^md\.h5") as error:
        Trajectory(tmp_path / "md.h5")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_an_interval_that_is_given_overrules_and_is_said(tmp_path):
    foreign(tmp_path / "md.h5")
    with Trajectory(tmp_path / "md.h5", 0.04) as trajectory:
        assert trajectory.frame_interval_ps == 0.04
        assert "20 fs apart by the file, 40 fs as asked" in trajectory.warnings[0]
    with Trajectory(tmp_path / "md.h5", 0.02) as trajectory:
        assert trajectory.warnings == ()


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("Angstrom ps-1", 1.0), ("Angstrom/fs", 1000.0), ("nm ps-1", 10.0), ("nm/ns", 0.01)],
)
def test_velocities_are_turned_into_angstrom_per_ps(tmp_path, unit, scale):
    velocities = np.random.default_rng(0).normal(size=(40, 3, 3)).astype(np.float32)
    path = tmp_path / "a.h5"
    with H5mdFile(path, [3, 3, 14], np.eye(3) * 5, 0.1, fields=("velocity",)) as file:
        file.append(np.zeros((40, 3, 3)), np.arange(40), velocities=velocities)
    with h5py.File(path, "r+") as file:
        file["particles/all/velocity/value"].attrs["unit"] = unit
    with Trajectory(path) as trajectory:
        assert trajectory.has_velocities
        found = np.concatenate(list(trajectory.iter_velocities(0.0005, start=3, stop=33)))
    np.testing.assert_allclose(found, scale * velocities[3:33], rtol=1e-6)


@pytest.mark.parametrize("change", ["none", "unit", "nan", "short"])
def test_velocities_that_cannot_be_used_are_none(tmp_path, change):
    path = tmp_path / "a.h5"
    fields = () if change == "none" else ("velocity",)
    with H5mdFile(path, [3, 14], np.eye(3) * 5, 0.1, fields=fields) as file:
        file.append(
            np.zeros((4, 2, 3)), np.arange(4),
            velocities=None if change in ("nan", "none") else np.ones((4, 2, 3)),
        )  # fmt: skip
    with h5py.File(path, "r+") as file:
        if change == "unit":
            file["particles/all/velocity/value"].attrs["unit"] = "furlong per fortnight"
        if change == "short":
            file["particles/all/velocity/value"].resize((3, 2, 3))
    with Trajectory(path) as trajectory:
        assert not trajectory.has_velocities
        with pytest.raises(ValueError, match=r"a\.h5 holds no velocities"):
            next(trajectory.iter_velocities())
