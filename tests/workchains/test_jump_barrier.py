"""From a trajectory to a barrier: sites, jumps, end points, and a band with a real potential."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.atomistic.crystals import lithium_silicide
from aiida_limsm.calculations.neb_jumps import jump_endpoints
from aiida_limsm.calculations.neb_paths import ENERGIES, join_images
from aiida_limsm.data.trajectory import MolecularDynamicsData
from aiida_limsm.workchains.markov import MarkovWorkChain
from aiida_limsm.workchains.neb_mlff import MlffNebWorkChain

TRAJECTORY = Path(__file__).parents[2] / "examples" / "validate" / "md.h5"


@pytest.mark.slow
def test_from_hops_to_a_barrier(limsm_code: orm.InstalledCode, foundation: orm.Data) -> None:
    """Lithium vacancies in LiSi: real MD, its most frequent jump, the path of that jump."""
    sites = orm.StructureData(ase=lithium_silicide("LiSi", primitive=True))
    md = MolecularDynamicsData.from_file(TRAJECTORY).store()
    found, node = run_get_node(
        MarkovWorkChain.get_builder_from_protocol(limsm_code, sites, {"md": md}, protocol="fast")
    )
    assert node.is_finished_ok, node.exit_message
    model = found["markov_model"]
    ends = jump_endpoints(model, sites, orm.Int(1), orm.List([1, 1, 1]))
    about = ends["jump"].get_dict()
    assert about["mechanism"] == "vacancy"
    assert about["count"] > 5
    images = join_images(ends["initial"], ends["final"])
    outputs, node = run_get_node(
        MlffNebWorkChain.get_builder_from_protocol(limsm_code, images, foundation, protocol="fast")
    )
    assert node.is_finished_ok, node.exit_message
    results: dict[str, Any] = outputs["output_parameters"].get_dict()
    assert results["converged"]
    assert results["climbed"]
    assert max(results["end_displacements_angstrom"]) < 1.0
    profile = results["profile"]
    # symmetry exchanges the ends of the frequent jumps of LiSi
    assert 0.01 < profile["barrier_forward_ev"] < 0.6
    assert profile["barrier_backward_ev"] == pytest.approx(profile["barrier_forward_ev"], abs=0.01)
    assert not profile["monotonic"]
    path = outputs["path"]
    energies = path.get_array(ENERGIES)
    assert 0 < int(np.argmax(energies)) < len(energies) - 1
    # the ion that jumped goes the way, the others make room
    ways = np.linalg.norm(np.diff(path.get_array("positions")[[0, -1]], axis=0)[0], axis=1)
    assert int(np.argmax(ways)) == about["moving_atom"]
    assert ways[about["moving_atom"]] == pytest.approx(about["distance_angstrom"], abs=0.8)
