"""How well does a network solve a differential equation, and how soon?

    python scripts/solve_poisson_pinn.py [--seconds 20] [--seeds 0] [--picture FILE]

Poisson's equation `u_xx + u_yy = f` on the unit square, u = 0 on its edge, with f chosen so that
`u = sin(pi x) sin(pi y)`. The unknown u is a network of two hidden layers of 20 tanh units (501
weights, float64). `Poisson` is a Keras model around it, with the residual inside the square and
the value on the edge as two outputs, both fitted to their targets with "mse" on 512 points each;
the edge counts a hundredfold. Levenberg-Marquardt as it comes, beside Adam on the same loss from
the same weights for the same seconds: its learning rate the best for the first seed, each
with a cosine decay to zero over the steps that fit into the time. The error is
`|u - exact| / |exact|` on a grid of 101 x 101 points, computed outside the clock; seconds include
tracing.

The default takes about two minutes. The README's figures are those of --seconds 25, one seed and
one of the rates at a time, while the machine did nothing else.
"""

import argparse
import time

import keras
import numpy as np
import tensorflow as tf

import kerazoo

POINTS, UNITS, EDGE_WEIGHT = 512, 20, 100.0
STEPS_A_CALL = 50  # so that Keras's own work costs Adam no time


class Poisson(keras.Model):
    """The Laplacian of `solution` at points inside, and its value at points on the edge."""

    def __init__(self, solution):
        super().__init__()
        self.solution = solution

    def call(self, points):
        inside, edge = points
        x, y = inside[:, :1], inside[:, 1:]
        with tf.GradientTape(persistent=True) as second:
            second.watch([x, y])
            with tf.GradientTape() as first:
                first.watch([x, y])
                u = self.solution(tf.concat([x, y], axis=1))
            u_x, u_y = first.gradient(u, [x, y])
        laplacian = second.gradient(u_x, x) + second.gradient(u_y, y)
        return laplacian, self.solution(edge)


def exact(points):
    return np.prod(np.sin(np.pi * points), axis=1, keepdims=True)


def points_inside():
    """Evenly spread: a grid whose cells hold one random point each."""
    columns, rows = 32, POINTS // 32
    corner = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    jitter = np.random.default_rng(0).uniform(size=corner.shape)
    return (corner + jitter) / [columns, rows]


def points_on_the_edge():
    along = np.linspace(0, 1, POINTS // 4, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    sides = [(along, zero), (one, along), (1 - along, one), (zero, 1 - along)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


INSIDE, EDGE = points_inside(), points_on_the_edge()
TARGETS = (-2 * np.pi**2 * exact(INSIDE), np.zeros((POINTS, 1)))
LOSS = {"loss": ["mse", "mse"], "loss_weights": [1.0, EDGE_WEIGHT]}
AXIS = np.linspace(0, 1, 101)
GRID = np.stack(np.meshgrid(AXIS, AXIS), axis=-1).reshape(-1, 2)


class Clock(keras.callbacks.Callback):
    """Seconds of training and the error of the solution; ends the fit when the time is over."""

    def __init__(self, solution, most_seconds, interval=0.5):
        super().__init__()
        self.solution = solution
        self.most_seconds, self.interval = most_seconds, interval
        self.seconds, self.errors = [], []
        self.paused = 0.0
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        elapsed = now - self.began - self.paused
        over = elapsed > self.most_seconds
        if over or not self.seconds or elapsed - self.seconds[-1] > self.interval:
            self.seconds.append(elapsed)
            self.errors.append(relative_error(self.solution))
            self.paused += time.perf_counter() - now
        self.model.stop_training |= over

    def on_train_end(self, logs=None):
        self.seconds.append(time.perf_counter() - self.began - self.paused)
        self.errors.append(relative_error(self.solution))


def relative_error(solution):
    return float(np.linalg.norm(solution(GRID) - exact(GRID)) / np.linalg.norm(exact(GRID)))


def make_model(seed):
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense
    solution = keras.Sequential(
        [keras.Input((2,)), dense(UNITS, "tanh"), dense(UNITS, "tanh"), dense(1)]
    )
    model = Poisson(solution)
    model((INSIDE[:1], EDGE[:1]))
    return model


def with_levenberg_marquardt(seed, seconds):
    poisson = make_model(seed)
    model = kerazoo.models.LeastSquares(poisson)
    model.compile(kerazoo.optimizers.LevenbergMarquardt(), **LOSS)
    clock = Clock(poisson.solution, seconds)
    model.fit((INSIDE, EDGE), TARGETS, epochs=100_000, verbose=0, callbacks=[clock])
    return poisson.solution, clock


def with_adam(seed, seconds, learning_rate):
    """A few steps to learn how many fit into the time, then all of them from the start."""
    trial = fit_adam(seed, learning_rate, epochs=4)
    epoch = (trial.seconds[-1] - trial.seconds[0]) / 3
    epochs = max(1, round((seconds - trial.seconds[0]) / epoch))
    decay = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * STEPS_A_CALL)
    # A little more time rather than a decay that is cut short.
    return fit_adam(seed, decay, epochs, most_seconds=1.2 * seconds)


