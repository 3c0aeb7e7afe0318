"""Parts that only show in a step: gain ratio, geodesic acceleration, polish, convergence."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LevenbergMarquardt
from kerazoo.optimizers.levenberg_marquardt.linear_algebra import QR, Cholesky
from kerazoo.optimizers.levenberg_marquardt.method import gain_ratio as gain
from kerazoo.optimizers.levenberg_marquardt.method.convergence import (
    largest_cosine,
    rounding_of_loss,
    stop_test,
)
from kerazoo.optimizers.levenberg_marquardt.method.polish import polish
from kerazoo.optimizers.levenberg_marquardt.method.search import _acceleration
from kerazoo.optimizers.levenberg_marquardt.method.stop_codes import StopCode
from kerazoo.optimizers.levenberg_marquardt.quadratic_model import WeightSpace
from kerazoo.optimizers.levenberg_marquardt.quadratic_model.geodesic_acceleration import (
    second_residuals,
)
from kerazoo.optimizers.levenberg_marquardt.quadratic_model.scaling import SCALINGS, scale_of

RNG = np.random.default_rng(11)
X = RNG.uniform(0.5, 2, (25, 1))
Y = 3 * np.exp(-1.5 * X) + 0.01 * RNG.normal(size=X.shape)


class Decay(keras.layers.Layer):
    """b0 exp(-b1 x)."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.b = self.add_weight(shape=(2,), initializer="ones")

    def call(self, x):
        b = keras.ops.convert_to_tensor(self.b)
        return b[0] * keras.ops.exp(-b[1] * x)


def pieces(loss="mse", regularizer=None):
    network = keras.Sequential([keras.Input((1,)), Decay()])
    network.layers[0].b.regularizer = regularizer
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt(), loss=loss)
    weights = model.optimizer.weights

    def keras_loss(z):
        return model.compute_loss(X, Y, z, training=False)

    def objective():
        made = model._objective_of(weights, keras_loss, model._loss_of_each_output, tf.constant(X))
        return made.in_chunks(10**6)

    return model, objective


def decay(b):
    return b[0] * np.exp(-b[1] * X)


def mse(b):
    return np.mean((decay(b) - Y) ** 2)


def jacobian(b):
    return np.hstack([np.exp(-b[1] * X), -X * decay(b)])


@pytest.mark.parametrize("loss", ["mse", "log_cosh"])
@pytest.mark.parametrize("regularizer", [None, keras.regularizers.L2(0.125)])
def test_reduction_is_the_difference_of_losses(loss, regularizer, float64):
    _, objective = pieces(loss, regularizer)
    w, s, D = np.array([1.0, 1.0]), np.array([0.3, -0.2]), np.array([3.0, 0.2])

    @tf.function
    def run(w, trial):
        o = objective()
        space = WeightSpace(o, w, Cholesky(True))
        z = o.outputs(trial)
        before, after = o.loss(w, space.linearization.outputs), o.loss(trial, z)
        reduction = gain.reduction(o, space.linearization, w, trial, z, before, after)
        model = space.model(tf.constant(D))
        scaled = D * s
        of_model = model.predicted_reduction(scaled)[1], model.direction(scaled)
        return reduction, before - after, space.gradient, of_model

    reduction, difference, g, (of_model, direction) = run(tf.constant(w), tf.constant(w + s))
    np.testing.assert_allclose(reduction, difference, rtol=1e-12)
    if loss == "mse" and regularizer is None:
        np.testing.assert_allclose(reduction, mse(w) - mse(w + s), rtol=1e-12)
        J, r = jacobian(w), decay(w) - Y
        predicted = -np.mean(2 * r * (J @ s)[:, None] + (J @ s)[:, None] ** 2)
        np.testing.assert_allclose(of_model, predicted, rtol=1e-12)
        np.testing.assert_allclose(direction, s, rtol=1e-12)
        # A step so small that the losses agree in all digits still has its exact reduction.
        tiny = run(tf.constant(w), tf.constant(w + 1e-13 * s))
        np.testing.assert_allclose(tiny[0], -1e-13 * np.dot(g, s), rtol=1e-2)


def test_gain_ratio_of_what_is_not_finite():
    one = tf.constant(1.0)
    assert gain.gain_ratio(one, 2 * one) == 0.5
    assert gain.gain_ratio(one * np.nan, one) == -1
    assert gain.gain_ratio(one, 0 * one) == -1


