import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.markov.assignment import SiteAssigner, default_core_radii
from aiida_limsm.markov.paths import jump_table, unseen_share


def brute_nearest(lattice, x, reach=4):
    """Nearest site by looking at all images in a box around the point."""
    images = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1)
    images = images.reshape(-1, 3)
    base = np.floor(x @ np.linalg.inv(lattice.cell)).astype(int)
    cloud = lattice.positions[None] + ((images + base) @ lattice.cell)[:, None]
    distance = np.linalg.norm(cloud - x, axis=-1)
    image, site = np.unravel_index(np.argmin(distance), distance.shape)
    return site, images[image] + base, distance[image, site]


def dense(paths):
    """Sites and cells per ion and frame."""
    sites = [
        np.repeat(paths.site[a:b], np.diff(np.append(paths.start[a:b], n)))
        for a, b, n in zip(paths.first_run[:-1], paths.first_run[1:], paths.frames, strict=True)
    ]
    images = [
        np.repeat(paths.image[a:b], np.diff(np.append(paths.start[a:b], n)), axis=0)
        for a, b, n in zip(paths.first_run[:-1], paths.first_run[1:], paths.frames, strict=True)
    ]
    return np.array(sites), np.array(images)


def triclinic(random, skew):
    cell = np.diag(random.uniform(3.0, 7.0, 3)) + skew * random.normal(size=(3, 3))
    q, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return cell @ q


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), sites=st.integers(1, 5), jump=st.floats(0.1, 9.0))
def test_nearest_rule_equals_brute_force(toolbox, seed, sites, jump):
    random = np.random.default_rng(seed)
    cell = triclinic(random, 1.2)
    if abs(np.linalg.det(cell)) < 20:
        return
    lattice = toolbox.lattice(cell, random.uniform(size=(sites, 3)) @ cell)
    x = 20 * random.normal(size=3) + np.cumsum(jump * random.normal(size=(12, 3, 3)), axis=0)
    assigner = SiteAssigner(lattice, 3, "nearest")
    assigner.add(x[:5])
    assigner.add(x[5:])
    got_sites, got_images = dense(assigner.finish())
    for ion in range(3):
        for frame in range(12):
            _, _, distance = brute_nearest(lattice, x[frame, ion])
            place = lattice.positions[got_sites[ion, frame]] + got_images[ion, frame] @ cell
            assert np.linalg.norm(x[frame, ion] - place) == pytest.approx(distance, abs=1e-9)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), sites=st.integers(1, 4), jump=st.floats(0.1, 3.0))
def test_core_rule_equals_brute_force(toolbox, seed, sites, jump):
    random = np.random.default_rng(seed)
    cell = triclinic(random, 1.0)
    if abs(np.linalg.det(cell)) < 20:
        return
    lattice = toolbox.lattice(cell, random.uniform(size=(sites, 3)) @ cell)
    x = np.cumsum(jump * random.normal(size=(60, 2, 3)), axis=0)
    assigner = SiteAssigner(lattice, 2, "core")
    assigner.add(x[:31])
    assigner.add(x[31:])
    got_sites, got_images = dense(assigner.finish())
    unassigned = 0
    for ion in range(2):
        history = []
        for frame in range(60):
            site, image, distance = brute_nearest(lattice, x[frame, ion])
            inside = distance <= assigner.core_radii[site]
            history.append((site, *image) if inside else (history[-1] if history else None))
        first = next((h for h in history if h is not None), None)
        unassigned += sum(h is None for h in history)
        if first is None:
            continue
        wanted = np.array([first if h is None else h for h in history])
        np.testing.assert_array_equal(got_sites[ion], wanted[:, 0])
        np.testing.assert_array_equal(got_images[ion], wanted[:, 1:])
    assert assigner.unassigned_fraction == pytest.approx(unassigned / 120)


def test_sites_much_closer_than_others_are_told_apart(toolbox):
    """The pair's own small cores count, not the large one of the site far away."""
    lattice = toolbox.lattice(6.0 * np.eye(3), [[0, 0, 0], [0.15, 0, 0], [3, 3, 3]])
    random = np.random.default_rng(3)
    x = np.zeros((400, 1, 3))
    x[:, 0, 0] = np.where(random.uniform(size=400) < 0.5, 0.0, 0.15)
    assigner = SiteAssigner(lattice, 1, "core")
    assigner.add(x)
    sites, _ = dense(assigner.finish())
    np.testing.assert_array_equal(sites[0], (x[:, 0, 0] > 0.1).astype(int))


def test_chunks_do_not_matter(toolbox):
    net = toolbox.d03(0.5)
    x = net.positions(4, 300, 0.05, seed=1, sigma=0.3)
    results = []
    for size in (300, 37):
        assigner = SiteAssigner(net.lattice, 4)
        for begin in range(0, 300, size):
            assigner.add(x[begin : begin + size])
        results.append((assigner.finish(), assigner.moments))
    for paths, moments in results[1:]:
        np.testing.assert_array_equal(paths.start, results[0][0].start)
        np.testing.assert_array_equal(paths.site, results[0][0].site)
        np.testing.assert_allclose(moments, results[0][1])


