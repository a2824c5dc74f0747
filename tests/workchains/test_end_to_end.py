"""The whole road with the real programs: pw.x, mace_run_train, MACE MD, Markov analysis."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from click.testing import CliRunner

from aiida_limsm.workchains.transport import LithiumTransportWorkChain

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("pseudo_family")]

OVERRIDES = {
    "temperatures_k": [800.0, 900.0],
    "supercell": [2, 1, 1],
    "reference": {
        "temperatures_k": [600.0, 850.0],
        "dataset": {"skip_frames": 1, "stride": 1, "gap_frames": 1},
        "aimd": {"steps": 10, "steps_per_segment": 6},
    },
    "finetune": {"train": {"max_epochs": 12, "batch_size": 2}},
    "md": {"md": {"steps": 400, "equilibration_steps": 40, "time_step_fs": 2.5}},
    "markov": {"analyse": {"bootstrap_samples": 50}},
}


def study(pw_code, limsm_code, crystal, sites, foundation):
    builder = LithiumTransportWorkChain.get_builder_from_protocol(
        pw_code,
        limsm_code,
        crystal,
        foundation,
        sites=sites,
        protocol="fast",
        overrides=OVERRIDES,
    )
    return run_get_node(builder)


def pw_ancestors(node: orm.Node) -> set[int]:
    """Return the pw.x calculations upstream of a node, found by AiiDA's own graph traversal."""
    from aiida.common.links import LinkType
    from aiida.tools.graph.graph_traversers import traverse_graph

    found = traverse_graph(
        [node.pk],
        links_backward=[LinkType.INPUT_CALC, LinkType.CREATE],
    )["nodes"]
    nodes = [orm.load_node(pk) for pk in found]
    return {n.pk for n in nodes if getattr(n, "process_label", None) == "PwCalculation"}


def test_from_crystal_to_diffusion_and_back(
    pw_code, limsm_code, crystal, sites, foundation, tmp_path
):
    outputs, node = study(pw_code, limsm_code, crystal, sites, foundation)
    assert node.is_finished_ok, node.exit_message

    # D(T): a tensor with an error or a bound, never a bare number
    assert set(outputs["diffusion"]) == {"T800K", "T900K"}
    for diffusion in (*outputs["diffusion"].values(), *outputs["diffusion_msd"].values()):
        if diffusion.resolved:
            assert diffusion.isotropic_error_cm2_s > 0
        else:
            assert diffusion.upper_bound_cm2_s > 0
            assert diffusion.reason

    # fine-tuning on the project's own labels pays, on frames that it has not seen
    held_out = outputs["summary"]["held_out"]
    assert held_out["improvement"] >= 2.0

    # the energy zero is the project's own DFT's: without it energies are off by 20 eV per atom
    after = outputs["errors_after"]["errors"]["test"]
    assert after["rmse_energy_mev_per_atom"] < 50.0

    # provenance: exactly the pw.x runs that labelled the frames, and the atoms
    labelled = {
        n.pk
        for n in node.called_descendants
        if isinstance(n, orm.CalcJobNode) and n.process_label == "PwCalculation"
    }
    assert len(labelled) == 2 * 2 + 2
    for diffusion in outputs["diffusion"].values():
        assert pw_ancestors(diffusion) == labelled

    from aiida_limsm.cli.trace import trace

    found = trace(outputs["diffusion"]["T800K"])
    assert {record.pk for record in found.calculations} == labelled
    used = sum(record.frames_used or 0 for record in found.calculations)
    assert used == sum(outputs["dataset"].counts.values())

    # what a user sees
    from aiida_limsm.cli._stages import read_stages
    from aiida_limsm.cli.report import follow_command

    assert [stage.state for stage in read_stages(node)] == ["done"] * 6
    result = CliRunner().invoke(follow_command, [str(node.pk), "--report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "held-out force RMSE" in result.output
    assert result.output.count("K)  Markov ") == 2
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "summary.png").exists()

    # the same again is served from the cache: no program runs
    with enable_caching():
        again, repeated = study(pw_code, limsm_code, crystal, sites, foundation)
    assert repeated.is_finished_ok
    jobs = [n for n in repeated.called_descendants if isinstance(n, orm.CalcJobNode)]
    assert jobs
    assert all(job.base.caching.is_created_from_cache for job in jobs)
    first, second = outputs["diffusion"]["T800K"], again["diffusion"]["T800K"]
    assert first.isotropic_cm2_s == second.isotropic_cm2_s
