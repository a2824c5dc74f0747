"""One path with real neb.x, pw.x and limsm: Li between two tetrahedral sites of silicon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.report.neb import comparison_text
from aiida_limsm.report.neb_paths import PathComparison
from aiida_limsm.workchains.neb import NebComparisonWorkChain

pytestmark = pytest.mark.slow

#: max_seconds of neb.x where it is to run out of time.
WALLTIME_S = 5.0
#: As in the reference calculation: 5 images, 14 Ry, ends unrelaxed 0.478 eV.
DFT = {
    "base": {
        "kpoints_distance": 0.6,
        "pw": {"parameters": {"SYSTEM": {"ecutwfc": 14.0, "ecutrho": 56.0}}},
    }
}


@pytest.fixture
def build(limsm_code, pw_code, neb_code, foundation, pseudo_family, lithium_hop):
    """Return a function that gives a builder of the comparison."""

    def make(neb_code: Any = neb_code, **overrides: Any) -> Any:
        dft = overrides.pop("dft", "both")
        return NebComparisonWorkChain.get_builder_from_protocol(
            lithium_hop, {"foundation": foundation}, limsm_code=limsm_code, pw_code=pw_code,
            neb_code=neb_code, dft=dft, protocol="fast", overrides={**DFT, **overrides},
        )  # fmt: skip

    return make


def test_three_ways(build: Any) -> None:
    # of three images the middle one is the saddle, by symmetry
    outputs, node = run_get_node(build(n_images=3))
    assert node.is_finished_ok, node.exit_message
    comparison = PathComparison.model_validate(outputs["comparison"].get_dict())
    assert [path.name for path in comparison.ordered] == [
        "dft", "foundation", "dft on the path of foundation", "foundation on the path of dft",
    ]  # fmt: skip
    print(comparison_text(comparison))
    dft = comparison.methods["dft"].profile
    assert 0.3 < dft.barrier_forward_ev < 0.7
    assert abs(dft.barrier_forward_ev - dft.barrier_backward_ev) < 0.02
    for path in comparison.methods.values():
        profile = path.profile
        assert len(profile.energy_ev) == 3
        assert np.isfinite(profile.barrier_forward_ev)
        assert profile.coordinate[0] == 0.0
        assert profile.coordinate[-1] == pytest.approx(1.0)
    differences = {(d.method, d.reference): d for d in comparison.differences}
    assert set(differences) == {
        ("foundation", "dft"),
        ("foundation", "dft on the path of foundation"),
        ("foundation on the path of dft", "dft"),
    }
    mine = comparison.methods["foundation"].profile
    assert differences["foundation", "dft"].forward_mev == pytest.approx(
        1e3 * (mine.barrier_forward_ev - dft.barrier_forward_ev)
    )
    assert outputs["figure"].get_content("rb").startswith(b"\x89PNG")
    assert set(outputs["paths"]) == {"dft", "foundation", "dft_on_foundation", "foundation_on_dft"}
    path = outputs["paths"]["dft"]
    assert path.get_array("forces_ev_per_angstrom").shape == (3, 9, 3)
    # energies of neb.x are those of pw.x: the end point of the band was relaxed by it
    (relaxed,) = node.base.links.get_outgoing(link_label_filter="relax_initial").all_nodes()
    energy = relaxed.outputs.output_parameters["energy"]
    assert path.get_array("energies_ev")[0] == pytest.approx(energy, abs=1e-3)


def test_ends_that_are_one_minimum(build: Any) -> None:
    """Sites of hot ions need not be minima: DFT and potential find out, and neb.x is not run."""
    builder = build(dft="neb")
    near = builder.initial.get_ase()
    near.positions[0] += 0.18  # of 1.37 Å to the next site
    builder.final = orm.StructureData(ase=near)
    outputs, node = run_get_node(builder)
    assert node.exit_status == 320, node.exit_message
    assert node.exit_message.startswith("No barrier: foundation: MlffNebCalculation<")
    assert "; dft: the end points relax into one minimum (0.0" in node.exit_message
    comparison = PathComparison.model_validate(outputs["comparison"].get_dict())
    assert comparison.one_minimum == ("foundation", "dft")
    assert "dft: both end points relax into one minimum" in comparison_text(comparison)
    assert not comparison.methods
    assert "figure" not in outputs
    assert not jobs_of(node, "NebCalculation")
    # what was relaxed is kept
    assert len(outputs["paths"]["foundation"].get_stepids()) == 2


def jobs_of(workchain: orm.WorkChainNode, label: str) -> list[orm.CalcJobNode]:
    found = [node for node in workchain.called_descendants if node.process_label == label]
    return sorted(found, key=lambda node: node.pk)


@pytest.fixture
def slow_neb_code(
    computer: orm.Computer, neb_code: orm.InstalledCode, tmp_path: Path
) -> orm.InstalledCode:
    """neb.x whose first job stands still after its first iteration until its time is over.

    However fast the machine is, it has to stop within the second one.
    """
    script = tmp_path / "neb.sh"
    script.write_text(
        f"""#!/bin/bash
