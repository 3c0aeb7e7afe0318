"""The parts of many fits against NumPy, one fit at a time."""

import numpy as np
import pytest
import tensorflow as tf

from kerazoo.models.least_squares.side_by_side.quadratic_model import QuadraticModels, triangles_of
from kerazoo.models.least_squares.side_by_side.spread import unit_errors
from kerazoo.optimizers._weight_spread import WeightSpread
from kerazoo.optimizers.levenberg_marquardt.method.damping_rules import RULES, DampingState

RNG = np.random.default_rng(0)


def models_of(J, r, D=None, free=None):
    w = tf.ones_like(J[:, 0])
    triangle = triangles_of(tf.constant(J), tf.constant(r))
    D = tf.ones_like(w) if D is None else tf.constant(D)
    return QuadraticModels(triangle, w, D, tf.ones_like(w, tf.bool) if free is None else free)


@pytest.mark.parametrize("points", [9, 2])
def test_steps_are_those_of_damped_least_squares(points):
    """Of more and of fewer points than weights, and with a weight that is held."""
    J, r = RNG.normal(size=(3, points, 4)), RNG.normal(size=(3, points))
    D = RNG.uniform(0.5, 2, (3, 4))
    free = np.ones((3, 4), bool)
    free[1, 2] = False
    model = models_of(J, r, D, tf.constant(free))
    damping = np.array([0.1, 1.0, 10.0])
    candidate, length, slope = model.solve(tf.constant(damping))
    steps = model.direction(candidate).numpy()
    _, predicted = model.predicted_reduction(candidate)
    for i in range(3):
        columns = J[i] * free[i]
        A = columns.T @ columns
        expected = -np.linalg.solve(A + damping[i] * np.diag(D[i] ** 2), columns.T @ r[i])
        np.testing.assert_allclose(steps[i], expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(length[i], np.linalg.norm(D[i] * expected), rtol=1e-9)
        gain = -(columns.T @ r[i]) @ expected - expected @ A @ expected / 2
        np.testing.assert_allclose(predicted[i], gain, rtol=1e-9)
    _, longer, _ = model.solve(tf.constant(damping * (1 + 1e-6)))
    derivative = (longer - length) / (1e-6 * damping)
    np.testing.assert_allclose(slope, -length * derivative, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regions_hold_where_columns_are_equal(dtype):
    """In float32 the square of a singular value of rounding size leaves its range."""
    J = np.concatenate([np.ones((2, 5, 3)), RNG.normal(size=(2, 5, 3))]).astype(dtype)
    r = np.concatenate([np.ones((2, 5)), RNG.normal(size=(2, 5))]).astype(dtype)
    radius = tf.constant([0.1, 1e6, 0.1, 1e6], dtype)
    state = DampingState(tf.zeros_like(radius), tf.ones_like(radius), radius)
    _, length, state = RULES["trust_region"].propose(state, models_of(J, r))
    np.testing.assert_allclose(length[::2], radius[::2], rtol=0.11)
    assert (length[1::2] < radius[1::2]).numpy().all()
    assert (state.damping[1::2] == 0).numpy().all()


def test_errors_are_those_one_by_one():
    """Of fits that are regular, singular, held at a bound, and not finite."""
    J, r = RNG.normal(size=(5, 9, 3)), RNG.normal(size=(5, 9))
    J[1, :, 2] = J[1, :, 0]
    J[3, 0, 0] = np.nan
    J[4] *= [1e-8, 1.0, 1e8]
    held = np.zeros((5, 3), bool)
    held[2, 1] = True
    triangles = np.linalg.qr(np.nan_to_num(np.concatenate([J, r[..., None]], -1)), mode="r")
    triangles = triangles[:, :3]
    triangles[3] = np.nan
    errors, ranks = unit_errors(triangles, held, np.finfo("float64").eps)
    assert ranks.tolist() == [3, 2, 2, 0, 3]
    assert np.isnan(errors[3]).all()
    for i in (0, 1, 2, 4):
        spread = WeightSpread(triangles[i], triangles[i, :, :-1], held[i], np.finfo("float64").eps)
        expected = np.sqrt(np.diag(spread.covariance()))
        np.testing.assert_allclose(errors[i], expected, rtol=1e-9)
