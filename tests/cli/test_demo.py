"""The demo stops before anything is submitted, with one line that names the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_limsm.cli.demo import demo_command
from aiida_limsm.cli.potential import potential_group
from aiida_limsm.cli.report import follow_command, report_command
from aiida_limsm.cli.resources import ensure_pseudo_family


@pytest.fixture
def codes(aiida_localhost):
    """Codes that exist; none of these tests gets as far as running them."""
    for label, plugin in (("pw", "quantumespresso.pw"), ("limsm", "limsm.md")):
        if not orm.QueryBuilder().append(orm.InstalledCode, filters={"label": label}).count():
            orm.InstalledCode(
                label=label,
                computer=aiida_localhost,
                filepath_executable=f"/usr/bin/{label}",
                default_calc_job_plugin=plugin,
                with_mpi=False,
            ).store()
    ensure_pseudo_family()
    return {"pw": f"pw@{aiida_localhost.label}", "limsm": f"limsm@{aiida_localhost.label}"}


def demo(codes, *arguments):
    options = ["--pw-code", codes["pw"], "--limsm-code", codes["limsm"], *arguments]
    result = CliRunner().invoke(demo_command, options)
    workchains = orm.QueryBuilder().append(orm.WorkChainNode, filters={"label": "demo"}).count()
    assert workchains == 0, "something was submitted"
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    return line


@pytest.fixture
def sodium_model(tmp_path):
    """A real MACE file that knows Na and Si: the demo's, with another element table."""
    import torch

    from aiida_limsm.atomistic.potential import load_model
    from aiida_limsm.cli import _demo_inputs

    source = Path(_demo_inputs.__file__).parents[1] / "resources/demo_foundation"
    model = load_model(source / "demo_foundation.model")
    model.atomic_numbers = torch.tensor([11, 14])
    path = tmp_path / "sodium.model"
    torch.save(model, path)
    return path


def test_missing_code(codes):
    line = demo({**codes, "pw": "nothing@nowhere"})
    assert "no code 'nothing@nowhere': run `aiida-limsm setup`" in line


def test_code_of_another_program(codes):
    assert "is for limsm.md, not quantumespresso.pw" in demo({**codes, "pw": codes["limsm"]})


def test_unknown_protocol(codes):
    assert "unknown protocol 'exact': choose one of" in demo(codes, "--protocol", "exact")


def test_missing_foundation(codes):
    assert "neither a file nor a published model" in demo(codes, "--foundation", "no.model")


def test_foundation_that_is_no_model(codes, tmp_path):
    (tmp_path / "text.model").write_text("not a model")
    line = demo(codes, "--foundation", str(tmp_path / "text.model"))
    assert "cannot be loaded as a MACE model" in line


def test_foundation_without_lithium(codes, sodium_model):
    line = demo(codes, "--foundation", str(sodium_model))
    assert f"`aiida-limsm potential import {sodium_model} --trust`" in line
    trusted = CliRunner().invoke(potential_group, ["import", str(sodium_model), "--trust"])
    assert trusted.exit_code == 0, trusted.output
    line = demo(codes, "--foundation", str(sodium_model))
    assert "Na, Si" in line
    assert "Li" in line


def test_daemon_not_running(codes):
    assert "the AiiDA daemon is not running: start it with" in demo(codes)


def test_potential_import_and_list():
    runner = CliRunner()
    first = runner.invoke(potential_group, ["import", "demo"])
    assert first.exit_code == 0, first.output
    again = runner.invoke(potential_group, ["import", "demo", "--label", "mine"])
    assert again.output.split("\n")[0].split()[0] == first.output.split("\n")[0].split()[0]
    listed = runner.invoke(potential_group, ["list"])
    assert "mine" in listed.output


@pytest.mark.parametrize("command", [follow_command, report_command])
def test_follow_and_report_want_a_study(command, aiida_profile):
    node = orm.Int(1).store()
    result = CliRunner().invoke(command, [str(node.pk)])
    assert result.exit_code == 1
    assert "is no LithiumTransportWorkChain" in result.output


def test_the_card_says_what_the_file_is(aiida_profile):
    """The demo trusts the card of its own model: it must be what loading the file gives."""
    from aiida_limsm.atomistic.potential import describe_model
    from aiida_limsm.cli._demo_inputs import demo_foundation

    node = demo_foundation()
    with node.as_path() as path:
        found = describe_model(path)
    assert node.info.e0s_ev == pytest.approx(found.e0s_ev, abs=1e-5)
    for name in ("architecture", "elements", "r_max_angstrom", "dtype", "heads", "num_params"):
        assert getattr(node.info, name) == getattr(found, name), name
    assert node.info.sha256 == found.sha256
