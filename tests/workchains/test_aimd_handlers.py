"""What AimdWorkChain does with jobs that went wrong; their outputs are recorded runs of pw.x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_limsm.workchains._aimd_handlers import MAX_BARREN, SCF_REMEDIES
from aiida_limsm.workchains.aimd import AimdWorkChain, PwCalculation

CODES = PwCalculation.exit_codes
pytestmark = pytest.mark.usefixtures("pseudo_family")


@pytest.fixture
def workchain(pw_code: orm.Code, crystal: orm.StructureData) -> Any:
    """A run of ten steps before its first job."""
    builder = AimdWorkChain.get_builder_from_protocol(
        pw_code, crystal, temperature_k=700, steps=10, protocol="fast"
    )
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.prepare_process()
    return process


def feed(workchain: Any, *jobs: orm.CalcJobNode) -> None:
    """Let jobs end one after the other."""
    for job in jobs:
        workchain.ctx.children = [*workchain.ctx.get("children", []), job]
        workchain.ctx.iteration += 1
        assert workchain.inspect_process() is None
        if workchain.should_run_process():
            workchain.prepare_process()


def asked(workchain: Any) -> dict[str, Any]:
    """The input of the job that comes next."""
    parameters: dict[str, Any] = workchain.ctx.inputs.parameters.get_dict()
    return parameters


def ended_with(workchain: Any) -> tuple[int, str]:
    status, message = workchain.ctx.failure
    return status, message


def test_the_first_job(workchain: Any, crystal: orm.StructureData) -> None:
    control = asked(workchain)["CONTROL"]
    assert (control["nstep"], control["restart_mode"]) == (10, "from_scratch")
    assert control["max_seconds"] == pytest.approx(0.95 * 3600)
    assert asked(workchain)["IONS"]["ion_velocities"] == "from_input"
    velocities = workchain.ctx.inputs.settings.get_dict()["ATOMIC_VELOCITIES"]
    assert len(velocities) == len(crystal.sites)
    monitor = workchain.ctx.inputs.monitors["limsm_pw_md"].get_dict()
    assert monitor["kwargs"] == {"max_temperature_k": 3100.0, "patience": 30}


def test_next_segment_after_all_steps_of_a_job(workchain: Any, pw_job: Callable[..., Any]) -> None:
    feed(workchain, pw_job("segment_0"))
    control = asked(workchain)["CONTROL"]
    assert (control["nstep"], control["restart_mode"]) == (7, "restart")
    assert (
        workchain.ctx.inputs.parent_folder.pk == workchain.ctx.children[0].outputs.remote_folder.pk
    )
    assert asked(workchain)["IONS"]["ion_velocities"] == "default"
    assert "settings" not in workchain.ctx.inputs


def test_velocities_of_the_user(
    pw_code: orm.Code, crystal: orm.StructureData, pw_job: Callable[..., Any]
) -> None:
    """They start the run, and go with the start only; other settings stay."""
    builder = AimdWorkChain.get_builder_from_protocol(
        pw_code, crystal, temperature_k=700, steps=10, protocol="fast"
    )
    own = {"atomic_velocities": [[0.0, 0.0, 1e-4]] * len(crystal.sites), "cmdline": ["-nk", "1"]}
    builder.pw.settings = orm.Dict(own)
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.prepare_process()
    assert process.ctx.inputs.settings.get_dict() == own
    feed(process, pw_job("segment_0"))
    assert process.ctx.inputs.settings.get_dict() == {"cmdline": ["-nk", "1"]}


def test_a_job_killed_after_its_last_frame_was_enough(
    pw_code: orm.Code, crystal: orm.StructureData, pw_job: Callable[..., Any]
) -> None:
    builder = AimdWorkChain.get_builder_from_protocol(
        pw_code, crystal, temperature_k=700, steps=3, protocol="fast"
    )
    process = instantiate_process(get_manager().get_runner(), builder)
    process.setup()
    process.prepare_process()
    feed(process, pw_job("killed_midway"))
    assert process.ctx.is_finished
    assert process.ctx.failure is None


def test_a_job_that_stopped_itself_is_continued(workchain: Any, pw_job: Callable[..., Any]) -> None:
    job = pw_job("out_of_time")
    assert job.exit_status == CODES.ERROR_OUT_OF_WALLTIME.status
    feed(workchain, job)
    assert (workchain.ctx.done, workchain.ctx.resume) == (4, "continue")
    assert asked(workchain)["CONTROL"]["nstep"] == 6
    assert workchain.ctx.inputs.structure.pk == job.outputs.output_structure.pk


def test_a_killed_job_is_restarted_from_its_last_whole_frame(
    workchain: Any, pw_job: Callable[..., Any]
) -> None:
    job = pw_job("killed_midway")
    assert job.exit_status == CODES.ERROR_OUTPUT_STDOUT_INCOMPLETE.status
    feed(workchain, job)
    assert (workchain.ctx.done, workchain.ctx.resume) == (3, "velocities")
    control = asked(workchain)["CONTROL"]
    assert (control["nstep"], control["restart_mode"]) == (8, "from_scratch")
    assert asked(workchain)["IONS"]["ion_velocities"] == "from_input"
    assert "parent_folder" not in workchain.ctx.inputs
    made_by = workchain.ctx.inputs.structure.creator
    assert made_by.process_label == "restart_point"
    assert made_by.pk == workchain.ctx.inputs.settings.creator.pk


def test_a_lost_folder_is_no_loss(
    workchain: Any, pw_job: Callable[..., Any], tmp_path: Any
) -> None:
    job = pw_job("out_of_time")
    job.outputs.remote_folder.base.attributes._backend_node.set_attribute(
        "remote_path", str(tmp_path / "gone")
    )
    feed(workchain, job)
    assert workchain.ctx.resume == "velocities"
    assert asked(workchain)["CONTROL"]["nstep"] == 7


def test_an_scf_that_failed_is_tried_with_other_mixing(
    workchain: Any, pw_job: Callable[..., Any]
) -> None:
    first = pw_job("segment_0")
    job = pw_job("scf_failed", structure=first.outputs.output_structure)
    assert job.exit_status == 0, "aiida-quantumespresso sees nothing wrong"
    feed(workchain, first, job)
    assert (workchain.ctx.done, workchain.ctx.resume) == (4, "velocities")
    electrons = asked(workchain)["ELECTRONS"]
    assert SCF_REMEDIES[0].items() <= electrons.items()
    for remedy in SCF_REMEDIES[1:]:
        feed(workchain, pw_job("scf_failed_at_once"))
        assert remedy.items() <= asked(workchain)["ELECTRONS"].items()
    feed(workchain, pw_job("scf_failed_at_once"))
    status, message = ended_with(workchain)
    assert status == 311
    assert "after 4 of 10 frames" in message
    assert "convergence NOT achieved" in message


def test_remedies_end_with_the_frame_that_needed_them(
    workchain: Any, pw_job: Callable[..., Any]
) -> None:
    first = pw_job("segment_0")
    failed = pw_job("scf_failed", structure=first.outputs.output_structure)
    feed(workchain, first, failed, pw_job("killed_midway"))
    # three frames more, the first of which was computed again
    assert workchain.ctx.done == 6
    assert asked(workchain)["ELECTRONS"]["mixing_beta"] == 0.4


def test_a_stuck_scf_that_the_monitor_stopped(workchain: Any, pw_job: Callable[..., Any]) -> None:
    job = pw_job(
        "scf_stuck",
        exit_status=CODES.STOPPED_BY_MONITOR.status,
        exit_message="the SCF is stuck: no better accuracy than 4.1e-30 Ry in 41 cycles",
    )
    feed(workchain, job)
    assert workchain.ctx.resume == "start"
    assert SCF_REMEDIES[0].items() <= asked(workchain)["ELECTRONS"].items()


def li13si4() -> orm.StructureData:
    from aiida_limsm.atomistic.crystals import lithium_silicide

    return orm.StructureData(ase=lithium_silicide("Li13Si4"))


@pytest.mark.parametrize("monitor", [False, True])
def test_a_smearing_without_a_fermi_level(
    workchain: Any, pw_job: Callable[..., Any], monitor: bool
) -> None:
    """Cold smearing at Γ, after 733 good frames: every mixing was tried by hand, in vain."""
    stopped = {
        "exit_status": CODES.STOPPED_BY_MONITOR.status,
        "exit_message": "the SCF is stuck: accuracy 4.6e-05 Ry after 80 cycles",
    }
    job = pw_job("fermi_level", structure=li13si4(), **(stopped if monitor else {}))
    feed(workchain, job)
    status, message = ended_with(workchain)
    assert status == 318
    assert "Smearing 'mv' finds no Fermi level" in message
    assert "use 'gaussian' or more k-points" in message
    assert "integrated charge 58.00118675" in message


def test_a_run_that_explodes_is_stopped(workchain: Any, pw_job: Callable[..., Any]) -> None:
    feed(workchain, pw_job("runaway"))
    status, message = ended_with(workchain)
    assert status == 313
    assert "3.45e+07 K reached, the limit is 3100 K" in message
    assert workchain.ctx.done == 6


def test_numbers_that_do_not_fit_are_an_explosion(
    workchain: Any, pw_job: Callable[..., Any]
) -> None:
    feed(workchain, pw_job("too_close"))
    status, message = ended_with(workchain)
    assert status == 313
    assert "cannot read" in message


def test_another_monitor_is_respected(workchain: Any, pw_job: Callable[..., Any]) -> None:
    status = CODES.STOPPED_BY_MONITOR.status
    feed(workchain, pw_job("killed_midway", exit_status=status, exit_message="enough"))
    assert ended_with(workchain)[0] == 317
    assert "after 3 of 10 frames" in ended_with(workchain)[1]


def test_too_little_memory(workchain: Any, pw_job: Callable[..., Any]) -> None:
    feed(workchain, pw_job("out_of_memory"))
    status, message = ended_with(workchain)
    assert status == 312
    assert "ask for more memory" in message
    assert "Error allocating 27648000 bytes" in message


def test_too_little_memory_by_the_scheduler(workchain: Any, pw_job: Callable[..., Any]) -> None:
    """It got on until then, so that it is tried again; without a new frame it is given up."""
    status = CODES.ERROR_SCHEDULER_OUT_OF_MEMORY.status
    feed(workchain, pw_job("killed_midway", exit_status=status))
    assert (workchain.ctx.failure, workchain.ctx.resume) == (None, "velocities")
    feed(workchain, pw_job("killed", exit_status=status))
    assert ended_with(workchain)[0] == 312


def test_walltime_of_the_scheduler(workchain: Any, pw_job: Callable[..., Any]) -> None:
    """Stopped from outside: pw.x is asked to stop itself earlier."""
    status = CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME.status
    feed(workchain, pw_job("killed_midway", exit_status=status))
    assert workchain.ctx.resume == "velocities"
    assert asked(workchain)["CONTROL"]["max_seconds"] == pytest.approx(0.95 * 0.9 * 3600)


def test_walltime_without_a_frame(workchain: Any, pw_job: Callable[..., Any]) -> None:
    feed(workchain, pw_job("killed_midway"))
    for _ in range(MAX_BARREN):
        assert workchain.ctx.failure is None
        feed(workchain, pw_job("out_of_time_at_once"))
    status, message = ended_with(workchain)
    assert status == 315
    assert "raise max_wallclock_seconds" in message


def test_jobs_that_get_nowhere_end(workchain: Any, pw_job: Callable[..., Any]) -> None:
    feed(workchain, pw_job("segment_0"))
    for _ in range(MAX_BARREN):
        assert workchain.ctx.failure is None
        feed(workchain, pw_job("killed"))
    status, message = ended_with(workchain)
    assert status == 310
    assert "after 3 of 10 frames" in message


def test_an_input_that_pw_refuses_is_not_tried_again(
    workchain: Any, pw_job: Callable[..., Any]
) -> None:
    feed(workchain, pw_job("bad_input"))
    status, message = ended_with(workchain)
    assert status == 310
    assert "readpp (1): file pseudo/none.UPF not found" in message


def test_too_few_bands_go_on_with_more(workchain: Any, pw_job: Callable[..., Any]) -> None:
    feed(workchain, pw_job("few_bands"))
    assert (workchain.ctx.done, workchain.ctx.resume) == (2, "velocities")
    assert asked(workchain)["SYSTEM"]["nbnd"] == 18
    assert asked(workchain)["CONTROL"]["nstep"] == 9
    assert "the highest of 14 bands was occupied" in workchain.ctx.remarks[-1]
    feed(workchain, pw_job("killed_midway"))
    assert asked(workchain)["SYSTEM"]["nbnd"] == 18


def test_a_broken_diagonalisation(workchain: Any, pw_job: Callable[..., Any]) -> None:
    """The outputs are of a killed run: pw.x could not be brought to break this way on purpose."""
    status = CODES.ERROR_COMPUTING_CHOLESKY.status
    feed(workchain, pw_job("killed_midway", exit_status=status))
    for remedy in ("cg", "paro"):
        assert asked(workchain)["ELECTRONS"]["diagonalization"] == remedy
        # the job that fails next is the one that was asked for
        parameters = asked(workchain)
        feed(workchain, pw_job("killed", exit_status=status, parameters=parameters))
    assert ended_with(workchain)[0] == 314


def test_a_job_that_somebody_killed(workchain: Any, pw_job: Callable[..., Any]) -> None:
    job = pw_job("killed_midway")
    job.base.attributes._backend_node.set_attribute("process_state", "killed")
    feed(workchain, job)
    assert ended_with(workchain)[0] == 302
    assert workchain.ctx.done == 3


def test_a_frame_that_contradicts_its_start_is_no_restart_point(
    workchain: Any, pw_job: Callable[..., Any]
) -> None:
    """A continued job that did not start where its input says: stop, and keep the rest."""
    feed_one = pw_job("segment_0")
    feed(workchain, feed_one)
    workchain.ctx.children = [*workchain.ctx.children, pw_job("scf_failed")]
    workchain.ctx.iteration += 1
    assert workchain.inspect_process() is None
    outcome = workchain.prepare_process()
    assert outcome is not None
    assert outcome.status == 316
    assert "positions and forces give a kinetic energy" in outcome.message
