"""`LeastSquares.fit_many` against a loop of `fit` and against scipy."""

import keras
import numpy as np
import pytest
import scipy.optimize
from keras import ops

from kerazoo.models import LeastSquares
from kerazoo.models.least_squares.side_by_side import program as programs
from kerazoo.optimizers import Box, LevenbergMarquardt

POINTS = 24
X = np.linspace(0.1, 4, POINTS)[:, None]
START = np.array([1.0, 1.0, 0.0])
layers = keras.layers


class Decay(keras.layers.Layer):
    def __init__(self, constraint=None, **kwargs):
        super().__init__(**kwargs)
        self.p = self.add_weight(shape=(3,), name="p", constraint=constraint)
        self.built = True

    def call(self, x):
        height, rate, floor = ops.unstack(ops.convert_to_tensor(self.p))
        return height * ops.exp(-rate * x) + floor


def make_model(constraint=None, **arguments):
    network = keras.Sequential([keras.Input((1,)), Decay(constraint)])
    network.set_weights([START])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt(**arguments))
    return model


def make_data(count, seed=0):
    rng = np.random.default_rng(seed)
    height, rate, floor = rng.uniform([2, 0.5, -1], [4, 2, 1], (count, 3)).T[:, :, None, None]
    return height * np.exp(-rate * X) + floor + 0.05 * rng.normal(size=(count, POINTS, 1))


_MADE = []


@pytest.fixture
def model(float64):
    """One for all tests, as its graph takes seconds."""
    if not _MADE:
        _MADE.append(make_model())
    return _MADE[0]


def looped(model, x, y, sample_weight=None, of_each=False, epochs=100):
    """Weights, losses and standard errors of a `fit` of each data set."""
    start = model.get_weights()
    found = []
    for i, one in enumerate(y):
        model.set_weights(start)
        model.optimizer.reset()
        weight = None if sample_weight is None else sample_weight[i]
        one_x = x[i] if of_each else x
        model.fit(one_x, one, sample_weight=weight, epochs=epochs, verbose=0)
        loss = model.evaluate(one_x, one, sample_weight=weight, verbose=0)
        errors = model.standard_errors(one_x, one, weight)
        errors = np.concatenate([error.ravel() for error in errors.values()])
        weights = np.concatenate([w.numpy().ravel() for w in model.trainable_variables])
        found.append((weights, loss, errors))
    model.set_weights(start)
    return [np.array(part) for part in zip(*found, strict=True)]


def by_scipy(y):
    def residuals(p):
        return p[0] * np.exp(-p[1] * X[: len(y), 0]) + p[2] - y

    return scipy.optimize.least_squares(residuals, START, xtol=1e-15, ftol=1e-15, gtol=1e-15)


