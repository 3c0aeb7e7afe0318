"""How long does a Levenberg-Marquardt step take, beside the peers and the machine's limit?

    python scripts/bench_levenberg_marquardt.py [--case NAME ...] [--repeats 5] [--huge]

Each row runs in a fresh process and ends in a line of a Markdown table.
    first call      seconds of a `fit` of one step, tracing included
    step            milliseconds through plain `fit`; for the small row `steps_per_execution=50` too
    attempts        mean a step; 1 where every step's first attempt was accepted
    memory          peak of the process over what it held before network and data were made,
                    sampled each 5 ms, first call included
    one more        milliseconds that a further attempt takes, beside the promised bound,
                    1.2 LAPACK Cholesky + one forward pass

Peers, in the same process, from the same weights and on the same batches:
    tf-levenberg-marquardt 1.0.3   its bare `train_step`, without its `fit`, the best of its three
                    solvers and then of 100, 300 and 1000 rows of the Jacobian at a time;
                    `backup_variables()` called, which its `fit` forgets
    tensorflow-graphics            `minimize` as one graph (`tf.function`), where the intermediate
                    products of its Jacobian fit into memory
    JAX by hand     the same network and step written for JAX alone, all steps in one compiled scan,
                    without anything that a user would want of an optimizer: an expert's floor
    torch-levenberg-marquardt 1.2.3
                    its bare `training_step` without its `fit`, the best of its three solvers
    limit           the J^T J matmul of TensorFlow + LAPACK's Cholesky: what no step with this
                    J^T J can do without
    SGD             a plain gradient step through `fit`, without XLA, for the LSTM

JAX and torch-levenberg-marquardt come with `pip install 'kerazoo[bench]'`, and are left out where
they are missing.

Fair: float32; a new random batch at each step, so that a first attempt succeeds; weights and
damping go back to their beginning before each round; everybody has run before the clock starts;
rounds are interleaved, and a ratio is the median of the rounds' ratios. To time one more attempt,
the output layer is zero and so are the targets: no attempt can gain, and steps of 1 and 5 attempts
differ by four. Ours: Nielsen's rule (one factorization an attempt), the rest as it comes, with the
scaling "identity" where there are more weights than residuals.
"""

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scipy.linalg
import tensorflow as tf
import threadpoolctl
from machine import machine

import kerazoo

PAGE = os.sysconf("SC_PAGE_SIZE")
# Of the (residuals, examples, units) that tensorflow-graphics' Jacobian holds for each layer.
MOST_BYTES_OF_GRAPHICS = 2**30
MORE_ATTEMPTS = 4


class Case(NamedTuple):
    title: str
    layers: list  # numbers of units, or layers
    input_shape: tuple
    examples: int
    outputs: int
    steps: int  # of an epoch, which is what is timed
    peers: bool = False
    promised: str = ""


def dense(inputs, *units):
    return {"input_shape": (inputs,), "layers": units}


CASES = {
    "61": Case(
        "61 weights x 1000", **dense(3, 12), examples=1000, outputs=1, steps=200, peers=True,
        promised="≥ 20 x faster, ≥ 30 x with 50 steps a call",
    ),
    "911": Case(
        "911 x 8000", **dense(6, 26, 26), examples=8000, outputs=1, steps=20, peers=True,
        promised="≥ 4.5 x faster, ≤ 1.4 x the limit",
    ),
    "3151": Case(
        "3151 x 4000", **dense(10, 50, 50), examples=4000, outputs=1, steps=10, peers=True,
        promised="≥ 3.2 x faster, ≤ 1.1 x the limit",
    ),
    "670k": Case(
        "671,410 x 1280", **dense(784, 660, 200, 100), examples=128, outputs=10, steps=20,
        promised="≤ 150 ms",
    ),
    "4.3M": Case(
        "4.3 million x 1797", **dense(64, 2048, 2048), examples=1797, outputs=1, steps=4,
        promised="≤ 600 ms, < 2 GB",
    ),
    "12.8M": Case(
        "12.8 million x 2000", **dense(1000, 3000, 3000, 250), examples=2000, outputs=1, steps=3,
        promised="≤ 1500 ms, < 2.5 GB",
    ),
    "100M": Case(
        "100 million x 1000", **dense(4000, 8000, 7600, 1000), examples=1000, outputs=1, steps=2,
        promised="aim: ≤ 10,000 ms, ≤ 8 GB",
    ),
    "cnn": Case(
        "CNN, 102,386 x 2560", ["cnn"], (28, 28, 1), examples=256, outputs=10, steps=4,
        promised="≤ 10,000 ms",
    ),
    "lstm": Case(
        "LSTM(64), 100 steps", ["lstm"], (100, 8), examples=128, outputs=1, steps=6,
        promised="≤ 12 x a gradient step",
    ),
}  # fmt: skip


