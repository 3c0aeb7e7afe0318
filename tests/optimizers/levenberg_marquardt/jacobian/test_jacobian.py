"""What the layers say of the rows of J, against rows by reverse mode through the whole network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from speed import slow_but

from kerazoo.optimizers.levenberg_marquardt.flat_weights import FlatWeights
from kerazoo.optimizers.levenberg_marquardt.jacobian import LayeredJacobian

layers = keras.layers
EXAMPLES = 4


def sequential(shape, *stack, **arguments):
    return keras.Sequential([keras.Input(shape, **arguments), *stack])


def functional(shape, make):
    x = keras.Input(shape)
    return keras.Model(x, make(x))


def shared(x):
    dense = layers.Dense(4, "tanh")
    return layers.Dense(2)(dense(dense(x)))


def residual(x):
    return layers.Dense(2)(x + layers.Dense(4, "tanh")(x))


def two_outputs(x):
    h = layers.Dense(3, "tanh")(x)
    return {"b": layers.Dense(2)(h), "a": layers.Dense(1)(h)}


def states(x):
    sequence, h, c = layers.LSTM(3, return_sequences=True, return_state=True)(x)
    again = layers.LSTM(3, unroll=True)(sequence, initial_state=[h, c])
    return layers.Dense(2)(layers.Concatenate()([again, h, c, layers.Flatten()(sequence)]))


def attention(x):
    h = layers.MultiHeadAttention(2, 3)(x, x)
    return layers.Dense(1)(layers.Flatten()(h + x))


class Tied(keras.Model):
    """Uses a layer's kernel outside of the layer."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4, "tanh")
        self.gain = self.add_weight(shape=(1,))

    def call(self, x):
        return ops.matmul(self.dense(x) * self.gain, ops.transpose(self.dense.kernel))


class Shift(layers.Layer):
    """Its derivative uses tanh's value, which is made inside, and the weight nowhere else."""

    def build(self, shape):
        self.shift = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return ops.tanh(x + self.shift)


class Beside(layers.Layer):
    """Takes a second tensor that has the examples on another axis; does not use all its weights."""

    def build(self, x_shape, time_major_shape):
        self.unused = self.add_weight(shape=(2,))
        self.slope = self.add_weight(shape=(x_shape[-1],))

    def call(self, x, time_major):
        return ops.tanh(x * self.slope + ops.sum(time_major, axis=0))


def time_major(x):
    return layers.Dense(2)(Beside()(x[:, 0], ops.transpose(x, (1, 0, 2))))


