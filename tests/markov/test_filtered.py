"""Slow eigenvalues of large chains against closed forms and dense linear algebra."""

import numpy as np
import pytest
from scipy import sparse

from aiida_limsm.markov.filtered import largest_eigenpairs


def ring(n):
    """Transition matrix of a walk on a ring that stays put half of the time."""
    step = sparse.eye(n, k=1, format="lil")
    step[n - 1, 0] = 1.0
    return (0.5 * sparse.eye(n) + 0.25 * (step + step.T)).tocsr()


def uniform(n):
    return sparse.csr_matrix(np.full((n, 1), n**-0.5))


def test_degenerate_waves_on_a_torus_are_all_found():
    one = [0.5 + 0.5 * np.cos(2 * np.pi * np.arange(size) / size) for size in (12, 12, 10)]
    exact = np.sort((one[0][:, None, None] + one[1][:, None] + one[2]).ravel() / 3)[::-1]
    eyes = [sparse.eye(size) for size in (12, 12, 10)]
    matrix = (
        sparse.kron(sparse.kron(ring(12), eyes[1]), eyes[2])
        + sparse.kron(sparse.kron(eyes[0], ring(12)), eyes[2])
        + sparse.kron(sparse.kron(eyes[0], eyes[1]), ring(10))
    ).tocsr() / 3
    values, vectors = largest_eigenpairs(matrix, uniform(1440), 20)
    np.testing.assert_allclose(values, exact[1:21], atol=1e-12)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=2e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(vectors.sum(axis=0), 0.0, atol=1e-9)


def test_very_slow_exchange_and_separate_sets():
    """Two rings joined by one rare jump, and a third without any connection."""
    a, b, c = 300, 200, 150
    matrix = sparse.block_diag([ring(a), ring(b), ring(c)]).tolil()
    matrix[0, a] = matrix[a, 0] = 1e-7
    matrix[0, 0] -= 1e-7
    matrix[a, a] -= 1e-7
    matrix = matrix.tocsr()
    columns = np.zeros((a + b + c, 2))
    columns[: a + b, 0] = (a + b) ** -0.5
    columns[a + b :, 1] = c**-0.5
    values, _ = largest_eigenpairs(matrix, sparse.csr_matrix(columns), 6)
    dense = np.linalg.eigvalsh(matrix.toarray())[::-1][2:8]
    np.testing.assert_allclose(1 - values, 1 - dense, rtol=1e-6, atol=1e-14)


def test_a_crowd_at_one_is_met_without_stalling():
    crowd = 1.0 - np.concatenate([np.geomspace(1e-16, 1e-12, 400), np.linspace(0.1, 1.0, 800)])
    matrix = sparse.diags(np.append(1.0, crowd)).tocsr()
    first = sparse.csr_matrix(([1.0], ([0], [0])), shape=(1201, 1))
    values, _ = largest_eigenpairs(matrix, first, 5)
    assert values == pytest.approx(np.ones(5), abs=1e-9)
