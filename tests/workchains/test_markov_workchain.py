"""MarkovWorkChain with the real job, on ions that hop with a known diffusion coefficient."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import Atoms

from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.markov.synthetic_networks import d0_3_network
from aiida_limsm.trajectory.h5md import H5mdFile
from aiida_limsm.workchains.markov import MarkovWorkChain

pytestmark = pytest.mark.slow

FRAMES, IONS, INTERVAL_PS, REPEATS = 2000, 40, 0.05, (4, 4, 4)
NETWORK = d0_3_network(0.1, 2.0)


@pytest.fixture
def crystal() -> orm.StructureData:
    lattice = NETWORK.lattice
    atoms = Atoms(
        [3] * lattice.n_sites + [14], cell=lattice.cell, pbc=True,
        positions=np.vstack([lattice.positions, np.zeros((1, 3))]),
    )  # fmt: skip
    return orm.StructureData(ase=atoms).store()


@pytest.fixture
def trajectory(aiida_profile, tmp_path) -> MolecularDynamicsData:
    lattice = NETWORK.lattice
    (site, image), *_ = NETWORK.walk(IONS, FRAMES, INTERVAL_PS, 7, block_frames=FRAMES)
    ions = lattice.positions[site] + image @ lattice.cell
    silicon = Atoms("Si", cell=lattice.cell, pbc=True).repeat(REPEATS)
    rest = np.broadcast_to(silicon.positions, (FRAMES, len(silicon), 3))
    x = np.concatenate([rest, ions], axis=1)
    x = x + 0.2 * np.random.default_rng(8).normal(size=x.shape)
    path = tmp_path / "md.h5"
    numbers = [14] * len(silicon) + [3] * IONS
    file = H5mdFile(path, numbers, silicon.cell.array, INTERVAL_PS)
    file.append(x, np.arange(FRAMES), np.full(FRAMES, 700.0), np.zeros(FRAMES))
    file.close()
    return MolecularDynamicsData.from_file(path).store()


def analysed(limsm_code, trajectory, structure=None, **fields):
    builder = MarkovWorkChain.get_builder_from_protocol(
        limsm_code, structure, {"r0": trajectory}, protocol="fast", overrides={"analyse": fields}
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    return outputs


def test_the_node_a_user_cites_holds_the_true_tensor(limsm_code, crystal, trajectory):
    outputs = analysed(limsm_code, trajectory, crystal, pool="spacegroup")
    diffusion, model = outputs["diffusion"], outputs["markov_model"]
    assert diffusion.resolved
    away = diffusion.tensor - NETWORK.diffusion_tensor()
    assert np.abs(np.diag(away)).max() < 3.5 * np.diag(diffusion.error).min()
    assert (diffusion.species, diffusion.n_ions, diffusion.temperature_k) == ("Li", IONS, 700.0)
    assert diffusion.lag_time_ps == model.lag_time_ps
    assert outputs["diffusion_msd"].lag_time_ps is None
    # the model node answers by itself, and its numbers are those that were reported
    np.testing.assert_allclose(model.diffusion_tensor(), diffusion.tensor, rtol=1e-9, atol=1e-12)
    assert model.results.pool == "spacegroup"
    slowest = model.spectrum(1).timescales_ps[0]
    assert slowest == pytest.approx(model.implied_timescales_ps[0, 0])
    assert model.diffusion_tensor(correlated=False).trace() >= model.diffusion_tensor().trace()
    assert model.base.links.get_incoming().first().node == diffusion.creator


def test_sites_from_the_density_alone(limsm_code, trajectory):
    outputs = analysed(limsm_code, trajectory, sites="density", temperature_k=705.0)
    assert all(site.source == "density" for site in outputs["markov_model"].sites)
    assert outputs["diffusion"].temperature_k == 705.0


def test_a_trajectory_is_analysed_where_it_lies(limsm_code, crystal, trajectory, tmp_path):
    at_home = analysed(limsm_code, trajectory, crystal)
    symbols = [s for s, n in trajectory.symbol_counts.items() for _ in range(n)]
    pointer = MolecularDynamicsData.from_remote(
        orm.RemoteData(computer=limsm_code.computer, remote_path=str(tmp_path)).store(),
        "md.h5", sha256=trajectory.sha256, symbols=symbols, n_frames=FRAMES,
        cell_angstrom=trajectory.cell_angstrom, frame_interval_ps=INTERVAL_PS, temperature_k=700.0,
    ).store()  # fmt: skip
    in_place = analysed(limsm_code, pointer, crystal)
    estimates = [found["diffusion"].estimate for found in (at_home, in_place)]
    assert estimates[0] == estimates[1]
    job = in_place["diffusion"].creator
    assert job.inputs.trajectories.r0.storage == "remote"
    assert not [n for n in job.base.repository.list_object_names() if n.endswith(".h5")]
