"""Density, peaks and the sites they show: what must be found, and what must never be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from aiida_limsm.atomistic.crystals import li3si, lithium_silicide
from aiida_limsm.markov import density as density_module
from aiida_limsm.markov.density import DensityGrid, frames_to_average
from aiida_limsm.markov.interstitials import add_interstitials, missing_sites, sites_from_density
from aiida_limsm.markov.operations import site_operations
from aiida_limsm.markov.peaks import find_peaks
from aiida_limsm.markov.sites import SiteLattice


def phase(name):
    return li3si() if name == "D0_3" else lithium_silicide(name)


def turned(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def lattice_of(name, rotation=None):
    atoms = phase(name)
    cell = atoms.cell.array if rotation is None else atoms.cell.array @ rotation
    return SiteLattice.from_structure(
        cell, atoms.get_scaled_positions(), atoms.numbers, 3, "Li"
    ).primitive()


def vibrations(random, shape, sigma, memory=0.7):
    """Ornstein-Uhlenbeck noise along the first axis."""
    noise = random.normal(size=shape)
    step = np.sqrt(1 - memory**2)
    noise[0] /= step
    return sigma * lfilter([step], [1, -memory], noise, axis=0)


def run_md(lattice, frames, sigma, seed=0, interstitials=None, occupancy=0.0, stay=60, ions=None):
    """One ion per site; from time to time one of the four nearest visits an interstitial place."""
    random = np.random.default_rng(seed)
    mean = np.broadcast_to(lattice.positions, (frames, lattice.n_sites, 3)).copy()
    inverse = np.linalg.inv(lattice.cell)
    for place in np.zeros((0, 3)) if interstitials is None else interstitials:
        away = (place - lattice.positions) @ inverse
        away = (away - np.rint(away)) @ lattice.cell
        near = np.argsort(np.linalg.norm(away, axis=1))[:4]
        pause = stay * (1 - occupancy) / occupancy
        t = int(random.exponential(pause))
        while t < frames:
            ion, length = random.choice(near), int(random.exponential(stay)) + 1
            mean[t : t + length, ion] = lattice.positions[ion] + away[ion]
            t += length + int(random.exponential(pause))
    x = mean + vibrations(random, mean.shape, sigma)
    return x if ions is None else x[:, :ions]


def grid_of(lattice, x, cells=1, average=1, block=500):
    grid = DensityGrid(lattice.cell, repeats=cells, average_frames=average)
    for begin in range(0, len(x), block):
        grid.add(x[begin : begin + block])
    return grid


def misfit(cell, points, targets):
    """Distance of every point to the nearest target, images included."""
    away = (points[:, None] - targets) @ np.linalg.inv(cell)
    away -= np.rint(away)
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.linalg.norm((away[:, :, None] + steps) @ cell, axis=-1).min(axis=(1, 2))


SKEW = np.array([[5.0, 0, 0], [11.2, 4.6, 0], [-3.0, 9.1, 5.5]])  # far from reduced


@pytest.mark.parametrize(
    "cell", [np.diag([5.0, 6.0, 7.0]), SKEW, SKEW @ turned(1), SKEW[[1, 0, 2]]]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_peaks_of_any_cell_lie_where_the_ions_are(cell, dtype):
    random = np.random.default_rng(0)
    places = np.array([[0.02, 0.5, 0.98], [0.5, 0.1, 0.4]]) @ cell
    shift = random.integers(-5, 6, (400, 40, 3)) @ cell  # wrapped or not, all the same
    x = np.tile(places, (20, 1)) + vibrations(random, (400, 40, 3), 0.3) + shift
    grid = DensityGrid(cell)
    grid.add(x.astype(dtype))
    assert grid.counts.sum() == 400 * 40
    density = grid.smooth()
    assert density.values.sum() * density.voxel == pytest.approx(40, rel=1e-9)
    peaks = find_peaks(density)
    assert len(peaks) == 2
    assert misfit(cell, peaks.positions, places).max() < 0.03
    np.testing.assert_allclose(peaks.occupancy, 20, rtol=1e-3)


def test_smoothing_is_a_gaussian_of_the_width_asked_in_cartesian_space():
    """One ion: the density is the kernel, summed over images."""
    grid = DensityGrid(SKEW, spacing_angstrom=0.15)
    grid.add(np.array([[[1.0, 2.0, 3.0]]]))
    density = grid.smooth(0.4)
    shape = np.array(density.values.shape)
    centre = np.array(np.unravel_index(grid.counts.argmax(), tuple(shape)))
    steps = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3, indexing="ij"), axis=-1)
    index = (centre + steps) % shape
    away = (steps / shape) @ density.cell
    expected = np.exp(-(away**2).sum(-1) / (2 * 0.4**2)) / (2 * np.pi * 0.4**2) ** 1.5
    np.testing.assert_allclose(
        density.values[index[..., 0], index[..., 1], index[..., 2]], expected,
        atol=2e-3 * expected.max(),
    )  # fmt: skip


def test_memory_of_a_large_cell_is_bounded(monkeypatch):
    monkeypatch.setattr(density_module, "MAX_VOXELS", 20_000)
    grid = DensityGrid(np.diag([20.0, 30.0, 40.0]))
    assert 10_000 < grid.counts.size <= 20_000


def test_symmetrised_density_is_that_of_symmetrised_ions():
    """Averaging in Fourier space equals adding every symmetry image of every position."""
    lattice = lattice_of("LiSi", turned(3))
    group = site_operations(lattice)
    random = np.random.default_rng(0)
    x = vibrations(random, (300, 3, 3), 0.4) + random.random((3, 3)) @ lattice.cell
    inverse = np.linalg.inv(lattice.cell)
    images = [
        (x @ inverse @ w.T + t) @ lattice.cell
        for w, t in zip(group.rotations, group.translations, strict=True)
    ]
    found = grid_of(lattice, x).smooth(0.3)
    found = found.symmetrise(lattice.cell, group.rotations, group.translations)
    expected = grid_of(lattice, np.concatenate(images)).smooth(0.3)
    # the positions fall into different voxels: equal to the error of binning, not more
    error = np.abs(found.values - expected.values).max() / expected.values.max()
    assert error < 0.04
    again = found.symmetrise(lattice.cell, group.rotations, group.translations)
    np.testing.assert_allclose(again.values, found.values, atol=1e-3 * found.values.max())
    with pytest.raises(ValueError, match="another lattice"):
        found.symmetrise(2 * lattice.cell, group.rotations, group.translations)


def test_the_noise_of_correlated_frames_is_known():
    """OU memory 0.9 makes 19 frames one; averages of 40 frames are nearly independent."""
    lattice = lattice_of("D0_3")
    noise = vibrations(np.random.default_rng(0), (20_000, 3, 3), 0.3, memory=0.9)
    single = find_peaks(grid_of(lattice, lattice.positions + noise).smooth())
    assert single.correlated_samples == pytest.approx(19, rel=0.15)
    averaged = find_peaks(grid_of(lattice, lattice.positions + noise, average=40).smooth())
    assert averaged.correlated_samples < 3
    assert len(single) == len(averaged) == 3


def test_a_window_of_frames_is_one_sample():
    grid = DensityGrid(np.diag([5.0, 5, 5]), average_frames=20)
    grid.add(np.zeros((70, 2, 3)))
    assert grid.n_samples == 4  # windows of 17 or 18 frames, none left over
    assert grid.counts.sum() == 8
    grid.add(np.zeros((3, 2, 3)))
    assert grid.n_samples == 5
    assert frames_to_average(0.01) == 20
    assert frames_to_average(5.0) == 1


@pytest.mark.parametrize("average", [1, 15])
@pytest.mark.parametrize("name", ["D0_3", "LiSi", "Li12Si7"])
@pytest.mark.parametrize(("frames", "ions"), [(2000, 20), (4000, None)])
def test_vibrational_tails_never_become_sites(name, average, frames, ions):
    lattice = lattice_of(name, turned(5))
    for seed in range(2):
        x = run_md(lattice, frames, 0.45, seed, ions=ions)
        assert len(missing_sites(lattice, grid_of(lattice, x, average=average))) == 0


@pytest.mark.parametrize("average", [1, 10, 30])
def test_hops_leave_no_sites_on_their_way(toolbox, average):
    """Averages over hops fall between sites: no peak even at a hop in every 30 frames."""
    lattice = lattice_of("D0_3")
    network = toolbox.neighbours(lattice, 2.9, np.zeros(3), 1 / 30 / 6)
    x = network.positions(20, 4000, 1.0, seed=1, sigma=0.3, memory=0.7)
    assert len(missing_sites(lattice, grid_of(lattice, x, average=average))) == 0


HOLES = {  # scaled in the conventional cell, distance to the nearest atom, Wyckoff label
    "D0_3": ((0.25, 0.125, 0.0), 1.71, "96j"),
    "LiSi": ((0.0, 0.0, 0.0), 2.36, "4a"),
    "Li12Si7": ((0.91176, 0.25, 0.77193), 2.21, "4c"),
}


def hole_orbit(name, lattice, rotation):
    """All places of the hole in the primitive cell, Å."""
    place = np.array(HOLES[name][0]) @ phase(name).cell.array @ rotation
    group = site_operations(lattice)
    scaled = group.rotations @ (place @ np.linalg.inv(lattice.cell)) + group.translations
    kept = np.zeros((0, 3))
    for image in (scaled % 1.0) @ lattice.cell:
        if not len(kept) or misfit(lattice.cell, image[None], kept)[0] > 0.1:
            kept = np.append(kept, [image], axis=0)
    return kept


@pytest.mark.parametrize(
    ("name", "occupancy", "sigma"),
    [
        ("D0_3", 0.01, 0.3),
        ("D0_3", 0.02, 0.45),
        ("LiSi", 0.02, 0.3),
        ("LiSi", 0.02, 0.45),
        ("Li12Si7", 0.05, 0.45),
    ],
)
def test_rarely_visited_sites_are_found(name, occupancy, sigma):
    """In a crystal turned in space, next to sites that vibrate by σ per component."""
    rotation = turned(7)
    lattice = lattice_of(name, rotation)
    repeats = 1 if name == "Li12Si7" else 2
    orbit = hole_orbit(name, lattice, rotation)
    shifts = np.stack(np.meshgrid(*[np.arange(repeats)] * 3, indexing="ij"), axis=-1)
    everywhere = (orbit + (shifts.reshape(-1, 1, 3) @ lattice.cell)).reshape(-1, 3)
    x = run_md(lattice.expand(repeats * np.eye(3)), 6000, sigma, 1, everywhere, occupancy)
    grown, found = add_interstitials(lattice, grid_of(lattice, x, repeats**3, average=20))
    assert len(found) == len(orbit)
    assert misfit(lattice.cell, found.positions, orbit).max() < 0.15
    np.testing.assert_allclose(found.distance, HOLES[name][1], atol=0.1)
    assert 0.3 * occupancy < found.occupancy[0] < 3 * occupancy
    assert found.share == pytest.approx(found.occupancy.sum() / lattice.n_sites, rel=1e-2)
    assert grown.labels[lattice.n_sites :] == tuple(f"i{k + 1}" for k in range(len(orbit)))
    assert set(grown.orbits[lattice.n_sites :]) == {HOLES[name][2]}
    assert set(grown.multiplicities[lattice.n_sites :]) == {int(HOLES[name][2][:-1])}
    # whole orbits: the space group survives, with the new sites as a kind of their own
    assert len(site_operations(grown)) == len(site_operations(lattice))
    assert "no site of the structure" in found.describe(lattice.cell)


def test_a_skew_choice_of_the_cell_changes_little():
    """The same crystal with cell vectors (1 0 0), (3 1 0), (−2 4 1) of the first."""
    plain = lattice_of("D0_3", turned(6))
    shear = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])
    points, species = plain.crystal()
    skew = SiteLattice.from_structure(
        shear @ plain.cell, points @ np.linalg.inv(shear @ plain.cell),
        np.where(species > 200, 3, species), 3, "Li",
    )  # fmt: skip
    orbit = hole_orbit("D0_3", plain, turned(6))
    x = run_md(plain, 12_000, 0.3, 2, orbit, 0.02)
    found = [missing_sites(lattice, grid_of(lattice, x, average=20)) for lattice in (plain, skew)]
    assert len(found[0]) == len(found[1]) == 24
    # an fcc lattice has many reduced cells: the grids differ, the answer by far less than a voxel
    assert misfit(plain.cell, found[1].positions, found[0].positions).max() < 0.02
    np.testing.assert_allclose(found[1].occupancy, found[0].occupancy, rtol=0.1)
    np.testing.assert_allclose(found[1].distance, found[0].distance, atol=0.02)


def test_special_positions_are_exact():
    """On 4a of LiSi nothing of the noise is left: the operations fix the place."""
    lattice = lattice_of("LiSi", turned(2))
    orbit = hole_orbit("LiSi", lattice, turned(2))
    x = run_md(lattice, 4000, 0.3, 3, orbit, 0.05)
    found = missing_sites(lattice, grid_of(lattice, x, average=10))
    assert misfit(lattice.cell, found.positions, orbit).max() < 1e-4


def test_poor_statistics_still_show_a_site():
    """2000 frames of 16 ions, 5 % occupancy: the symmetry of LiSi gives the statistics."""
    lattice = lattice_of("LiSi", turned(4))
    big = lattice.expand(np.diag([2, 1, 1]))
    orbit = hole_orbit("LiSi", lattice, turned(4))
    places = np.concatenate([orbit, orbit + lattice.cell[0]])
    x = run_md(big, 2000, 0.45, 0, places, 0.05)
    found = missing_sites(lattice, grid_of(lattice, x, 2, average=10))
    assert len(found) == 2
    assert misfit(lattice.cell, found.positions, orbit).max() < 0.05


def test_poor_statistics_without_symmetry():
    """2000 frames of 20 ions in P1: some 200 ion-frames on a site are what it takes."""
    random = np.random.default_rng(2)
    cell = np.array([[9.1, 0.3, 0.1], [1.5, 8.7, -0.4], [-1.7, 0.9, 9.6]]) @ turned(4)
    steps = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    scaled = (steps[:20] + 0.1 * random.random((20, 3))) / 3
    lattice = SiteLattice.from_structure(cell, scaled, [3] * 20, 3)
    place = (scaled[:1] + np.full(3, 1 / 6)) @ cell
    x = run_md(lattice, 2000, 0.35, 4, place, 0.1, stay=25)
    grown, found = add_interstitials(lattice, grid_of(lattice, x, average=10))
    assert len(found) == 1
    assert misfit(cell, found.positions, place)[0] < 0.2
    assert grown.labels[-1] == "i1"


def test_chance_maxima_of_a_uniform_field_do_not_stand_out():
    """Independent samples (told so by their steps), no site anywhere."""
    random = np.random.default_rng(0)
    for samples in (500, 5000, 50_000):
        grid = DensityGrid(np.eye(3) * 10)
        grid.add(random.uniform(0, 10, (samples // 10, 10, 3)))
        density = replace(grid.smooth(), step=1e3)
        peaks = find_peaks(density, minimum_contrast=1.0)
        assert len(peaks) <= 1
        assert (peaks.neighbour == -1).all()  # the highest of all, set against the mean only


def test_a_strained_md_cell_keeps_the_names_of_the_crystal():
    crystal_lattice = lattice_of("LiSi")
    strained = crystal_lattice.matched_to(crystal_lattice.cell @ np.diag([1.02, 0.99, 1.0]))
    orbit = hole_orbit("LiSi", crystal_lattice, np.eye(3)) @ np.diag([1.02, 0.99, 1.0])
    x = run_md(strained, 6000, 0.3, 1, orbit, 0.05)
    grid = grid_of(strained, x, average=15)
    grown, _ = add_interstitials(strained, grid, reference_cell=crystal_lattice.cell)
    assert grown.orbits[-2:] == ("4a", "4a")
    assert misfit(strained.cell, grown.positions[-2:], orbit).max() < 1e-3


def test_nothing_missing_changes_nothing():
    lattice = lattice_of("D0_3")
    grown, found = add_interstitials(lattice, grid_of(lattice, run_md(lattice, 500, 0.2)))
    assert grown is lattice
    assert len(found) == 0
    assert found.share == 0
    assert found.describe(lattice.cell) == "no density peak away from the sites"


def test_a_site_left_out_of_the_structure_is_found_with_its_occupancy():
    """The octahedral Li of D0_3 deleted: a full site, and half of the tetrahedral time beside."""
    full = lattice_of("D0_3")
    x = run_md(full, 1000, 0.3)
    atoms = phase("D0_3")
    del atoms[
        [
            k
            for k, p in enumerate(atoms.get_scaled_positions())
            if atoms.numbers[k] == 3 and (p * 4 % 2 < 0.5).all()
        ]
    ]
    part = SiteLattice.from_structure(
        atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers, 3, "Li"
    ).primitive()
    assert part.n_sites == 2
    found = missing_sites(part, grid_of(full, x))
    assert len(found) == 1
    assert found.occupancy[0] == pytest.approx(1.0, abs=0.02)
    assert found.share == pytest.approx(1 / 3, abs=0.01)


def test_disordered_sites_come_from_density_alone():
    """Random places in a skew cell, three chained by hops: all found, and the chain a cluster."""
    random = np.random.default_rng(3)
    cell = np.array([[14.0, 0, 0], [5.0, 13.0, 0], [-4.0, 3.0, 12.0]]) @ turned(9)
    places = np.array([[0.1, 0.1, 0.1], [0.26, 0.1, 0.1], [0.42, 0.1, 0.1], [0.2, 0.6, 0.5],
                       [0.7, 0.5, 0.2], [0.6, 0.1, 0.8], [0.99, 0.99, 0.6]]) @ cell  # fmt: skip
    mean = np.broadcast_to(places[2:], (6000, 5, 3)).copy()
    mean[:, 0] = places[np.repeat(random.integers(0, 3, 60), 100)]
    grid = DensityGrid(cell, average_frames=5)
    grid.add(mean + vibrations(random, mean.shape, 0.4))
    lattice, occupancy = sites_from_density(cell, grid, "Li")
    assert lattice.n_sites == 7
    assert lattice.labels[0] == "Li1"
    distances = misfit(cell, places, lattice.positions)
    assert distances.max() < 0.1
    assert occupancy.sum() == pytest.approx(5, rel=0.01)
    chain = [int(np.argmin(misfit(cell, lattice.positions, places[[k]]))) for k in range(3)]
    assert len({lattice.orbits[k] for k in chain}) == 1
    assert len(set(lattice.orbits)) == 5
    assert {lattice.multiplicities[k] for k in chain} == {3}


def test_a_liquid_has_no_sites():
    random = np.random.default_rng(0)
    grid = DensityGrid(np.eye(3) * 8)
    with pytest.raises(ValueError, match="no frame"):
        grid.smooth()
    grid.add(np.cumsum(0.5 * random.normal(size=(4000, 30, 3)), axis=0))
    with pytest.raises(ValueError, match="no peak that stands out"):
        sites_from_density(np.eye(3) * 8, grid)


def test_bad_input_is_one_clear_line():
    grid = DensityGrid(np.eye(3) * 5)
    with pytest.raises(ValueError, match="not finite"):
        grid.add(np.full((2, 3, 3), np.nan))
    with pytest.raises(ValueError, match="expected positions"):
        grid.add(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no volume"):
        DensityGrid(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="above zero"):
        DensityGrid(np.eye(3), spacing_angstrom=0)


def test_the_same_frames_give_the_same_sites():
    lattice = lattice_of("LiSi")
    x = run_md(lattice, 1500, 0.4, 1, hole_orbit("LiSi", lattice, np.eye(3)), 0.05)
    first, second = (missing_sites(lattice, grid_of(lattice, x, block=b)) for b in (500, 250))
    np.testing.assert_array_equal(first.positions, second.positions)
    np.testing.assert_array_equal(first.occupancy, second.occupancy)
