import importlib
import io
from pathlib import Path

import numpy as np
import pytest
from ase.io import write

from aiida_limsm.trajectory import frames as frames_module
from aiida_limsm.trajectory.formats import convert_to_h5md
from aiida_limsm.trajectory.frames import iter_frames
from aiida_limsm.trajectory.h5md import Trajectory

DATA = Path(__file__).parents[1] / "data_files"
NAMES = {"extxyz": "run.extxyz", "traj": "run.traj", "vasp-xdatcar": "XDATCAR"}


def read(path):
    with Trajectory(path) as trajectory:
        return np.concatenate(list(trajectory.iter_positions()))


def converted(source, folder, interval_ps=0.05, **options):
    done = convert_to_h5md(source, folder / "out.h5", interval_ps, **options)
    return done, read(folder / "out.h5")


@pytest.mark.parametrize("form", NAMES)
@pytest.mark.parametrize("wrap", [True, False])
def test_wrapped_triclinic_input_is_unwrapped(tmp_path, walk, structures, form, wrap):
    x = walk()
    source = tmp_path / NAMES[form]
    write(source, structures(x, wrap=wrap), format=form)
    done, got = converted(source, tmp_path)
    assert done.frames == 60
    np.testing.assert_allclose(got - got[0], x - x[0], atol=3e-5)
    assert any("unwrapped" in warning for warning in done.warnings) == wrap
    with Trajectory(tmp_path / "out.h5") as trajectory:
        assert trajectory.frame_interval_ps == 0.05
        assert trajectory.temperature_k is None
        assert trajectory.symbols == ["Li", "Li", "Li", "Si"]


@pytest.mark.parametrize("name", ["wrapped", "scaled"])
def test_lammps_dumps_are_unwrapped_as_lammps_does(tmp_path, name):
    """Three dumps of one real run: tilted box off the origin, atoms in LAMMPS' order."""
    order = {} if name == "scaled" else {"species_order": ["Li", "Si"]}
    (tmp_path / "true").mkdir()
    _, true = converted(
        DATA / "lammps/unwrapped.lammpstrj", tmp_path / "true", species_order=["Li", "Si"]
    )
    done, got = converted(DATA / f"lammps/{name}.lammpstrj", tmp_path, **order)
    assert done.frames == 41
    assert np.abs(true - true[0]).max() > 5
    np.testing.assert_allclose(got - got[0], true - true[0], atol=2e-4)
    with Trajectory(tmp_path / "out.h5") as trajectory:
        assert trajectory.symbols == ["Li"] * 10 + ["Si"] * 8
        np.testing.assert_allclose(trajectory.cell, [[12, 0, 0], [2.5, 11, 0], [-1.5, 1.2, 13]])


def test_lammps_dumps_must_name_and_number_their_atoms(tmp_path):
    text = (DATA / "lammps/wrapped.lammpstrj").read_text()
    with pytest.raises(ValueError, match="--species-order Li,Si"):
        converted(DATA / "lammps/wrapped.lammpstrj", tmp_path)
    (tmp_path / "a.lammpstrj").write_text(text.replace("ATOMS id type", "ATOMS c_k type"))
    with pytest.raises(ValueError, match="no atom ids"):
        converted(tmp_path / "a.lammpstrj", tmp_path, species_order=["Li", "Si"])


def test_pw_output_of_a_real_run(tmp_path):
    done, got = converted(DATA / "qe_md/segment_0/aiida.out", tmp_path)
    assert (done.frames, got.shape) == (3, (3, 15, 3))
    with Trajectory(tmp_path / "out.h5") as trajectory:
        assert trajectory.symbols == ["Li"] * 11 + ["Si"] * 4
        np.testing.assert_allclose(trajectory.cell, 6.12 * np.eye(3), atol=1e-5)
        assert trajectory.potential_energy[0] == pytest.approx(-710.1336, abs=1e-3)


