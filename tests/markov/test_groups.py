"""Many ions are counted in groups: the same numbers, fewer units."""

import numpy as np
import pytest

from aiida_limsm.markov import groups
from aiida_limsm.markov.assignment import SiteAssigner
from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.fitting import fit_with_errors
from aiida_limsm.markov.msd import MsdAccumulator, msd_tensor, plan_msd


@pytest.mark.parametrize("ions", [1, 104, 1024, 1025, 3000, 100_000])
def test_groups_are_few_and_equal(ions):
    number = groups.group_number(ions)
    assert number <= 1024
    assert number == min(ions, number)
    sizes = np.bincount(np.arange(ions) % number)
    assert sizes.max() - sizes.min() <= 1
    assert ions > 1024 or number == ions


def test_groups_change_no_count_and_no_moment(toolbox, monkeypatch):
    net = toolbox.d03(0.5)
    x = net.positions(230, 200, 0.05, seed=4, sigma=0.2).astype(np.float32)
    plan = plan_msd([200], [230], 5, 0.05)
    found = []
    for most in (1024, 100):
        monkeypatch.setattr(groups, "MOST_GROUPS", most)
        assigner, moments = SiteAssigner(net.lattice, 230), MsdAccumulator(plan, 230)
        assigner.add(x)
        moments.add(x)
        paths, md = assigner.finish(), moments.finish()
        counts = count_transitions(paths, 3, 2, 5)
        fit = fit_with_errors(paths, net.lattice, 2, 5, 0.05, 200, 0)
        found.append((counts, md, msd_tensor([md], plan, 200, 0), fit))
    (single, md, msd, fit), (grouped, md_grouped, msd_grouped, fit_grouped) = found
    assert (single.n_units, grouped.n_units) == (5 * 230, 5 * 77)
    np.testing.assert_array_equal(single.total(), grouped.total())
    np.testing.assert_allclose(fit.tensor, fit_grouped.tensor)
    assert (len(md.units), len(md_grouped.units)) == (230, 77)
    sizes = np.bincount(np.arange(230) % 77)
    for group in (0, 76):
        np.testing.assert_allclose(
            md_grouped.curve[group], md.curve[np.arange(230) % 77 == group].mean(axis=0)
        )
    np.testing.assert_allclose(
        np.average(md_grouped.units, axis=0, weights=sizes), md.units.mean(axis=0)
    )
    # the error bars are of the same size
    assert fit_grouped.samples[:, 0].std() == pytest.approx(fit.samples[:, 0].std(), rel=0.3)
    assert msd_grouped[1][:, 0].std() == pytest.approx(msd[1][:, 0].std(), rel=0.3)
