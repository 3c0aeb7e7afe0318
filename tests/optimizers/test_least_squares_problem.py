import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import least_squares

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LeastSquaresProblem, LevenbergMarquardt

layers = keras.layers
RNG = np.random.default_rng(2)
X = RNG.uniform(-1, 1, (80, 1))
Y = np.sin(3 * X) + 0.1 * RNG.normal(size=X.shape)


def network():
    keras.utils.set_random_seed(4)
    return keras.Sequential([keras.Input((1,)), layers.Dense(1, "sigmoid"), layers.Dense(1)])


def two_outputs():
    keras.utils.set_random_seed(4)
    a, b = keras.Input((3, 1)), keras.Input((1,))
    h = layers.SimpleRNN(1, return_sequences=True)(a)
    h = layers.LSTM(2, return_sequences=True)(h)
    return keras.Model([a, b], [h, layers.Dense(3)(b)])


@pytest.mark.parametrize("weighted", [False, True])
def test_sum_of_squares_is_keras_mse(weighted, float64):
    model = two_outputs()
    x = [RNG.normal(size=(5, 3, 1)), RNG.normal(size=(5, 1))]
    y = [RNG.normal(size=(5, 3, 2)), RNG.normal(size=(5, 3))]
    weight = RNG.uniform(0, 2, 5) if weighted else None
    problem = LeastSquaresProblem(model, x, y, weight)
    outputs = [np.asarray(z) for z in model(x)]
    weights = [np.ones(5) if weight is None else weight] * 2
    mse = [
        np.mean(w.reshape(-1, *[1] * (z.ndim - 1)) * (z - t) ** 2)
        for z, t, w in zip(outputs, y, weights, strict=True)
    ]
    r = problem.residuals(*problem.variables)
    np.testing.assert_allclose(np.sum(np.square(r)), sum(mse), rtol=1e-13)
    np.testing.assert_array_equal(problem.flat_residuals(problem.flat_variables), r)
    model.compile(loss="mse")
    weights[0] = np.repeat(weights[0][:, None], 3, axis=1)  # Keras wants one a time step
    evaluated = model.evaluate(x, y, sample_weight=weights, verbose=0)
    np.testing.assert_allclose(evaluated[0], sum(mse), rtol=1e-12)


@pytest.mark.slow
def test_jacobian_is_central_differences(float64):
    x = [RNG.normal(size=(5, 3, 1)), RNG.normal(size=(5, 1))]
    y = [RNG.normal(size=(5, 3, 2)), RNG.normal(size=(5, 3))]
    problem = LeastSquaresProblem(two_outputs(), x, y, RNG.uniform(0, 2, 5))
    v, step = problem.flat_variables, 1e-6
    columns = [
        (problem.flat_residuals(v + step * e) - problem.flat_residuals(v - step * e)) / (2 * step)
        for e in np.eye(len(v))
    ]
    np.testing.assert_allclose(problem.flat_jacobian(v), np.stack(columns, -1), atol=1e-9)


def fitted_loss():
    """What our own `fit` reaches from the same weights."""
    model = LeastSquares(network())
    model.compile(LevenbergMarquardt(), loss="mse")
    return model.fit(X, Y, epochs=100, verbose=0).history["loss"][-1]


def loss_of(model):
    return np.mean((model.predict(X, verbose=0) - Y) ** 2)


def test_scipy_reaches_the_same_minimum(float64):
    model = network()
    problem = LeastSquaresProblem(model, X, Y)
    start = problem.flat_variables
    found = least_squares(
        problem.flat_residuals, start, jac=problem.flat_jacobian, xtol=1e-12, ftol=1e-12
    )
    np.testing.assert_array_equal(problem.flat_variables, start)
    problem.assign(found.x)
    np.testing.assert_allclose(loss_of(model), 2 * found.cost, rtol=1e-12)
    np.testing.assert_allclose(loss_of(model), fitted_loss(), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="tensorflow-graphics is of 2020 on Python 3.12 and later"
)
def test_tensorflow_graphics_reaches_the_same_minimum(float64):
    from tensorflow_graphics.math.optimizer import levenberg_marquardt

    model = network()
    problem = LeastSquaresProblem(model, X, Y)
    _, values = levenberg_marquardt.minimize(
        problem.residuals, problem.variables, 25, regularizer=1e-6
    )
    problem.assign(values)
    np.testing.assert_allclose(loss_of(model), fitted_loss(), rtol=1e-6)


def test_residuals_are_pure_and_differentiable():
    problem = LeastSquaresProblem(network(), X, Y)
    values = problem.variables
    moved = [value + 1 for value in values]
    with tf.GradientTape() as tape:
        tape.watch(moved)
        r = problem.residuals(*moved)
    gradients = tape.gradient(r, moved)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    for before, after in zip(values, problem.variables, strict=True):
        np.testing.assert_array_equal(before, after)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="`y` must have the shape"):
        LeastSquaresProblem(network(), X, Y[:, 0])
