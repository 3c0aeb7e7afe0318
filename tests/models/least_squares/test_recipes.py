"""Recipes: problems that are no plain regression, each with a known answer."""

import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.models import LeastSquares

pytestmark = pytest.mark.usefixtures("float64")


class Function(keras.layers.Layer):
    """A formula of the input and of named weights, each given by its start."""

    def __init__(self, formula, **starts):
        super().__init__()
        self.formula, self.starts = formula, starts

    def build(self, _):
        for name, start in self.starts.items():
            initializer = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=(), initializer=initializer, name=name))

    def call(self, x):
        return self.formula(self, x)


def fitted(layer, x, y, **arguments):
    """The weights of the layer after a fit, by name."""
    model = LeastSquares(keras.Sequential([keras.Input(x.shape[1:]), layer]))
    model.compile()
    model.fit(x, y, **{"epochs": 100, "verbose": 0, **arguments})
    return {w.name: float(w) for w in layer.weights}


def test_a_system_of_equations_without_data():
    """a^2 + b^2 = 5 and a b = 2: a = 2, b = 1."""

    def residuals(p, x):
        r = ops.stack([p.a**2 + p.b**2 - 5, p.a * p.b - 2])
        return ops.zeros_like(x[:, :1]) + r[None]  # one row for the one example

    found = fitted(Function(residuals, a=3.0, b=0.5), np.zeros((1, 1)), np.zeros((1, 2)))
    np.testing.assert_allclose([found["a"], found["b"]], [2, 1], rtol=1e-9)


def test_complex_outputs():
    """exp((-k + i w) t): real and imaginary parts are two outputs."""

    def oscillation(p, t):
        z = ops.exp(-p.k * t)
        return ops.stack([z * ops.cos(p.w * t), z * ops.sin(p.w * t)], axis=-1)

    t = np.linspace(0, 3, 40)[:, None]
    z = np.exp((-0.5 + 2j) * t)
    y = np.stack([z.real, z.imag], axis=-1)
    found = fitted(Function(oscillation, k=1.0, w=1.5), t, y)
    np.testing.assert_allclose([found["k"], found["w"]], [0.5, 2], rtol=1e-9)


def test_several_data_sets_with_shared_parameters():
    """One rate k for all, an amplitude for each; the number of the data set is an input."""

    class Decays(keras.layers.Layer):
        def build(self, _):
            self.k = self.add_weight(shape=(), initializer="ones", name="k")
            self.a = self.add_weight(shape=(3,), initializer="ones", name="a")

        def call(self, x):
            number, t = ops.cast(x[:, 0], "int32"), x[:, 1]
            return (ops.take(self.a, number) * ops.exp(-self.k * t))[:, None]

    number, t = np.repeat([0, 1, 2], 10), np.tile(np.linspace(0, 2, 10), 3)
    y = np.array([1.0, 2, 5])[number] * np.exp(-1.5 * t)
    layer = Decays()
    model = LeastSquares(keras.Sequential([keras.Input((2,)), layer]))
    model.compile()
    model.fit(np.stack([number, t], axis=1), y[:, None], epochs=50, verbose=0)
    np.testing.assert_allclose(layer.k, 1.5, rtol=1e-9)
    np.testing.assert_allclose(layer.a, [1, 2, 5], rtol=1e-9)


def test_weights_of_one_over_sigma_squared():
    """A weighted straight line, against numpy.polyfit."""
    rng = np.random.default_rng(0)
    x, sigma = np.linspace(0, 1, 20), np.linspace(0.05, 0.5, 20)
    y = 3 * x - 1 + sigma * rng.normal(size=20)
    line = Function(lambda p, x: p.slope * x + p.offset, slope=1.0, offset=0.0)
    found = fitted(line, x[:, None], y[:, None], sample_weight=1 / sigma**2)
    expected = np.polyfit(x, y, 1, w=1 / sigma)
    np.testing.assert_allclose([found["slope"], found["offset"]], expected, rtol=1e-9)


def test_a_parameter_held_fixed():
    """An offset that is known: the line through it that is left."""
    x = np.linspace(0.1, 1, 20)
    y = np.sin(x)
    line = Function(lambda p, x: p.slope * x + p.offset, slope=1.0, offset=0.25)
    line.build(None)
    line.offset.trainable = False
    found = fitted(line, x[:, None], y[:, None])
    assert found["offset"] == 0.25
    np.testing.assert_allclose(found["slope"], x @ (y - 0.25) / (x @ x), rtol=1e-9)


def test_resampled_collocation_points():
    """u' = -u with u(0) = 1, as u = 1 + x N(x): every step sees other points.

    A batch is drawn when it is asked for, and has more residuals than the network has weights.
    """
    rng = np.random.default_rng(0)

    class Points(keras.utils.PyDataset):
        def __len__(self):
            return 40

        def __getitem__(self, _):
            return rng.uniform(0, 1, (64, 1)), np.zeros((64, 1))

    class Equation(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.Sequential(
                [keras.Input((1,)), keras.layers.Dense(6, "tanh"), keras.layers.Dense(1)]
            )

        def solution(self, x):
            return 1 + x * self.network(x)

        def call(self, x):
            hidden, last = self.network.layers
            h = hidden(x)
            slope = ops.matmul((1 - h**2) * hidden.kernel, last.kernel)
            u, du = 1 + x * last(h), last(h) + x * slope
            return du + u

    equation = Equation()
    equation(np.zeros((2, 1)))
    model = LeastSquares(equation)
    model.compile()
    model.fit(Points(), epochs=1, verbose=0)
    x = np.linspace(0, 1, 11)[:, None]
    np.testing.assert_allclose(equation.solution(x), np.exp(-x), atol=1e-5)
