"""Standard errors and bands against the formulas of linear least squares in NumPy."""

import keras
import numpy as np
import pytest
import scipy.stats
from keras import ops

from kerazoo.models import LeastSquares
from kerazoo.optimizers import Box, LeastSquaresProblem, _output_jacobian

RNG = np.random.default_rng(0)
X = np.random.default_rng(1).normal(size=(30, 2))
NOISE = np.random.default_rng(2).normal(size=(30, 2))
WEIGHT = np.random.default_rng(3).uniform(0.2, 3, 30)
A = np.column_stack([X, np.ones(30)])  # of one value of a Dense layer with two inputs


def line(units=1, **kwargs):
    """A Dense layer, whose least squares has a formula."""
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, **kwargs)])
    return network, LeastSquares(network)


def fit_line(network, y, weight=None):
    weight = np.ones(len(y)) if weight is None else weight
    root = np.sqrt(weight)[:, None]
    b = np.linalg.lstsq(root * A, root * y, rcond=None)[0]
    network.layers[-1].set_weights([b[:2], b[2]])
    return b


class Formula(keras.layers.Layer):
    def __init__(self, formula, values, constraint=None):
        super().__init__()
        self.formula = formula
        self.p = self.add_weight(shape=(len(values),), name="p", constraint=constraint)
        self.p.assign(values)
        self.built = True

    def call(self, x):
        return self.formula(x[:, 0], *ops.unstack(ops.convert_to_tensor(self.p)))[:, None]


def curve(formula, values, constraint=None):
    layer = Formula(formula, values, constraint)
    return LeastSquares(keras.Sequential([keras.Input((1,)), layer]))


@pytest.mark.parametrize("absolute_sigma", [False, True])
def test_linear_regression(float64, absolute_sigma):
    network, model = line()
    y = X @ [[1.0], [2.0]] + NOISE[:, :1]
    b = fit_line(network, y, WEIGHT)
    found = model.covariance(X, y, WEIGHT, absolute_sigma)
    squares = np.sum(WEIGHT[:, None] * (y - A @ b) ** 2)
    variance = 1.0 if absolute_sigma else squares / 27
    expected = variance * np.linalg.inv(A.T @ (WEIGHT[:, None] * A))
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-10)
    assert found.rank == 3
    assert found.degrees_of_freedom == 27
    np.testing.assert_allclose(found.sigma, np.sqrt(variance))
    assert [path.split("/")[-1] for path in found.paths] == [
        "kernel[0,0]",
        "kernel[1,0]",
        "bias[0]",
    ]
    errors = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found.correlations, expected / np.outer(errors, errors), rtol=1e-9)
    by_path = model.standard_errors(X, y, WEIGHT, absolute_sigma)
    kernel, bias = network.layers[-1].weights
    np.testing.assert_allclose(by_path[kernel.path], errors[:2, None])
    np.testing.assert_allclose(by_path[bias.path], errors[2:])
    problem = LeastSquaresProblem(network, X, y, WEIGHT)
    np.testing.assert_allclose(problem.covariance(absolute_sigma).matrix, expected, rtol=1e-10)


def test_bands_of_linear_regression(float64):
    network, model = line(units=2)
    y = X @ [[1.0, -1.0], [2.0, 0.5]] + NOISE
    b = fit_line(network, y)
    sigma = np.sqrt(np.sum((y - A @ b) ** 2) / 54)
    new = np.array([[0.5, 2.0], [9.0, -9.0], [0.0, 0.0]])
    at = np.column_stack([new, np.ones(3)])
    error = sigma * np.sqrt(np.sum(at @ np.linalg.inv(A.T @ A) * at, axis=1))[:, None]
    t = scipy.stats.t.ppf(0.95, 54)
    model.covariance(X, y)
    bands = model.prediction_bands(new, level=0.9)
    np.testing.assert_allclose(bands.prediction, at @ b)
    np.testing.assert_allclose(bands.mean_lower, at @ b - t * error)
    np.testing.assert_allclose(bands.mean_upper, at @ b + t * error)
    np.testing.assert_allclose(bands.observation_upper, at @ b + t * np.hypot(error, sigma))
    absolute = model.covariance(X, y, absolute_sigma=True)
    np.testing.assert_allclose(
        model.prediction_bands(new, 0.9, absolute).mean_upper,
        at @ b + scipy.stats.norm.ppf(0.95) * error / sigma,
    )


