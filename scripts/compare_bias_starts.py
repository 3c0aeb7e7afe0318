"""What does it buy to start the biases right: the last one, and an LSTM's?

    python scripts/compare_bias_starts.py

Last bias: 14,000 synthetic examples with 1 % positives, a network of two layers of 64. Shown are
the first loss and the steps of Adam (64 examples each, looked at every 5) until the validation
loss is that of the base rate, mean over 5 seeds.

LSTM: the sign of the first value, -1 or 1, is to be recalled after 60 steps of noise N(0, 0.2**2);
24 units. Shown is the validation accuracy after each of the first epochs, one row a seed. The noise
comes in the sign's own channel: with `--noise 1` three epochs are too few for any of these starts.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from kerazoo.initializers import ChronoBias, PerGateOrthogonal, initialize_output_bias

DELAY = 60


def rare_events(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20_000, 30)).astype("float32")
    score = x @ rng.normal(size=30) + 2 * x[:, 0] * x[:, 1] + rng.normal(size=20_000)
    y = (score > np.quantile(score, 0.99)).astype("float32")[:, None]
    return (x[:14_000], y[:14_000]), (x[14_000:], y[14_000:])


def steps_to_base_rate(start, seed, most=400):
    """The first validation loss, and the step at which it is down to the base rate's entropy."""
    keras.utils.set_random_seed(seed)
    (x, y), validation = rare_events(seed)
    hidden = [keras.layers.Dense(64, "relu", kernel_initializer="he_normal") for _ in range(2)]
    model = keras.Sequential([keras.Input((30,)), *hidden, keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    if start != "zero bias":
        initialize_output_bias(model, y, zero_kernel=start.endswith("zero kernel"))
    p = validation[1].mean()
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    rng = np.random.default_rng(seed)

    @tf.function
    def loss():
        outputs = model(tf.constant(validation[0]), training=False)
        return tf.reduce_mean(keras.losses.binary_crossentropy(validation[1], outputs))

    first = found = float(loss())
    step = 0
    # The last bias alone can be at the base rate before the first step: count what is learned.
    while step < most and (step == 0 or found > entropy):
        for _ in range(5):
            rows = rng.integers(len(x), size=64)
            model.train_on_batch(x[rows], y[rows])
        step += 5
        found = float(loss())
    return first / entropy, step


def signs(examples, seed, noise):
    rng = np.random.default_rng(seed)
    x = noise * rng.normal(size=(examples, DELAY + 1, 1)).astype("float32")
    y = rng.integers(2, size=(examples, 1)).astype("float32")
    x[:, 0, 0] = 2 * y[:, 0] - 1
    return x, y


def recall(start, seed, epochs, noise=0.2):
    """The validation accuracy after each epoch."""
    keras.utils.set_random_seed(seed)
    biases = {}
    if start.startswith("ChronoBias"):
        biases = {"bias_initializer": ChronoBias(DELAY), "unit_forget_bias": False}
    if start.endswith("PerGateOrthogonal"):
        biases["recurrent_initializer"] = PerGateOrthogonal()
    lstm = keras.layers.LSTM(24, **biases)
    model = keras.Sequential([keras.Input((DELAY + 1, 1)), lstm, keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy", metrics=["accuracy"])
    x, y = signs(2000, 0, noise)
    validation = signs(1000, 1, noise)
    history = model.fit(x, y, batch_size=32, epochs=epochs, validation_data=validation, verbose=0)
    return history.history["val_accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="for the last bias; 3 for the LSTM")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.2, help="its standard deviation")
    options = parser.parse_args()

    print("1 % positives               first loss / base rate's entropy    steps to that entropy")
    for start in ("zero bias", "prior bias", "prior bias, zero kernel"):
        found = np.array([steps_to_base_rate(start, seed) for seed in range(options.seeds)])
        first, steps = found.mean(axis=0)
        print(f"{start:<28}{first:<36.3f}{steps:.0f}  {found[:, 1].astype(int)}", flush=True)

    print(f"\nrecall over {DELAY} steps        accuracy after epoch 1, 2, ...")
    for start in ("Keras's default", "ChronoBias", "ChronoBias, PerGateOrthogonal"):
        for seed in range(min(3, options.seeds)):
            found = recall(start, seed, options.epochs, options.noise)
            print(f"{start:<31}" + "".join(f"{value:>7.3f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