class Physics(keras.Model):
    """The output holds derivatives of a network in its inputs."""

    def __init__(self):
        super().__init__()
        self.network = sequential((4,), layers.Dense(5), Shift(), layers.Dense(1))
        self.head = layers.Dense(2)

    def call(self, x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                u = self.network(x)
            du = inner.gradient(u, x)
        return self.head(tf.concat([u, du, outer.gradient(du, x)], axis=1))


class Composite(layers.Layer):
    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(4, "tanh"), layers.Dense(4)

    def call(self, x):
        h = self.first(x)
        return h + self.second(h)


class Buckets(layers.Layer):
    """Weights chosen by a lookup, and of several shapes."""

    def build(self, shape):
        self.table = self.add_weight(shape=(5, shape[-1]))
        self.slope = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.slope + ops.take(self.table, ops.cast(x[:, 0] > 0, "int32"), axis=0)


class Branching(layers.Layer):
    """Weights inside a branch of the graph."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))

    def call(self, x):
        steep = ops.sum(ops.abs(self.kernel)) > 0
        return ops.cond(steep, lambda: ops.tanh(x @ self.kernel), lambda: x @ self.kernel)


class Doubled(layers.Dense):
    """Not what its parent is."""

    def call(self, x):
        return 2 * super().call(x)


def built(model):
    model(np.zeros((2, 4)))
    return model


NETWORKS = {
    "mlp": lambda: sequential((4,), layers.Dense(5, "tanh"), layers.Dense(3)),
    "shared": lambda: functional((4,), shared),
    "residual": lambda: functional((4,), residual),
    "two outputs": lambda: functional((4,), two_outputs),
    "tied": lambda: built(Tied()),
    "physics": lambda: built(Physics()),
    "composite": lambda: sequential((4,), Composite(), Composite(), layers.Dense(1)),
    "buckets": lambda: sequential((4,), Buckets(), layers.Dense(2)),
    "branch": lambda: sequential((4,), Branching(), layers.Dense(2)),
    "convolution": lambda: sequential(
        (7, 7, 2),
        layers.Conv2D(3, 3, strides=2, activation="tanh"),
        layers.Conv2D(4, 2, dilation_rate=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(2),
    ),
    "convolutions of other kinds": lambda: sequential(
        (6, 6, 4),
        layers.Conv2D(4, 3, groups=2),
        layers.DepthwiseConv2D(2),
        layers.Conv2DTranspose(2, 2),
        layers.Flatten(),
        layers.Dense(1),
    ),
    "causal": lambda: sequential(
        (6, 2),
        layers.Conv1D(3, 3, padding="causal", dilation_rate=2, activation="tanh"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(2),
    ),
    "lstm": lambda: sequential(
        (4, 3), layers.LSTM(3, return_sequences=True), layers.LSTM(2), layers.Dense(2)
    ),
    "unrolled": lambda: sequential(
        (4, 3),
        layers.LSTM(3, unroll=True, return_sequences=True),
        layers.GRU(2, unroll=True),
        layers.Dense(2),
    ),
    "states": lambda: functional((4, 2), states),
    "bidirectional": lambda: sequential(
        (4, 3), layers.Bidirectional(layers.GRU(2)), layers.Dense(2)
    ),
    "embedding": lambda: sequential(
        (3,), layers.Embedding(40, 2), layers.Flatten(), layers.Dense(2), dtype="int32"
    ),
    "masked": lambda: sequential(
        (5,), layers.Embedding(4, 3, mask_zero=True), layers.LSTM(2), dtype="int32"
    ),
    "normalized": lambda: sequential(
        (4,),
        layers.Dense(5),
        layers.LayerNormalization(),
        layers.PReLU(),
        layers.BatchNormalization(),
        layers.Dense(2),
    ),
    "time distributed": lambda: sequential(
        (3, 4), layers.TimeDistributed(layers.Dense(5, "tanh")), layers.Dense(1), layers.Flatten()
    ),
    "wide and short": lambda: sequential(
        (2, 4), layers.Dense(40, "tanh"), layers.Dense(40), layers.Flatten(), layers.Dense(2)
    ),
    "einsum": lambda: sequential(
        (3, 4),
        layers.EinsumDense("abc,dec->abed", (3, 2, 5), bias_axes="ed", activation="tanh"),
        layers.EinsumDense("abed,edf->af", 2),
    ),
    "nearly linear forms": lambda: sequential(
        (3, 4),
        Doubled(4),
        layers.EinsumDense("abc,cd->abd", (3, 5), bias_axes="bd"),
        layers.Flatten(),
        layers.Dense(1),
    ),
    "attention": lambda: functional((3, 4), attention),
    "time major": lambda: functional((3, 4), time_major),
}


def in_float64(name):
    keras.utils.set_random_seed(0)
    network = NETWORKS[name]()
    rng = np.random.default_rng(0)
    for variable in network.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    shape = (EXAMPLES, *(getattr(network, "input_shape", None) or (None, 4))[1:])
    lookup = name in ("embedding", "masked")
    x = rng.integers(0, 4, shape) if lookup else rng.normal(size=shape)
    return network, FlatWeights(network.trainable_variables), tf.constant(x), rng


def rows_by_reverse_mode(network, weights, x, cotangents):
    w = weights.vector()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(w)
        with weights.scope(w):
            outputs = keras.tree.flatten(network(x, training=False))
        z = tf.concat([tf.reshape(t, [EXAMPLES, -1]) for t in outputs], axis=1)
        rows = tf.reshape(tf.einsum("bro,bo->br", cotangents, z), [-1])
    return tape.jacobian(rows, w, experimental_use_pfor=False).numpy()


SLOW = ("attention", "bidirectional", "lstm", "masked", "states")


@pytest.mark.parametrize(
    "name",
    slow_but(*(n for n in NETWORKS if n not in SLOW), of=NETWORKS),
)
def test_what_the_layers_say(name, float64):
    network, weights, x, rng = in_float64(name)
    outputs = keras.tree.flatten(network(x, training=False))
    count = sum(int(np.prod(z.shape[1:])) for z in outputs)
    cotangents = tf.constant(rng.normal(size=(EXAMPLES, 2, count)))
    factors = rng.uniform(0.5, 2, len(weights.sizes))
    values = [rng.normal(size=v.shape) for v in weights.variables]
    alpha = rng.normal(size=(EXAMPLES, 2))
    jacobian = LayeredJacobian(network, weights, x, rows=2)

    @tf.function
    def run(w):
        data = jacobian.data(jacobian.run(w, x), cotangents)
        constants = [tf.constant(v) for v in values]
        return {
            "columns": jacobian.columns(data),
            "together": jacobian.gram(data, data, tf.constant(factors), 1),
            "apart": jacobian.gram(data, data, tf.constant(factors), len(factors)),
            "part": jacobian.gram(
                jacobian.slice(data, 1, EXAMPLES, EXAMPLES),
                jacobian.slice(data, 1, 3, EXAMPLES),
                tf.constant(factors),
                1,
            ),
            "squares": jacobian.squares(data),
            "mv": jacobian.mv(data, constants),
            "transpose_mv": jacobian.transpose_mv(data, tf.constant(alpha)),
        }

    found = run(weights.vector())
    J = rows_by_reverse_mode(network, weights, x, cotangents)
    blocks = np.split(J, np.cumsum(weights.sizes)[:-1], axis=1)
    grams = np.stack([f * B @ B.T for f, B in zip(factors, blocks, strict=True)])
    products = [B @ np.ravel(v) for B, v in zip(blocks, values, strict=True)]
    expected = {
        "columns": J.T,
        "together": grams.sum(axis=0, keepdims=True),
        "apart": grams,
        "part": grams.sum(axis=0, keepdims=True)[:, 2:, 2:6],
        "squares": [np.sum(B**2) for B in blocks],
        "mv": products,
        "transpose_mv": J.T @ alpha.ravel(),
    }
    for what, value in expected.items():
        np.testing.assert_allclose(found[what], value, rtol=1e-10, atol=1e-12, err_msg=what)


def kinds(name):
    network, weights, x, _ = in_float64(name)
    return [type(block).__name__ for block in LayeredJacobian(network, weights, x, rows=1).blocks]


def test_which_layers_are_never_written_out(float64):
    assert kinds("mlp") == ["OuterProducts"] * 2
    assert kinds("composite") == ["OuterProducts"] * 5
    assert kinds("embedding")[0] == "Embedding"
    # Sums over positions cost less than their products for wide layers alone.
    assert kinds("wide and short") == ["Explicit", "OuterProducts", "OuterProducts"]
    assert kinds("nearly linear forms") == ["Fallback"] * 2 + ["OuterProducts"]
    # Used outside of the layer, a kernel is not the layer's alone; its bias is.
    assert kinds("tied") == ["Fallback", "OuterProducts"]
    assert kinds("physics")[0] == "Fallback"


def test_numbers_that_a_row_keeps(float64):
    """Inputs and outputs of each layer, and what forward and backward passes make at least."""
    network, weights, x, _ = in_float64("mlp")
    jacobian = LayeredJacobian(network, weights, x, rows=1)
    assert jacobian.product_cost == (4 + 5) + (5 + 3)
    assert 17 + 2 * (5 + 5 + 3) <= jacobian.floats_per_row < 17 + 2 * 50


def test_nothing_is_left_on_the_layers(float64):
    network, weights, x, _ = in_float64("mlp")
    before = [dict(vars(layer)) for layer in network.layers]
    LayeredJacobian(network, weights, x, rows=1)
    assert [dict(vars(layer)) for layer in network.layers] == before