def test_acceleration_is_the_second_derivative(float64):
    _, objective = pieces()
    w, s = np.array([1.2, 0.7]), np.array([0.2, 0.1])

    @tf.function
    def run(w, s):
        o = objective()
        near_w = o.linearize(w)
        return near_w.jacobian.transpose_mv(second_residuals(o, near_w, w, s))

    e = np.exp(-w[1] * X)
    second = -2 * X * e * s[0] * s[1] + X**2 * w[0] * e * s[1] ** 2
    expected = 2 * np.mean(jacobian(w) * second, axis=0)
    np.testing.assert_allclose(run(tf.constant(w), tf.constant(s)), expected, rtol=1e-3)


class Accelerated:
    def __init__(self, a, length):
        self.a, self.length = tf.constant(a), tf.constant(length)

    def acceleration(self, direction, damping):
        return self.a, self.length


def test_half_of_the_acceleration_is_added_unless_it_is_too_long():
    a, length, damping = [0.2, -0.4], tf.constant(2.0), tf.constant(9.0)
    short, long = Accelerated(a, 1.4), Accelerated(a, 1.6)
    np.testing.assert_allclose(_acceleration(short, None, length, damping), [0.1, -0.2], rtol=1e-6)
    np.testing.assert_array_equal(_acceleration(long, None, length, damping), [0, 0])


@pytest.mark.parametrize("solver", [Cholesky(True), QR(True)])
def test_acceleration_solves_the_damped_system(solver, float64):
    _, objective = pieces()
    w, s, damping = np.array([1.2, 0.7]), np.array([0.2, 0.1]), 0.3
    D = np.array([3.0, 0.2])

    @tf.function
    def run(w):
        o = objective()
        model = WeightSpace(o, w, solver).model(tf.constant(D))
        return model.acceleration(tf.constant(s), tf.constant(damping, tf.float64))

    e, J = np.exp(-w[1] * X), np.sqrt(2 / len(X)) * jacobian(w)
    second = np.sqrt(2 / len(X)) * (-2 * X * e * s[0] * s[1] + X**2 * w[0] * e * s[1] ** 2)
    expected = -np.linalg.solve(J.T @ J + damping * np.diag(D**2), J.T @ second[:, 0])
    a, length = run(tf.constant(w))
    np.testing.assert_allclose(a, expected, rtol=1e-2)
    np.testing.assert_allclose(length, np.linalg.norm(D * expected), rtol=1e-2)


@pytest.mark.slow
def test_acceleration_saves_steps(float64):
    def steps(accelerated):
        model, _ = pieces()
        model.compile(LevenbergMarquardt(geodesic_acceleration=accelerated, ftol=1e-12))
        model.model.layers[0].b.assign([0.1, 6.0])
        return len(model.fit(X, Y, epochs=200, verbose=0).history["loss"])

    assert steps(True) < steps(False)


def test_polish_finds_the_zero_of_the_projected_gradient(float64):
    model, objective = pieces()
    model.fit(X, Y, epochs=100, verbose=0)
    exact = model.optimizer.weights.vector().numpy()
    nearby = exact * (1 + 1e-6)
    assert mse(nearby) - mse(exact) < 1e-12  # which the loss hardly sees
    polished = tf.function(lambda w: polish(objective(), w))(tf.constant(nearby)).numpy()
    np.testing.assert_allclose(polished, exact, rtol=1e-14)
    J, r = jacobian(polished), decay(polished) - Y
    Q, _ = np.linalg.qr(J)
    assert np.linalg.norm(Q.T @ r) < 1e-14 * np.linalg.norm(Y)


def test_polish_leaves_singular_problems_alone(float64):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), keras.layers.Dense(1)])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt())
    weights = model.optimizer.weights
    w = weights.vector()

    @tf.function
    def run(w):
        def loss(z):
            return model.compute_loss(X, Y, z, training=False)

        losses_of = model._loss_of_each_output
        return polish(model._objective_of(weights, loss, losses_of, tf.constant(X)), w)

    np.testing.assert_array_equal(run(w), w)


def test_polish_leaves_columns_that_say_the_same_alone(float64):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    x = np.hstack([X, X])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt())
    weights = model.optimizer.weights

    @tf.function
    def run(w):
        def loss(z):
            return model.compute_loss(x, Y, z, training=False)

        losses_of = model._loss_of_each_output
        return polish(model._objective_of(weights, loss, losses_of, tf.constant(x)), w)

    w = tf.constant([1.0, 2.0], tf.float64)
    np.testing.assert_array_equal(run(w), w)


