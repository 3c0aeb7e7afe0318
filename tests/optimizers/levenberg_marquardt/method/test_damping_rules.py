import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import brentq

from kerazoo.optimizers.levenberg_marquardt.method.damping_rules import RULES, Attempt, DampingState

RNG = np.random.default_rng(1)
J = RNG.normal(size=(30, 5)) * [1, 1, 1e-2, 1e-4, 1]
A = J.T @ J
G = J.T @ RNG.normal(size=30)


def state(damping=0.0, growth=2.0, radius=0.0):
    return DampingState(*(tf.constant(v, tf.float64) for v in (damping, growth, radius)))


def attempt(gain_ratio, length=1.0, slope=-1.0, reduction=0.5):
    return Attempt(*(tf.constant(v, tf.float64) for v in (gain_ratio, length, slope, reduction)))


def step(damping):
    return -np.linalg.solve(A + damping * np.eye(5), G)


class Model:
    """As much of a solver's model as a rule asks for."""

    def __init__(self, weights=None, first_finite=0.0, first_right_slope=0.0, wrong=-1.0):
        self.weights = weights
        self.first_finite = first_finite
        self.first_right_slope = first_right_slope
        self.wrong = wrong

    def no_candidate(self):
        return tf.zeros(5, tf.float64)

    def agreed(self, values):
        return values

    def gradient_length(self):
        return tf.norm(tf.constant(G))

    def length_of_weights(self):
        return tf.norm(self.weights)

    def solve(self, damping):
        s, slope = solve(damping)
        s, slope = (tf.where(damping >= self.first_finite, v, np.nan) for v in (s, slope))
        return s, tf.norm(s), tf.where(damping >= self.first_right_slope, slope, self.wrong * slope)


def solve(damping):
    matrix = tf.constant(A) + damping * tf.eye(5, dtype=tf.float64)
    s = -tf.linalg.solve(matrix, tf.constant(G)[:, None])[:, 0]
    return s, tf.reduce_sum(s * tf.linalg.solve(matrix, s[:, None])[:, 0])