def make_network(case):
    keras.utils.set_random_seed(0)
    L = keras.layers
    if case.layers == ["cnn"]:
        hidden = [
            L.Conv2D(16, 5, strides=2, activation="tanh"),
            L.Conv2D(32, 3, strides=2, activation="tanh"),
            L.Flatten(),
            L.Dense(120, "tanh"),
        ]
    elif case.layers == ["lstm"]:
        hidden = [L.LSTM(64)]
    else:
        hidden = [L.Dense(units, "tanh") for units in case.layers]
    return keras.Sequential([keras.Input(case.input_shape), *hidden, L.Dense(case.outputs)])


def make_batches(case):
    rng = np.random.default_rng(0)
    count = min(case.steps, 20)
    x = rng.normal(size=(count, case.examples, *case.input_shape)).astype("float32")
    y = rng.normal(size=(count, case.examples, case.outputs)).astype("float32")
    return x, y


def endless(batches):
    """The batches again and again, without autotuning: a `fit` waits at random for its thread."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensor_slices(batches).repeat().with_options(options)


class Contender:
    """Takes `steps` steps from the network's first weights, timed."""

    def __init__(self, network, steps):
        self.network = network
        self.steps = steps
        self.first_weights = [tf.identity(v.value) for v in network.variables]

    def seconds_a_step(self):
        for variable, value in zip(self.network.variables, self.first_weights, strict=True):
            variable.assign(value)
        self.reset()
        began = time.perf_counter()
        self.run()
        return (time.perf_counter() - began) / self.steps

    def reset(self):
        pass


class Ours(Contender):
    def __init__(self, network, batches, steps, at_once=1, damping_rule="nielsen", **arguments):
        super().__init__(network, steps)
        residuals = batches[1][0].size
        if residuals < network.count_params():
            arguments["scaling"] = "identity"
        # A first damping from which each first attempt succeeds; the time does not depend on it.
        arguments.setdefault("initial_damping", 1.0)
        self.optimizer = kerazoo.optimizers.LevenbergMarquardt(damping_rule, **arguments)
        self.model = kerazoo.models.LeastSquares(network)
        self.model.compile(self.optimizer, loss="mse", steps_per_execution=at_once)
        self.data = endless(batches)
        began = time.perf_counter()
        self.run(at_once)
        self.first_call = time.perf_counter() - began

    def reset(self):
        self.optimizer.reset()

    def run(self, steps=None, callbacks=None):
        log = self.model.fit(
            self.data,
            steps_per_epoch=steps or self.steps,
            verbose=0,
            callbacks=callbacks,
            shuffle=False,
        )
        self.last_attempts = log.history["attempts"][-1]

    def attempts(self):
        """Mean number a step in one more epoch, off the clock."""
        counts = []
        note = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: counts.append(logs["attempts"])
        )
        run, self.run = self.run, lambda: run(callbacks=[note])
        self.seconds_a_step()
        self.run = run
        return float(np.mean(counts))


