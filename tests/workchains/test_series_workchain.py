"""DiffusionSeriesWorkChain with real jobs: a member that melts leaves the others alone."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.workchains._seeds import run_seed
from aiida_limsm.workchains.series import DiffusionSeriesWorkChain

pytestmark = pytest.mark.slow


def test_series_with_a_member_that_melts(limsm_code, crystal, sites, foundation):
    md = {
        "steps": 300,
        "equilibration_steps": 0,
        "frame_interval_steps": 4,
        "mobile_interval_steps": 2,
        "max_framework_msd_angstrom2": 0.8,
    }
    builder = DiffusionSeriesWorkChain.get_builder_from_protocol(
        limsm_code, crystal, foundation, sites=sites, supercells=[[1, 1, 1], [2, 1, 1]],
        temperatures_k=[700.0, 4500.0], analysed="mobile", protocol="fast",
        overrides={"md": {"md": md}, "max_concurrent": 3},
    )  # fmt: skip
    outputs, node = run_get_node(builder)
    assert node.exit_status == 430, node.exit_message
    good = {"s1x1x1_T700K", "s2x1x1_T700K"}
    melted = {"s1x1x1_T4500K", "s2x1x1_T4500K"}
    assert set(outputs["diffusion"]) == set(outputs["markov_models"]) == good
    assert set(outputs["trajectories"]) == {f"{label}_r0" for label in good}
    summary = outputs["summary"].get_dict()
    assert set(summary["failed"]) == melted
    assert all("MolecularDynamics" in reason for reason in summary["failed"].values())
    assert "s1x1x1_T4500K" in node.exit_message
    short, long = summary["rows"]
    assert (short["label"], long["label"]) == ("s1x1x1_T700K", "s2x1x1_T700K")
    assert long["length_angstrom"] == pytest.approx(2 * short["length_angstrom"])
    assert long["n_ions"] == 2 * short["n_ions"] == 22
    (size,) = summary["size"]
    assert size["temperature_k"] == 700.0
    assert summary["arrhenius"] == []
    # the cell of each run is made from the structure, and the seed is that of the run
    links = {link.link_label: link.node for link in node.base.links.get_outgoing().all()}
    run = links["md_s2x1x1_T700K_r0"]
    assert run.inputs.md.structure.creator == links["supercell_2x1x1"]
    assert run.inputs.md.parameters["temperature_k"] == 700.0
    assert run.inputs.md.parameters["seed"] == run_seed(1, "s2x1x1_T700K", 0)
    analysis = links["markov_s2x1x1_T700K"]
    assert analysis.inputs.analyse.trajectories.r0 == run.outputs.mobile
    assert outputs["trajectories"]["s2x1x1_T700K_r0"] == run.outputs.trajectory
    assert outputs["diffusion"]["s2x1x1_T700K"] == analysis.outputs.diffusion
    assert isinstance(links["collect_series"], orm.CalcFunctionNode)