def test_vibration_amplitude_is_recovered(toolbox):
    lattice = toolbox.lattice(5 * np.eye(3), [[1, 1, 1]])
    random = np.random.default_rng(0)
    x = np.array([1.1, 1, 1]) + 0.2 * random.normal(size=(4000, 3, 3))
    assigner = SiteAssigner(lattice, 3)
    assigner.add(x)
    count, sx, _, _, square = assigner.moments[0]
    assert count == 12000
    assert sx / count == pytest.approx(0.1, abs=0.01)
    assert np.sqrt(square / count - (sx / count) ** 2) == pytest.approx(0.2 * 3**0.5, rel=0.02)


def test_core_radius_default_and_limit(toolbox):
    lattice = toolbox.lattice(2.0 * np.eye(3), [[0, 0, 0]])
    np.testing.assert_allclose(default_core_radii(np.array([2.65, 1.0])), [0.7, 0.3])
    np.testing.assert_allclose(SiteAssigner(lattice, 1).core_radii, [0.6])
    assert SiteAssigner(lattice, 1, "nearest").core_radii is None
    with pytest.raises(ValueError, match="half the smallest distance"):
        SiteAssigner(lattice, 1, "core", 1.0)


def test_bad_positions(toolbox):
    lattice = toolbox.lattice(5.0 * np.eye(3), [[0, 0, 0]])
    with pytest.raises(ValueError, match="not finite"):
        SiteAssigner(lattice, 1).add(np.full((1, 1, 3), np.nan))
    with pytest.raises(ValueError, match="2 ions"):
        SiteAssigner(lattice, 2).add(np.zeros((1, 1, 3)))


def path_of(toolbox, places, lattice):
    """Paths of one ion that visits lattice cells of a one-site lattice along x."""
    x = np.zeros((len(places), 1, 3))
    x[:, 0, 0] = np.asarray(places) * lattice.cell[0, 0]
    assigner = SiteAssigner(lattice, 1)
    assigner.add(x)
    return assigner.finish()


@pytest.mark.parametrize(
    ("places", "jumps", "independent"),
    [
        ([0, 0, 0], 0, 0),
        ([0, 1, 2, 3], 3, 3),
        ([0, 1, 0], 2, 0),
        ([0, 1, 0, 1], 3, 1),
        ([0, 1, 0, 1, 0], 4, 0),
        ([0, 1, 0, -1], 3, 1),
        ([0, 1, 2, 1, 2, 3], 5, 3),
        ([0, 1, 2, 1, 0], 4, 2),
    ],
)
def test_back_jumps_are_struck_pairwise(toolbox, places, jumps, independent):
    lattice = toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0]])
    paths = path_of(toolbox, places, lattice)
    assert paths.n_jumps == jumps
    assert paths.independent_jumps()[0] == independent


def test_jump_table_and_unseen_share(toolbox):
    lattice = toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0]])
    paths = path_of(toolbox, [0, 0, 1, 2, 1], lattice)
    table = jump_table(paths, lattice, 0.5)
    assert table.jumps.tolist() == [2, 1]
    np.testing.assert_allclose(table.vector[0], [3, 0, 0])
    assert table.rate_per_ps[0] == pytest.approx(2 / 2.5)
    assert table.rate_error_per_ps[0] == pytest.approx(2**0.5 / 2.5)
    assert unseen_share(paths, paths.jump_rows) == 0.0
    assert unseen_share(paths, paths.jump_rows[:1]) == 1.0


def test_double_occupancy_counts_sites_modulo_the_md_cell(toolbox):
    lattice = toolbox.lattice(3.0 * np.eye(3), [[0, 0, 0]])
    x = np.zeros((10, 2, 3))
    x[:, 1, 0] = 3.0
    x[6:, 1, 0] = 6.0  # the MD cell is 2 × 1 × 1: back on the first ion's site
    assigner = SiteAssigner(lattice, 2)
    assigner.add(x)
    paths = assigner.finish()
    assert paths.double_occupancy(np.diag([2, 1, 1])) == pytest.approx(0.4)
    assert paths.double_occupancy(np.diag([3, 1, 1])) == 0.0


def test_site_positions_of_the_path(toolbox):
    net = toolbox.d03(0.5)
    x = net.positions(3, 50, 0.1, seed=5)
    assigner = SiteAssigner(net.lattice, 3)
    assigner.add(x)
    np.testing.assert_allclose(assigner.finish().positions(net.lattice, slice(1, 3)), x[:, 1:])


def test_paths_are_handed_over_once(toolbox):
    assigner = SiteAssigner(toolbox.lattice(5.0 * np.eye(3), [[0, 0, 0]]), 1)
    assigner.add(np.zeros((3, 1, 3)))
    assert assigner.finish().frames.tolist() == [3]
    with pytest.raises(ValueError, match="handed over"):
        assigner.add(np.zeros((1, 1, 3)))
    with pytest.raises(ValueError, match="handed over"):
        assigner.finish()
