"""Do curve fits from rough starts reach the minimum?

    python scripts/fit_curves.py [--fits 200] [--picture FILE]

Dose-response, peak, decay, step and oscillation curves with noise, as many of each, with the
starts that a user would guess, off by a factor or a width. `LeastSquares` with default arguments
and at most 500 steps in float32 and float64, beside scipy's `curve_fit` with `lm` and `trf`, exact
derivatives and 5000 evaluations, in float64. All minimize the same sum of squares. A fit counts
as solved if that is at most 1.001 times the lowest found by any of them or from the true
parameters; a fit that raises, or returns NaN, is counted as failed.
"""

import argparse
import collections
import time
import warnings
from typing import NamedTuple

import keras
import numpy as np
import scipy
import tensorflow as tf
from keras import ops
from machine import machine
from scipy.optimize import curve_fit

import kerazoo

POINTS = 50
MAX_STEPS = 500
SOLVED = 1.001


class Family(NamedTuple):
    formula: object  # of the module of functions, x and the parameters
    x: np.ndarray
    draw: object  # of a generator, to the true parameters
    guess: object  # of a generator and the true parameters, to the start
    noise: float


def _factor(rng, spread):
    return np.exp(spread * rng.normal())


FAMILIES = {
    "dose-response": Family(
        lambda m, x, a, b, c, d: a + (d - a) / (1 + (x / c) ** b),
        np.geomspace(0.01, 100, POINTS),
        lambda rng: (rng.uniform(0, 1), rng.uniform(0.7, 6), 10 ** rng.uniform(-1, 1), 3.0),
        lambda rng, p: (0.5, 1.0, p[2] * _factor(rng, 2.3), 3 * _factor(rng, 0.5)),
        0.1,
    ),
    "peak": Family(
        lambda m, x, h, c, w, b: b + h * m.exp(-(((x - c) / w) ** 2)),
        np.linspace(0, 10, POINTS),
        lambda rng: (rng.uniform(1, 5), rng.uniform(3, 7), rng.uniform(0.4, 1.5), 1.0),
        lambda rng, p: (
            p[0] * _factor(rng, 0.5),
            p[1] + 2 * p[2] * rng.normal(),
            p[2] * _factor(rng, 0.5),
            0.0,
        ),
        0.15,
    ),
    "decay": Family(
        lambda m, x, h, r, b: b + h * m.exp(-r * x),
        np.linspace(0, 10, POINTS),
        lambda rng: (rng.uniform(1, 5), 10 ** rng.uniform(-0.7, 0.3), rng.uniform(-1, 1)),
        lambda rng, p: (p[0] * _factor(rng, 0.7), p[1] * _factor(rng, 2.3), 0.0),
        0.1,
    ),
    "step": Family(
        lambda m, x, h, s, c, b: b + h / (1 + m.exp(-s * (x - c))),
        np.linspace(0, 20, POINTS),
        lambda rng: (rng.uniform(1, 5), 10 ** rng.uniform(-0.3, 1.5), rng.uniform(6, 14), 1.0),
        lambda rng, p: (p[0] * _factor(rng, 0.5), 1.0, p[2] + 4 * rng.normal(), 0.0),
        0.1,
    ),
    "oscillation": Family(
        lambda m, x, h, f, p, r: h * m.exp(-r * x) * m.sin(f * x + p),
        np.linspace(0, 12, POINTS),
        lambda rng: (rng.uniform(1, 3), rng.uniform(1, 3), rng.uniform(-1, 1), 0.1),
        lambda rng, p: (p[0] * _factor(rng, 0.3), p[1] + 0.35 * rng.normal(), 0.0, 0.0),
        0.15,
    ),
}


class Case(NamedTuple):
    family: str
    y: np.ndarray
    truth: np.ndarray
    start: np.ndarray


class Formula(keras.layers.Layer):
    """A formula as a layer whose one weight holds its parameters."""

    def __init__(self, formula, size, **kwargs):
        super().__init__(**kwargs)
        self.formula = formula
        self.p = self.add_weight(shape=(size,), name="p")
        self.built = True

    def call(self, x):
        parameters = ops.unstack(ops.convert_to_tensor(self.p))
        return self.formula(ops, x[:, 0], *parameters)[:, None]


