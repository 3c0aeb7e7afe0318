"""J of several replicas against rows by reverse mode through the whole network.

The replicas are of one process and on one processor: test_devices.py has two devices, and workers.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from speed import slow_but

from kerazoo.optimizers.levenberg_marquardt.flat_weights import FlatWeights
from kerazoo.optimizers.levenberg_marquardt.linear_algebra import symmetric
from kerazoo.optimizers.levenberg_marquardt.objective.curvature import family_of
from kerazoo.optimizers.levenberg_marquardt.objective.joint_objective import JointObjective
from kerazoo.optimizers.levenberg_marquardt.objective.replicas import Replicas

layers = keras.layers
RNG = np.random.default_rng(0)


def lookup():
    x = keras.Input((3,), dtype="int32")
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.Embedding(5, 2)(x))))


def dense():
    return keras.Sequential([keras.Input((3,)), layers.Dense(3, "tanh"), layers.Dense(2)])


class Two(Replicas):
    """Two replicas of this process."""

    def __init__(self):
        super().__init__([])
        self.num_replicas, self.devices, self._ids = 2, ("CPU:0",) * 2, (0, 1)


def joint(network, x, rows_at_a_time, weights):
    """Of half the sum of squares of the outputs, so that the rows are those of dz/dw."""

    def loss(z):
        return tf.reduce_sum(z**2) / 2

    def families_of(structure):
        return [family_of("mse")]

    objective = JointObjective(Two(), network, weights, loss, families_of, x)
    return objective.in_chunks(rows_at_a_time)


def lower(panels):
    return np.concatenate(
        [
            np.pad(panel, [[0, 0], [panels[0].shape[1] - panel.shape[1], 0], [0, 0]])
            for panel in panels
        ],
        axis=2,
    )


@pytest.mark.parametrize(
    ("make", "examples", "rows_at_a_time", "known"),
    slow_but(
        (dense, 7, 100, True),
        of=[
            (dense, 7, 100, True),
            (lookup, 7, 4, False),
            (lookup, 1, 100, True),  # fewer examples than replicas
        ],
    ),
)
def test_all_it_offers(make, examples, rows_at_a_time, known, float64):
    keras.utils.set_random_seed(0)
    network = make()
    weights = FlatWeights(network.trainable_variables)
    dtype = network.inputs[0].dtype
    x = tf.constant(RNG.integers(0, 5, (examples, 3)), dtype)
    count = len(weights.sizes)
    factors, v = RNG.uniform(0.5, 2, count), RNG.normal(size=weights.size)
    alpha = RNG.normal(size=2 * examples)

    def run(w, x):
        J = joint(network, x, rows_at_a_time, weights).linearize(w).jacobian
        return {
            "mv": J.mv(tf.constant(v)),
            "mv by variable": J.mv_by_variable(tf.constant(v)),
            "transpose": J.transpose_mv(tf.constant(alpha)),
            "squares": J.squares(),
            "together": J.gram(tf.constant(factors), 1),
            "apart": J.gram(tf.constant(factors), count),
            "sampled": J.sampled_gram(tf.constant(factors), 4),
        }

    shape = x.shape if known else [None, 3]
    spec = tf.TensorSpec(shape, dtype)
    run = tf.function(run, input_signature=[tf.TensorSpec([weights.size], "float64"), spec])
    found = run(weights.vector(), x)

    w = weights.vector()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(w)
        with weights.scope(w):
            z = tf.reshape(network(x), [-1])
    J = tape.jacobian(z, w, experimental_use_pfor=False).numpy()
    parts = np.split(J, np.cumsum(weights.sizes)[:-1], axis=1)
    values = np.split(v, np.cumsum(weights.sizes)[:-1])
    grams = np.stack([f * part @ part.T for f, part in zip(factors, parts, strict=True)])
    chosen = np.arange(min(2, examples)) * examples // min(2, examples)
    sampled = np.ravel(2 * chosen[:, None] + [0, 1])
    K = grams.sum(axis=0)

    def close(name, value, expected):
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12, err_msg=name)

    close("mv", found["mv"], J @ v)
    products = [part @ value for part, value in zip(parts, values, strict=True)]
    close("mv by variable", found["mv by variable"], products)
    close("transpose", found["transpose"], J.T @ alpha)
    close("squares", found["squares"], [np.sum(part**2) for part in parts])
    for name, expected in (("together", K[None]), ("apart", grams)):
        close(name, np.tril(lower([p.numpy() for p in found[name]])), np.tril(expected))
    assert len(found["together"]) == symmetric.count_of_panels(2 * examples) or not known
    close("columns", found["sampled"][0], K[:, sampled])
    close("corner", found["sampled"][1], K[np.ix_(sampled, sampled)])


class OneOfTwo(Replicas):
    """A worker of two, with one replica each."""

    def __init__(self, number):
        super().__init__([])
        self.num_replicas, self._ids, self.several_workers = 2, (number,), True


@pytest.mark.parametrize("axis", [0, 1])
def test_what_workers_place_among_zeros_adds_up_to_the_whole(axis):
    whole = RNG.normal(size=(10, 10, 2))
    workers = [OneOfTwo(0), OneOfTwo(1)]
    parts = []
    for worker in workers:
        ((start, stop),) = worker.bounds(5)  # two entries a row
        share = np.take(whole, range(2 * start, 2 * stop), axis=axis)
        parts.append(worker.among_zeros([tf.constant(share)], 5, axis, entries=2))
    np.testing.assert_array_equal(parts[0] + parts[1], whole)
    assert parts[0].shape == parts[1].shape