def test_bands_take_sigma_from_the_last_covariance_of_these_weights():
    network, model = line()
    y = X @ [[1.0], [2.0]] + NOISE[:, :1]
    b = fit_line(network, y)
    with pytest.raises(ValueError, match="call `covariance"):
        model.prediction_bands(X)
    found = model.covariance(X, y)
    network.layers[-1].set_weights([b[:2] + 1, b[2]])
    with pytest.raises(ValueError, match="have changed"):
        model.prediction_bands(X)
    assert model.prediction_bands(X, covariance=found).prediction.shape == (30, 1)


def test_chunks_change_nothing(float64, monkeypatch):
    network, model = line(units=2)
    y = X @ [[1.0, -1.0], [2.0, 0.5]] + NOISE
    fit_line(network, y, WEIGHT)
    whole = model.covariance(X, y, WEIGHT).matrix, model.prediction_bands(X).mean_upper
    monkeypatch.setattr(_output_jacobian, "_FLOATS_AT_A_TIME", 7 * 12)
    chunked = model.covariance(X, y, WEIGHT).matrix, model.prediction_bands(X).mean_upper
    for a, b in zip(whole, chunked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-15)


def sequences():
    return keras.Sequential(
        [keras.Input((4, 2)), keras.layers.Masking(), keras.layers.Dense(1, name="line")]
    )


def test_masked_residuals_are_not_counted(float64):
    x, y = RNG.normal(size=(6, 4, 2)), RNG.normal(size=(6, 4, 1))
    x[::2, 2:] = 0.0  # masked
    network = sequences()
    kept = np.any(x != 0, axis=-1).reshape(-1)
    rows = np.column_stack([x.reshape(-1, 2), np.ones(24)])[kept]
    values = y.reshape(-1)[kept]
    b, squares = np.linalg.lstsq(rows, values, rcond=None)[:2]
    network.layers[-1].set_weights([b[:2, None], b[2:]])
    found = LeastSquares(network).covariance(x, y)
    assert found.degrees_of_freedom == 18 - 3
    expected = squares[0] / 15 * np.linalg.inv(rows.T @ rows)
    np.testing.assert_allclose(found.matrix, expected, rtol=1e-10)


def test_weight_zero_is_not_counted(float64):
    network, model = line()
    y = X @ [[1.0], [2.0]] + NOISE[:, :1]
    weight = np.where(np.arange(30) < 10, 0.0, 1.0)
    fit_line(network, y, weight)
    few = model.covariance(X[10:], y[10:])
    found = model.covariance(X, y, weight)
    assert found.degrees_of_freedom == few.degrees_of_freedom == 17
    np.testing.assert_allclose(found.matrix, few.matrix, rtol=1e-10)


def test_outputs_of_other_sizes_and_loss_weights(float64):
    """The estimate is that of the loss, whose weights are not those of the errors."""
    inputs = keras.Input((2,))
    shared = keras.layers.Dense(1)(inputs)
    three = ops.concatenate([shared, 2 * shared, -shared], axis=-1)
    network = keras.Model(inputs, {"one": shared, "three": three})
    model = LeastSquares(network)
    model.compile(loss={"one": "mse", "three": "mse"}, loss_weights={"one": 1.0, "three": 4.0})
    parts = [A, np.concatenate([A, 2 * A, -A])]
    c = np.concatenate([np.full(30, 1 / 30), np.full(90, 4 / 90)])
    w = np.concatenate([WEIGHT, np.ones(90)])
    rows = np.concatenate(parts)
    y_one, y_three = RNG.normal(size=(30, 1)), RNG.normal(size=(30, 3))
    y = np.concatenate([y_one[:, 0], y_three.T.reshape(-1)])
    root = np.sqrt(c * w)
    b = np.linalg.lstsq(root[:, None] * rows, root * y, rcond=None)[0]
    network.layers[1].set_weights([b[:2, None], b[2:]])
    targets = {"one": y_one, "three": y_three}
    weights = {"one": WEIGHT, "three": np.ones(30)}
    found = model.covariance(X, targets, weights, absolute_sigma=True)
    to_weights = np.linalg.inv(rows.T @ ((c * w)[:, None] * rows)) @ (rows.T * (c * w))
    np.testing.assert_allclose(found.matrix, (to_weights / w) @ to_weights.T, rtol=1e-9)
    assert found.degrees_of_freedom == 117


