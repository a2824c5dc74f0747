"""g(r) against what is known exactly: an ideal gas, crystals, and MDAnalysis."""

import numpy as np
import pytest

from aiida_limsm.atomistic import rdf
from aiida_limsm.atomistic.rdf import RdfCounter

TRICLINIC = np.array([[6.0, 0, 0], [1.5, 5, 0], [-1, 2, 7.0]])


def counted(numbers, cell, frames, r_max, width, own_images=True):
    counter = RdfCounter(
        np.asarray(numbers), np.asarray(cell, dtype=float), r_max, width, own_images
    )
    for block in np.array_split(np.asarray(frames, dtype=np.float32), 3):
        counter.add(block)
    return counter.curves()


def exact_pairs(cell, positions, numbers, first, second, edges):
    """Pairs by the plain way: every image within reach, one by one, per atom of the first kind."""
    reach = np.ceil(edges[-1] * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int) + 6
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), -1)
    shifts = steps.reshape(-1, 3) @ cell
    counts = np.zeros(len(edges) - 1)
    for a in np.flatnonzero(numbers == first):
        for b in np.flatnonzero(numbers == second):
            distances = np.linalg.norm(positions[b] - positions[a] + shifts, axis=1)
            counts += np.histogram(distances[distances > 1e-9], edges)[0]
    return counts / (numbers == first).sum()


@pytest.mark.parametrize("r_max", [2.0, 4.0, 12.0])
def test_an_ideal_gas_has_no_structure(r_max):
    rng = np.random.default_rng(0)
    numbers = np.array([3] * 30 + [14] * 10)
    frames = rng.random((600, 40, 3)) @ TRICLINIC
    found = counted(numbers, TRICLINIC, frames, r_max, r_max / 20)
    assert found.names == ("Li-Li", "Li-Si", "Si-Si")
    shortest = 5.2  # of the lattice: below it like atoms lack the one atom itself
    near = found.edges[1:] < shortest
    for row, expected in ((0, 1 - 1 / 30), (1, 1.0), (2, 1 - 1 / 10)):
        near[:5] = False  # hardly any pairs
        pull = (found.mean[row] - expected)[near] / found.error[row, near]
        assert (np.abs(pull) < 5).all()  # eight blocks: Student's tails
        assert np.sqrt((pull**2).mean()) < 2
    if r_max > 10:
        # own images bring the missing atom back: all neighbours of the crystal are counted
        volume = 4 / 3 * np.pi * r_max**3 / np.linalg.det(TRICLINIC)
        assert found.coordination[1, -1] == pytest.approx(10 * volume, rel=0.01)
        images = exact_pairs(
            TRICLINIC, np.zeros((1, 3)), np.array([3]), 3, 3, np.array([0, r_max])
        )[0]
        assert found.coordination[0, -1] == pytest.approx(29 * volume + images, rel=0.01)


@pytest.mark.parametrize("r_max", [2.4, 5.0, 17.0])
def test_every_pair_of_a_triclinic_cell_is_counted_once(r_max):
    rng = np.random.default_rng(3)
    numbers = np.array([14, 3, 3, 11, 3, 14, 11])
    positions = (rng.normal(size=(7, 3)) @ TRICLINIC).astype(np.float32).astype(float)
    found = counted(numbers, TRICLINIC, np.repeat(positions[None], 5, 0), r_max, r_max / 50)
    assert found.names == ("Li-Li", "Li-Na", "Li-Si", "Na-Na", "Na-Si", "Si-Si")
    for row, (a, b) in enumerate([(3, 3), (3, 11), (3, 14), (11, 11), (11, 14), (14, 14)]):
        exact = exact_pairs(TRICLINIC, positions, numbers, a, b, found.edges)
        np.testing.assert_allclose(found.coordination[row], exact.cumsum(), atol=1e-9)
        density = (numbers == b).sum() / np.linalg.det(TRICLINIC)
        shells = 4 / 3 * np.pi * np.diff(found.edges**3)
        np.testing.assert_allclose(found.mean[row], exact / density / shells, rtol=1e-9)
    assert found.error.max() < 1e-12  # frames are all alike


