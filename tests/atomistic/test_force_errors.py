"""Errors of forces in groups, by hand."""

import numpy as np
import pytest

from aiida_limsm.atomistic.force_errors import errors_by_magnitude, force_errors

REFERENCE = np.array([[0.0, 0, 0], [0.3, 0, 0], [0, 3.0, 4.0], [0, 0, -1.0], [0.02, 0, 0]])
PREDICTED = np.array([[0.1, 0, 0], [0.3, 0.3, 0], [0, 3.0, 4.0], [0, 0, 0.0], [-0.02, 0, 0]])


def test_all_atoms():
    found = force_errors(REFERENCE, PREDICTED)
    assert found.atoms == 5
    assert found.rmse == pytest.approx(np.sqrt((0.01 + 0.09 + 1.0 + 0.0016) / 15))
    assert found.mae == pytest.approx((0.1 + 0.3 + 1.0 + 0.04) / 15)
    assert found.label_rms == pytest.approx(np.sqrt((0.09 + 25 + 1 + 0.0004) / 15))
    assert found.relative == pytest.approx(found.rmse / found.label_rms)
    # of three with a direction: 45 degrees, none, and a prediction that points nowhere
    assert found.cosine == pytest.approx((np.sqrt(0.5) + 1.0 + 0.0) / 3)


def test_atoms_at_rest_have_no_direction():
    found = force_errors(np.zeros((2, 3)), np.ones((2, 3)))
    assert (found.cosine, found.relative, found.rmse) == (None, None, 1.0)


def test_groups_by_size_of_the_label():
    groups = errors_by_magnitude(REFERENCE, PREDICTED, [0.25, 1.0, 2.0])
    assert [(begin, end, errors.atoms) for begin, end, errors in groups] == [
        (0.0, 0.25, 2), (0.25, 1.0, 1), (1.0, 2.0, 1), (2.0, None, 1),
    ]  # fmt: skip
    assert groups[3][2].rmse == 0.0
    assert groups[2][2].rmse == pytest.approx(np.sqrt(1 / 3))
    (only,) = errors_by_magnitude(REFERENCE, PREDICTED, [])
    assert only == (0.0, None, force_errors(REFERENCE, PREDICTED))
