import numpy as np
import pytest
import tensorflow as tf
from speed import slow_but

from kerazoo.optimizers.levenberg_marquardt.linear_algebra import symmetric

RNG = np.random.default_rng(0)
SIZES = [1, 3, 130, 511, 701]


def as_graph(function, known_size, *arrays):
    """Arrays whose first size, and second if it is the same, the graph knows or not."""
    size = arrays[0].shape[0]

    def spec(array):
        shape = [n if known_size or n != size else None for n in array.shape]
        return tf.TensorSpec(shape, "float64")

    return tf.function(function, input_signature=[spec(array) for array in arrays])(*arrays)


@pytest.mark.parametrize("known_size", slow_but(True, of=[True, False]))
@pytest.mark.parametrize("size", SIZES)
def test_all_it_does_is_numpys(size, known_size):
    R = RNG.normal(size=(size, size + 5))
    A = R @ R.T
    damping, v, B = (RNG.uniform(0.1, 2, shape) for shape in (size, size, (size, 2)))

    def run(lower, damping, v, B):
        panels = symmetric.in_panels(lower)
        L = symmetric.Factor(panels, damping)
        return (
            symmetric.diagonal(panels),
            symmetric.times(panels, v),
            symmetric.times(symmetric.plus_diagonal(panels, damping), v),
            symmetric.times(symmetric.scaled(panels, damping), v),
            L.solve(B),
            L.half_solve(B),
        )

    damped = A + np.diag(damping)
    expected = (
        np.diag(A),
        A @ v,
        damped @ v,
        (damping[:, None] * A * damping) @ v,
        np.linalg.solve(damped, B),
        np.linalg.solve(np.linalg.cholesky(damped), B),
    )
    found = as_graph(run, known_size, np.tril(A), damping, v, B)
    for value, of_numpy in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, of_numpy, rtol=1e-8, atol=1e-9 * np.abs(of_numpy).max())


def test_several_matrices_at_once():
    A = RNG.normal(size=(2, 600, 600))
    A += A.transpose(0, 2, 1)
    v = RNG.normal(size=600)
    panels = symmetric.in_panels(tf.constant(np.tril(A)))
    np.testing.assert_allclose(symmetric.times(panels, tf.constant(v)), A @ v, atol=1e-11)
    np.testing.assert_allclose(
        symmetric.diagonal(panels), np.diagonal(A, axis1=1, axis2=2), rtol=1e-15
    )


@pytest.mark.parametrize("size", [5, 600])
def test_squared(size):
    R, v = RNG.normal(size=(size, 20)), RNG.normal(size=size)
    panels = symmetric.squared(tf.constant(R))
    np.testing.assert_allclose(symmetric.times(panels, tf.constant(v)), R @ (R.T @ v), rtol=1e-9)
    assert [panel.shape for panel in symmetric.zeros(size, "float64")] == [p.shape for p in panels]


@pytest.mark.parametrize("size", [3, 700])
def test_indefinite_is_nan_and_no_error(size):
    @tf.function
    def solve():
        panels = symmetric.in_panels(-tf.eye(size))
        return symmetric.Factor(panels, tf.zeros([size])).solve(tf.ones([size, 1]))

    assert np.isnan(solve().numpy()).any()
