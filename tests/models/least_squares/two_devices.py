"""Run by test_devices.py in a process of its own, whose processor counts as two devices.

Prints, as JSON, how far each training under MirroredStrategy ends from that of one device.
"""

import contextlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf

import kerazoo

PROCESSOR = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(PROCESSOR, [tf.config.LogicalDeviceConfiguration()] * 2)
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(61, 3))  # an odd number: the shares are not equal
Y = np.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:]
WEIGHTS = RNG.uniform(0, 2, 61)
SEQUENCES = RNG.normal(size=(31, 4, 2)) * (np.arange(4) < RNG.integers(1, 5, (31, 1)))[..., None]
L = keras.layers


def dense():
    # Normalization by its moving statistics, which are variables of each device.
    hidden = [L.Dense(4, "tanh"), L.BatchNormalization(center=False, scale=False)]
    output = L.Dense(1, kernel_regularizer=keras.regularizers.L2(1e-3))
    return keras.Sequential([keras.Input((3,)), *hidden, output])


def two_layers():
    return keras.Sequential([keras.Input((3,)), L.Dense(2, "tanh"), L.Dense(1)])


def masked():
    return keras.Sequential([keras.Input((4, 2)), L.Masking(), L.Dense(3, "tanh"), L.Dense(1)])


def two_outputs():
    x = keras.Input((3,))
    hidden = L.Dense(4, "tanh")(x)
    return keras.Model(x, [L.Dense(1)(hidden), L.Dense(3)(hidden)])


def weighted_mean():
    return keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")


MASKED = SEQUENCES, SEQUENCES.sum(axis=2, keepdims=True)
TWO = X, [Y, (Y[:, 0] > 0).astype(int) + (X[:, 0] > 0)]
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HUBER = keras.losses.Huber(reduction="sum")
CHUNKS = {"solver": "qr", "jacobian_rows": 7}
# The last batch has one row, and the first device none of it.
BATCHES = {"batch_size": 60, "shuffle": False, "epochs": 2, "validation_data": (X, Y)}
ACCELERATED_DUAL = {"solver": "dual", "jacobian_rows": 7, "geodesic_acceleration": True}
CG_WITH_MOMENTUM = {"solver": "cg", "cg_tolerance": 1e-12, "momentum": 0.3}
CASES = {
    "weights": (dense, (X, Y, WEIGHTS), {"solver": "cholesky"}, {"loss": weighted_mean()}, {}),
    "qr in chunks": (dense, (X, Y), {**CHUNKS, "geodesic_acceleration": True}, {}, {}),
    "masks": (masked, MASKED, {}, {}, {}),
    "two losses": (two_outputs, TWO, {}, {"loss": ["mse", CROSS_ENTROPY]}, {}),
    "sums of batches": (dense, (X, Y), {}, {"loss": HUBER, "steps_per_execution": 2}, BATCHES),
    "dual in chunks": (dense, (X, Y, WEIGHTS), ACCELERATED_DUAL, {"loss": HUBER}, {}),
    "dual of two losses": (
        two_outputs,
        TWO,
        {"solver": "dual"},
        {"loss": ["mse", CROSS_ENTROPY]},
        {},
    ),
    "cg of batches": (two_layers, (X, Y), CG_WITH_MOMENTUM, {}, BATCHES),
}
# One step: more of them would enlarge rounding, as they do where one device changes its chunks.
ONE = {"epochs": 1}
IN_FLOAT32 = {
    "dual": (two_layers, (X, Y, WEIGHTS), {"solver": "dual", "momentum": 0.3}, {}, ONE),
    "cg": (two_layers, (X, Y), {"solver": "cg", "cg_tolerance": 1e-6}, {}, ONE),
}


def train(case, strategy, fit_in_scope):
    make, (x, y, *weights), of_optimizer, of_compile, of_fit = case
    keras.utils.set_random_seed(0)
    scope = strategy.scope() if strategy else contextlib.nullcontext()
    later = contextlib.ExitStack()
    with contextlib.ExitStack() as stack:
        stack.enter_context(scope)
        model = kerazoo.models.LeastSquares(make())
        optimizer = kerazoo.optimizers.LevenbergMarquardt("nielsen", polish=False, **of_optimizer)
        one_output = len(model.model.outputs) == 1
        model.compile(optimizer, metrics=["mae"] if one_output else None, **of_compile)
        if fit_in_scope:
            later = stack.pop_all()
    with later:
        named = {"epochs": 4, "verbose": 0, **of_fit}
        history = model.fit(x, y, sample_weight=weights[0] if weights else None, **named).history
        predicted = keras.tree.flatten(model.predict(x, verbose=0))
    return model, history, predicted


def distance(case, fit_in_scope):
    """The largest relative difference in weights, logs and predictions; the replicas' equality."""
    one, history, predicted = train(case, None, False)
    two, of_two, predicted_by_two = train(case, STRATEGY, fit_in_scope)
    pairs = list(zip(one.get_weights(), two.get_weights(), strict=True))
    pairs += zip(predicted, predicted_by_two, strict=True)
    if keras.config.floatx() == "float64":
        pairs += zip(history.values(), of_two.values(), strict=True)  # layers count their names
    replicas = [STRATEGY.experimental_local_results(v.value) for v in two.weights[:4]]
    equal = all(np.array_equal(a, b) for a, b in replicas)
    return [max(relative(np.asarray(a), np.asarray(b)) for a, b in pairs), equal]


def relative(a, b):
    return float(np.max(np.abs(a - b)) / max(np.max(np.abs(a)), 1e-300))


def message(make, x=X, **arguments):
    try:
        with STRATEGY.scope():
            model = kerazoo.models.LeastSquares(make())
            model.compile(kerazoo.optimizers.LevenbergMarquardt(), **arguments)
        model.fit(x, Y, verbose=0)
    except ValueError as error:
        return str(error)


class Mixing(keras.layers.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0, keepdims=True)


def mixing():
    return keras.Sequential([keras.Input((3,)), Mixing(name="mixing"), L.Dense(1)])


def metric_in_scope():
    with STRATEGY.scope():
        return keras.metrics.MeanAbsoluteError()


def not_finite():
    x = X.copy()
    x[-1] = np.nan  # in the second device's share
    return message(two_layers, x)


class Overflow(L.Layer):
    """Where exp overflows the output is zero, and the derivative inf / inf."""

    def build(self, shape):
        self.p = self.add_weight(shape=(3,), initializer=keras.initializers.Constant(0.5))

    def call(self, x):
        p = keras.ops.convert_to_tensor(self.p)
        return p[0] / (1 + keras.ops.exp(-(p[1] + p[2] * x)))


def taken_back():
    """The codes of the steps of a fit that leaves where the gradient is finite, and its end."""
    x = np.arange(20.0)[:, None]
    with STRATEGY.scope():
        model = kerazoo.models.LeastSquares(keras.Sequential([keras.Input((1,)), Overflow()]))
        model.compile(kerazoo.optimizers.LevenbergMarquardt(solver="qr"))
    history = model.fit(x, 1.0 * (x >= 10), epochs=60, verbose=0).history
    return {"codes": history["stop_code"], "loss": history["loss"][-1]}


def main():
    in_float32 = {name: distance(case, False) for name, case in IN_FLOAT32.items()}
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    found = {name: distance(case, i % 2 == 1) for i, (name, case) in enumerate(CASES.items())}
    messages = {
        "nan": not_finite(),
        "mixing": message(mixing),
        "metric": message(two_layers, metrics=[metric_in_scope()]),
    }
    result = {
        "found": found,
        "float32": in_float32,
        "messages": messages,
        "taken back": taken_back(),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