def test_energies_and_temperatures_are_kept(tmp_path, walk, structures):
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.units import kB

    made = structures(walk(5))
    for number, atoms in enumerate(made):
        atoms.calc = SinglePointCalculator(atoms, energy=-float(number))
        atoms.set_momenta(np.ones((4, 3)))
    write(tmp_path / "run.extxyz", made)
    converted(tmp_path / "run.extxyz", tmp_path)
    with Trajectory(tmp_path / "out.h5") as trajectory:
        np.testing.assert_allclose(trajectory.potential_energy, -np.arange(5.0))
        kinetic = 1.5 * (3 / 6.94 + 1 / 28.085)
        assert trajectory.mean_temperature_k() == pytest.approx(2 * kinetic / (12 * kB), rel=1e-3)


def test_an_xdatcar_is_read_piece_by_piece(tmp_path, walk, structures, monkeypatch):
    """ASE holds every frame that it is given: here a piece at a time."""
    x = walk(25)
    write(tmp_path / "XDATCAR", structures(x), format="vasp-xdatcar")
    monkeypatch.setattr(frames_module, "PIECE_FRAMES", 10)
    lengths = []
    reader = frames_module._pieces

    def pieces(frames):
        for piece in reader(frames):
            lengths.append(piece.count("Direct"))
            yield piece

    monkeypatch.setattr(frames_module, "_pieces", pieces)
    assert len(list(iter_frames(tmp_path / "XDATCAR"))) == 25
    assert lengths == [10, 10, 5]


def test_extended_xyz_of_many_atoms_is_read_piece_by_piece(tmp_path, structures, monkeypatch):
    """ASE's own reader in pieces takes the first digit of 16 for the number of atoms."""
    monkeypatch.setattr(frames_module, "PIECE_FRAMES", 10)
    x = np.random.default_rng(0).uniform(size=(25, 4, 3))
    write(tmp_path / "md.xyz", [atoms.repeat((2, 2, 1)) for atoms in structures(x)])
    read_back = list(iter_frames(tmp_path / "md.xyz"))
    assert [len(atoms) for atoms in read_back] == [16] * 25
    np.testing.assert_allclose([a.positions[:4] for a in read_back], x, atol=1e-7)


@pytest.mark.parametrize(("suffix", "module"), [("gz", "gzip"), ("bz2", "bz2"), ("xz", "lzma")])
@pytest.mark.parametrize("form", ["extxyz", "lammps"])
def test_compressed_files_are_read(tmp_path, walk, structures, form, suffix, module):
    plain, options = DATA / "lammps/wrapped.lammpstrj", {"species_order": ["Li", "Si"]}
    if form == "extxyz":
        plain, options = tmp_path / "run.extxyz", {}
        write(plain, structures(walk(), wrap=True))
    packed = tmp_path / f"{plain.name}.{suffix}"
    packed.write_bytes(importlib.import_module(module).compress(plain.read_bytes()))
    done, got = converted(packed, tmp_path, **options)
    wanted, expected = converted(plain, tmp_path, **options)
    assert done.frames == wanted.frames
    np.testing.assert_array_equal(got, expected)


def test_h5md_is_copied_clean(tmp_path, walk, structures):
    x = walk()
    write(tmp_path / "run.extxyz", structures(x))
    convert_to_h5md(tmp_path / "run.extxyz", tmp_path / "a.h5", 0.05)
    done = convert_to_h5md(tmp_path / "a.h5", tmp_path / "b.h5")
    assert (done.frames, done.warnings) == (60, ())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    with pytest.raises(ValueError, match="is the source itself"):
        convert_to_h5md(tmp_path / "a.h5", tmp_path / "a.h5")


@pytest.mark.parametrize("form", ["extxyz", "vasp-xdatcar", "lammps"])
def test_a_file_that_breaks_off_is_used_as_far_as_it_is_whole(tmp_path, walk, structures, form):
    """Wherever it breaks off: within a frame, within a line, within the last number."""
    if form == "lammps":
        source, options = tmp_path / "run.lammpstrj", {"species_order": ["Li", "Si"]}
        whole = (DATA / "lammps/unwrapped.lammpstrj").read_text()
    else:
        source, options = tmp_path / NAMES[form], {}
        text = io.StringIO()
        write(text, structures(walk(41)), format=form)
        whole = text.getvalue()
    source.write_text(whole)
    _, x = converted(source, tmp_path, **options)
    lines = whole.splitlines(keepends=True)
    end = len(whole)
    for cut in (end - 3, end - len(lines[-1]), end - len(lines[-1]) - 4, int(0.6 * end)):
        source.write_text(whole[:cut])
        done, got = converted(source, tmp_path, **options)
        np.testing.assert_array_equal(got, x[: done.frames])
        assert done.frames == 40 if cut > 0.9 * end else 20 < done.frames < 30
        (warning,) = (warning for warning in done.warnings if "wrapped" not in warning)
        assert f"the {done.frames} frames before" in warning