class Peer(Contender):
    """tf-levenberg-marquardt."""

    def __init__(self, network, batches, steps, solver="qr", rows=100):
        import tf_levenberg_marquardt

        super().__init__(network, steps)
        # A new optimizer: the default is one object that all trainers share.
        self.trainer = tf_levenberg_marquardt.training.Trainer(
            network,
            keras.optimizers.SGD(1.0),
            # Held where each first attempt is accepted; its default falls until every second is.
            damping_algorithm=tf_levenberg_marquardt.damping.DampingAlgorithm(1.0, dec_factor=1.0),
            solve_method=solver,
            jacobian_max_num_rows=rows,
        )
        self.batches = list(zip(*map(tf.unstack, batches), strict=True))
        self.steps, steps = 1, self.steps
        self.seconds_a_step()
        self.trial = self.seconds_a_step()
        self.steps = steps

    def reset(self):
        self.trainer.backup_variables()
        self.trainer.reset_damping_factor()

    def run(self):
        self.counts = []
        for step in range(self.steps):
            _, _, attempts, _ = self.trainer.train_step(*self.batches[step % len(self.batches)])
            self.counts.append(int(attempts))


class Graphics(Contender):
    """tensorflow-graphics: an iteration costs the same whether it is accepted or not."""

    def __init__(self, network, batches, steps):
        from tensorflow_graphics.math.optimizer import levenberg_marquardt

        super().__init__(network, steps)
        problem = kerazoo.optimizers.LeastSquaresProblem(network, batches[0][0], batches[1][0])
        start = problem.variables
        self.minimize = tf.function(
            lambda: levenberg_marquardt.minimize(
                problem.residuals, start, self.steps, regularizer=1e-3
            )
        )
        self.run()

    def run(self):
        self.minimize()


class Jax(Contender):
    """A stack of tanh layers and its step by hand, all steps of an epoch in one compiled scan."""

    def __init__(self, network, batches, steps):
        import jax
        from jax import numpy as jnp
        from jax.flatten_util import ravel_pytree

        super().__init__(network, steps)
        kernels_and_biases = [jnp.asarray(weight) for weight in network.get_weights()]
        self.start, as_layers = ravel_pytree(kernels_and_biases)
        count = len(batches[0])
        order = np.arange(steps) % count
        self.batches = [jnp.asarray(part) for part in batches]

        def outputs(w, x):
            *hidden, kernel, bias = as_layers(w)
            for i in range(0, len(hidden), 2):
                x = jnp.tanh(x @ hidden[i] + hidden[i + 1])
            return (x @ kernel + bias)[..., 0]

        def step(w, place):
            x, y = self.batches[0][place], self.batches[1][place][:, 0]
            z = outputs(w, x)
            J = jax.vmap(jax.grad(outputs), in_axes=(None, 0))(w, x)
            A = J.T @ J
            damped = A + jnp.diag(jnp.diag(A) + 1e-12)  # lambda = 1
            L = jnp.linalg.cholesky(damped)
            trial = w - jax.scipy.linalg.cho_solve((L, True), J.T @ (z - y))
            gains = jnp.sum((outputs(trial, x) - y) ** 2) < jnp.sum((z - y) ** 2)
            return jnp.where(gains, trial, w), None

        self.scan = jax.jit(lambda w: jax.lax.scan(step, w, order)[0])
        self.run()

    def run(self):
        self.scan(self.start).block_until_ready()


class Torch(Contender):
    """torch-levenberg-marquardt."""

    def __init__(self, network, batches, steps, solver):
        import torch
        from torch_levenberg_marquardt import damping, training

        super().__init__(network, steps)
        self.weights = [torch.tensor(weight) for weight in network.get_weights()]
        sizes = [self.weights[0].shape[0], *(bias.shape[0] for bias in self.weights[1::2])]
        parts = []
        for inputs, outputs in itertools.pairwise(sizes):
            parts += [torch.nn.Linear(inputs, outputs), torch.nn.Tanh()]
        self.torch_network = torch.nn.Sequential(*parts[:-1])
        self.training = training.LevenbergMarquardtModule(
            self.torch_network,
            damping_strategy=damping.StandardDampingStrategy(1.0, dec_factor=1.0),
            solve_method=solver,
        )
        self.batches = [torch.tensor(part) for part in batches]
        self.steps, steps = min(5, steps), self.steps
        self.seconds_a_step()
        self.trial = self.seconds_a_step()
        self.steps = steps

    def reset(self):
        import torch

        with torch.no_grad():
            for theirs, weight in zip(self.torch_network.parameters(), self.weights, strict=True):
                theirs.copy_(weight.T if weight.ndim == 2 else weight)
        self.training.reset()

    def run(self):
        x, y = self.batches
        for step in range(self.steps):
            self.training.training_step(x[step % len(x)], y[step % len(x)])