@pytest.mark.slow
def test_the_same_as_a_loop_of_fit(model):
    y = make_data(3)
    weight = np.random.default_rng(1).uniform(0.5, 2, y.shape[:2])
    fits = model.fit_many(X, y, weight, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], START)
    weights, losses, errors = looped(model, X, y, weight)
    np.testing.assert_allclose(fits.weights, weights, rtol=1e-9)
    np.testing.assert_allclose(fits.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(fits.standard_errors, errors, rtol=1e-7)
    assert fits.converged.all()
    assert (fits.steps > 2).all()
    model.set_weights(fits.weights_of(2))
    np.testing.assert_allclose(fits.predict(X)[2], model.predict(X, verbose=0), rtol=1e-12)
    np.testing.assert_allclose(fits.predict(np.tile(X, (3, 1, 1))), fits.predict(X), rtol=1e-12)
    model.set_weights([START])
    assert fits.summary(rows=2).count("\n") == 4


@pytest.mark.slow
def test_weights_of_zero_make_padding_harmless(model):
    """Against scipy without the padding, which is NaN."""
    y = make_data(2)
    y[0, 15:] = np.nan
    weight = np.ones(y.shape[:2])
    weight[0, 15:] = 0
    fits = model.fit_many(X, y, weight, verbose=0)

    for i, n in enumerate((15, POINTS)):
        found = by_scipy(y[i, :n, 0])
        np.testing.assert_allclose(fits.weights[i], found.x, rtol=1e-6)
        np.testing.assert_allclose(fits.losses[i], 2 * found.cost / POINTS, rtol=1e-9)
        assert fits.degrees_of_freedom[i] == n - 3


@pytest.mark.slow
def test_starts(model):
    """The same ones for all, other ones for each, and as a list; the best is kept."""
    y = make_data(3)
    expected = model.fit_many(X, y, verbose=0).weights
    starts = np.array([[1.0, -1e4, 0.0], [2.0, 0.5, 0.5]])
    fits = model.fit_many(X, y, starts=starts, verbose=0)
    assert fits.starts.tolist() == [1, 1, 1]
    np.testing.assert_allclose(fits.weights, expected, rtol=1e-9)
    of_each = np.stack([starts, starts[::-1], starts])
    fits = model.fit_many(X, y, starts=[of_each], verbose=0)
    assert fits.starts.tolist() == [1, 0, 1]
    np.testing.assert_allclose(fits.weights, expected, rtol=1e-9)


@pytest.mark.slow
def test_chunks_change_nothing(model):
    """Memory for one fit at a time; neither chunks nor other data sets make another graph."""
    y = make_data(3)
    together = model.fit_many(X, y, verbose=0)
    made = []
    program = programs.Program.__init__
    try:
        programs.Program.__init__ = lambda *args: made.append(args)
        model.compile(LevenbergMarquardt(jacobian_rows=POINTS))
        apart = model.fit_many(X, y, verbose=0)
    finally:
        programs.Program.__init__ = program
        model.compile(LevenbergMarquardt())
    assert not made
    np.testing.assert_allclose(apart.weights, together.weights, rtol=1e-12)
    assert apart.steps.tolist() == together.steps.tolist()


@pytest.mark.slow
def test_progress_and_the_last_line(model, capsys):
    model.fit_many(X, make_data(2), verbose=1)
    said = capsys.readouterr().out
    assert "2/2" in said
    assert "2 of 2 fits have converged" in said
    model.fit_many(X, make_data(2), verbose=0)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_fit_without_a_way_has_not_converged(model):
    y = make_data(3)
    y[1, 4] = np.inf
    with pytest.warns(UserWarning, match=r"1 of 3 fits have not converged.* 1\."):
        fits = model.fit_many(X, y, verbose=0)
    assert fits.converged.tolist() == [True, False, True]
    assert np.isnan(fits.losses[1])
    assert np.isnan(fits.standard_errors[1]).all()
    assert "NaN or Inf in this data set" in fits.stop_reason(1)


def test_x_that_could_be_either_is_refused(float64):
    network = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model = LeastSquares(network)
    model.compile()
    x, y = np.ones((4, 4, 4)), np.ones((4, 4))
    with pytest.raises(ValueError, match="`shared_x=True` or False"):
        model.fit_many(x, y)
    with pytest.raises(ValueError, match="`x` must be"):
        model.fit_many(np.ones((5, 4)), y)
    with pytest.raises(ValueError, match="`shared_x` must be"):
        model.fit_many(np.ones((3, 4, 4)), np.ones((3, 5)), shared_x=False)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("momentum", 0.5), ("solver", "cg"), ("solver", "dual"), ("geodesic_acceleration", True)],
)
def test_what_cannot_be_honoured_is_refused(argument, value):
    network = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
    model = LeastSquares(network)
    model.compile(LevenbergMarquardt(**{argument: value}))
    with pytest.raises(ValueError, match=f"`{argument}`"):
        model.fit_many(X, np.ones((2, POINTS)))


