"""Fits within bounds, against SciPy's."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.optimize import least_squares, lsq_linear, nnls

from kerazoo.models import LeastSquares
from kerazoo.optimizers import Box, LevenbergMarquardt

RNG = np.random.default_rng(0)
INF = np.inf


def fitted(network, x, y, epochs=200, **arguments):
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt(**arguments))
    model.fit(x, y, epochs=epochs, verbose=0)
    return model


def linear(size, constraint, **arguments):
    dense = keras.layers.Dense(1, use_bias=False, kernel_constraint=constraint, **arguments)
    return keras.Sequential([keras.Input((size,)), dense])


@pytest.mark.parametrize("solver", ["qr", "cholesky"])
def test_linear_fit_is_lsq_linear(solver, float64):
    A, y = RNG.normal(size=(40, 6)), RNG.normal(size=40)
    free = np.linalg.lstsq(A, y)[0]
    lower = np.where([1, 1, 0, 0, 0, 0], free + 0.1, -INF)
    upper = np.where([0, 0, 0, 1, 1, 0], free - 0.05, INF)
    model = fitted(linear(6, Box(lower[:, None], upper[:, None])), A, y, solver=solver)
    expected = lsq_linear(A, y, (lower, upper), tol=1e-14).x
    assert (expected != free).any()
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected, rtol=1e-9)
    assert int(model.optimizer.converged) == 1


def test_nonnegative_fit_is_nnls(float64):
    A = RNG.uniform(size=(30, 8))
    y = A @ [1, -2, 0.5, 3, -1, 0, 2, 0.1] + 0.1 * RNG.normal(size=30)
    model = fitted(linear(8, "non_neg"), A, y)
    expected = nnls(A, y)[0]
    assert (expected == 0).any()
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected, rtol=1e-10, atol=1e-12)


class Curve(keras.layers.Layer):
    """`a exp(-b x) + c exp(-d x)`."""

    def __init__(self, start, lower, upper):
        super().__init__()
        self.start, self.box = np.asarray(start), Box(lower, upper)

    def build(self, _):
        self.p = self.add_weight(
            shape=self.start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(self.start, dtype),
            constraint=self.box,
        )

    def call(self, x):
        a, b, c, d = ops.unstack(self.p)
        return a * ops.exp(-b * x) + c * ops.exp(-d * x)


@pytest.mark.parametrize("rule", ["trust_region", "nielsen"])
def test_curve_within_bounds_is_trf(rule, float64):
    x = np.linspace(0, 5, 40)[:, None]
    y = 2 * np.exp(-0.4 * x) + 3 * np.exp(-2.5 * x) + 0.05 * RNG.normal(size=x.shape)
    start, lower, upper = [1.5, 0.5, 2, 1], [-INF, 0.45, -INF, 0], [1.9, INF, INF, 2.2]

    def residuals(p):
        return (p[0] * np.exp(-p[1] * x) + p[2] * np.exp(-p[3] * x) - y)[:, 0]

    expected = least_squares(
        residuals, start, bounds=(lower, upper), x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    assert np.abs(expected.active_mask).sum() >= 1
    network = keras.Sequential([keras.Input((1,)), Curve(start, lower, upper)])
    model = fitted(network, x, y, damping_rule=rule)
    np.testing.assert_allclose(model.get_weights()[0], expected.x, rtol=1e-6)
    assert np.sum(residuals(model.get_weights()[0]) ** 2) <= 2 * expected.cost * (1 + 1e-12)


@pytest.mark.slow
def test_polish_moves_the_free_weights_alone(float64):
    """The gradient in them is zero to rounding; the weight at its bound stays there."""
    x = np.linspace(0, 5, 40)[:, None]
    y = 2 * np.exp(-0.4 * x) + 3 * np.exp(-2.5 * x)
    bounds = [-INF, 0.45, -INF, 0], [INF, INF, INF, INF]
    gradients = {}
    for polish in (True, False):
        network = keras.Sequential([keras.Input((1,)), Curve([1.5, 0.5, 2, 1], *bounds)])
        # A loose test leaves the polish something to do.
        model = fitted(network, x, y, polish=polish, ftol=1e-6, xtol=1e-6, gtol=1e-6)
        a, b, c, d = p = model.get_weights()[0]
        assert b == 0.45
        u, v = np.exp(-b * x), np.exp(-d * x)
        J = np.hstack([u, -a * x * u, v, -c * x * v])
        r = a * u + c * v - y
        gradients[polish] = np.abs(J.T @ r)[[0, 2, 3]].max()
    assert gradients[True] < 1e-12 < 1e-9 < gradients[False]
    assert np.isfinite(p).all()


def test_a_weight_with_a_small_gradient_is_not_held():
    """In float32 it was lost beside the other's: 1 + 1e-9 is 1."""
    x = np.linspace(1, 2, 20)[:, None]
    A = np.hstack([1e6 * x, np.ones_like(x)])
    y = A @ [[1.0], [3.0]]
    model = fitted(linear(2, "non_neg", kernel_initializer="ones"), A, y)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], [1, 3], rtol=1e-3)


def test_a_weight_held_by_equal_bounds(float64):
    A, y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
    bounds = [[-INF], [0.5], [-INF]], [[INF], [0.5], [INF]]
    model = fitted(linear(3, Box(*bounds), kernel_initializer="ones"), A, y)
    others = np.linalg.lstsq(A[:, [0, 2]], y - 0.5 * A[:, 1])[0]
    expected = [others[0], 0.5, others[1]]
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected, rtol=1e-9)


def test_a_start_outside_the_bounds_is_brought_inside(float64):
    A, y = RNG.normal(size=(20, 2)), RNG.normal(size=20)
    box = Box([[10.0], [-INF]], [[11.0], [INF]])
    model = fitted(linear(2, box, kernel_initializer="zeros"), A, y)
    expected = lsq_linear(A, y, ([10, -INF], [11, INF]), tol=1e-14).x
    np.testing.assert_allclose(model.get_weights()[0][:, 0], expected, rtol=1e-9)
