"""Networks that are no function of each example alone are refused in words that help."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LeastSquaresProblem

X = np.linspace(-1, 1, 6)[:, None]


def network(call, shape=(2,)):
    """A network of one layer, given as a function of its inputs and weights."""

    class Own(keras.layers.Layer):
        def build(self, _):
            self.own = self.add_weight(shape=shape, initializer="ones")
            self.seeds = keras.random.SeedGenerator(1)

        def call(self, x):
            return call(self, x)

    return keras.Sequential([keras.Input((1,)), Own(name="own")])


def equations(layer):
    w = layer.own
    return ops.stack([w[0] ** 2 + w[1] - 3, w[0] - w[1]])


OUTPUTS_WITHOUT_BATCH = {
    "one row for any batch": lambda layer, x: equations(layer)[None],
    "no batch": lambda layer, x: equations(layer),
    "a number": lambda layer, x: ops.sum(x * layer.own),
}


def fit(model, x, y, **arguments):
    model.compile()
    model.fit(x, y, verbose=0, **arguments)


@pytest.mark.parametrize("examples", [1, 3])
@pytest.mark.parametrize("name", OUTPUTS_WITHOUT_BATCH)
def test_outputs_without_the_batch(name, examples):
    model = network(OUTPUTS_WITHOUT_BATCH[name])
    x, y = np.zeros((examples, 1)), np.zeros((examples, 2))
    with pytest.raises(ValueError, match="zeros_like"):
        fit(LeastSquares(model), x, y)
    with pytest.raises(ValueError, match="zeros_like"):
        LeastSquaresProblem(model, x, y)


def test_the_recipe_of_the_error(float64):
    """w0^2 + w1 = 3, w0 = w1."""
    model = network(lambda layer, x: ops.zeros_like(x[:, :1]) + equations(layer)[None])
    fit(LeastSquares(model), np.zeros((1, 1)), np.zeros((1, 2)), epochs=50)
    root = (np.sqrt(13) - 1) / 2
    np.testing.assert_allclose(model.get_weights()[0], [root, root], rtol=1e-12)


RANDOM = {
    "a seed generator": lambda layer, x: keras.random.normal(ops.shape(x), seed=layer.seeds),
    "one number of a seed generator": lambda layer, x: keras.random.normal((1,), seed=layer.seeds),
    "a seed and the batch": lambda layer, x: keras.random.normal(ops.shape(x), seed=3),
    "TensorFlow": lambda layer, x: tf.random.normal(tf.shape(x), dtype=x.dtype),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_in_call(name):
    model = network(lambda layer, x: x * layer.own[:1] + RANDOM[name](layer, x))
    with pytest.raises(ValueError, match=r"draws random numbers.*layer=own"):
        fit(LeastSquares(model), X, X)


def test_random_features_of_a_fixed_seed_are_constants():
    model = network(
        lambda layer, x: ops.tanh(x * keras.random.normal((1, 2), seed=3)) @ layer.own[:, None]
    )
    least_squares = LeastSquares(model)
    fit(least_squares, X, X, epochs=5)
    assert least_squares.evaluate(X, X, verbose=0) < 0.1


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x - ops.mean(x),
        lambda x: ops.cumsum(x, axis=0),  # its first example is right alone
        lambda x: ops.flip(ops.cumsum(ops.flip(x, axis=0), axis=0), axis=0),  # and its last
    ],
)
def test_examples_that_are_mixed(mix):
    model = network(lambda layer, x: mix(x * layer.own[:1]))
    with pytest.raises(ValueError, match=r"mixes the examples.*layer=own"):
        fit(LeastSquares(model), X, X)


def test_complex_outputs_and_targets():
    """The advice of both errors, followed, is tried in test_recipes.py."""
    model = network(lambda layer, x: ops.exp(ops.cast(x * layer.own[:1], "complex64") * 1j))
    with pytest.raises(ValueError, match="stack real and imaginary parts"):
        fit(LeastSquares(model), X, X)
    with pytest.raises(ValueError, match="stack real and imaginary parts"):
        LeastSquaresProblem(model, X, X)
    real = network(lambda layer, x: x * layer.own[:1])
    with pytest.raises(ValueError, match="stack real and imaginary parts"):
        fit(LeastSquares(real), X, X + 1j)
    with pytest.raises(ValueError, match="stack real and imaginary parts"):
        LeastSquaresProblem(real, X, X + 1j)


def own_gradient(x, w):
    @tf.custom_gradient
    def tanh(a):
        return tf.tanh(a), lambda upstream: upstream * (1 - tf.tanh(a) ** 2)

    return tanh(x * w)


def captured_by_own_gradient(x, w):
    @tf.custom_gradient
    def scaled_tanh(a):
        def gradient(upstream, variables=None):
            slope = upstream * (1 - tf.tanh(a * w) ** 2)
            return slope * w, [tf.reduce_sum(slope * a)]

        return tf.tanh(a * w), gradient

    return scaled_tanh(x)


@pytest.mark.parametrize(
    "function", [captured_by_own_gradient, lambda x, w: tf.recompute_grad(lambda a: a * w)(x)]
)
def test_derivatives_lost_by_a_gradient_of_its_own(function):
    model = network(lambda layer, x: function(x, layer.own), shape=(1,))
    with pytest.raises(ValueError, match=r"as arguments.*layer=own whose function uses.*own"):
        fit(LeastSquares(model), X, X)


@pytest.mark.parametrize(
    "function",
    [own_gradient, lambda x, w: tf.recompute_grad(lambda a, w: tf.tanh(a * w))(x, w)],
)
def test_a_gradient_of_its_own(function, float64):
    model = network(lambda layer, x: function(x, layer.own), shape=(1,))
    J = LeastSquaresProblem(model, X, X).flat_jacobian(np.ones(1))
    np.testing.assert_allclose(J, X * (1 - np.tanh(X) ** 2) / np.sqrt(len(X)), rtol=1e-12)
