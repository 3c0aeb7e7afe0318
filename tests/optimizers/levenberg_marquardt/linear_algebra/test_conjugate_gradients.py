import numpy as np
import tensorflow as tf

from kerazoo.optimizers.levenberg_marquardt.linear_algebra import Nystroem, conjugate_gradients

RNG = np.random.default_rng(4)


def gram(rows, columns):
    J = RNG.normal(size=(rows, columns))
    return J @ J.T


def times(A):
    return lambda v: tf.linalg.matvec(tf.constant(A), v)


def test_solution_is_numpys():
    A, b = gram(30, 40) + np.eye(30), RNG.normal(size=30)
    x, count = conjugate_gradients(times(A), tf.constant(b), tf.identity, 1e-12)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-9)
    assert 0 < count <= 60


def test_it_stops_at_the_tolerance():
    A, b = np.diag(np.logspace(0, 4, 50)), np.ones(50)
    counts = []
    for tolerance in (1e-1, 1e-8):
        x, count = conjugate_gradients(times(A), tf.constant(b), tf.identity, tolerance)
        assert np.linalg.norm(A @ x.numpy() - b) <= tolerance * np.linalg.norm(b) * 1.001
        counts.append(int(count))
    assert counts[0] < counts[1]


def test_zeros_take_no_iteration():
    x, count = conjugate_gradients(times(np.eye(4)), tf.zeros(4, tf.float64), tf.identity, 1e-4)
    assert count == 0
    np.testing.assert_array_equal(x, np.zeros(4))


def test_conjugate_gradients_end_after_200_iterations():
    A, b = np.diag(np.logspace(0, 12, 400)), tf.ones(400, tf.float64)
    x, count = conjugate_gradients(times(A), b, tf.identity, 1e-13)
    assert count == 200
    assert np.isfinite(x).all()


def test_all_columns_precondition_to_one_iteration():
    K, damping = gram(20, 25), tf.constant(0.3, tf.float64)
    inverse = Nystroem(tf.constant(K), tf.constant(K)).inverse(damping)
    b = RNG.normal(size=20)
    A = K + 0.3 * np.eye(20)
    np.testing.assert_allclose(inverse(tf.constant(b)), np.linalg.solve(A, b), rtol=1e-9)
    _, count = conjugate_gradients(times(A), tf.constant(b), inverse, 1e-9)
    assert count == 1


def test_some_columns_precondition_a_matrix_of_low_rank():
    """Rank 5 of 300, seen through 8 of its columns, which repeat among themselves."""
    K, damping = gram(300, 5), 1e-6
    sampled = [0, 0, *range(1, 7)]
    columns, corner = tf.constant(K[:, sampled]), tf.constant(K[np.ix_(sampled, sampled)])
    inverse = Nystroem(columns, corner).inverse(tf.constant(damping, tf.float64))
    A, b = K + damping * np.eye(300), RNG.normal(size=300)
    _, plain = conjugate_gradients(times(A), tf.constant(b), tf.identity, 1e-6)
    x, count = conjugate_gradients(times(A), tf.constant(b), inverse, 1e-6)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-3, atol=1e-3 * np.abs(x).max())
    assert count < plain
