"""How fast are Maxout, PReLU and MaxoutDense beside the formulas and layers people use today?

    python scripts/bench_layers.py

Prints the time of three programs, in graph mode (`tf.function`) and under XLA
(`jit_compile=True`), and the ratio ours / peer: below 1, ours is faster.
    forward      the outputs
    summed       their mean over all axes but the channels, which XLA fuses with the layer
    training     forward and backward: a loss, and its gradient for the inputs and the weights

Peers, in plain TensorFlow, without any layer around them:
    Maxout   reduce_max(reshape(x, (..., pieces, units)), -2), the formula of tfa.layers.Maxout.
             Ours is the same formula: the row shows what the layer around it costs.
    PReLU    relu(x) - alpha * relu(-x), the formula of keras.layers.PReLU. The second peer is
             max(0, x) + alpha * min(0, x); the ratio is to the faster of the two in each row.
    MaxoutDense  `Dense` layers of as many weights, without activation and with ReLU; the ratio
             is to the faster. The row shows what the maximum costs beside the matrix product.

Fair: both sides get the same float32 tensors, one `tf.function` each, ours around the whole
layer. TensorFlow returns from a call on the CPU when its results are there, so nothing is copied
to be waited for. Rounds are interleaved, in turn from either end; each round gives one ratio, and
the table shows its median and quartiles.
"""

import functools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from machine import machine

import kerazoo

SECONDS_A_ROW = 1.5
FEWEST_ROUNDS = 50
PROGRAMS = ("forward", "summed", "training")
MAXOUT = [((256, 2048), 4), ((32, 32, 32, 64), 4), ((32, 32, 32, 64), 2)]
MAXOUT_DENSE = [((256, 2048), 512, 4), ((64, 512), 256, 2)]
PRELU = [(256, 2048), (64, 100, 256), (32, 32, 32, 64)]


def reshape_and_reduce_max(x, pieces):
    *front, features = x.shape
    return tf.reduce_max(tf.reshape(x, (*front, pieces, features // pieces)), axis=-2)


def two_relus(x, alpha):
    return tf.nn.relu(x) - alpha * tf.nn.relu(-x)


def max_and_min(x, alpha):
    return tf.maximum(x, 0.0) + alpha * tf.minimum(x, 0.0)


def program(kind, function, x, alphas):
    """The TensorFlow program to be compiled, without arguments but `x`."""
    trained = [weight.value for weight in getattr(function, "trainable_weights", [])] or alphas
    weights = tensor(function(x).shape, seed=1)

    def forward(x):
        return function(x)

    def summed(x):
        y = function(x)
        return tf.reduce_mean(y, axis=list(range(y.shape.rank - 1)))

    def training(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(weights * function(x))
        return loss, tape.gradient(loss, [x, *trained])

    return {"forward": forward, "summed": summed, "training": training}[kind]


def seconds(runs, x):
    """(rounds, len(runs)) times: one round runs each once."""
    for run in runs * 2:
        run(x)
    rounds = []
    end = time.perf_counter() + SECONDS_A_ROW
    while len(rounds) < FEWEST_ROUNDS or time.perf_counter() < end:
        times = [0.0] * len(runs)
        order = range(len(runs))
        for j in order if len(rounds) % 2 else reversed(order):
            start = time.perf_counter()
            result = runs[j](x)
            times[j] = time.perf_counter() - start
            del result
        rounds.append(times)
    return np.array(rounds)


def compare(title, ours, peers, x, alphas=()):
    """Prints the rows of one layer and shape; returns their ratios."""
    ratios = []
    for jit in (False, True):
        for kind in PROGRAMS:
            runs = [
                tf.function(program(kind, f, x, alphas), jit_compile=jit) for f in (ours, *peers)
            ]
            times = seconds(runs, x)
            medians = np.median(times, axis=0)
            best = 1 + np.argmin(medians[1:])
            low, ratio, high = np.percentile(times[:, 0] / times[:, best], [25, 50, 75])
            print(
                f"{title:30} {'XLA' if jit else 'graph':6} {kind:9} {ratio:6.2f}  "
                f"[{low:.2f}, {high:.2f}]" + "".join(f"{1e3 * t:9.2f}" for t in medians),
                flush=True,
            )
            ratios.append(ratio)
    return ratios


def tensor(shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def main():
    print(f"kerazoo {kerazoo.__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    print(machine())
    print(f"float32, {SECONDS_A_ROW} s a row, milliseconds are medians\n")
    print(f"{'':48}ours/peer [quartiles]  ours ms  peer ms  2nd peer")
    maxout, prelu, dense = [], [], []
    for shape, pieces in MAXOUT:
        layer = kerazoo.layers.Maxout(shape[-1] // pieces)
        peer = functools.partial(reshape_and_reduce_max, pieces=pieces)
        maxout += compare(f"Maxout {shape} / {pieces}", layer, [peer], tensor(shape))
    for shape in PRELU:
        layer = kerazoo.layers.PReLU()
        layer.build(shape)
        alpha = layer.alpha.value
        peers = [functools.partial(f, alpha=alpha) for f in (two_relus, max_and_min)]
        prelu += compare(f"PReLU {shape}", layer, peers, tensor(shape), [alpha])
    for shape, units, pieces in MAXOUT_DENSE:
        layer = kerazoo.layers.MaxoutDense(units, pieces)
        peers = [keras.layers.Dense(units * pieces, activation) for activation in (None, "relu")]
        for made in (layer, *peers):
            made.build(shape)
        title = f"MaxoutDense {shape} {units}x{pieces}"
        dense += compare(title, layer, peers, tensor(shape))
    for name, ratios, bound in (
        ("Maxout", maxout, 1.05),
        ("PReLU", prelu, 1.05),
        ("MaxoutDense", dense, 1.15),
    ):
        print(
            f"\n{name}: median of the ratios {np.median(ratios):.2f}, worst {max(ratios):.2f} "
            f"(promised: at most {bound})",
            end="",
        )
    print()


if __name__ == "__main__":
    main()
