"""Networks with losses, as functions of their weights: what the solvers are held against."""

import keras
import numpy as np
import tensorflow as tf

import kerazoo

layers = keras.layers
RNG = np.random.default_rng(5)
BATCH = 6


def regression():
    l2 = keras.regularizers.L2(0.03)
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, "tanh", kernel_regularizer=l2),
            layers.Dense(2, bias_regularizer=keras.regularizers.L2(0.1)),
        ]
    )


def lasso():
    l1 = keras.regularizers.L1L2(0.02, 0.03)
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(3, "tanh", kernel_regularizer=l1), layers.Dense(2)]
    )


def frozen():
    model = regression()
    model.layers[0].trainable = False
    return model


def masked():
    return keras.Sequential(
        [
            keras.Input((4, 2)),
            layers.Masking(),
            layers.SimpleRNN(3, return_sequences=True, unroll=True),
            layers.Dense(3),
        ]
    )


def two_by_two():
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    h = layers.Dense(3, "tanh")(layers.Concatenate()([a, b]))
    outputs = {"mean": layers.Dense(2)(h), "kind": layers.Dense(3)(h)}
    return keras.Model({"a": a, "b": b}, outputs)


def real(*shape):
    return RNG.normal(size=shape)


def kinds(*shape):
    return RNG.integers(0, 3, shape)


def late_start():
    x = real(BATCH, 4, 2)
    x[:3, :2] = 0
    return x


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


CASES = {
    "mse": (regression, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "mse", None),
    "huber": (regression, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "huber", None),
    "l1": (lasso, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "log_cosh", None),
    "frozen": (frozen, lambda: real(BATCH, 3), lambda: real(BATCH, 2), lambda: "mse", None),
    "masked": (masked, late_start, lambda: real(BATCH, 4, 3), lambda: "mse", None),
    "masked classes": (masked, late_start, lambda: kinds(BATCH, 4), sparse, None),
    "two outputs": (
        two_by_two,
        lambda: {"a": real(BATCH, 2), "b": real(BATCH, 3)},
        lambda: {"mean": real(BATCH, 2), "kind": kinds(BATCH)},
        lambda: {"kind": sparse(), "mean": "mse"},
        {"mean": 0.3, "kind": 2.0},
    ),
}


def pieces(name, jacobian_rows, weight):
    make_network, make_x, make_y, make_loss, loss_weights = CASES[name]
    keras.utils.set_random_seed(1)
    network = make_network()
    model = kerazoo.models.LeastSquares(network)
    model.compile(loss=make_loss(), loss_weights=loss_weights)
    x, y = make_x(), make_y()
    if weight is not None and isinstance(y, dict):
        weight = dict.fromkeys(y, weight)

    def keras_loss(outputs):
        return model.compute_loss(x, y, outputs, weight, training=False)

    optimizer = model.optimizer

    def objective():
        tensors = keras.tree.map_structure(tf.constant, x)
        made = model._objective_of(
            optimizer.weights, keras_loss, model._loss_of_each_output, tensors
        )
        return made.in_chunks(jacobian_rows)

    return objective, optimizer.weights, network, x, keras_loss