class GradientStep(Contender):
    def __init__(self, network, batches, steps):
        super().__init__(network, steps)
        self.network.compile("sgd", loss="mse", jit_compile=False)
        self.data = endless(batches)
        self.run()

    def run(self):
        self.network.fit(self.data, steps_per_epoch=self.steps, verbose=0, shuffle=False)


class Timed:
    """A bare function, for the limits: its mean over enough calls."""

    def __init__(self, function, prepare=lambda: (), calls=5):
        self.function, self.prepare, self.calls = function, prepare, calls
        function(*prepare())

    def seconds_a_step(self):
        total = 0.0
        for _ in range(self.calls):
            arguments = self.prepare()
            began = time.perf_counter()
            self.function(*arguments)
            total += time.perf_counter() - began
        return total / self.calls


def gram(rows, weights):
    J = tf.constant(np.random.default_rng(0).normal(size=(rows, weights)), tf.float32)
    return Timed(tf.function(lambda: tf.matmul(J, J, transpose_a=True), autograph=False))


def lapack_cholesky(size):
    noise = np.random.default_rng(0).normal(size=(size, size)).astype("float32")
    A = np.asfortranarray(noise + noise.T + 4 * np.sqrt(size) * np.eye(size, dtype="float32"))

    def factor(A):
        _, failed = scipy.linalg.lapack.spotrf(A, lower=1, clean=0, overwrite_a=1)
        assert failed == 0

    # It works in place, on a copy that is made off the clock.
    return Timed(factor, prepare=lambda: (A.copy(order="F"),))


def forward(network, batches):
    x = tf.constant(batches[0][0])
    return Timed(tf.function(lambda: network(x, training=False), autograph=False))


class Memory:
    """Peak resident memory of the process, sampled in a thread."""

    def __init__(self):
        self.idle = self.peak = self.now()
        self.stopped = threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    @staticmethod
    def now():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * PAGE

    def watch(self):
        while not self.stopped.wait(0.005):
            self.peak = max(self.peak, self.now())

    def stop(self):
        self.stopped.set()
        return (self.peak - self.idle) / 1e9


def measure(case, repeats):
    """One row, in this process."""
    tf.matmul(tf.ones((500, 500)), tf.ones((500, 500)))  # TensorFlow's threads are up
    memory = Memory()
    batches = make_batches(case)
    ours = Ours(make_network(case), batches, case.steps)
    row = {"first call": ours.first_call, "attempts": ours.attempts(), "memory": memory.stop()}
    row["choice"] = ours.optimizer.choice
    weights, residuals = ours.network.count_params(), case.examples * case.outputs
    row["jacobian"] = 4e-9 * weights * residuals
    contenders = {"ours": ours}
    few = case.peers or case.layers == ["lstm"]
    if case.peers:
        if case.steps >= 100:
            at_once = min(50, case.steps)
            contenders["50 a call"] = Ours(make_network(case), batches, case.steps, at_once)
            row["first call of 50"] = contenders["50 a call"].first_call
        peer, row["peer settings"], row["peer by solver"] = best_peer(case, batches)
        contenders["tf-levenberg-marquardt"] = peer
        widest = max(case.layers)
        if 4 * residuals * case.examples * widest <= MOST_BYTES_OF_GRAPHICS:
            contenders["tensorflow-graphics"] = Graphics(
                make_network(case), batches, min(20, case.steps)
            )
        if importlib.util.find_spec("jax"):
            contenders["JAX by hand"] = Jax(make_network(case), batches, case.steps)
        if importlib.util.find_spec("torch_levenberg_marquardt"):
            trials = [
                Torch(make_network(case), batches, case.steps, solver)
                for solver in ("qr", "cholesky", "solve")
            ]
            best = min(trials, key=lambda peer: peer.trial)
            contenders["torch-levenberg-marquardt"] = best
        contenders["matmul"] = gram(residuals, weights)
    if case.layers == ["lstm"]:
        contenders["SGD"] = GradientStep(make_network(case), batches, case.steps)
    times = rounds(contenders, repeats)
    row["ms"] = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    if case.peers:
        row["peer attempts"] = float(np.mean(contenders["tf-levenberg-marquardt"].counts))
    del contenders, ours
    one_more(case, batches, weights, residuals, repeats if few else min(repeats, 3), row, times)
    row["ratios"] = ratios(times)
    return row


