"""MaxoutDense and MaxoutConv2D: the layers of Keras followed by a NumPy maximum."""

import backends
import checks
import keras
import numpy as np
import pytest
from keras import ops

from kerazoo.layers import Maxout, MaxoutConv2D, MaxoutDense

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 9, 8, 3)).astype("float32")


def largest(z, pieces):
    """Piece p of unit u is at p * units + u."""
    units = z.shape[-1] // pieces
    return np.max([z[..., p * units : (p + 1) * units] for p in range(pieces)], axis=0)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 6), (0, 6)])
@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_dense(pieces, shape, use_bias):
    x = RNG.normal(size=shape).astype("float32")
    layer = MaxoutDense(3, pieces, use_bias)
    layer.build(shape)
    checks.randomize(layer)
    assert layer.kernel.shape == (6, pieces * 3)
    kernel, *bias = layer.get_weights()
    expected = largest(x @ kernel + (bias[0] if use_bias else 0), pieces)
    for run in (layer, *backends.compilations(layer, shape).values()):
        y = backends.to_numpy(run(ops.convert_to_tensor(x)))
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"padding": "same"},
        {"strides": 2},
        {"strides": (2, 3), "padding": "same"},
        {"dilation_rate": (2, 1)},
        {"kernel_size": (1, 2), "use_bias": False},
        {"kernel_size": 4, "padding": "same"},
    ],
)
def test_convolution(arguments):
    arguments = {"kernel_size": 3, **arguments}
    layer = MaxoutConv2D(5, 2, **arguments)
    layer.build(IMAGES.shape)
    checks.randomize(layer)
    theirs = keras.layers.Conv2D(10, **arguments)
    theirs.build(IMAGES.shape)
    theirs.set_weights(layer.get_weights())
    found, z = backends.to_numpy(layer(IMAGES)), backends.to_numpy(theirs(IMAGES))
    np.testing.assert_allclose(found, largest(z, 2), rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape(IMAGES.shape) == found.shape
    assert layer.compute_output_shape((None, None, 8, 3))[:2] == (None, None)


def test_channels_first_has_the_same_shapes_moved():
    """TensorFlow convolves channels first on GPUs alone: there only shapes and maximum are seen."""
    layer = MaxoutConv2D(5, 2, 3, strides=2, data_format="channels_first")
    layer.build((None, 3, 9, 8))
    assert layer.kernel.shape == (3, 3, 3, 10)
    assert layer.compute_output_shape((None, 3, 9, 8)) == (None, 5, 4, 3)
    z = RNG.normal(size=(2, 4, 3, 10)).astype("float32")
    found = backends.to_numpy(layer.activation(ops.convert_to_tensor(np.moveaxis(z, -1, 1))))
    np.testing.assert_array_equal(np.moveaxis(found, 1, -1), largest(z, 2))
    if not backends.ON_TENSORFLOW:
        last = MaxoutConv2D(5, 2, 3, strides=2, data_format="channels_last")
        last.build(IMAGES.shape)
        checks.randomize(layer)
        last.set_weights(layer.get_weights())
        found = backends.to_numpy(layer(np.moveaxis(IMAGES, -1, 1)))
        expected = backends.to_numpy(last(IMAGES))
        np.testing.assert_allclose(np.moveaxis(found, 1, -1), expected, rtol=1e-5, atol=1e-5)


def test_is_dense_followed_by_maxout():
    layer = MaxoutDense(3, 4)
    layer.build((None, 6))
    checks.randomize(layer)
    dense = keras.layers.Dense(12)
    dense.build((None, 6))
    dense.set_weights(layer.get_weights())
    x = RNG.normal(size=(5, 6)).astype("float32")
    expected = backends.to_numpy(Maxout(3)(dense(x)))
    np.testing.assert_allclose(backends.to_numpy(layer(x)), expected, rtol=1e-6)


@pytest.mark.skipif(
    backends.BACKEND == "torch", reason="Keras 3.15's `ops.matmul` of float64 is float32 on torch"
)
def test_gradients_of_dense(float64):
    checks.check_gradients(MaxoutDense(2, 3), RNG.normal(size=(3, 4)))


def test_gradients_of_convolution(float64):
    checks.check_gradients(MaxoutConv2D(2, 2, 2), RNG.normal(size=(2, 3, 3, 2)))


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (MaxoutDense, RNG.normal(size=(4, 6)).astype("float32")),
        (lambda u, p, **kw: MaxoutConv2D(u, p, 3, **kw), IMAGES),
    ],
)
def test_regularizers_and_constraints(layer, x):
    names = ("kernel_regularizer", "bias_regularizer", "activity_regularizer")
    first = layer(
        3,
        2,
        bias_initializer="ones",
        kernel_constraint="non_neg",
        bias_constraint=keras.constraints.NonNeg(),
        **dict.fromkeys(names, "l2"),
    )
    second = type(first).from_config(first.get_config())
    for made in (first, second):
        y = backends.to_numpy(made(x))
        expected = [np.sum(np.square(a)) for a in made.get_weights()]
        activity = keras.layers.ActivityRegularization(l2=1.0)  # Keras 3.10: not over the batch
        activity(y)
        expected.append(float(activity.losses[0]))
        found = sorted(float(backends.to_numpy(loss)) for loss in made.losses)
        np.testing.assert_allclose(found, 0.01 * np.sort(expected), rtol=1e-4)
        for weight in made.weights:
            limited = weight.constraint(ops.convert_to_tensor(-np.ones(3, "float32")))
            np.testing.assert_array_equal(backends.to_numpy(limited), np.zeros(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxoutDense(0, 2), "`units` must be a positive integer"),
        (lambda: MaxoutDense(2, 0), "`pieces` must be a positive integer"),
        (lambda: MaxoutDense(2, 2).build((None, None)), "last axis of the inputs must be known"),
        (lambda: MaxoutDense(2, 2)(np.ones(3)), "min_ndim=2"),
        (lambda: MaxoutConv2D(2.0, 2, 3), "`filters` must be a positive integer"),
        (lambda: MaxoutConv2D(2, 2, 0), "`kernel_size` must be a positive integer"),
        (lambda: MaxoutConv2D(2, 2, (3, 3, 3)), "`kernel_size` must be a positive integer or two"),
        (lambda: MaxoutConv2D(2, 2, (3,)), "`kernel_size` must be a positive integer or two"),
        (lambda: MaxoutConv2D(2, 2, 3, strides=(1, 0)), "`strides` must be a positive integer"),
        (lambda: MaxoutConv2D(2, 2, 3, padding="causal"), "`padding` must be"),
        (lambda: MaxoutConv2D(2, 2, 3, data_format="last"), "`data_format` must be"),
        (lambda: MaxoutConv2D(2, 2, 3).build((None, 5, 5, None)), "channels must be known"),
        (lambda: MaxoutDense(2, 2, use_bias=1), "`use_bias` must be True or False"),
        (
            lambda: MaxoutDense(2, 2, kernel_initializer="he"),
            "`kernel_initializer` must be",
        ),
        (lambda: MaxoutDense(2, 2, bias_regularizer=3), "`bias_regularizer` must be a"),
        (lambda: MaxoutDense(2, 2, activity_regularizer="l3"), "`activity_regularizer` must be"),
        (lambda: MaxoutConv2D(2, 2, 3, kernel_constraint=1), "`kernel_constraint` must be a"),
        (lambda: MaxoutConv2D(2, 2, 3, strides=2, dilation_rate=2), "cannot both be above 1"),
        (lambda: MaxoutConv2D(2, 2, 3, (2, 1), dilation_rate=(1, 2)), "cannot both be above 1"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("layer", [MaxoutDense, MaxoutConv2D])
@pytest.mark.parametrize(
    ("name", "value"),
    [("bias_initializer", "ones"), ("bias_regularizer", "l2"), ("bias_constraint", "non_neg")],
)
def test_arguments_of_a_bias_that_is_not_there(layer, name, value):
    """An error; but a file that an earlier version has written goes on loading."""
    arguments = {"units": 2} if layer is MaxoutDense else {"filters": 2, "kernel_size": 1}
    with pytest.raises(ValueError, match=rf"`{name}` has no effect with `use_bias=False`.*Receiv"):
        layer(pieces=2, use_bias=False, **{name: value}, **arguments)
    config = layer(pieces=2, **{name: value}, **arguments).get_config()
    loaded = layer.from_config({**config, "use_bias": False})
    plain = layer(pieces=2, use_bias=False, name=loaded.name, **arguments)
    assert loaded.get_config() == plain.get_config()
    assert layer(pieces=2, use_bias=True, **{name: value}, **arguments)


def test_both_train():
    """The larger of |x| and its mirror image: what two pieces can do, and one cannot."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3, 3, 1))
    hidden = MaxoutConv2D(4, 2, 2)(inputs)
    model = keras.Model(inputs, MaxoutDense(1, 2)(keras.layers.GlobalAveragePooling2D()(hidden)))
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=backends.JIT[-1])
    x = np.random.default_rng(0).normal(size=(64, 3, 3, 1)).astype("float32")
    y = np.abs(x).mean((1, 2))
    before = model.evaluate(x, y, verbose=0)
    x, y = np.tile(x, (60, 1, 1, 1)), np.tile(y, (60, 1))
    model.fit(x, y, batch_size=64, shuffle=False, verbose=0)
    assert model.evaluate(x[:64], y[:64], verbose=0) < 0.2 * before
