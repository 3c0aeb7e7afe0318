import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerazoo._layers_inside import layers_of
from kerazoo.optimizers.levenberg_marquardt.flat_weights import FlatWeights
from kerazoo.optimizers.levenberg_marquardt.jacobian import gradient, jacobian_rows
from kerazoo.optimizers.levenberg_marquardt.network_layers import unrolled

layers = keras.layers


class Attention(layers.MultiHeadAttention):
    def __init__(self):
        super().__init__(num_heads=2, key_dim=2)

    def build(self, shape):
        super().build(shape, shape)

    def call(self, x):
        return super().call(x, x)

    def compute_output_spec(self, x):
        return x


NETWORKS = {
    "dense": lambda: [keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)],
    "convolution": lambda: [
        keras.Input((6, 6, 2)),
        layers.Conv2D(3, 3, strides=2, activation="tanh"),
        layers.Flatten(),
        layers.Dense(2),
    ],
    "lstm": lambda: [keras.Input((5, 2)), layers.LSTM(3), layers.Dense(2)],
    "sequences": lambda: [keras.Input((4, 2)), layers.GRU(3, return_sequences=True)],
    "normalized": lambda: [
        keras.Input((3,)),
        layers.Dense(4, "tanh"),
        layers.LayerNormalization(),
        layers.BatchNormalization(),
        layers.Dense(1),
    ],
    "attention": lambda: [keras.Input((4, 3)), Attention(), layers.Flatten(), layers.Dense(1)],
    "stacked lstm": lambda: [
        keras.Input((3, 2)),
        layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
        layers.LSTM(2),
    ],
    "embedding": lambda: [keras.Input((4,), dtype="int32"), layers.Embedding(5, 3), layers.GRU(2)],
}


@pytest.mark.parametrize("side_by_side", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_rows_are_central_differences(name, side_by_side, float64):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(NETWORKS[name]())
    weights = FlatWeights(network.trainable_variables)
    rng = np.random.default_rng(0)
    shape = (3, *network.input_shape[1:])
    x = rng.integers(0, 5, shape) if name == "embedding" else rng.normal(size=shape)
    x = tf.constant(x)
    outputs = int(np.prod(network.output_shape[1:]))
    cotangents = tf.constant(rng.normal(size=(3, 2, outputs)))
    w = tf.constant(rng.normal(size=weights.size)) * 0.5

    def forward(w, x):
        with weights.scope(w):
            return tf.reshape(network(x, training=False), [-1, outputs])

    with unrolled(network) if side_by_side else contextlib.nullcontext():
        rows = tf.function(lambda w: jacobian_rows(forward, w, x, cotangents, side_by_side))(w)
    total = tf.function(lambda w: gradient(forward, w, x, cotangents[:, 0]))(w).numpy()
    z = tf.function(lambda w: forward(w, x))
    step = 1e-6
    columns = [
        ((z(w + step * e) - z(w - step * e)) / (2 * step)).numpy() for e in np.eye(weights.size)
    ]
    J = np.stack(columns, axis=-1)  # (examples, outputs, weights)
    expected = np.einsum("ero,eow->erw", cotangents, J).reshape(6, -1)
    np.testing.assert_allclose(rows, expected, atol=2e-8)
    np.testing.assert_allclose(total, expected[::2].sum(axis=0), atol=5e-8)


def test_unrolling_is_undone():
    network = keras.Sequential(NETWORKS["stacked lstm"]())
    recurrent = [layer for layer in layers_of(network) if isinstance(layer, layers.RNN)]
    assert len(recurrent) == 3
    with unrolled(network):
        assert all(layer.unroll for layer in recurrent)
    assert not any(layer.unroll for layer in recurrent)
