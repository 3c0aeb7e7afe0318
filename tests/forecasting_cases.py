"""Series and small forecasters that several test files share."""

import keras
import numpy as np
from hypothesis import HealthCheck, settings

from kerazoo.models import StatefulLSTMForecaster

LENGTHS = [48, 331, 100, 77, 60, 200, 150]
NAN, INF = np.nan, np.inf

# Few and repeatable, since each example runs a network.
few_examples = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def waves(lengths=LENGTHS, seed=0):
    rng = np.random.default_rng(seed)
    return [
        5 + 2 * np.sin(0.3 * np.arange(n) + i) + 0.3 * rng.normal(size=n)
        for i, n in enumerate(lengths)
    ]


def make(loss="mse", optimizer="adam", metrics=None, seed=0, **arguments):
    """A forecaster with random weights; that they are not those it drew makes it a fitted one."""
    keras.utils.set_random_seed(seed)
    model = StatefulLSTMForecaster(**{"units": (8,), **arguments})
    model.compile(optimizer, loss, metrics=metrics)
    rng = np.random.default_rng(seed)
    weights = [w + 0.2 * rng.normal(size=w.shape) for w in model.network.get_weights()]
    model.network.set_weights(weights)
    return model


def frozen():
    """An optimizer that moves nothing, so that `fit` reports the loss at the first weights."""
    return keras.optimizers.SGD(0.0)


def several_features(series, features):
    """Of one-dimensional series those of several features."""
    if features == 1:
        return series
    return [np.stack([one, one[::-1] ** 2 + 1], axis=1)[:, :features] for one in series]


def full_sequence_network(model):
    """The same weights in a plain functional Keras model: no chunks, no carried state."""
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[model.cell]
    inputs = x = keras.Input((None, model.codec.num_inputs))
    for width in model.units:
        x = layer(width, return_sequences=True)(x)
    plain = keras.Model(inputs, keras.layers.Dense(model.num_features)(x))
    plain.set_weights(model.network.get_weights())
    return plain