def projected(b):
    """Gauss-Newton's `Q^T r` and step, by NumPy."""
    Q, R = np.linalg.qr(jacobian(b))
    along = Q.T @ (decay(b) - Y)
    return np.linalg.norm(along), -np.linalg.solve(R, along)[:, 0]


def test_polish_takes_no_step_that_makes_it_worse(float64):
    """From where the projected gradient would grow, but to less than its double."""
    starts = (np.array([b0, b1]) for b0 in (1.0, 3.0, 6.0) for b1 in np.linspace(-2, 6, 81))
    with np.errstate(over="ignore"):
        growth = {tuple(b): projected(b + projected(b)[1])[0] / projected(b)[0] for b in starts}
    start = next(b for b, factor in growth.items() if 1.2 < factor < 1.8)
    _, objective = pieces()
    found = tf.function(lambda w: polish(objective(), w))(tf.constant(start, tf.float64))
    np.testing.assert_array_equal(found, start)


def test_scalings():
    so_far, now = tf.constant([3.0, 0.0, 0.0]), tf.constant([1.0, 2.0, 0.0])
    np.testing.assert_array_equal(SCALINGS["max"].norms(so_far, now), [3, 2, 0])
    np.testing.assert_array_equal(SCALINGS["diagonal"].norms(so_far, now), now)
    np.testing.assert_array_equal(SCALINGS["identity"].norms(so_far, now), [1, 1, 1])
    np.testing.assert_array_equal(scale_of(tf.constant([3.0, 2.0, 0.0])), [3, 2, 1])
    assert scale_of(tf.constant([1.0, 1e-30]))[1] > 1e-8


def converged(reduction, predicted, ratio, length, ftol=1e-3, xtol=1e-3, loss=1.0):
    values = (reduction, predicted, ratio, loss, length, 1.0, ftol, xtol)
    code = stop_test(*(tf.constant(value, tf.float64) for value in values))
    return StopCode(int(code)) in (StopCode.FTOL, StopCode.XTOL)


def test_convergence():
    assert converged(1e-4, 1e-4, 1.0, 1.0)
    assert not converged(1e-4, 1e-4, 1.0, 1.0, ftol=0.0)
    assert not converged(1e-4, 1e-2, 0.01, 1.0)
    assert not converged(1e-4, 1e-5, 10.0, 1.0)
    assert not converged(-1.5e-3, 9e-4, -1.7, 1.0)
    assert converged(1e-4, 1e-4, 1.0, 1.0, loss=-1.0)
    assert not converged(0.0, 0.0, -1.0, 1.0)
    assert converged(1.0, 1.0, 1.0, 1e-4)
    assert not converged(1.0, 1.0, 1.0, 1e-4, xtol=0.0)


def test_stationarity_is_a_cosine():
    J = RNG.normal(size=(20, 3))
    r = RNG.normal(size=20)
    g, norms, loss = J.T @ r, np.linalg.norm(J, axis=0), r @ r / 2
    expected = np.max(np.abs(g) / (norms * np.linalg.norm(r)))
    g = np.abs(g)
    found = largest_cosine(*(tf.constant(value) for value in (g, norms, loss)))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    for values in ((0 * g, 0 * norms, loss), (0 * g, norms, 0 * loss)):
        assert largest_cosine(*(tf.constant(value) for value in values)) == 0
    assert largest_cosine(*(tf.constant(value) for value in (g, norms, 0 * loss))) == np.inf


def test_rounding_of_a_loss():
    """About what repeated sums of squares with rounded outputs differ by."""
    z, target = RNG.normal(size=(200, 50)), RNG.normal(size=50)
    exact = np.mean((z[0] - target) ** 2)
    eps = np.finfo("float32").eps
    noise = 1 + eps / 2 * RNG.uniform(-1, 1, z.shape)
    spread = np.std(np.mean((z[0] * noise - target) ** 2, axis=1))
    z32 = tf.constant(z[0], tf.float32)
    g = 2 / 50 * (z32 - tf.constant(target, tf.float32))
    found = rounding_of_loss(tf.constant(exact, tf.float32), [z32], [g])
    assert 2 * spread < found < 50 * spread


def test_qr_and_cholesky_take_the_same_steps(float64):
    losses = []
    for solver in ("qr", "cholesky"):
        model, _ = pieces()
        model.compile(LevenbergMarquardt(solver=solver))
        model.model.layers[0].b.assign([1.0, 1.0])
        losses.append(model.fit(X, Y, epochs=6, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-8)
