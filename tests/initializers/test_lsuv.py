import keras
import numpy as np
import pytest
from keras import layers

from kerazoo.initializers import lsuv
from kerazoo.layers import MaxoutConv2D, MaxoutDense


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def dense_network(depth, activation="relu", width=256):
    made = [layers.Dense(width, activation) for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *made])


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def pre_activations(model, inputs, activation):
    """Layer by layer in NumPy, from the weights alone."""
    found = []
    for layer in model.layers:
        found.append(inputs @ layer.kernel.numpy() + layer.bias.numpy())
        inputs = activation(found[-1])
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_a_hundred_layers_on_a_fresh_batch(seed):
    keras.utils.set_random_seed(seed)
    model = dense_network(100)
    lsuv(model, batch(256, 256, seed=2 * seed))
    z = pre_activations(model, batch(256, 256, seed=2 * seed + 1), lambda z: np.maximum(z, 0))
    assert np.mean(z[-1] ** 2) == pytest.approx(1, abs=0.1)


def test_report_and_variances():
    """Of every layer, for an activation that has no gain of its own, and with biases."""
    model = dense_network(12, keras.activations.silu, width=64)
    for layer in model.layers:
        layer.bias.assign(0.3 * batch(64))
    x = batch(200, 64)
    report = lsuv(model, x, target_variance=2.5, tolerance=0.01)
    z = pre_activations(model, x, lambda z: z / (1 + np.exp(-z)))
    np.testing.assert_allclose([row.variance for row in report], np.var(z, axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose([row.variance for row in report], 2.5, rtol=0.01)
    assert [row.layer for row in report] == [layer.name for layer in model.layers]
    assert [row.uses for row in report] == [1] * 12


def test_begins_from_orthogonal_kernels():
    model = dense_network(2, width=32)
    report = lsuv(model, batch(64, 32), seed=3)
    kernels = [layer.kernel.numpy() for layer in model.layers]
    for kernel, row in zip(kernels, report, strict=True):
        np.testing.assert_allclose(
            np.linalg.svd(kernel, compute_uv=False), row.factor, rtol=1e-4, atol=1e-4
        )
    assert not np.allclose(*[kernel / np.linalg.norm(kernel) for kernel in kernels])
    again = dense_network(2, width=32)
    lsuv(again, batch(64, 32), seed=3)
    np.testing.assert_allclose(kernels, [layer.kernel for layer in again.layers], rtol=1e-6)


def test_without_orthogonal_start_only_the_scale_changes():
    model = dense_network(3, width=16)
    before = [layer.kernel.numpy() for layer in model.layers]
    report = lsuv(model, batch(64, 16), orthogonal=False)
    for old, layer, row in zip(before, model.layers, report, strict=True):
        np.testing.assert_allclose(layer.kernel, row.factor * old, rtol=1e-5)


def variance_of(tensor_of, x):
    return float(np.var(np.concatenate([np.ravel(t) for t in keras.tree.flatten(tensor_of(x))])))


def test_residual_adds():
    inputs = x = keras.Input((64,))
    pre = []
    for _ in range(5):
        pre.append(layers.Dense(64)(layers.ReLU()(x)))
        x = layers.Add()([x, pre[-1]])
    data = batch(128, 64)
    lsuv(keras.Model(inputs, x), data)
    for tensor in pre:
        assert variance_of(keras.Model(inputs, tensor), data) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("chain", [False, True])
def test_shared_layers_over_all_their_uses(chain):
    inputs = [keras.Input((32,)), keras.Input((32,))]
    shared = layers.Dense(32, name="shared")
    if chain:
        uses = [shared(inputs[0])]
        for _ in range(4):
            between = layers.Dense(32, "tanh")(uses[-1])
            uses.append(shared(layers.Add()([between, inputs[1]])))
    else:
        uses = [shared(layers.Rescaling(scale)(x)) for x, scale in zip(inputs, (1, 5), strict=True)]
    model = keras.Model(inputs, layers.Add()(uses))
    data = [batch(128, 32), batch(128, 32, seed=1)]
    report = lsuv(model, data)
    row = next(row for row in report if row.layer == "shared")
    assert row.uses == len(uses)
    assert variance_of(keras.Model(inputs, uses), data) == pytest.approx(1, rel=0.02)
    assert row.variance == pytest.approx(variance_of(keras.Model(inputs, uses), data), rel=1e-4)


def layers_and_shapes():
    image, sequence = (12, 12, 6), (9, 16)
    yield "conv2d", layers.Conv2D(8, 3, activation="relu"), image
    yield "grouped", layers.Conv2D(8, 3, groups=2), image
    yield "depthwise", layers.DepthwiseConv2D(3, activation="tanh"), image
    yield "separable", layers.SeparableConv2D(8, 3, activation="relu"), image
    yield "transposed", layers.Conv2DTranspose(8, 4, strides=2), image
    yield "conv1d", layers.Conv1D(8, 3, activation="gelu"), sequence
    yield "einsum", layers.EinsumDense("abc,cde->abde", (None, 2, 4)), sequence
    yield "maxout", MaxoutDense(8, 3), sequence
    yield "maxout convolution", MaxoutConv2D(8, 2, 3), image


@pytest.mark.parametrize(
    ("layer", "shape"), [pytest.param(*case, id=name) for name, *case in layers_and_shapes()]
)
def test_kinds_of_layers(layer, shape):
    """The variance before the activation: what the layer gives when its activation is none."""
    model = keras.Sequential([keras.Input(shape), layer])
    x = batch(64, *shape)
    (row,) = lsuv(model, x)
    layer.activation = keras.activations.linear
    assert np.var(model(x)) == pytest.approx(row.variance, rel=1e-3)
    assert row.variance == pytest.approx(1, rel=0.02)


def test_subclassed_and_attention():
    class Block(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = layers.Dense(16, "relu")
            self.attention = layers.MultiHeadAttention(2, 8)

        def call(self, x):
            x = self.first(x)
            return self.attention(x, x)

    model = Block()
    report = lsuv(model, batch(8, 5, 4))
    names = ["first_dense", "query", "key", "value", "attention_output"]
    assert len(report) == len(names)
    assert {row.layer for row in report} >= set(names[1:])
    np.testing.assert_allclose([row.variance for row in report], 1, rtol=0.02)


def test_frozen_and_recurrent_layers_stay():
    frozen = layers.Dense(16, trainable=False)
    made = [layers.LSTM(8, return_sequences=True), frozen, layers.Dropout(0.5), layers.Dense(4)]
    model = keras.Sequential([keras.Input((5, 3)), *made])
    before = weights_of(model)
    (row,) = lsuv(model, batch(32, 5, 3))
    assert row.layer == made[-1].name
    for old, new in zip(before[:5], weights_of(model)[:5], strict=True):
        np.testing.assert_array_equal(old, new)


def test_nothing_is_left_behind():
    """The model calls its own methods again, also in graph mode."""
    model = dense_network(2, width=8)
    attributes = [set(vars(layer)) for layer in model.layers]
    activations = [layer.activation for layer in model.layers]
    lsuv(model, batch(32, 8))
    assert attributes == [set(vars(layer)) for layer in model.layers]
    assert activations == [layer.activation for layer in model.layers]
    z = pre_activations(model, batch(4, 8), lambda z: np.maximum(z, 0))[-1]
    predicted = model.predict(batch(4, 8), verbose=0)
    np.testing.assert_allclose(predicted, np.maximum(z, 0), rtol=1e-5, atol=1e-6)


def with_large_bias(model):
    model.layers[1].bias.assign(10 * batch(16))


def with_dead_layer(model):
    model.layers[0].bias.assign(np.full(16, -1e6))


@pytest.mark.parametrize("spoil", [with_large_bias, with_dead_layer])
def test_failure_names_the_layer_and_changes_nothing(spoil):
    model = dense_network(3, width=16)
    spoil(model)
    before = weights_of(model)
    with pytest.raises(ValueError, match=f"Layer '{model.layers[1].name}'"):
        lsuv(model, batch(32, 16))
    for old, new in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_inputs_that_are_not_finite():
    model = dense_network(2, width=16)
    before = weights_of(model)
    with pytest.raises(ValueError, match=f"Layer '{model.layers[0].name}' cannot be scaled"):
        lsuv(model, np.full((8, 16), np.nan))
    np.testing.assert_array_equal(before[0], weights_of(model)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_variance": 0}, "`target_variance` must be"),
        ({"tolerance": -1}, "`tolerance` must be"),
        ({"max_iterations": 0}, "`max_iterations` must be"),
        ({"seed": "a"}, "`seed` must be"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        lsuv(dense_network(1, width=4), batch(8, 4), **arguments)


def test_needs_a_kernel():
    model = keras.Sequential([keras.Input((4,)), layers.ReLU()])
    with pytest.raises(ValueError, match="trainable layer with a `kernel`"):
        lsuv(model, batch(8, 4))