[ -s aiida.path ] && exec "{neb_code.filepath_executable}" "$@"
"{neb_code.filepath_executable}" "$@" & job=$!
until [ -s aiida.path ] || ! kill -0 $job; do sleep 0.05; done
kill -STOP $job; sleep {WALLTIME_S}; kill -CONT $job
wait $job
"""
    )
    script.chmod(0o755)
    return orm.InstalledCode(
        label="slow-neb", computer=computer, filepath_executable=str(script),
        default_calc_job_plugin="quantumespresso.neb", prepend_text=neb_code.prepend_text,
        with_mpi=False,
    ).store()  # fmt: skip


def test_goes_on_after_the_walltime(build: Any, slow_neb_code: orm.InstalledCode) -> None:
    """neb.x within an iteration, limsm after every step, until both have converged."""
    # limsm does at least one step a job, so that no time at all has it stop after each
    mlff = {"max_seconds": 1e-9, "climb": False, "fmax_ev_per_angstrom": 0.7}
    outputs, node = run_get_node(
        build(
            slow_neb_code, dft="neb", n_images=3, relax_ends=False, max_iterations=60,
            base=walltime(WALLTIME_S), mlff=mlff, path={"path_thr": 0.3},
        )
    )  # fmt: skip
    assert node.is_finished_ok, node.exit_message
    jobs = jobs_of(node, "NebCalculation")
    assert len(jobs) >= 2
    assert {job.exit_status for job in jobs[:-1]} == {400}
    assert [job.inputs.parameters["PATH"]["restart_mode"] for job in jobs] == (
        ["from_scratch"] + ["restart"] * (len(jobs) - 1)
    )
    # the last one gives the energies on the path of DFT
    *jobs, single = jobs_of(node, "MlffNebCalculation")
    assert single.inputs.parameters["single_points"] is True
    assert len(jobs) >= 2
    assert {job.exit_status for job in jobs[:-1]} == {400}
    assert jobs[-1].outputs.output_parameters["restarts"] == len(jobs) - 1
    profile = outputs["comparison"]["methods"]["dft"]["profile"]
    # that of the relaxed band is 0.478 eV; silicon at the ends is not relaxed here
    assert profile["barrier_forward_ev"] == pytest.approx(0.45, abs=0.1)


def walltime(seconds: float) -> dict[str, Any]:
    parameters = {**DFT["base"]["pw"]["parameters"], "CONTROL": {"max_seconds": seconds}}
    return {**DFT["base"], "pw": {"parameters": parameters}}


def test_a_band_that_does_not_converge_is_kept(build: Any) -> None:
    """Too few steps for neb.x and for the potential: both say so, and give what they have."""
    builder = build(
        dft="neb", n_images=3, relax_ends=False, max_iterations=1, path={"nstep_path": 1},
        mlff={"max_steps": 1},
    )  # fmt: skip
    outputs, node = run_get_node(builder)
    assert node.exit_status == 310
    assert "foundation: MlffNebCalculation" in node.exit_message
    assert "raise max_steps and run it again" in node.exit_message
    assert "dft: NebCalculation" in node.exit_message
    assert "did not converge after the maximum number of steps" in node.exit_message
    assert [job.exit_status for job in jobs_of(node, "NebCalculation")] == [502]
    assert set(outputs["paths"]) == {"dft", "foundation", "foundation_on_dft"}
    methods = outputs["comparison"]["methods"]
    assert methods["dft"]["converged"] is methods["foundation"]["converged"] is False
    assert methods["dft"]["profile"]["barrier_forward_ev"] > 0.1
