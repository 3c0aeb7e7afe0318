"""How long does a forecast of 100 steps take, beside the loops that people write today?

    python scripts/bench_forecast.py

One LSTM(64), one series, a context of 50 values, the same weights in all:

forecast        `StatefulLSTMForecaster.forecast(100, context)`: the whole call, NumPy in and out,
                in original units.
forecast, XLA   the same after `compile(jit_compile=True)`.
step            our own `step` called 100 times, as one would to follow a live series.
compiled step   the model as Keras layers with the states as inputs and outputs, called in a
                `tf.function` 100 times from Python; only the steps are timed, not the warm-up.
compiled cell   the same with nothing around the LSTM cell and the dense layer: the least that a
                loop in Python can cost.
model.predict   a Keras model of the same layers on a window of the last 50 values, as in most
                tutorials: 100 calls of `model.predict`.

All are called before they are timed. All but the last take turns, and their medians over the
rounds are compared; a round of `model.predict` takes seconds, so it runs three times. All but the
last, which forgets what left its window, must return the same forecast.
"""

import argparse
import os
import platform
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from kerazoo.models import StatefulLSTMForecaster

HORIZON, CONTEXT, UNITS = 100, 50, 64


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50, help="rounds of the fast ones")
    parser.add_argument("--predict-rounds", type=int, default=3, help="rounds of model.predict")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    # Without scaling, so that the loops may work on the same numbers.
    context = np.sin(0.3 * np.arange(CONTEXT)).astype("float32")
    model = StatefulLSTMForecaster(units=(UNITS,), scaling=None)
    model.compile("adam")
    model.fit(context, verbose=0)
    jitted = StatefulLSTMForecaster(units=(UNITS,), scaling=None)
    jitted.compile(jit_compile=True)
    step_model = keras_step_model()
    window_model = keras.Sequential(
        [keras.Input((CONTEXT, 1)), keras.layers.LSTM(UNITS), keras.layers.Dense(1)]
    )
    for other in (jitted, step_model, window_model):
        other.set_weights(model.get_weights())
    warm = model.warm_up(context)
    first, states = tf.constant(warm.prediction, tf.float32), list(warm.recurrent)

    @tf.function
    def compiled_step(x, states):
        y, *states = step_model([x[:, None], *states])
        return y, states

    compiled_cell = tf.function(model.network.step)

    def step_loop():
        state = model.warm_up(context)
        found = [state.prediction[0]]
        for _ in range(HORIZON - 1):
            x, state = model.step(found[-1], state)
            found.append(x)
        return np.stack(found)

    def predict_loop():
        window = context.copy()
        for _ in range(HORIZON):
            x = window_model.predict(window[None, :, None], verbose=0)
            window = np.append(window[1:], x)

    methods = {
        "forecast": lambda: model.forecast(HORIZON, context),
        "forecast, XLA": lambda: jitted.forecast(HORIZON, context),
        "step": step_loop,
        "compiled step": lambda: python_loop(compiled_step, first, states),
        "compiled cell": lambda: python_loop(compiled_cell, first, states),
    }
    expected = methods["forecast"]()
    for method in methods.values():
        np.testing.assert_allclose(method(), expected, rtol=1e-3, atol=1e-5)
    predict_loop()
    timed = {name: [] for name in methods}
    for _ in range(options.rounds):
        for name, method in methods.items():
            timed[name].append(seconds(method))
    timed["model.predict"] = [seconds(predict_loop) for _ in range(options.predict_rounds)]

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}; {HORIZON} steps, medians")
    ours = statistics.median(timed["forecast"])
    for name, times in timed.items():
        median = statistics.median(times)
        print(f"{name:<16}{1000 * median:>10.2f} ms{median / ours:>10.2f} x forecast")


def keras_step_model():
    """One step as a Keras model: `[x, h, c] -> [y, h, c]`."""
    inputs = [keras.Input((1, 1)), keras.Input((UNITS,)), keras.Input((UNITS,))]
    y, h, c = keras.layers.LSTM(UNITS, return_state=True)(inputs[0], initial_state=inputs[1:])
    return keras.Model(inputs, [keras.layers.Dense(1)(y), h, c])


def python_loop(step, x, states):
    found = [x]
    for _ in range(HORIZON - 1):
        x, states = step(x, states)
        found.append(x)
    return np.concatenate(found)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
