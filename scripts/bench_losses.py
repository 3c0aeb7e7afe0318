"""What do packed targets cost a training step, and what does a target network's update take?

    python scripts/bench_losses.py

Prints the time of one compiled training step (forward, backward, SGD) with packed targets, beside
the same step with separate tensors, and the ratio packed / separate. Promised: at most 1.10.
    own function    PackedTargetsLoss(function) against a call of that function
    A2CActorLoss    against its formula written out, gaussian policy

Fair: both sides are one `tf.function` around the same code, on networks of the same weights. What
differs is that ours gets one array and the `Loss` object, the peer one tensor a part and the bare
formula with a mean. The parts are on the device before the clock starts. Rounds are interleaved,
in turn from either end; each round gives one ratio, and the table shows its median and quartiles.
The last column is what `pack` itself takes on arrays, once for each batch, outside the step.

Then the milliseconds of a soft update of a network with 12 weights, six Dense(64): `soft_update`
and `TargetNetwork.update`, beside the same average by `get_weights` and `set_weights` and by
`assign` weight by weight. Promised: at most 0.3 ms.
"""

import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from machine import machine

import kerazoo
from kerazoo.losses import A2CActorLoss, PackedTargetsLoss
from kerazoo.models import TargetNetwork, soft_update

SECONDS_A_ROW = 6.0
STEPS_A_ROUND = 20
BATCHES = (40, 256, 4096)
ACTIONS = 2
TAU = 0.005
SOFT_UPDATE_ROUNDS = 50


def weighted_squares(y_pred, action, advantage):
    return advantage[..., 0] * ops.sum((action - y_pred[..., :ACTIONS]) ** 2, axis=-1)


def gaussian_actor(y_pred, action, advantage):
    mean, log_std = y_pred[..., :ACTIONS], y_pred[..., ACTIONS:]
    z = (action - mean) * ops.exp(-log_std)
    log_p = -ops.sum(0.5 * z**2 + log_std + 0.5 * math.log(2 * math.pi), axis=-1)
    entropy = ops.sum(log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)
    return -ops.stop_gradient(advantage)[..., 0] * log_p - 0.01 * entropy


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(64, "tanh"),
            keras.layers.Dense(64, "tanh"),
            keras.layers.Dense(2 * ACTIONS),
        ]
    )


def training_step(loss_of, jit_compile):
    """`step(x, *targets) -> loss`, where `loss_of(y_pred, *targets)` is a scalar."""
    model = network()
    weights = [weight.value for weight in model.trainable_variables]

    @tf.function(jit_compile=jit_compile)
    def step(x, *targets):
        with tf.GradientTape() as tape:
            value = loss_of(model(x, training=True), *targets)
        for weight, gradient in zip(weights, tape.gradient(value, weights), strict=True):
            weight.assign_sub(1e-4 * gradient)
        return value

    return step


def compare(title, loss, function, batch, jit_compile):
    """Prints a row; returns its ratio."""
    rng = np.random.default_rng(0)
    x, action = rng.normal(size=(batch, 8)), rng.normal(size=(batch, ACTIONS))
    advantage = rng.normal(size=(batch, 1))
    x, action, advantage = (a.astype("float32") for a in (x, action, advantage))
    packed = loss.pack(action=action, advantage=advantage)
    ours = training_step(lambda y_pred, y_true: loss(y_true, y_pred), jit_compile)
    peer = training_step(
        lambda y_pred, action, advantage: ops.mean(function(y_pred, action, advantage)),
        jit_compile,
    )
    inputs = [
        [tf.constant(a) for a in (x, packed)],
        [tf.constant(a) for a in (x, action, advantage)],
    ]
    first = [float(run(*args)) for run, args in zip((ours, peer), inputs, strict=True)]
    np.testing.assert_allclose(*first, rtol=1e-4)

    rounds = []
    end = time.perf_counter() + SECONDS_A_ROW
    while time.perf_counter() < end:
        times = [0.0, 0.0]
        for j in (0, 1) if len(rounds) % 2 else (1, 0):
            run, args = (ours, peer)[j], inputs[j]
            start = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                run(*args)
            times[j] = (time.perf_counter() - start) / STEPS_A_ROUND
        rounds.append(times)
    times = np.array(rounds)
    low, ratio, high = np.percentile(times[:, 0] / times[:, 1], [25, 50, 75])
    micro = 1e6 * np.median(times, axis=0)

    packing = []
    for _ in range(200):
        start = time.perf_counter()
        loss.pack(action=action, advantage=advantage)
        packing.append(time.perf_counter() - start)
    print(
        f"{title:14} {batch:6} {'XLA' if jit_compile else 'graph':6} {ratio:6.3f}  "
        f"[{low:.3f}, {high:.3f}]{micro[0]:10.1f}{micro[1]:10.1f}{1e6 * np.median(packing):10.1f}",
        flush=True,
    )
    return ratio


def time_soft_updates():
    """Prints a row for each way; rounds are interleaved."""
    layers = [keras.layers.Dense(64) for _ in range(6)]
    online = keras.Sequential([keras.Input((8,)), *layers])
    target = keras.models.clone_model(online)
    followed = TargetNetwork(online, TAU)

    def by_arrays():
        pairs = zip(target.get_weights(), online.get_weights(), strict=True)
        target.set_weights([t + TAU * (o - t) for t, o in pairs])

    def by_assign():
        for t, o in zip(target.weights, online.weights, strict=True):
            t.assign(t + TAU * (o - t))

    ways = {
        "TargetNetwork.update": followed.update,
        "soft_update": lambda: soft_update(target, online, TAU),
        "get_weights, set_weights": by_arrays,
        "assign weight by weight": by_assign,
    }
    times = {name: [] for name in ways}
    for update in ways.values():
        update()
    for _ in range(SOFT_UPDATE_ROUNDS):
        for name, update in ways.items():
            start = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                update()
            times[name].append((time.perf_counter() - start) / STEPS_A_ROUND)
    print(f"\nsoft update of {len(online.weights)} weights, ms    median [quartiles]")
    for name, seconds in times.items():
        low, median, high = 1e3 * np.percentile(seconds, [25, 50, 75])
        print(f"{name:30} {median:10.3f} [{low:.3f}, {high:.3f}]")


def main():
    print(f"kerazoo {kerazoo.__version__}, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    print(machine())
    print(f"float32, {SECONDS_A_ROW:.0f} s a row, microseconds are medians\n")
    print(f"{'':16}batch        packed/separate [quartiles]  packed  separate    pack()")
    sizes = {"action": ACTIONS, "advantage": 1}
    ratios = []
    for title, loss, function in (
        ("own function", PackedTargetsLoss(weighted_squares, sizes), weighted_squares),
        ("A2CActorLoss", A2CActorLoss("gaussian"), gaussian_actor),
    ):
        for batch in BATCHES:
            for jit_compile in (False, True):
                ratios.append(compare(title, loss, function, batch, jit_compile))
    print(f"\nmedian of the ratios {np.median(ratios):.3f}, worst {max(ratios):.3f}", end=" ")
    print("(promised: at most 1.10)")
    time_soft_updates()


if __name__ == "__main__":
    main()
