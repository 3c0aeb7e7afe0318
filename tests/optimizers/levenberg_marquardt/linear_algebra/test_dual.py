"""Solutions in the space of the rows against the dense system of the columns."""

import numpy as np
import pytest
import tensorflow as tf

from kerazoo.optimizers.levenberg_marquardt.linear_algebra import Dual, symmetric

RNG = np.random.default_rng(4)
SIZES = (7, 3, 5)  # columns of each group
ROWS = 6
J = RNG.normal(size=(ROWS, sum(SIZES)))
R = RNG.normal(size=ROWS)
REST = RNG.normal(size=sum(SIZES))
D = np.array([2.0, 0.3, 1.0])
ETA = np.array([0.5, 0.0, 2.0])


def groups(values):
    return np.split(values, np.cumsum(SIZES)[:-1], axis=-1)


def each(by_group):
    return np.repeat(by_group, SIZES)


def dual(D, rest, eta):
    """The solver, of J seen through nothing but its inner products."""
    parts = list(zip(groups(J), groups(rest), D, strict=True))
    K = np.stack([part @ part.T / d**2 for part, _, d in parts])
    u = np.stack([part @ own / d**2 for part, own, d in parts])
    squares = np.array([own @ own / d**2 for _, own, d in parts])
    if eta is None:
        K, u, squares = (value.sum(axis=0, keepdims=True) for value in (K, u, squares))
    else:
        eta = tf.constant(eta)
    return Dual(symmetric.in_panels(tf.constant(K)), tf.constant(u), tf.constant(squares), eta)


def step_of(solver, solution, D, rest):
    C, nu = (np.broadcast_to(share, D.shape) / D**2 for share in solver.shares(solution.damping))
    return -each(C) * (J.T @ solution.alpha.numpy()) - each(nu) * rest


@pytest.mark.parametrize("damping", [0.03, 3.0])
@pytest.mark.parametrize("eta", [None, ETA])
@pytest.mark.parametrize("rest", [np.zeros_like(REST), REST])
def test_solution_is_the_dense_one(damping, eta, rest):
    solver = dual(D, rest, eta)
    solution, length, slope = solver.solve(tf.constant(R), tf.constant(damping, tf.float64))
    A = J.T @ J + np.diag(each(D**2 * (0 if eta is None else eta)))
    g = J.T @ R + rest
    s = -np.linalg.solve(A + damping * np.diag(each(D**2)), g)
    np.testing.assert_allclose(step_of(solver, solution, D, rest), s, rtol=1e-8)
    scaled = each(D) * s
    np.testing.assert_allclose(length, np.linalg.norm(scaled), rtol=1e-9)
    along_g, reduction = solver.predicted_reduction(tf.constant(R), solution)
    np.testing.assert_allclose(along_g, g @ s, rtol=1e-9)
    np.testing.assert_allclose(reduction, -g @ s - s @ A @ s / 2, rtol=1e-8)
    system = A / np.outer(each(D), each(D)) + damping * np.eye(len(g))
    np.testing.assert_allclose(slope, scaled @ np.linalg.solve(system, scaled), rtol=1e-7)


@pytest.mark.parametrize("eta", [None, ETA])
def test_correction_is_the_dense_one(eta):
    solver, damping, b = dual(D, REST, eta), 0.03, RNG.normal(size=ROWS)
    solution, length = solver.correction(tf.constant(b), tf.constant(damping, tf.float64))
    M = each(D**2 * (damping + (0 if eta is None else eta)))
    a = -np.linalg.solve(J.T @ J + np.diag(M), J.T @ b)
    np.testing.assert_allclose(step_of(solver, solution, D, 0 * REST), a, rtol=1e-9)
    np.testing.assert_allclose(length, np.linalg.norm(each(D) * a), rtol=1e-9)


def test_slope_is_that_of_the_length():
    solver, damping, little = dual(D, REST, ETA), 0.7, 1e-5

    def length(damping):
        return float(solver.solve(tf.constant(R), tf.constant(damping, tf.float64))[1])

    change = (length(damping + little) - length(damping - little)) / (2 * little)
    slope = solver.solve(tf.constant(R), tf.constant(damping, tf.float64))[2]
    np.testing.assert_allclose(slope, -length(damping) * change, rtol=1e-7)


def test_no_damping_is_less_than_rounding():
    """Rows that repeat: the inner products are singular."""
    rows = np.vstack([J[:2]] * 3)
    K = symmetric.in_panels(tf.constant(rows @ rows.T)[None])
    solver = Dual(K, tf.zeros([1, ROWS], tf.float64), tf.zeros([1], tf.float64))
    solution, length, _ = solver.solve(tf.ones(ROWS, tf.float64), tf.zeros([], tf.float64))
    eps = np.finfo("float64").eps
    largest = np.max(np.sum(rows**2, axis=1))
    np.testing.assert_allclose(solution.damping, eps * ROWS * largest, rtol=1e-12)
    expected = -np.linalg.lstsq(rows, np.ones(ROWS), rcond=None)[0]
    np.testing.assert_allclose(-rows.T @ solution.alpha.numpy(), expected, rtol=1e-5)
    assert np.isfinite(length)