UNKNOWN = {
    "unused": (lambda x, a, b, c: a * ops.exp(-b * x), "a b"),
    "two equivalent": (lambda x, a, b, c: (a + c) * ops.exp(-b * x), "b"),
    "product": (lambda x, a, b, c: a * c * ops.exp(-b * x), "b"),
    "shift": (lambda x, a, b, c: a * ops.exp(-b * (x - c)), "b"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_data_do_not_determine_is_infinite(name, float64):
    """And what they do determine has the error that it has in a model with that alone."""
    formula, known = UNKNOWN[name]
    x = np.linspace(0, 4, 40)[:, None]
    values = [1.5, 0.7, 0.5]
    model = curve(formula, values)
    y = model(x).numpy() + 0.03 * NOISE.reshape(-1)[:40, None]
    found = model.covariance(x, y, absolute_sigma=True)
    assert found.rank == 2
    assert found.degrees_of_freedom == 38
    errors = dict(zip("abc", found.standard_errors, strict=True))
    decay = np.exp(-0.7 * x)
    height = float(model(x)[0, 0])
    two = np.column_stack([decay, -height * x * decay])
    expected = dict(zip("ab", np.sqrt(np.diag(np.linalg.inv(two.T @ two))), strict=True))
    for parameter in "abc":
        if parameter in known.split():
            np.testing.assert_allclose(errors[parameter], expected[parameter], rtol=1e-7)
        else:
            assert errors[parameter] == np.inf
    assert np.isnan(found.matrix[0, 2])
    # The curve itself is known all the same.
    error = np.sqrt(np.sum(two @ np.linalg.inv(two.T @ two) * two, axis=1))
    bands = model.prediction_bands(x)
    reach = scipy.stats.norm.ppf(0.975) * error
    np.testing.assert_allclose((bands.mean_upper - bands.prediction)[:, 0], reach, rtol=1e-7)


def test_bands_are_infinite_where_the_data_say_nothing():
    def piecewise(x, a, b):
        return ops.where(x < 5, a * x, b * x)

    x = np.arange(1.0, 4.0)[:, None]
    model = curve(piecewise, [2.0, 1.0])
    model.covariance(x, 2 * x + np.array([[0.2], [-0.1], [0.0]]))
    bands = model.prediction_bands(np.array([[1.0], [9.0]]))
    assert np.isfinite(bands.mean_upper[0]).all()
    assert bands.mean_upper[1] == np.inf
    assert bands.mean_lower[1] == bands.observation_lower[1] == -np.inf


@pytest.mark.parametrize(
    "bound", [keras.constraints.NonNeg(), Box([0.0, -np.inf, -1.0], [np.inf, 1.0, 5.0])]
)
def test_weights_at_a_bound_are_held(bound, float64):
    def formula(x, a, b, c):
        return a + b * x + c * x**2

    x = np.linspace(-1, 1, 20)[:, None]
    y = 0.5 * x + 1.9 * x**2 - 0.2 + 0.01 * NOISE.reshape(-1)[:20, None]
    two = np.column_stack([x, x**2])
    b, squares = np.linalg.lstsq(two, y[:, 0], rcond=None)[:2]
    assert (b > 0).all()  # `a` alone is held
    model = curve(formula, [0.0, *b], bound)
    found = model.covariance(x, y)
    assert np.isnan(found.matrix[0]).all()
    assert np.isnan(found.matrix[:, 0]).all()
    np.testing.assert_allclose(
        found.matrix[1:, 1:], squares[0] / 18 * np.linalg.inv(two.T @ two), rtol=1e-9, atol=1e-15
    )
    assert found.rank == 2
    assert found.degrees_of_freedom == 18
    bands = model.prediction_bands(np.zeros((1, 1)))
    np.testing.assert_array_equal(bands.mean_upper, bands.prediction)  # nothing moves it
    model.model.layers[-1].p.assign([1e-3, *b])  # not at the bound
    with pytest.warns(UserWarning, match="not at a minimum"):
        assert model.covariance(x, y).rank == 3


def test_all_weights_held_or_no_degrees_of_freedom(float64):
    model = curve(lambda x, a, b: a + b * x, [0.0, 0.0], keras.constraints.NonNeg())
    x = np.arange(1.0, 5.0)[:, None]
    found = model.covariance(x, -x)
    assert found.rank == 0
    assert np.isnan(found.matrix).all()
    free = curve(lambda x, a, b: a + b * x, [1.0, 2.0])
    found = free.covariance(x[:2], 1 + 2 * x[:2])
    assert found.degrees_of_freedom == 0
    assert found.sigma == np.inf
    assert (found.standard_errors == np.inf).all()
    assert np.isinf(free.prediction_bands(x).mean_upper).all()
    exact = free.covariance(x, 1 + 2 * x)
    assert exact.sigma == 0
    assert (exact.matrix == 0).all()


def test_float32_has_the_digits_that_its_condition_leaves():
    x = np.linspace(0, 4, 40)[:, None]
    formula = UNKNOWN["unused"][0]

    def two(x, a, b):
        return formula(x, a, b, 0.0)

    single = curve(two, [1.5, 0.7])
    y = single(x).numpy() + 0.03 * NOISE.reshape(-1)[:40, None]
    found = single.covariance(x, y, absolute_sigma=True).matrix
    decay = np.exp(-0.7 * x)
    J = np.column_stack([decay, -1.5 * x * decay])
    np.testing.assert_allclose(found, np.linalg.inv(J.T @ J), rtol=1e-5)


def test_a_fit_that_stopped_early_is_named():
    network, model = line()
    y = X @ [[1.0], [2.0]] + NOISE[:, :1]
    b = fit_line(network, y)
    network.layers[-1].set_weights([b[:2] + 1, b[2]])
    with pytest.warns(UserWarning, match="not at a minimum"):
        model.covariance(X, y)


class Mean(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean((y_true - y_pred) ** 2, axis=-1)


def test_what_has_no_such_covariance_is_refused():
    y = np.zeros((30, 1))
    for loss in ("huber", Mean()):
        network, model = line()
        model.compile(loss=loss)
        with pytest.raises(ValueError, match="needs the loss 'mse'"):
            model.covariance(X, y)
    network, model = line(kernel_regularizer="l2")
    with pytest.raises(ValueError, match="without regularizers"):
        model.covariance(X, y)
    with pytest.raises(ValueError, match="without regularizers"):
        LeastSquaresProblem(network, X, y).covariance()
    _, model = line(kernel_constraint=keras.constraints.UnitNorm())
    with pytest.raises(ValueError, match="bound each weight by itself"):
        model.covariance(X, y)
    large = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2000)])
    with pytest.raises(ValueError, match="at most 5000 weights"):
        LeastSquares(large).covariance(X, np.zeros((30, 2000)))


