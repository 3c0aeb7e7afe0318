"""How low and how fast is y = sinc(10 x) fitted with 61 weights?

    python scripts/fit_sinc_levenberg_marquardt.py [--seeds 3] [--picture FILE]

The example of tf-levenberg-marquardt 1.0.3, at its own budget: 20,000 points, shuffled once into
batches of 1000, 100 epochs, one hidden layer of 20 tanh units, float32. From the same weights in
the same run: ours, with what gets furthest along curved valleys (`TUNED`) and with default
arguments; theirs, with the `backup_variables()` that its `fit` forgets; Adam, its learning rate the
best of four, for `--adam-seconds`. The loss is the mean squared error over all points, computed
outside the clock; seconds include tracing.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
import tf_levenberg_marquardt

import kerazoo

TUNED = {"damping_rule": "nielsen", "geodesic_acceleration": True}
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
X = np.linspace(-1, 1, 20_000, dtype="float32")[:, None]
Y = np.sinc(10 * X)


class Clock(keras.callbacks.Callback):
    """Seconds of training and the loss over all points after each epoch."""

    def __init__(self, network, most_seconds=np.inf):
        super().__init__()
        self.network = network
        self.most_seconds = most_seconds
        self.seconds, self.losses = [], []
        self.paused = 0.0
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self.began - self.paused)
        difference = self.network(X).numpy().astype("float64") - Y
        self.losses.append(float(np.mean(difference**2)))
        self.paused += time.perf_counter() - now
        if self.seconds[-1] > self.most_seconds:
            self.model.stop_training = True


def make_network(seed):
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((1,)), dense(20, "tanh"), dense(1)])


def batches(seed):
    points = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(len(X), seed=seed)
    data = points.batch(1000).cache()
    for _ in data:  # the first pass fills the cache, in this order for good
        pass
    return data


def train_ours(seed, epochs, arguments):
    network, data = make_network(seed), batches(seed)
    clock = Clock(network)
    model = kerazoo.models.LeastSquares(network)
    optimizer = kerazoo.optimizers.LevenbergMarquardt(**arguments)
    model.compile(optimizer, loss="mse", steps_per_execution=20)
    model.fit(data, epochs=epochs, verbose=0, callbacks=[clock], shuffle=False)
    return clock


def train_peer(seed, epochs):
    network, data = make_network(seed), batches(seed)
    clock = Clock(network)
    model = tf_levenberg_marquardt.model.ModelWrapper(network)
    # A new optimizer: the default is one object that all models share.
    model.compile(keras.optimizers.SGD(1.0), tf_levenberg_marquardt.loss.MeanSquaredError())
    model.trainer.backup_variables()
    model.fit(data, epochs=epochs, verbose=0, callbacks=[clock], shuffle=False)
    return clock


def train_adam(seed, learning_rate, seconds):
    network, data = make_network(seed), batches(seed)
    clock = Clock(network, seconds)
    network.compile(keras.optimizers.Adam(learning_rate), loss="mse", steps_per_execution=20)
    network.fit(data, epochs=10**6, verbose=0, callbacks=[clock], shuffle=False)
    return clock


def draw(runs, path):
    import matplotlib.pyplot as plt

    colours = {"kerazoo": "C0", "tf-levenberg-marquardt": "C1", "Adam": "C2"}
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, colour in colours.items():
        for i, clock in enumerate(runs[name]):
            label = name if i == 0 else None
            axes.loglog(clock.seconds, clock.losses, colour, alpha=0.8, label=label)
    axes.set(xlabel="seconds, tracing included", ylabel="mean squared error, all points")
    axes.set_title("sinc(10 x), 61 weights, batches of 1000")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--adam-seconds", type=float, default=30)
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    names = "kerazoo", "kerazoo, defaults", "tf-levenberg-marquardt", "Adam"
    runs = {name: [] for name in names}
    print(f"{'seed':6}{'method':26}{'final loss':>12}{'seconds':>10}")
    best_rate = None
    for seed in range(arguments.seeds):
        runs["kerazoo"].append(train_ours(seed, arguments.epochs, TUNED))
        runs["kerazoo, defaults"].append(train_ours(seed, arguments.epochs, {}))
        runs["tf-levenberg-marquardt"].append(train_peer(seed, arguments.epochs))
        seconds = arguments.adam_seconds
        if best_rate is None:
            trials = {rate: train_adam(seed, rate, seconds / 4) for rate in LEARNING_RATES}
            best_rate = min(trials, key=lambda rate: min(trials[rate].losses))
        runs["Adam"].append(train_adam(seed, best_rate, seconds))
        for name, clocks in runs.items():
            label = f"{name} ({best_rate:g})" if name == "Adam" else name
            print(f"{seed:<6}{label:26}{clocks[-1].losses[-1]:12.2e}{clocks[-1].seconds[-1]:10.2f}")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, NumPy {np.__version__}")
    if arguments.picture:
        draw(runs, arguments.picture)


if __name__ == "__main__":
    main()
