"""AimdWorkChain with the real pw.x."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_limsm.workchains.aimd import AimdWorkChain

from .conftest import make_code

pytestmark = pytest.mark.usefixtures("pseudo_family")


def builder(code, crystal, steps, **overrides):
    return AimdWorkChain.get_builder_from_protocol(
        code, crystal, temperature_k=700, steps=steps, protocol="fast", overrides=overrides
    )


@pytest.mark.slow
def test_segments_join_to_one_run(pw_code, crystal):
    """Three segments: no frame twice, none missing, motion and energy continuous."""
    outputs, node = run_get_node(builder(pw_code, crystal, 7, steps_per_segment=3))
    assert node.is_finished_ok, node.exit_message
    assert outputs["summary"].get_dict()["segments"] == 3
    trajectory = outputs["trajectory"]
    positions = trajectory.get_positions()
    assert positions.shape == (7, 15, 3)
    # pw.x: dt = 50 Rydberg atomic units
    np.testing.assert_allclose(np.diff(trajectory.get_times()), 50 * 0.048377686531714e-3)
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=2)
    assert (steps.max(axis=1) > 1e-4).all(), "two equal frames"
    # across a join (3 | 3 | 1) the displacement per step is as between other steps
    assert steps.mean(axis=1).max() < 2.0 * steps.mean(axis=1).min()
    acceleration = np.linalg.norm(np.diff(positions, n=2, axis=0), axis=2).mean(axis=1)
    assert acceleration.max() < 0.5 * steps.mean()
    conserved = trajectory.get_array("conserved_energy_ev")
    # the svr thermostat exchanges energy with the cell; a lost velocity would cost 1 eV and more
    assert np.ptp(conserved) < 0.5
    forces = trajectory.get_array("forces_ev_per_angstrom")
    assert np.abs(forces.sum(axis=1)).max() < 1e-2
    assert trajectory.base.attributes.get("dft_settings")["pseudopotentials"].keys() == {"Li", "Si"}


def test_a_broken_code_is_named(computer, crystal):
    """A program that fails at once: one clear message, no endless restarts."""
    code = make_code(computer, "/bin/false", "quantumespresso.pw")
    _, node = run_get_node(builder(code, crystal, 3))
    assert node.exit_status == 300
    assert "PwCalculation" in node.exit_message
    calculations = [n for n in node.called_descendants if isinstance(n, orm.CalcJobNode)]
    assert len(calculations) == 1


def test_not_an_md_input(pw_code, crystal):
    wrong = builder(pw_code, crystal, 3)
    parameters = wrong.base.pw.parameters.get_dict()
    parameters["CONTROL"]["calculation"] = "scf"
    wrong.base.pw.parameters = orm.Dict(parameters)
    message = AimdWorkChain.spec().inputs.validate(wrong._inputs(prune=True)).message
    assert "must be 'md'" in message


def test_a_temperature_in_other_units(pw_code, crystal):
    wrong = builder(pw_code, crystal, 3)
    wrong.temperature = orm.Float(-10.0)
    message = AimdWorkChain.spec().inputs.validate(wrong._inputs(prune=True)).message
    assert "-10 K is not between 0 and 5000 K" in message
