"""The Jacobian of networks of every layer and of many operations, against central differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from layer_cases import CASES, EXAMPLES, IN_FLOAT32, NO_CASE, examples, public_layers
from speed import slow_but

from kerazoo.models import LeastSquares
from kerazoo.optimizers import LevenbergMarquardt
from kerazoo.optimizers.levenberg_marquardt.flat_weights import FlatWeights
from kerazoo.optimizers.levenberg_marquardt.jacobian import LayeredJacobian

layers = keras.layers
ORDERS = [[0, 1, 2, 3], [2, 0, 2, 1], [3, 3, 1, 0]]
OPERATIONS = {}


def operation(shape=(4,), weights=((4,),)):
    """Adds a network around a function of a layer's inputs and weights."""

    def added(function):
        class Own(layers.Layer):
            def build(self, _):
                self.own = [self.add_weight(shape=shape) for shape in weights]

            def call(self, x):
                return function(x, *self.own)

        def network():
            return keras.Sequential([keras.Input(shape), Own(), layers.Flatten(), layers.Dense(1)])

        OPERATIONS[function.__name__] = network
        return function

    return added


@operation()
def scan(x, w):
    return ops.scan(lambda c, u: (ops.tanh(w * c + u[:, None]), None), 0 * x, ops.transpose(x))[0]


@operation()
def scan_in_a_scan(x, w):
    def inner(c, u):
        return ops.tanh(c * w[0] + u), None

    def outer(c, u):
        return ops.scan(inner, c + u, ops.transpose(x)[:2])[0], None

    return ops.scan(outer, 0 * x[:, 0], ops.transpose(x))[0][:, None]


@operation()
def associative_scan(x, w):
    rows = ops.associative_scan(lambda a, b: a * w[0] + b + a * b, ops.transpose(x))
    return ops.transpose(ops.reshape(rows, (4, -1)))  # Keras has lost the shape


@operation()
def while_loop(x, w):
    return ops.while_loop(lambda i, c: i < 3, lambda i, c: (i + 1, ops.tanh(w * c)), (0, x))[1]


@operation()
def loop_until_the_data_are_satisfied(x, w):
    """Newton's method for u + u^3 = w x."""

    def unfinished(i, u):
        return ops.any(ops.abs(u + u**3 - w * x) > 1e-13)

    def step(i, u):
        return i + 1, u - (u + u**3 - w * x) / (1 + 3 * u**2)

    return ops.while_loop(unfinished, step, (0, 0 * x), maximum_iterations=50)[1]


@operation()
def loop_as_long_as_the_data_say(x, w):
    turns = ops.cast(3 * ops.abs(x[:, :1]), "int32") + 1

    def step(i, c):
        return i + 1, ops.where(i < turns, ops.tanh(w * c), c)

    return ops.while_loop(lambda i, c: i < ops.max(turns), step, (0, x))[1]


@operation()
def cond(x, w):
    return ops.cond(ops.sum(w**2) > 0, lambda: ops.tanh(x * w), lambda: x * w)


@operation()
def cond_in_map_fn(x, w):
    def one(row):
        return tf.cond(row[0] > 0, lambda: tf.tanh(row * w), lambda: row * w**2)

    return tf.map_fn(one, x)


@operation(shape=(1,), weights=((3,),))
def take(x, w):
    places = ops.cast(2 * ops.abs(x), "int32") % 4
    return ops.take(ops.concatenate([ops.zeros(1), w]), places, axis=0)


@operation(shape=(3,), weights=((4, 3),))
def lookup(x, table):
    """Its gradient is sparse."""
    return x + ops.take(table, ops.cast(2 * ops.abs(x[:, 0]), "int32") % 4, axis=0)


@operation()
def take_along_the_batch(x, w):
    return ops.take(ops.tanh(x * w), ops.arange(ops.shape(x)[0]), axis=0)


@operation()
def segment_sum(x, w):
    by_feature = ops.segment_sum(ops.transpose(ops.tanh(x * w)), np.array([0, 0, 1, 1]), 2)
    return ops.transpose(by_feature)


@operation()
def vectorized_map(x, w):
    return ops.vectorized_map(lambda row: ops.tanh(row * w) * ops.sum(row), x)


@operation()
def map_fn(x, w):
    return tf.map_fn(lambda row: tf.tanh(row * w), x)


@operation()
def boolean_mask(x, w):
    """As many values as the data say."""
    positive = x > 0
    values = tf.boolean_mask(tf.tanh(x * w), positive)
    return tf.tensor_scatter_nd_update(tf.zeros_like(x), tf.where(positive), values)


@operation()
def dynamic_partition(x, w):
    """A mixture of experts."""
    places = tf.range(tf.shape(x)[0])
    kind = tf.cast(x[:, 0] > 0, tf.int32)
    a, b = tf.dynamic_partition(x, kind, 2)
    return tf.dynamic_stitch(tf.dynamic_partition(places, kind, 2), [a * w, tf.tanh(b * w)])


@operation()
def sort_and_factor(x, w):
    s = ops.sort(x * w, axis=-1)
    return ops.qr(s[:, :2, None] * s[:, None, 2:] + ops.eye(2))[1]


@operation()
def compiled_by_xla(x, w):
    return tf.function(lambda x: tf.tanh(x * w), jit_compile=True)(x)


def convolution_in_groups():
    convolution = layers.Conv2D(4, 2, groups=2)
    return keras.Sequential(
        [keras.Input((3, 3, 4)), convolution, layers.Flatten(), layers.Dense(1)]
    )


OPERATIONS["convolution_in_groups"] = convolution_in_groups