def test_bad_data_and_networks_are_refused():
    y = np.zeros((30, 1))
    inputs = keras.Input((2,))
    mixed = keras.layers.Dense(1)(inputs) - ops.mean(inputs)
    with pytest.raises(ValueError, match="depend on that example alone"):
        LeastSquares(keras.Model(inputs, mixed)).covariance(X, y)
    half = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="mixed_bfloat16")])
    with pytest.raises(ValueError, match="half precision"):
        LeastSquares(half).covariance(X, y)
    network, model = line()
    with pytest.raises(ValueError, match="`y` must have the shape"):
        model.covariance(X, np.zeros((30, 2)))
    with pytest.raises(ValueError, match="0 residuals"):
        model.covariance(X, y, np.zeros(30))
    network.layers[-1].set_weights([np.full((2, 1), np.inf), np.zeros(1)])
    with pytest.raises(ValueError, match="must be finite"):
        model.covariance(X, y)


def test_bands_have_the_structure_of_the_outputs():
    inputs = keras.Input((2,))
    layers = {name: keras.layers.Dense(k, name=name) for name, k in (("a", 1), ("b", 2))}
    network = keras.Model(inputs, {name: layer(inputs) for name, layer in layers.items()})
    model = LeastSquares(network)
    y = {"a": NOISE[:, :1], "b": NOISE}
    for name, layer in layers.items():
        b = np.linalg.lstsq(A, y[name], rcond=None)[0]
        layer.set_weights([b[:2], b[2]])
    model.covariance(X, y)
    bands = model.prediction_bands(X[:4])
    assert {name: value.shape for name, value in bands.mean_lower.items()} == {
        "a": (4, 1),
        "b": (4, 2),
    }


def test_two_inputs(float64):
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    network = keras.Model({"a": a, "b": b}, keras.layers.Dense(1)(ops.concatenate([a, b], -1)))
    y = X @ [[1.0], [2.0]] + NOISE[:, :1]
    expected = fit_line(network, y)
    sigma = np.sqrt(np.sum((y - A @ expected) ** 2) / 27)
    found = LeastSquares(network).covariance({"a": X[:, :1], "b": X[:, 1:]}, y[:, 0])
    np.testing.assert_allclose(found.matrix, sigma**2 * np.linalg.inv(A.T @ A), rtol=1e-10)