@pytest.mark.parametrize("r_max", [2.0, 5.0, 12.0])
def test_without_own_images_an_ideal_gas_is_one_everywhere(r_max):
    rng = np.random.default_rng(8)
    numbers = np.array([3] * 6 + [14, 11, 11])
    frames = rng.random((3000, 9, 3)) @ TRICLINIC
    found = counted(numbers, TRICLINIC, frames, r_max, r_max / 10, own_images=False)
    # a single Si has no pairs with itself
    assert found.names == ("Li-Li", "Li-Na", "Li-Si", "Na-Na", "Na-Si")
    seen = found.error > 0  # else a pair so close was never met in most of the time
    pull = (found.mean - 1.0)[seen] / found.error[seen]
    assert (np.abs(pull) < 6).all()
    assert np.sqrt((pull**2).mean()) < 1.8
    volume = 4 / 3 * np.pi * r_max**3 / np.linalg.det(TRICLINIC)
    expected = np.array([5, 2, 1, 1, 1]) * volume
    np.testing.assert_allclose(
        found.coordination[:, -1], expected, rtol=0.05 if r_max < 3 else 0.02
    )


def test_shells_of_a_crystal_do_not_depend_on_the_cell():
    from ase.build import bulk

    primitive = bulk("Cu", "fcc", a=3.6)
    expected = np.cumsum([12, 6, 24, 12, 24, 8, 48, 6])  # neighbours of the fcc lattice
    distances = 3.6 * np.sqrt(np.arange(1, 9) / 2)
    for atoms in (primitive, primitive.repeat((3, 1, 2)), bulk("Cu", cubic=True, a=3.6)):
        found = counted(atoms.numbers, atoms.cell.array, [atoms.positions] * 2, 7.5, 0.1)
        for distance, number in zip(distances, expected, strict=True):
            within = np.searchsorted(found.edges, distance + 0.05) - 1
            assert found.coordination[0, within] == pytest.approx(number)
        between = np.abs(found.x[:, None] - distances).min(axis=1) > 0.11
        assert (found.mean[0, between] == 0).all()


def test_a_neighbour_list_counts_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    cell = 4.0 * TRICLINIC
    numbers = np.repeat([3, 14, 3], 100)
    frames = rng.random((4, 300, 3)) @ cell
    pairs = counted(numbers, cell, frames, 5.0, 0.5)
    monkeypatch.setattr(rdf, "MANY_ATOMS", 10)
    listed = counted(numbers, cell, frames, 5.0, 0.5)
    assert RdfCounter(numbers, cell, 5.0, 0.5)._listed
    np.testing.assert_allclose(listed.mean, pairs.mean, rtol=1e-6)
    np.testing.assert_allclose(listed.error, pairs.error, rtol=1e-3, atol=1e-6)


def test_the_same_as_mdanalysis(aimd_positions):
    import MDAnalysis
    from MDAnalysis.analysis.rdf import InterRDF
    from MDAnalysis.transformations.boxdimensions import set_dimensions

    numbers, cell, frames = aimd_positions
    found = counted(numbers, cell, frames, 3.0, 0.1)
    universe = MDAnalysis.Universe.empty(len(numbers), trajectory=True)
    universe.load_new(frames)
    dimensions = np.array([*np.diag(cell), 90, 90, 90], dtype=np.float32)
    universe.trajectory.add_transformations(set_dimensions(dimensions))
    groups = {3: universe.atoms[numbers == 3], 14: universe.atoms[numbers == 14]}
    for row, (a, b) in enumerate([(3, 3), (3, 14), (14, 14)]):
        peer = InterRDF(groups[a], groups[b], nbins=30, range=(0.0, 3.0)).run().results
        # it counts an atom as its own neighbour at distance zero
        np.testing.assert_allclose(found.mean[row, 1:], peer.rdf[1:], rtol=2e-3, atol=2e-3)


def test_an_error_is_that_of_independent_blocks():
    """Many runs of an ideal gas scatter as much as the error of one says."""
    rng = np.random.default_rng(7)
    cell = np.eye(3) * 10
    runs = [
        counted([3] * 20, cell, 10 * rng.random((64, 20, 3)), 5.0, 0.5).mean[0] for _ in range(60)
    ]
    one = [counted([3] * 20, cell, 10 * rng.random((64, 20, 3)), 5.0, 0.5).error[0] for _ in "abcd"]
    ratio = np.mean(one, axis=0)[3:] / np.std(runs, axis=0)[3:]
    assert 0.7 < ratio.mean() < 1.3


def test_refusals():
    numbers, cell = np.array([3, 14]), np.eye(3) * 5
    with pytest.raises(ValueError, match=r"bins of 0.1 Å up to 0.1 Å are 1: choose between"):
        RdfCounter(numbers, cell, 0.1, 0.1)
    with pytest.raises(ValueError, match="a frame at least"):
        RdfCounter(numbers, cell, 5.0, 0.1).curves()
