import numpy as np
import pytest
import tensorflow as tf

from kerazoo.optimizers.levenberg_marquardt.cholesky import cholesky, mirrored
from kerazoo.optimizers.levenberg_marquardt.linear_solvers import squared

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("known_size", [True, False])
@pytest.mark.parametrize("size", [1, 7, 511, 700])
def test_factor_is_numpys(size, known_size):
    J = RNG.normal(size=(size + 5, size))
    A = J.T @ J
    spec = tf.TensorSpec([size, size] if known_size else [None, None], tf.float64)
    above = np.triu(np.full_like(A, np.nan), 1)  # which must not be read
    L = tf.function(cholesky, input_signature=[spec])(np.tril(A) + above)
    np.testing.assert_allclose(L, np.linalg.cholesky(A), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [3, 700])
def test_indefinite_is_nan_and_no_error(size):
    A = -np.eye(size)
    assert np.isnan(tf.function(cholesky)(tf.constant(A)).numpy()).any()


@pytest.mark.parametrize("columns", [5, 1600])
def test_squared(columns):
    J = RNG.normal(size=(20, columns))
    np.testing.assert_allclose(np.tril(squared(tf.constant(J))), np.tril(J.T @ J), atol=1e-11)


def test_mirrored():
    A = RNG.normal(size=(2, 4, 4))
    symmetric = A + A.transpose(0, 2, 1)
    np.testing.assert_allclose(mirrored(tf.constant(np.triu(symmetric))), symmetric)