def test_too_large_moves_are_refused(tmp_path, walk, structures):
    write(tmp_path / "run.extxyz", structures(walk(step=6.0), wrap=True))
    with pytest.raises(ValueError, match="half the smallest height"):
        converted(tmp_path / "run.extxyz", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.extxyz"]


def test_changing_cell_or_atoms_are_refused(tmp_path, walk, structures, triclinic):
    one, two = structures(walk(2))
    two.set_cell(triclinic * 1.01)
    write(tmp_path / "cell.extxyz", [one, two])
    with pytest.raises(ValueError, match="cell changes at frame 1"):
        converted(tmp_path / "cell.extxyz", tmp_path)
    write(tmp_path / "atoms.extxyz", [one, one, one[:3], one])
    with pytest.raises(ValueError, match="frame 2 has other atoms"):
        converted(tmp_path / "atoms.extxyz", tmp_path)
    swapped = one[[3, 1, 2, 0]]
    write(tmp_path / "order.extxyz", [one, one, swapped])
    with pytest.raises(ValueError, match="frame 2 has other atoms"):
        converted(tmp_path / "order.extxyz", tmp_path)


def test_unreadable_input_is_one_line(tmp_path, walk, structures):
    with pytest.raises(ValueError, match="does not exist"):
        converted(tmp_path / "no.xyz", tmp_path)
    (tmp_path / "odd.abc").write_text("nothing known")
    with pytest.raises(ValueError, match="in no format that ASE knows"):
        converted(tmp_path / "odd.abc", tmp_path)
    with pytest.raises(ValueError, match="positive"):
        converted(tmp_path / "odd.abc", tmp_path, 0.0)
    with pytest.raises(ValueError, match="holds no times: give the frame interval"):
        converted(tmp_path / "odd.abc", tmp_path, None)
    (tmp_path / "flat.extxyz").write_text("1\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n")
    with pytest.raises(ValueError, match="three-dimensional cell"):
        converted(tmp_path / "flat.extxyz", tmp_path)
    (tmp_path / "bad.extxyz").write_text("2\nProperties=species:S:1:pos:R:3\nLi 0 0\n")
    with pytest.raises(ValueError, match=r"bad\.extxyz cannot be read as a trajectory"):
        converted(tmp_path / "bad.extxyz", tmp_path)
    write(tmp_path / "run.extxyz", structures(walk(3)))
    with pytest.raises(ValueError, match="has 4 atoms, the structure that names them"):
        converted(tmp_path / "run.extxyz", tmp_path, topology=np.array([3, 3]))


def test_velocities_are_kept(tmp_path, walk, structures):
    from ase.units import fs

    images = structures(walk(n=30, step=0.1))
    velocities = np.random.default_rng(2).normal(size=(30, 4, 3))
    for atoms, velocity in zip(images, velocities, strict=True):
        atoms.set_velocities(velocity / (1000 * fs))
        atoms.wrap()
    write(tmp_path / "a.traj", images)
    convert_to_h5md(tmp_path / "a.traj", tmp_path / "a.h5", 0.02)
    convert_to_h5md(tmp_path / "a.h5", tmp_path / "b.h5")
    for name in ("a.h5", "b.h5"):
        with Trajectory(tmp_path / name) as trajectory:
            found = np.concatenate(list(trajectory.iter_velocities()))
        np.testing.assert_allclose(found, velocities, rtol=1e-5, atol=1e-6)


def test_positions_can_be_left_as_they_are(tmp_path, walk, structures):

    images = structures(walk(step=0.1), wrap=True)
    write(tmp_path / "a.xyz", images)
    convert_to_h5md(tmp_path / "a.xyz", tmp_path / "a.h5", 0.02, unwrap=False)
    with Trajectory(tmp_path / "a.h5") as trajectory:
        found = np.concatenate(list(trajectory.iter_blocks()))
    np.testing.assert_allclose(found, [atoms.positions for atoms in images], atol=1e-5)