def rounds(contenders, repeats):
    times = {name: [] for name in contenders}
    for k in range(repeats):
        for name in list(contenders)[:: 1 if k % 2 else -1]:
            time.sleep(0.1)  # OpenBLAS's threads spin for a while after a call
            times[name].append(contenders[name].seconds_a_step())
    return {name: np.array(values) for name, values in times.items()}


def best_peer(case, batches):
    """tf-levenberg-marquardt with the settings that are fastest here."""
    trials = {}

    def trial(solver, rows):
        peer = Peer(make_network(case), batches, case.steps, solver, rows)
        trials[solver, rows] = peer
        return peer.trial

    solver = min(("qr", "cholesky", "solve"), key=lambda name: trial(name, 100))
    by_solver = {name: 1e3 * peer.trial for (name, _), peer in trials.items()}
    for rows in (300, 1000):
        trial(solver, rows)
    settings = min(trials, key=lambda key: trials[key].trial)
    return trials[settings], settings, by_solver


def one_more(case, batches, weights, residuals, repeats, row, times):
    """Adds what a further attempt takes and its bound, and the limit's Cholesky."""
    network = make_network(case)
    output = network.layers[-1]
    output.set_weights([np.zeros_like(value) for value in output.get_weights()])
    batches = batches[0], np.zeros_like(batches[1])
    steps = min(case.steps, 10)
    # No test ends a step early, and lambda grows no faster than by tens.
    settings = {"damping_rule": "marquardt", "ftol": 0.0, "xtol": 0.0, "gtol": 0.0}
    contenders = {
        count: Ours(network, batches, steps, max_attempts=count, **settings)
        for count in (1, 1 + MORE_ATTEMPTS)
    }
    contenders["forward"] = forward(network, batches)
    contenders["cholesky"] = lapack_cholesky(min(weights, residuals))
    found = rounds(contenders, repeats)
    assert contenders[1 + MORE_ATTEMPTS].last_attempts == 1 + MORE_ATTEMPTS
    more = (found[1 + MORE_ATTEMPTS] - found[1]) / MORE_ATTEMPTS
    bound = 1.2 * found["cholesky"] + found["forward"]
    row["one more"], row["bound"] = 1e3 * float(np.median(more)), 1e3 * float(np.median(bound))
    row["ms"]["cholesky"] = 1e3 * float(np.median(found["cholesky"]))
    row["ms"]["forward"] = 1e3 * float(np.median(found["forward"]))
    if case.peers:
        times["limit"] = times["matmul"] + np.median(found["cholesky"])


def ratios(times):
    """Peer / ours where ours is to be faster, ours / it for what ours is held against."""
    ours = times["ours"]
    found = {}
    for name in ("tf-levenberg-marquardt", "tensorflow-graphics", "torch-levenberg-marquardt"):
        if name in times:
            found[name] = float(np.median(times[name] / ours))
            if "50 a call" in times:
                found[f"{name}, 50 a call"] = float(np.median(times[name] / times["50 a call"]))
    for name in ("limit", "SGD", "JAX by hand"):
        if name in times:
            found[name] = float(np.median(ours / times[name]))
            if "50 a call" in times:
                found[f"{name}, 50 a call"] = float(np.median(times["50 a call"] / times[name]))
    return found