def draw_cases(count):
    cases = []
    for name, family in FAMILIES.items():
        for i in range(count // len(FAMILIES)):
            rng = np.random.default_rng([i, len(name)])
            truth = np.array(family.draw(rng))
            y = family.formula(np, family.x, *truth) + family.noise * rng.normal(size=POINTS)
            cases.append(Case(name, y, truth, np.array(family.guess(rng, truth), "float64")))
    return cases


def sum_of_squares(case, parameters):
    family = FAMILIES[case.family]
    with np.errstate(all="ignore"):
        squares = np.sum((family.formula(np, family.x, *parameters) - case.y) ** 2)
    return squares if np.isfinite(squares) else np.inf


class Ours:
    """One model a family: only the weights begin anew."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.models = {}

    def __call__(self, case):
        if case.family not in self.models:
            formula = Formula(FAMILIES[case.family].formula, len(case.truth), dtype=self.dtype)
            network = keras.Sequential([keras.Input((1,), dtype=self.dtype), formula])
            model = kerazoo.models.LeastSquares(network)
            model.compile()
            self.models[case.family] = model, formula
        model, formula = self.models[case.family]
        formula.p.assign(case.start)
        model.optimizer.reset()
        x = FAMILIES[case.family].x[:, None]
        model.fit(x, case.y[:, None], epochs=MAX_STEPS, verbose=0)
        return formula.p.numpy().astype("float64")


def _jacobian(family):
    @tf.function(autograph=False, reduce_retracing=True)
    def derivatives(p):
        x = tf.constant(family.x)
        with tf.GradientTape() as tape:
            tape.watch(p)
            values = family.formula(ops, x, *tf.unstack(p))
        return tape.jacobian(values, p)

    return derivatives


class Scipy:
    def __init__(self, method):
        self.method = method
        self.jacobians = {name: _jacobian(family) for name, family in FAMILIES.items()}

    def __call__(self, case, start=None):
        family = FAMILIES[case.family]
        derivatives = self.jacobians[case.family]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return curve_fit(
                lambda x, *p: family.formula(np, x, *p),
                family.x,
                case.y,
                case.start if start is None else start,
                jac=lambda x, *p: derivatives(tf.constant(p, tf.float64)).numpy(),
                method=self.method,
                **{"maxfev" if self.method == "lm" else "max_nfev": 5000},
            )[0]


def run(cases, say=print):
    """The sums of squares and the errors by method."""
    methods = {
        "kerazoo float32": ("float32", Ours("float32")),
        "kerazoo float64": ("float64", Ours("float64")),
        "scipy lm": ("float64", Scipy("lm")),
        "scipy trf": ("float64", Scipy("trf")),
    }
    found, errors = {}, {}
    floatx = keras.config.floatx()
    for name, (dtype, method) in methods.items():
        keras.config.set_floatx(dtype)
        began = time.perf_counter()
        found[name], errors[name] = [], [None] * len(cases)
        for i, case in enumerate(cases):
            try:
                parameters = method(case)
            except (ValueError, RuntimeError) as error:
                parameters, errors[name][i] = np.full(len(case.truth), np.nan), str(error)
            found[name].append(parameters)
            if (i + 1) % 50 == 0:
                say(f"{name}: {i + 1} of {len(cases)}, {time.perf_counter() - began:.0f} s")
    keras.config.set_floatx(floatx)
    return found, errors


def lowest_sums(cases, found):
    from_truth = Scipy("lm")
    lowest = []
    for i, case in enumerate(cases):
        sums = [sum_of_squares(case, parameters[i]) for parameters in found.values()]
        try:
            sums.append(sum_of_squares(case, from_truth(case, case.truth)))
        except RuntimeError:
            sums.append(sum_of_squares(case, case.truth))
        lowest.append(min(sums))
    return np.array(lowest)


def solved_by_method(cases, found):
    lowest = lowest_sums(cases, found)
    return {
        name: np.array([sum_of_squares(*pair) for pair in zip(cases, of_one, strict=True)])
        <= SOLVED * lowest
        for name, of_one in found.items()
    }


def table(cases, solved, errors):
    lines = [f"{'solved':18}" + "".join(f"{name:>15}" for name in FAMILIES) + "     all  raised"]
    for name, of_one in solved.items():
        line = f"{name:18}"
        for family in FAMILIES:
            mine = np.array([case.family == family for case in cases])
            line += f"{of_one[mine].sum():>11}/{mine.sum():<3}"
        raised = sum(error is not None for error in errors[name])
        lines.append(f"{line} {of_one.sum():>7}{raised:>8}")
    return "\n".join(lines)


def draw(cases, found, solved, path):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 6.5), layout="constrained")
    for axis, (name, family) in zip(axes.flat, FAMILIES.items(), strict=False):
        i = next(
            (
                i
                for i, case in enumerate(cases)
                if case.family == name and solved["kerazoo float64"][i]
            ),
            None,
        )
        if i is None:
            continue
        case = cases[i]
        grid = np.geomspace if name == "dose-response" else np.linspace
        x = grid(family.x[0], family.x[-1], 300)
        axis.plot(family.x, case.y, ".", color="black", label="data")
        axis.plot(x, family.formula(np, x, *case.start), ":", color="C7", label="start")
        axis.plot(x, family.formula(np, x, *found["kerazoo float64"][i]), color="C0", label="fit")
        axis.set_title(name)
        if name == "dose-response":
            axis.set_xscale("log")
    axes.flat[0].legend()
    last = axes.flat[-1]
    counts = {name: of_one.sum() for name, of_one in solved.items()}
    bars = last.barh(list(counts)[::-1], list(counts.values())[::-1], color="C0")
    last.bar_label(bars, padding=3)
    last.set(title=f"solved of {len(cases)}", xlim=(0, 1.12 * len(cases)))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=200)
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    cases = draw_cases(arguments.fits)
    found, errors = run(cases, say=lambda line: print(line, flush=True))
    solved = solved_by_method(cases, found)
    print(table(cases, solved, errors))
    for name, of_one in errors.items():
        for text, count in collections.Counter(e[:100] for e in of_one if e).items():
            print(f"{name} raised {count} times: {text}...")
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, scipy {scipy.__version__}")
    print(machine())
    if arguments.picture:
        draw(cases, found, solved, arguments.picture)


if __name__ == "__main__":
    main()
