"""How long do 200 fits of one five-parameter curve take, side by side and one after the other?

    python scripts/bench_many_fits.py [--fits 200] [--rounds 3]

Dose-response curves with a fifth parameter for the asymmetry, 40 points each and noise, all from
one start, in float64. `LeastSquares.fit_many` beside a loop of `fit` of the same model (weights
and optimizer begin anew for each data set, the graph is made once), `fit_curves` beside a loop of
`fit_curve`, and scipy's `curve_fit` with NumPy, by differences (its default) and with derivatives
written by hand. The first calls make the graphs, and each way has its own model for them. Then
rounds follow in which all take turns, with five calls each of the fast ones; the table has the
medians. All minimize the same sums of squares: the last column compares the weights with those of
the loop of `fit`, of the fits in which both have converged.
"""

import argparse
import time
import warnings

import keras
import numpy as np
import scipy
import tensorflow as tf
from keras import ops
from machine import machine
from scipy.optimize import curve_fit

import kerazoo

POINTS = 40
START = [0.5, 3.0, 4.0, 2.0, 1.0]
NAMES = "bottom", "top", "middle", "slope", "asymmetry"
MAX_STEPS = 1000
LONG = 10.0  # seconds


def logistic(x, bottom, top, middle, slope, asymmetry):
    return bottom + (top - bottom) / (1 + (x / middle) ** slope) ** asymmetry


def derivatives(x, bottom, top, middle, slope, asymmetry):
    power = (x / middle) ** slope
    falling = (1 + power) ** -asymmetry
    by_power = -(top - bottom) * asymmetry * falling / (1 + power)
    columns = [
        1 - falling,
        falling,
        -by_power * power * slope / middle,
        by_power * power * np.log(x / middle),
        -(top - bottom) * falling * np.log1p(power),
    ]
    return np.stack(columns, axis=1)


def make_data(fits):
    rng = np.random.default_rng(0)
    x = np.linspace(0.1, 10, POINTS)
    ranges = [(0, 1), (2, 4), (2, 6), (1.5, 3), (0.7, 1.5)]
    truth = np.stack([rng.uniform(*ends, fits) for ends in ranges])
    y = logistic(x, *truth[:, :, None]) + 0.02 * rng.normal(size=(fits, POINTS))
    return x, y


class Formula(keras.layers.Layer):
    def build(self, shape):
        self.p = self.add_weight(shape=(len(START),), name="p")

    def call(self, x):
        return logistic(x, *ops.unstack(ops.convert_to_tensor(self.p)))


def make_model():
    network = keras.Sequential([keras.Input((1,)), Formula()])
    network.set_weights([np.array(START)])
    model = kerazoo.models.LeastSquares(network)
    model.compile()
    return model


class FitMany:
    def __init__(self):
        self.model = make_model()

    def __call__(self, x, y):
        found = self.model.fit_many(x[:, None], y, epochs=MAX_STEPS, verbose=0)
        return found.weights, found.converged


class LoopOfFit:
    def __init__(self):
        self.model = make_model()

    def __call__(self, x, y):
        weights, converged = [], []
        for one in y:
            self.model.set_weights([np.array(START)])
            self.model.optimizer.reset()
            self.model.fit(x[:, None], one[:, None], epochs=MAX_STEPS, verbose=0)
            weights.append(self.model.get_weights()[0])
            converged.append(bool(self.model.optimizer.converged.numpy()))
        return np.array(weights), np.array(converged)


def fit_curves(x, y):
    found = kerazoo.models.fit_curves(logistic, x, y, START, shared_x=True)
    return np.stack([found.values[name] for name in NAMES], axis=1), found.converged


def loop_of_fit_curve(x, y):
    # Another function object than `fit_curves` has: each makes its own graph.
    found = [kerazoo.models.fit_curve(_logistic, x, one, START) for one in y]
    values = np.array([list(one.values.values()) for one in found])
    return values, np.array([one.converged for one in found])


def _logistic(x, bottom, top, middle, slope, asymmetry):
    return logistic(x, bottom, top, middle, slope, asymmetry)


class LoopOfScipy:
    def __init__(self, jacobian=None):
        self.jacobian = jacobian

    def __call__(self, x, y):
        found = []
        for one in y:
            try:
                fitted = curve_fit(logistic, x, one, START, jac=self.jacobian, maxfev=5000)
            except RuntimeError:
                fitted = [np.full(len(START), np.nan)]
            found.append(fitted[0])
        found = np.array(found)
        return found, np.isfinite(found).all(axis=1)


def timed(way, x, y):
    began = time.perf_counter()
    result = way(x, y)
    return time.perf_counter() - began, result


def run(fits, rounds, say=print):
    """First seconds, seconds of the rounds and what was found, by way."""
    x, y = make_data(fits)
    ways = {
        "`fit_many`": FitMany(),
        "loop of `fit`": LoopOfFit(),
        "`fit_curves`": fit_curves,
        "loop of `fit_curve`": loop_of_fit_curve,
        "loop of scipy's `curve_fit`": LoopOfScipy(),
        "the same, derivatives by hand": LoopOfScipy(derivatives),
    }
    first, later, found = {}, {name: [] for name in ways}, {}
    for name, way in ways.items():
        first[name], found[name] = timed(way, x, y)
        say(f"first call, {name}: {first[name]:.2f} s")
    for turn in range(rounds):
        for name, way in ways.items():
            # A single call of a fraction of a second tells little.
            calls = 1 if first[name] > LONG else 5
            later[name].append(np.median([timed(way, x, y)[0] for _ in range(calls)]))
        say(f"round {turn + 1}: " + ", ".join(f"{n} {s[-1]:.3f} s" for n, s in later.items()))
    return first, later, found


def table(first, later, found):
    reference, sure = found["loop of `fit`"]
    base_first, base = first["loop of `fit`"], np.median(later["loop of `fit`"])
    lines = [
        "| | first call, s | ratio | later, s | ratio | converged | largest relative difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (weights, converged) in found.items():
        both = sure & converged
        difference = np.max(np.abs(weights[both] / reference[both] - 1))
        seconds = np.median(later[name])
        lines.append(
            f"| {name} | {first[name]:.2f} | {base_first / first[name]:.1f} | {seconds:.3f} | "
            f"{base / seconds:.1f} | {converged.sum()} | {difference:.1e} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    keras.config.set_floatx("float64")
    warnings.simplefilter("ignore")
    results = run(arguments.fits, arguments.rounds, say=lambda line: print(line, flush=True))
    print(table(*results))
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, scipy {scipy.__version__}")
    print(machine())


if __name__ == "__main__":
    main()