def table_row(case, row):
    ms, ratio = row["ms"], row["ratios"]
    peer, beside = f"not run: J alone takes {row['jacobian']:.3g} GB", []
    if case.peers:
        peer = f"{ms['tf-levenberg-marquardt']:.3g} ms ({row['peer attempts']:.3g} attempts)"
        beside.append(f"{ratio['tf-levenberg-marquardt']:.1f} x faster")
        if "50 a call" in ms:
            beside[-1] += f", {ratio['tf-levenberg-marquardt, 50 a call']:.1f} x with 50 a call"
        if "torch-levenberg-marquardt" in ratio:
            faster = ratio["torch-levenberg-marquardt"]
            beside.append(f"{faster:.1f} x the speed of torch-levenberg-marquardt")
        if "JAX by hand" in ratio:
            beside.append(f"{ratio['JAX by hand']:.2f} x JAX by hand")
            if "50 a call" in ms:
                beside[-1] += f", {ratio['JAX by hand, 50 a call']:.2f} x with 50 a call"
        beside.append(f"{ratio['limit']:.2f} x the limit")
    if "SGD" in ms:
        beside.append(f"{ratio['SGD']:.1f} x a gradient step of {ms['SGD']:.1f} ms")
    step = f"{ms['ours']:.3g} ms" + (f", {ms['50 a call']:.3g}" if "50 a call" in ms else "")
    cells = [
        case.title,
        peer,
        step,
        "; ".join(beside) or "-",
        case.promised,
        f"{row['attempts']:.3g}",
        f"{row['first call']:.1f} s",
        f"{row['memory']:.2f} GB",
        f"{row['one more']:.3g} ms ({row['bound']:.3g})",
    ]
    return "| " + " | ".join(cells) + " |"


HEADINGS = (
    "| weights x residuals | tf-levenberg-marquardt at its best | our step | beside the others "
    "| promised | attempts | first call | memory | one more attempt (bound) |"
)


def details(row):
    ms = ", ".join(f"{name} {value:.3g}" for name, value in row["ms"].items())
    text = f"    chosen: {row['choice']}\n    ms: {ms}"
    if "first call of 50" in row:
        more = row["first call of 50"] - row["first call"]
        saved = (row["ms"]["ours"] - row["ms"]["50 a call"]) / 1e3
        text += f"\n    first call of 50 steps {row['first call of 50']:.1f} s, which"
        text += f" pays after {more / saved:.0f} steps"
    if "peer settings" in row:
        solver, rows = row["peer settings"]
        solvers = ", ".join(f"{name} {value:.3g}" for name, value in row["peer by solver"].items())
        text += f"\n    tf-levenberg-marquardt: {solver}, {rows} rows; by solver: {solvers}"
        graphics = row["ratios"].get("tensorflow-graphics")
        text += "\n    tensorflow-graphics: " + (
            f"{graphics:.1f} x slower than plain fit"
            if graphics
            else "not run, its Jacobian holds residuals x examples x units numbers a layer"
        )
    return text


def blas():
    """Of scipy, whose Cholesky is the limit."""
    found = [
        f"{info['internal_api']} {info['version']} ({info['architecture']}, "
        f"{info['num_threads']} threads)"
        for info in threadpoolctl.threadpool_info()
        if info["user_api"] == "blas" and "scipy" in info["filepath"].rsplit("/", 1)[0]
    ]
    asked = [f"{k}={v}" for k, v in os.environ.items() if k.startswith(("OPENBLAS_", "TF_NUM_"))]
    return ", ".join(found) + "; " + (", ".join(asked) or "no OPENBLAS_*, no TF_NUM_* set")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", nargs="+", choices=CASES, help="only these rows")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of an epoch, in place of each row's own")
    parser.add_argument("--huge", action="store_true", help="100 million weights too")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = arguments.case or [name for name in CASES if arguments.huge or name != "100M"]
    if arguments.here:
        case = CASES[names[0]]
        case = case._replace(steps=arguments.steps or case.steps)
        print(json.dumps(measure(case, arguments.repeats)))
        return
    print(f"kerazoo {kerazoo.__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    print(f"{machine()}\nLAPACK: {blas()}; {arguments.repeats} rounds\n")
    lines = [HEADINGS, "|" + "---|" * HEADINGS.count(" | ") + "---|"]
    for name in names:
        command = [sys.executable, __file__, "--here", "--case", name]
        command += ["--repeats", str(arguments.repeats)]
        command += ["--steps", str(arguments.steps)] if arguments.steps else []
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        lines.append(table_row(CASES[name], row))
        print(lines[-1], details(row), sep="\n", flush=True)
    print("", *lines, sep="\n")


if __name__ == "__main__":
    main()