@pytest.mark.parametrize("radius", [1e-6, 1e-3, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("damping", [0.0, 1e-8, 1e6])
def test_secular_equation(radius, damping):
    """Wherever Newton begins, the step ends up as long as the region allows, to a tenth."""
    assert radius < np.linalg.norm(step(0.0))
    rule = RULES["trust_region"]
    s, length, after = rule.propose(state(damping, radius=radius), Model())
    np.testing.assert_allclose(np.linalg.norm(s), radius, rtol=0.1)
    np.testing.assert_allclose(length, np.linalg.norm(s))
    np.testing.assert_allclose(s, step(after.damping.numpy()), rtol=1e-9)
    root = brentq(lambda x: np.linalg.norm(step(10.0**x)) - radius, -12, 12)
    assert abs(np.log10(after.damping) - root) < 0.5


def test_step_that_fits_is_not_damped():
    radius = 2 * np.linalg.norm(step(0.0))
    s, _, after = RULES["trust_region"].propose(state(3.0, radius=radius), Model())
    assert after.damping == 0
    np.testing.assert_allclose(s, step(0.0), rtol=1e-9)


def test_singular_matrix_is_damped():
    """A step of NaN at the first lambdas, as Cholesky answers, is no reason to stop."""
    singular = Model(first_finite=1e-13)
    s, *_ = RULES["trust_region"].propose(state(radius=1.0), singular)
    np.testing.assert_allclose(np.linalg.norm(s), 1, rtol=0.1)


@pytest.mark.parametrize("wrong", [-1.0, np.inf])  # rounding, overflow
def test_step_that_is_too_long_is_damped_whatever_its_slope(wrong):
    rounded = Model(first_right_slope=1e-13, wrong=wrong)
    s, *_ = RULES["trust_region"].propose(state(radius=1.0), rounded)
    np.testing.assert_allclose(np.linalg.norm(s), 1, rtol=0.1)


def test_singular_matrix_is_damped_where_the_region_allows_any_step():
    singular = Model(first_finite=1e-15)
    s, *_ = RULES["trust_region"].propose(state(radius=1e20), singular)
    assert np.isfinite(s).all()


def test_first_radius_is_the_length_of_the_weights():
    rule, weights = RULES["trust_region"], tf.constant([3.0, 4.0], tf.float64)
    begun = rule.begin(state(), Model(weights), None)
    assert begun.radius == 5
    assert rule.begin(begun, Model(2 * weights), None).radius == 5
    at_zero = rule.begin(state(), Model(0 * weights), None)
    np.testing.assert_allclose(at_zero.radius, np.linalg.norm(G))
    damped = rule.begin(state(), Model(weights), tf.constant(0.7, tf.float64))
    np.testing.assert_allclose(damped.radius, np.linalg.norm(step(0.7)))
    assigned = rule.begin(state(damping=0.2), Model(weights), tf.constant(0.7, tf.float64))
    np.testing.assert_allclose(assigned.radius, np.linalg.norm(step(0.2)))
    endless = rule.begin(state(), Model(np.inf * weights), None)
    np.testing.assert_allclose(endless.radius, np.linalg.norm(G))


def test_radius_in_which_no_weight_can_move_is_forgotten():
    """It would never grow again, as no step in it gains anything."""
    rule, weights = RULES["trust_region"], tf.constant([3.0, 4.0], tf.float64)
    assert rule.begin(state(radius=1e-18), Model(weights), None).radius == 5
    assert rule.begin(state(radius=1e-12), Model(weights), None).radius == 1e-12


def test_radius_follows_the_gain_ratio():
    update = RULES["trust_region"].update
    before = state(1.0, radius=1.0)
    assert update(before, attempt(0.9), True).radius > 1
    assert update(before, attempt(0.9), True).damping == 0.5
    assert update(before, attempt(0.5), True).radius == 1
    # What counts is the length of the step, shorter than the region where nothing was damped.
    growth = RULES["trust_region"].growth
    assert update(before, attempt(0.9, length=0.5), True).radius == 0.5 * growth
    undamped = state(0.0, radius=1.0)
    assert update(undamped, attempt(0.5, length=0.5), True).radius == 0.5 * growth
    short = update(before, attempt(0.1, length=0.01, reduction=0.05), True)
    np.testing.assert_allclose(short.radius, 0.05)
    # The parabola through F = 0, slope -1 and F = 1 at the end has its minimum at 1/4.
    np.testing.assert_allclose(update(before, attempt(-1, reduction=-1.0), False).radius, 0.25)
    failed = update(before, attempt(-1, reduction=np.nan), False)
    np.testing.assert_allclose(failed.radius, 0.1)
    np.testing.assert_allclose(failed.damping, 10)


def test_nielsen():
    rule = RULES["nielsen"]
    assert rule.begin(state(), Model(), tf.constant(0.5, tf.float64)).damping == 0.5
    assert rule.begin(state(2.0), Model(), tf.constant(0.5, tf.float64)).damping == 2
    np.testing.assert_allclose(rule.update(state(3.0), attempt(1.0), True).damping, 1)
    np.testing.assert_allclose(rule.update(state(3.0), attempt(0.5), True).damping, 3)
    first = rule.update(state(1.0), attempt(-1.0), False)
    second = rule.update(first, attempt(-1.0), False)
    assert (first.damping, second.damping, second.growth) == (2, 8, 8)
    assert rule.update(second, attempt(1.0), True).growth == 2


def test_marquardt():
    rule = RULES["marquardt"]
    np.testing.assert_allclose(rule.update(state(1.0), attempt(1.0), True).damping, 0.1)
    np.testing.assert_allclose(rule.update(state(1.0), attempt(-1.0), False).damping, 10)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("gain_ratio", [0.5, 1.0])
def test_a_step_taken_back_is_followed_by_a_shorter_one(name, gain_ratio):
    """Whatever the rule made of its success."""
    rule = RULES[name]
    before = state(0.3, radius=2.0)
    after = rule.take_back(rule.update(before, attempt(gain_ratio, length=2.0), tf.constant(True)))
    if name == "trust_region":
        assert after.radius < 0.5 * before.radius
    assert after.damping > before.damping


@pytest.mark.parametrize("name", RULES)
def test_no_run_of_outcomes_leaves_the_range_of_float32(name):
    rule = RULES[name]
    for outcome in (attempt(-1.0, np.nan, np.nan, np.nan), attempt(1.0)):
        now = state(1.0, 2.0, 1.0)
        for _ in range(300):
            now = rule.update(now, outcome, bool(outcome.gain_ratio > 0))
        assert all(np.isfinite(np.float32(value)) for value in now)


@pytest.mark.parametrize(("gain_ratio", "factor"), [(0.25, 1.125), (0.5, 1.0), (0.75, 0.875)])
def test_nielsen_by_hand(gain_ratio, factor):
    """1 - (2 rho - 1)^3: a step that gains little still raises the damping."""
    after = RULES["nielsen"].update(state(4.0), attempt(gain_ratio), tf.constant(True))
    np.testing.assert_allclose(after.damping, 4.0 * factor)