def refused_models():
    def dense(**kwargs):
        return keras.Sequential([keras.Input((1,)), layers.Dense(1, **kwargs)])

    two = keras.Input((1,))
    return {
        "optimizer": (dense(), {"optimizer": "adam"}, "Levenberg-Marquardt"),
        "loss": (dense(), {"loss": "huber"}, "'mse'"),
        "regularizer": (dense(kernel_regularizer="l2"), {}, "regularizers"),
        "constraint": (dense(kernel_constraint="max_norm"), {}, "bound each weight"),
        "outputs": (
            keras.Model(two, [layers.Dense(1)(two), layers.Dense(1)(two)]),
            {},
            "one output",
        ),
        "weights": (
            keras.Sequential([keras.Input((1,)), layers.Dense(300), layers.Dense(1)]),
            {},
            "at most 500",
        ),
        "shape": (dense(), {}, "`y` must have the shape"),
    }


@pytest.mark.parametrize("name", list(refused_models()))
def test_models_that_are_refused(name):
    network, arguments, words = refused_models()[name]
    model = LeastSquares(network)
    model.compile(**arguments)
    with pytest.raises(ValueError, match=words):
        model.fit_many(X, np.ones((2, POINTS, 3 if name == "shape" else 1)))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["nielsen", "marquardt"])
def test_every_rule_finds_the_minimum(float64, rule):
    y = make_data(3)
    model = make_model(damping_rule=rule, scaling="diagonal", initial_damping=0.1)
    fits = model.fit_many(X, y, verbose=0)
    for i in range(3):
        found = by_scipy(y[i, :, 0])
        np.testing.assert_allclose(fits.weights[i], found.x, rtol=1e-6)
        np.testing.assert_allclose(fits.losses[i], 2 * found.cost / POINTS, rtol=1e-9)


@pytest.mark.slow
def test_bounds(float64):
    y = make_data(3)
    constraint = Box(lower=[0, 0.9, -0.2], upper=[np.inf, np.inf, 0.2])
    model = make_model(constraint)
    fits = model.fit_many(X, y, verbose=0)
    weights, losses, errors = looped(model, X, y)
    np.testing.assert_allclose(fits.weights, weights, rtol=1e-8)
    np.testing.assert_allclose(fits.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(fits.standard_errors, errors, rtol=1e-6)
    assert np.isnan(fits.standard_errors).any()
    assert np.isfinite(fits.standard_errors).any()


@pytest.mark.slow
def test_a_network_in_float32_with_its_own_inputs_for_each_data_set():
    """Two outputs a point, of which BatchNormalization has statistics that stay."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(2, "tanh"),
            layers.BatchNormalization(trainable=False),
            layers.Dense(2),
        ]
    )
    model = LeastSquares(network)
    with pytest.warns(UserWarning, match="training=False"):
        model.compile()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 40, 2))
    y = np.tanh(x @ rng.normal(size=(2, 2))) + 0.1 * rng.normal(size=(3, 40, 2))
    before = network.get_weights()
    fits = model.fit_many(x, y, epochs=100, verbose=0)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    _, losses, _ = looped(model, x, y, of_each=True)
    np.testing.assert_allclose(fits.losses, losses, rtol=1e-4)
    network.set_weights(fits.weights_of(2))
    np.testing.assert_allclose(
        fits.predict(x)[2], network.predict(x[2], verbose=0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_two_inputs(float64):
    """In a dictionary; one of them is a sequence."""
    keras.utils.set_random_seed(0)
    a, b = keras.Input((3, 1), name="a"), keras.Input((1,), name="b")
    joined = layers.Concatenate()([layers.Flatten()(layers.Conv1D(1, 3)(a)), b])
    model = LeastSquares(keras.Model({"a": a, "b": b}, layers.Dense(1)(joined)))
    model.compile()
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(POINTS, 3, 1)), "b": rng.normal(size=(POINTS, 1))}
    y = x["a"][:, -1] + x["b"] + 0.1 * rng.normal(size=(2, POINTS, 1))
    fits = model.fit_many(x, y, epochs=100, verbose=0)
    _, losses, _ = looped(model, x, y)
    np.testing.assert_allclose(fits.losses, losses, rtol=1e-9)
