import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import curve_fit, least_squares

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


def test_masks_and_penalties_are_those_of_evaluate(float64):
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(4, 3, mask_zero=True, embeddings_regularizer="l2"),
            layers.Dense(2, bias_regularizer=keras.regularizers.L1L2(0.0, 0.5)),
        ]
    )
    model.layers[1].bias.assign([1.0, -2.0])
    x, y = RNG.integers(0, 4, (6, 5)), RNG.normal(size=(6, 5, 2))
    weight = RNG.uniform(0, 2, (6, 5))
    problem = LeastSquaresProblem(model, x, y, weight)
    v = problem.flat_variables
    r = problem.flat_residuals(v)
    model.compile(loss="mse")
    evaluated = model.evaluate(x, y, sample_weight=weight, batch_size=6, verbose=0)
    np.testing.assert_allclose(r @ r, evaluated, rtol=1e-8)
    assert not r[: x.size * 2].reshape(6, 5, 2)[x == 0].any()
    step = 1e-6
    columns = [
        (problem.flat_residuals(v + step * e) - problem.flat_residuals(v - step * e)) / (2 * step)
        for e in np.eye(len(v))
    ]
    np.testing.assert_allclose(problem.flat_jacobian(v), np.stack(columns, -1), atol=1e-9)


@pytest.mark.parametrize("penalty", [keras.regularizers.L1(0.1), keras.regularizers.L1L2(0.1, 0.1)])
def test_penalties_that_are_no_sum_of_squares(penalty):
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_regularizer=penalty)])
    with pytest.raises(ValueError, match="must be L2"):
        LeastSquaresProblem(model, X, Y)


def test_losses_inside_the_model():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activity_regularizer="l2")])
    with pytest.raises(ValueError, match="make the quantity an output"):
        LeastSquaresProblem(model, X, Y)


def test_weights_that_change_nothing_are_named():
    model = keras.Sequential(
        [keras.Input((1,)), layers.Dense(2, "relu", name="hidden"), layers.Dense(1)]
    )
    values = [[[1.0, 1.0]], [5.0, -5.0], [[1.0], [1.0]], [0.0]]
    model.set_weights([np.array(value) for value in values])
    problem = LeastSquaresProblem(model, X, Y)
    with pytest.warns(UserWarning, match=r"hidden/kernel \(1 of 2\).*hidden/bias \(1 of 2\)"):
        J = problem.flat_jacobian(problem.flat_variables)
    assert list(J.any(axis=0)) == [True, False, True, False, True, False, True]
    problem.flat_jacobian(problem.flat_variables)  # once is enough


class Decay(keras.layers.Layer):
    def build(self, _):
        self.a = self.add_weight(shape=(), initializer="ones")
        self.b = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return self.a * keras.ops.exp(-self.b * x)


def decays():
    x = np.linspace(0, 3, 30)
    sigma = RNG.uniform(0.01, 0.1, 30)
    y = 2 * np.exp(-1.5 * x) + sigma * RNG.normal(size=30)
    return keras.Sequential([keras.Input((1,)), Decay()]), x, y, sigma


@pytest.mark.parametrize("absolute", [True, False])
def test_covariance_as_the_docstring_says(absolute, float64):
    model, x, y, sigma = decays()
    weight = 1 / sigma**2
    problem = LeastSquaresProblem(model, x[:, None], y[:, None], weight)
    v = problem.flat_variables
    found = least_squares(problem.flat_residuals, v, jac=problem.flat_jacobian, xtol=1e-12)
    J, r = problem.flat_jacobian(found.x), problem.flat_residuals(found.x)
    covariance = np.linalg.inv(J.T @ J) * (1 / 30 if absolute else r @ r / (30 - 2))
    best, expected = curve_fit(
        lambda x, a, b: a * np.exp(-b * x), x, y, [1, 1], sigma, absolute, ftol=1e-12
    )
    np.testing.assert_allclose(found.x, best, rtol=1e-6)
    np.testing.assert_allclose(covariance, expected, rtol=1e-4)


def test_f_scale_as_the_docstring_says(float64):
    model, x, y, _ = decays()
    y[::5] += 1
    problem = LeastSquaresProblem(model, x[:, None], y[:, None])
    ours = least_squares(
        problem.flat_residuals,
        problem.flat_variables,
        jac=problem.flat_jacobian,
        loss="soft_l1",
        f_scale=0.1 / np.sqrt(30),
    )
    theirs = least_squares(
        lambda p: p[0] * np.exp(-p[1] * x) - y, [1.0, 1.0], loss="soft_l1", f_scale=0.1
    )
    np.testing.assert_allclose(ours.x, theirs.x, rtol=1e-5)


def test_differences_of_a_float32_model_stay_at_the_start():
    """Why the exact Jacobian is to be handed over."""
    model, x, y, _ = decays()
    problem = LeastSquaresProblem(model, x[:, None], y[:, None])
    start = problem.flat_variables
    stuck = least_squares(lambda v: problem.flat_residuals(v).astype("float64"), start)
    assert stuck.success
    np.testing.assert_array_equal(stuck.x, start)
    found = least_squares(problem.flat_residuals, start, jac=problem.flat_jacobian)
    np.testing.assert_allclose(found.x, [2, 1.5], rtol=0.1)