def made(make, seed=1):
    keras.utils.set_random_seed(0)
    network = make()
    rng = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.5)
    return network, tf.nest.map_structure(tf.constant, examples(network, rng))


def in_order(x, order):
    return tf.nest.map_structure(lambda leaf: tf.gather(leaf, order), x)


def jacobian_and_differences(network, x, orders, step):
    """J of the outputs, by the layers and by differences, for several orders of the examples."""
    weights = FlatWeights(network.trainable_variables)

    @tf.function(autograph=False)
    def outputs(w, x):
        with weights.scope(w):
            z = network(x, training=False)
        return tf.reshape(z, [-1])

    w = weights.vector()
    rows = outputs(w, x).shape[0] // EXAMPLES
    layered = LayeredJacobian(network, weights, x, rows)

    @tf.function(autograph=False)
    def jacobian(w, x):
        each = tf.tile(tf.eye(rows, dtype=w.dtype)[None], [EXAMPLES, 1, 1])
        return tf.transpose(layered.columns(layered.data(layered.run(w, x), each)))

    for order in orders:
        ordered = in_order(x, order)
        differences = [
            (outputs(w + step * e, ordered) - outputs(w - step * e, ordered)) / (2 * step)
            for e in np.eye(weights.size, dtype=weights.dtype.name)
        ]
        yield jacobian(w, ordered).numpy(), np.stack(differences, -1)


def test_every_layer_of_keras_has_a_case():
    assert public_layers() == set(CASES) | set(NO_CASE)


@pytest.mark.parametrize(
    "name", slow_but("Dense", "Embedding", "PReLU", "StringLookup", "Dot", of=CASES)
)
def test_every_layer_of_keras(name, request):
    double = name not in IN_FLOAT32
    if double:
        request.getfixturevalue("float64")
    network, x = made(CASES[name])
    step, tolerance = (1e-6, 1e-8) if double else (1e-3, 5e-3)
    for J, differences in jacobian_and_differences(network, x, ORDERS, step):
        largest = np.abs(differences).max()
        np.testing.assert_allclose(J, differences, atol=tolerance * max(1, largest))
        assert largest > 0


@pytest.mark.parametrize(
    "name",
    slow_but(
        "boolean_mask", "compiled_by_xla", "cond", "lookup", "segment_sum", "take", of=OPERATIONS
    ),
)
def test_operations(name, float64):
    network, x = made(OPERATIONS[name])
    for J, differences in jacobian_and_differences(network, x, ORDERS, 1e-6):
        np.testing.assert_allclose(J, differences, atol=1e-8)
        assert np.abs(differences[:, :-1]).max() > 1e-3  # the layer's own weights


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["boolean_mask", "compiled_by_xla", "cond_in_map_fn", "lookup", "scan", "segment_sum", "take"],
)
def test_every_solver_takes_the_same_step(name, float64):
    """That of the normal equations with J by differences."""
    network, x = made(OPERATIONS[name])
    ((_, J),) = jacobian_and_differences(network, x, ORDERS[1:2], 1e-6)
    x = in_order(x, ORDERS[1]).numpy()
    start = network.get_weights()
    y = np.linspace(-1, 1, EXAMPLES)[:, None]
    r = network.predict(x, verbose=0)[:, 0] - y[:, 0]
    damping = 3.0
    A = 2 / EXAMPLES * J.T @ J + damping * np.eye(J.shape[1])
    expected = -np.linalg.solve(A, 2 / EXAMPLES * J.T @ r)
    for solver in ("cholesky", "qr", "dual", "cg"):
        network.set_weights(start)
        model = LeastSquares(network)
        optimizer = LevenbergMarquardt(
            damping_rule="nielsen",
            initial_damping=damping,
            scaling="identity",
            solver=solver,
            cg_tolerance=1e-12,
        )
        model.compile(optimizer)
        model.fit(x, y, batch_size=EXAMPLES, shuffle=False, verbose=0)
        moved = [new - old for new, old in zip(network.get_weights(), start, strict=True)]
        step = np.concatenate([np.ravel(part) for part in moved])
        np.testing.assert_allclose(step, expected, atol=1e-7, err_msg=solver)


QUICK = ("Conv3D", "DepthwiseConv2D", "LayerNormalization", "PReLU", "Attention")
LOOPS = ("LSTM", "GRU", "ConvLSTM2D")


@pytest.mark.parametrize("name", slow_but(*QUICK, of=QUICK + LOOPS))
def test_layers_whose_rows_run_at_once(name, monkeypatch):
    """One by one would be right as well, and many times slower."""

    def one_by_one(*args, **kwargs):
        raise AssertionError("one by one")

    network, x = made(CASES[name])
    weights = FlatWeights(network.trainable_variables)
    layered = LayeredJacobian(network, weights, x, 1)

    def columns(w):
        run = layered.run(w, x)
        return layered.columns(layered.data(run, tf.ones_like(run.outputs[0])[:, None]))

    monkeypatch.setattr(tf, "map_fn", one_by_one)
    tf.function(columns, autograph=False).get_concrete_function(weights.vector())


def test_an_embedding_counts_negative_numbers_from_the_end(float64):
    def make():
        codes = keras.Input((2,), dtype="int32")
        h = layers.Flatten()(layers.Embedding(4, 2)(codes))
        return keras.Model(codes, layers.Dense(1)(h))

    network, _ = made(make)
    x = tf.constant([[-1, 0], [1, -4], [2, 3], [-2, -1]])
    ((J, differences),) = jacobian_and_differences(network, x, ORDERS[:1], 1e-6)
    np.testing.assert_allclose(J, differences, atol=1e-9)
