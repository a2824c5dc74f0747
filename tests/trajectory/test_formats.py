import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from aiida_limsm.trajectory.formats import convert_to_h5md
from aiida_limsm.trajectory.h5md import Trajectory

TRICLINIC = np.array([[5.0, 0, 0], [2.2, 5.0, 0], [-1.5, 1.9, 6.0]])


def walk(n=60, atoms=4, step=0.5, seed=0):
    random = np.random.default_rng(seed)
    return 1.0 + np.cumsum(step * random.uniform(-1, 1, size=(n, atoms, 3)), axis=0)


def structures(x, cell, wrap):
    for positions in x:
        atoms = Atoms("Li3Si", positions=positions, cell=cell, pbc=True)
        if wrap:
            atoms.wrap()
        yield atoms


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
@pytest.mark.parametrize("wrap", [True, False])
def test_wrapped_triclinic_input_is_unwrapped(tmp_path, suffix, wrap):
    x = walk()
    source = tmp_path / f"run.{suffix}"
    write(source, list(structures(x, TRICLINIC, wrap)))
    assert convert_to_h5md(source, tmp_path / "run.h5", 0.05) == 60
    with Trajectory(tmp_path / "run.h5") as trajectory:
        got = np.concatenate(list(trajectory.iter_positions()))
        np.testing.assert_allclose(got - got[0], x - x[0], atol=2e-5)
        assert trajectory.frame_interval_ps == 0.05
        assert trajectory.temperature_k is None
        assert trajectory.symbols == ["Li", "Li", "Li", "Si"]


def test_too_large_moves_are_refused(tmp_path):
    write(tmp_path / "run.extxyz", list(structures(walk(step=6.0), TRICLINIC, True)))
    with pytest.raises(ValueError, match="more than half the smallest height"):
        convert_to_h5md(tmp_path / "run.extxyz", tmp_path / "run.h5", 0.05)
    assert [p.name for p in tmp_path.iterdir()] == ["run.extxyz"]


def test_changing_cell_or_atoms_are_refused(tmp_path):
    one, two = list(structures(walk(2), TRICLINIC, False))
    two.set_cell(TRICLINIC * 1.01)
    write(tmp_path / "cell.extxyz", [one, two])
    with pytest.raises(ValueError, match="cell changes at frame 1"):
        convert_to_h5md(tmp_path / "cell.extxyz", tmp_path / "run.h5", 0.05)
    write(tmp_path / "atoms.extxyz", [one, one[:3]])
    with pytest.raises(ValueError, match="other atoms"):
        convert_to_h5md(tmp_path / "atoms.extxyz", tmp_path / "run.h5", 0.05)


def test_unreadable_input_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        convert_to_h5md(tmp_path / "no.xyz", tmp_path / "run.h5", 0.05)
    (tmp_path / "odd.abc").write_text("nothing known")
    with pytest.raises(ValueError, match="cannot be read as a trajectory"):
        convert_to_h5md(tmp_path / "odd.abc", tmp_path / "run.h5", 0.05)
    with pytest.raises(ValueError, match="positive"):
        convert_to_h5md(tmp_path / "odd.abc", tmp_path / "run.h5", 0.0)
    (tmp_path / "flat.extxyz").write_text("1\nProperties=species:S:1:pos:R:3\nLi 0 0 0\n")
    with pytest.raises(ValueError, match="three-dimensional cell"):
        convert_to_h5md(tmp_path / "flat.extxyz", tmp_path / "run.h5", 0.05)
