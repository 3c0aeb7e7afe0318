"""Networks whose output is the residual of a differential equation: J takes a third derivative.

The equation is `u'' + u = f` with `u = sin(2 t)`.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LeastSquaresProblem, LevenbergMarquardt


def by_tapes(u, t):
    with tf.GradientTape() as second:
        second.watch(t)
        with tf.GradientTape() as first:
            first.watch(t)
            value = u(t)
        slope = first.gradient(value, t)
    return value, second.gradient(slope, t)


def by_a_tape_in_an_accumulator(u, t):
    with tf.autodiff.ForwardAccumulator(t, tf.ones_like(t)) as second:
        with tf.GradientTape() as first:
            first.watch(t)
            value = u(t)
        slope = first.gradient(value, t)
    return value, second.jvp(slope)


def by_an_accumulator_in_a_tape(u, t):
    with tf.GradientTape() as second:
        second.watch(t)
        with tf.autodiff.ForwardAccumulator(t, tf.ones_like(t)) as first:
            value = u(t)
        slope = first.jvp(value)
    return value, second.gradient(slope, t)


# Accumulators within accumulators are left out: TensorFlow's gradient of them is wrong, also
# without us (tensorflow #127753).
WAYS = [by_tapes, by_a_tape_in_an_accumulator, by_an_accumulator_in_a_tape]


class Equation(keras.Model):
    def __init__(self, solution, derivatives):
        super().__init__()
        self.solution = solution
        self.derivatives = derivatives

    def call(self, points):
        inside, edge = points
        u, u_tt = self.derivatives(self.solution, inside)
        return u_tt + u, self.solution(edge)


T = np.linspace(0, 1, 24)[:, None]
EDGE = np.linspace(0, 1, 2)[[0, 1] * 12][:, None]
F = -3 * np.sin(2 * T)


def equation(derivatives):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    model = Equation(keras.Sequential([keras.Input((1,)), *layers]), derivatives)
    model((T[:2], EDGE[:2]))
    return model


@pytest.mark.parametrize("derivatives", WAYS)
def test_jacobian_is_that_of_finite_differences(derivatives, float64):
    problem = LeastSquaresProblem(equation(derivatives), (T, EDGE), [F, np.sin(2 * EDGE)])
    w = problem.flat_variables
    J = problem.flat_jacobian(w)
    h = 1e-6
    steps = h * np.eye(w.size)
    columns = [problem.flat_residuals(w + s) - problem.flat_residuals(w - s) for s in steps]
    expected = np.stack(columns, axis=1) / (2 * h)
    np.testing.assert_allclose(J, expected, atol=1e-8)


@pytest.mark.slow
def test_it_trains_like_any_other(float64):
    model = equation(by_tapes)
    least_squares = LeastSquares(model)
    least_squares.compile(LevenbergMarquardt(), loss=["mse", "mse"], loss_weights=[1.0, 100.0])
    least_squares.fit((T, EDGE), [F, np.sin(2 * EDGE)], epochs=100, verbose=0)
    between = np.linspace(0, 1, 101)[:, None]
    np.testing.assert_allclose(model.solution(between), np.sin(2 * between), atol=1e-5)
