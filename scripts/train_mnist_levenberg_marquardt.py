"""Does Levenberg-Marquardt train half a million weights on real images, and is it worth it?

    python scripts/train_mnist_levenberg_marquardt.py [--seeds 3] [--picture FILE]

4,000 MNIST images for training and 1,000 for testing, 784-512-256-10 with ReLU (535,818 weights),
mini-batches of 128, the same weights to begin with. Compared:
    Levenberg-Marquardt     exact steps for "mse" of the ten labels, in as many unknowns as there
                            are residuals (1280). The damping is held: a step that goes all the
                            way for its own batch forgets the others.
    Adam                    for the same seconds, for "mse" and for the softmax cross-entropy
Damping (of three) and learning rates (of six each) are those with the highest accuracy on 800
held-out training images. Test accuracy and training loss (for the cross-entropy: of its
probabilities) are computed after each epoch, off the clock; seconds include tracing.

Where Adam is the better choice: here, on the clock. It takes about ten epochs in the time of one,
and is ahead in training loss and in seconds to an accuracy. Levenberg-Marquardt gains more an
epoch, which pays where steps or passes over the data are what is dear.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf
from mnist_5k import load

import kerazoo

LEARNING_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
DAMPINGS = (0.003, 0.01, 0.03)
BATCH = 128
CONCLUSION = """\
On the clock Adam is the better choice here: look at the seconds to an accuracy and the training
loss. Levenberg-Marquardt gains more an epoch, for about ten times the seconds."""
OURS, ADAM, ADAM_CE = "Levenberg-Marquardt", "Adam, mse", "Adam, cross-entropy"


class Clock(keras.callbacks.Callback):
    """Seconds of training, and after each epoch what `measure` finds, off the clock."""

    def __init__(self, measure, most_seconds=np.inf):
        super().__init__()
        self.measure = measure
        self.most_seconds = most_seconds
        self.seconds, self.found = [], []
        self.paused, self.began = 0.0, time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self.began - self.paused)
        self.found.append(self.measure())
        self.paused += time.perf_counter() - now
        if self.seconds[-1] > self.most_seconds:
            self.model.stop_training = True


class HeldDamping(keras.callbacks.Callback):
    """Each step begins with the same lambda: what one batch needed says little about the next."""

    def __init__(self, damping):
        super().__init__()
        self.damping = damping

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.damping.assign(self.damping)


def make_network(seed):
    keras.utils.set_random_seed(seed)
    L = keras.layers
    hidden = [L.Flatten(), L.Dense(512, "relu"), L.Dense(256, "relu")]
    return keras.Sequential([keras.Input((28, 28, 1)), *hidden, L.Dense(10)])


def one_hot(labels):
    return np.eye(10, dtype="float32")[labels]


def train(method, setting, seed, train_set, test_set, epochs, most_seconds=np.inf):
    """Trains anew; returns a `Clock` with (test accuracy, training mse) of each epoch."""
    network = make_network(seed)
    x, labels = train_set
    x_test, labels_test = test_set

    def measure():
        outputs = network(x_test, training=False).numpy()
        accuracy = np.mean(outputs.argmax(axis=1) == labels_test)
        z = network(x, training=False)
        if method == ADAM_CE:
            z = tf.nn.softmax(z)
        return float(accuracy), float(np.mean((z.numpy() - one_hot(labels)) ** 2))

    clock = Clock(measure, most_seconds)
    callbacks = [clock]
    model = kerazoo.models.LeastSquares(network)
    y, loss = one_hot(labels), "mse"
    if method == OURS:
        # Nielsen's rule: one factorization an attempt.
        optimizer = kerazoo.optimizers.LevenbergMarquardt("nielsen", scaling="identity")
        callbacks.append(HeldDamping(setting))
    else:
        optimizer = keras.optimizers.Adam(setting)
    if method == ADAM_CE:
        y, loss = labels, keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss=loss, jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    data = data.batch(BATCH, drop_remainder=True)
    clock.began = time.perf_counter()
    model.fit(data, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks)
    return clock


def best_setting(method, settings, train_set, epochs):
    """By the accuracy on the last 800 training images, seed 0."""
    if len(settings) == 1:
        return settings[0]
    x, labels = train_set
    part, held_out = (x[:-800], labels[:-800]), (x[-800:], labels[-800:])

    def accuracy(setting):
        found = train(method, setting, 0, part, held_out, epochs).found[-1][0]
        print(f"    {method} {setting:g}: {100 * found:.1f} % of the held-out images", flush=True)
        return found

    return max(settings, key=accuracy)


def table(runs):
    lines = [
        "| | epochs | seconds | test accuracy | best epoch | training mse |",
        "|---|" + "---|" * 5,
    ]
    for name, clocks in runs.items():
        found = np.array([(*c.found[-1], max(c.found)[0], c.seconds[-1]) for c in clocks])
        mean, std = found.mean(axis=0), found.std(axis=0)
        epochs = np.mean([len(c.seconds) for c in clocks])
        lines.append(
            f"| {name} | {epochs:.0f} | {mean[3]:.1f} | {100 * mean[0]:.2f} ± {100 * std[0]:.2f} % "
            f"| {100 * mean[2]:.2f} ± {100 * std[2]:.2f} % | {mean[1]:.2e} ± {std[1]:.1e} |"
        )
    return lines


def seconds_until(clock, accuracy):
    for seconds, (reached, _) in zip(clock.seconds, clock.found, strict=True):
        if reached >= accuracy:
            return seconds
    return np.inf


def conclusion(runs):
    """How long each takes to get to an accuracy, in the mean of the seeds; `inf`: never."""
    for accuracy in (0.92, 0.94, 0.95):
        times = [
            f"{name.split(' (')[0]} {np.mean([seconds_until(c, accuracy) for c in clocks]):.1f}"
            for name, clocks in runs.items()
        ]
        print(f"seconds to {100 * accuracy:.0f} % of the test images: {', '.join(times)}")
    print(CONCLUSION)


def draw(runs, path):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    for colour, (name, clocks) in enumerate(runs.items()):
        for i, clock in enumerate(clocks):
            accuracy, loss = np.array(clock.found).T
            style = {"color": f"C{colour}", "alpha": 0.8, "label": name if i == 0 else None}
            left.plot(clock.seconds, 100 * accuracy, **style)
            right.plot(clock.seconds, loss, **style)
    left.set(xscale="log", ylim=(85, 97), xlabel="seconds, tracing included")
    left.set(ylabel="test accuracy, %", title="5,000 MNIST images, 535,818 weights")
    right.set(xscale="log", yscale="log", xlabel="seconds, tracing included")
    right.set(ylabel="mean squared error of the outputs", title="Training images")
    left.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5, help="of Levenberg-Marquardt")
    parser.add_argument("--images", type=int, default=4000, help="of the 4,000 training images")
    parser.add_argument("--quick", action="store_true", help="with one untuned setting each")
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    (x, labels), test_set = load()
    train_set = x[: arguments.images], labels[: arguments.images]
    few = min(3, arguments.epochs)
    dampings, rates = (DAMPINGS[1:2], (1e-3,)) if arguments.quick else (DAMPINGS, LEARNING_RATES)
    best = {
        OURS: best_setting(OURS, dampings, train_set, few),
        ADAM: best_setting(ADAM, rates, train_set, 2 * few),
        ADAM_CE: best_setting(ADAM_CE, rates, train_set, 2 * few),
    }
    names = {method: f"{method} ({setting:g})" for method, setting in best.items()}
    runs = {name: [] for name in names.values()}
    for seed in range(arguments.seeds):
        ours = train(OURS, best[OURS], seed, train_set, test_set, arguments.epochs)
        runs[names[OURS]].append(ours)
        for method in (ADAM, ADAM_CE):
            clock = train(method, best[method], seed, train_set, test_set, 1000, ours.seconds[-1])
            runs[names[method]].append(clock)
        print(f"seed {seed} done after {ours.seconds[-1]:.1f} s each", flush=True)
    print("", *table(runs), "", sep="\n")
    conclusion(runs)
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, NumPy {np.__version__}")
    if arguments.picture:
        draw(runs, arguments.picture)
        print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
