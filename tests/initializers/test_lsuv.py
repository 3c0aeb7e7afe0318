import random

import keras
import numpy as np
import pytest
from backends import to_numpy
from data_sets import Batches
from keras import layers

from kerazoo.initializers import lsuv
from kerazoo.layers import MaxoutConv2D, MaxoutDense


def batch(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def dense_network(depth, activation="relu", width=256):
    made = [layers.Dense(width, activation) for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *made])


def weights_of(model):
    return [to_numpy(weight) for weight in model.weights]


def pre_activations(model, inputs, activation):
    """Layer by layer in NumPy, from the weights alone."""
    found = []
    for layer in model.layers:
        found.append(inputs @ to_numpy(layer.kernel) + to_numpy(layer.bias))
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
    kernels = [to_numpy(layer.kernel) for layer in model.layers]
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
    before = [to_numpy(layer.kernel) for layer in model.layers]
    report = lsuv(model, batch(64, 16), orthogonal=False)
    for old, layer, row in zip(before, model.layers, report, strict=True):
        np.testing.assert_allclose(layer.kernel, row.factor * old, rtol=1e-5)


def variance_of(tensor_of, x):
    tensors = keras.tree.flatten(tensor_of(x))
    return float(np.var(np.concatenate([np.ravel(to_numpy(tensor)) for tensor in tensors])))


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
    assert np.var(to_numpy(model(x))) == pytest.approx(row.variance, rel=1e-3)
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


class Tied(layers.Layer):
    """The other way through another layer's kernel, as in autoencoders."""

    def __init__(self, source):
        super().__init__()
        self.source = source

    def build(self, _):
        self.kernel = self.source.kernel

    def call(self, x):
        return x @ keras.ops.transpose(self.kernel)


class Wrapping(keras.layers.Wrapper):
    """Shows the kernel of the layer inside as its own."""

    def build(self, shape):
        super().build(shape)
        self.kernel = self.layer.kernel

    def call(self, x):
        return self.layer(x)


def test_layers_that_share_a_kernel_count_it_once():
    first = layers.Dense(16, name="first")
    inputs = keras.Input((16,))
    h = first(inputs)
    model = keras.Model(inputs, [h, Tied(first)(layers.Rescaling(5.0)(h))])
    data = batch(128, 16)
    (row,) = lsuv(model, data)
    assert (row.layer, row.uses) == ("first", 2)
    outputs = [to_numpy(tensor) for tensor in model(data)]
    assert np.var(np.concatenate(outputs)) == pytest.approx(row.variance, rel=1e-4)
    assert row.variance == pytest.approx(1, rel=0.02)


def test_a_layer_in_two_models_is_one():
    shared = keras.Sequential([keras.Input((16,)), layers.Dense(16, name="inside")])
    inputs = keras.Input((16,))
    model = keras.Model(inputs, shared(keras.Sequential([keras.Input((16,)), shared])(inputs)))
    (row,) = lsuv(model, batch(128, 16))
    assert (row.layer, row.uses) == ("inside", 2)


def test_wrappers_are_seen_through():
    for wrapped, shape in (
        (Wrapping(layers.Dense(6, "relu", name="inside")), (8,)),
        (layers.TimeDistributed(layers.Dense(6, "relu")), (5, 8)),
    ):
        model = keras.Sequential([keras.Input(shape), wrapped])
        data = batch(64, *shape)
        (row,) = lsuv(model, data)
        assert row.uses == 1
        kernel, bias = (to_numpy(weight) for weight in wrapped.layer.weights)
        z = data @ kernel + bias
        assert np.var(z) == pytest.approx(row.variance, rel=1e-4)
        assert row.variance == pytest.approx(1, rel=0.02)
        np.testing.assert_allclose(to_numpy(model(data)), np.maximum(z, 0), rtol=1e-4, atol=1e-5)


def test_spectral_normalization_is_refused_by_name():
    wrapper = layers.SpectralNormalization(layers.Dense(4), name="critic")
    model = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="first"), wrapper])
    before = weights_of(model)
    with pytest.raises(ValueError, match="Layer 'critic' is a `SpectralNormalization`"):
        lsuv(model, batch(32, 8))
    np.testing.assert_equal(weights_of(model), before)
    wrapper.trainable = False
    assert [row.layer for row in lsuv(model, batch(32, 8))] == ["first"]


def test_only_kernels_change():
    """Not seeds, statistics, the carried state of a recurrent layer or a compiled metric."""
    model = keras.Sequential(
        [
            keras.Input((4, 6), batch_size=8),
            layers.LSTM(6, stateful=True, dropout=0.5),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, name="head"),
        ]
    )
    model.compile("adam", "mse")
    head = model.get_layer("head")
    others = [v for v in [*model.variables, *model.metrics_variables] if v is not head.kernel]
    before = [to_numpy(v) for v in others]
    random_state = random.getstate()
    lsuv(model, batch(8, 4, 6), seed=0)
    np.testing.assert_equal([to_numpy(v) for v in others], before)
    assert random.getstate() == random_state


def test_half_precision_kernels_are_not_rounded():
    """The pass computes in float16, the kernels stay float32 ones."""
    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(64, dtype="mixed_float16"), layers.Dense(2)]
    )
    lsuv(model, batch(64, 64), seed=0, tolerance=1e-3)
    kernel = to_numpy(model.layers[0].kernel)
    assert kernel.dtype == np.float32
    assert np.any(kernel != kernel.astype("float16"))


def test_the_first_batch_of_a_data_set():
    x = batch(64, 8)
    expected = lsuv(small_network(), x[:32], seed=0)
    data = [Batches(x, count=2, size=32), Batches(x, x, count=2, size=32)]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        data += [tf.data.Dataset.from_tensor_slices((x, x)).batch(32)]
        data += [tf.data.Dataset.from_tensor_slices(x[:32])]
    if keras.backend.backend() == "torch":
        import torch

        pairs = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(x))
        data += [torch.utils.data.DataLoader(pairs, batch_size=32)]
    for inputs in data:
        found = lsuv(small_network(), inputs, seed=0)
        np.testing.assert_allclose(
            [row.variance for row in found], [row.variance for row in expected], rtol=1e-5
        )
    with pytest.raises(ValueError, match="`inputs` must not be a generator"):
        lsuv(small_network(), iter([x]))


def small_network():
    return keras.Sequential([keras.Input((8,)), layers.Dense(8, "tanh"), layers.Dense(4)])


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
    with pytest.raises(ValueError, match="`inputs` must be finite"):
        lsuv(model, np.full((8, 16), np.nan))
    np.testing.assert_array_equal(before[0], weights_of(model)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_variance": 0}, "`target_variance` must be"),
        ({"tolerance": -1}, "`tolerance` must be"),
        ({"max_iterations": 0}, "`max_iterations` must be"),
        ({"seed": "a"}, "`seed` must be"),
        ({"target_variance": True}, "`target_variance` must be"),
        ({"tolerance": np.nan}, "`tolerance` must be"),
        ({"orthogonal": 1}, "`orthogonal` must be"),
        ({"orthogonal": False, "seed": 1}, "`seed` is for"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        lsuv(dense_network(1, width=4), batch(8, 4), **arguments)


def test_needs_a_kernel():
    model = keras.Sequential([keras.Input((4,)), layers.ReLU()])
    with pytest.raises(ValueError, match="trainable layer with a `kernel`"):
        lsuv(model, batch(8, 4))
    with pytest.raises(ValueError, match="`model` must be a Keras model"):
        lsuv(model.layers[0], batch(8, 4))