def fit_adam(seed, learning_rate, epochs, most_seconds=np.inf):
    model = make_model(seed)
    data = tf.data.Dataset.from_tensors(((INSIDE, EDGE), TARGETS)).cache().repeat()
    optimizer = keras.optimizers.Adam(learning_rate)
    model.compile(optimizer, **LOSS, steps_per_execution=STEPS_A_CALL)
    clock = Clock(model.solution, most_seconds)
    steps = {"steps_per_epoch": STEPS_A_CALL, "epochs": epochs, "shuffle": False}
    model.fit(data, **steps, verbose=0, callbacks=[clock])
    return clock


def draw(path, solution, ours, adams):
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    u = np.asarray(solution(GRID)).reshape(101, 101)
    error = np.abs(u - exact(GRID).reshape(101, 101))
    for axes, values, title in ((left, u, "solution"), (middle, error, "absolute error")):
        image = axes.imshow(values, origin="lower", extent=(0, 1, 0, 1))
        axes.set(title=title, xlabel="x", ylabel="y")
        figure.colorbar(image, ax=axes)
    for clocks, color, name in ((ours, "C0", "Levenberg-Marquardt"), (adams, "C1", "Adam, tuned")):
        for i, clock in enumerate(clocks):
            right.semilogy(clock.seconds, clock.errors, color, label=None if i else name)
    right.set(title="relative L2 error", xlabel="seconds, tracing included")
    right.legend()
    figure.savefig(path, dpi=100)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="for each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--learning-rates", type=float, nargs="+", default=[1e-2, 3e-2, 1e-1, 3e-1], help="Adam's"
    )
    parser.add_argument("--picture", metavar="FILE")
    arguments = parser.parse_args()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    seconds, (first, *others) = arguments.seconds, arguments.seeds
    solution, clock = with_levenberg_marquardt(first, seconds)
    ours, trials = [clock], {}
    for rate in arguments.learning_rates:
        trials[rate] = with_adam(first, seconds, rate)
        print(f"Adam, learning rate {rate:g}: {trials[rate].errors[-1]:.1e}", flush=True)
    best = min(trials, key=lambda rate: trials[rate].errors[-1])
    adams = [trials[best]]
    for seed in others:
        ours.append(with_levenberg_marquardt(seed, seconds)[1])
        adams.append(with_adam(seed, seconds, best))
    print("| seed | Levenberg-Marquardt | s to 1e-4 | Adam | ratio |\n|---|---|---|---|---|")
    for seed, our, adam in zip(arguments.seeds, ours, adams, strict=True):
        reached = [s for s, error in zip(our.seconds, our.errors, strict=True) if error <= 1e-4]
        print(
            f"| {seed} | {our.errors[-1]:.1e} in {our.seconds[-1]:.0f} s "
            f"| {reached[0] if reached else float('nan'):.1f} "
            f"| {adam.errors[-1]:.1e} in {adam.seconds[-1]:.0f} s "
            f"| {adam.errors[-1] / our.errors[-1]:.0f} |"
        )
    if arguments.picture:
        draw(arguments.picture, solution, ours, adams)


if __name__ == "__main__":
    main()
