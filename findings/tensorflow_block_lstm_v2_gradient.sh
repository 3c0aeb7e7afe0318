#!/usr/bin/env bash
# tf.raw_ops.BlockLSTMV2, the LSTM over all steps in one operation, has a gradient registered, and
# it is wrong.
#
# One would guess: an operation that `tf.GradientTape` differentiates without a complaint gives the
#   gradient of what it computes.
# What happens: the registered gradient is that of the first version, BlockLSTM, whose gates lie in
#   another order in the kernel (input, cell, forget, output; the second version has input, forget,
#   cell, output). No error; the derivative in the kernel is another than finite differences say.
#   tf.raw_ops.BlockLSTMGradV2, called by hand, agrees with them.
# Versions: tensorflow 2.21.0 (CPU), Python 3.11.
# Why it matters: on CPUs the operation is much faster than a loop of steps, and a network that is
#   trained through it with the registered gradient learns, only worse: nothing looks broken.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet 'tensorflow==2.21.0'
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - <<'EOF'
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
steps, rows, inputs, units = 5, 2, 3, 4
x = tf.constant(rng.normal(size=(steps, rows, inputs)), "float32")
w = tf.constant(rng.normal(size=(inputs + units, 4 * units)), "float32")
zeros = tf.zeros([rows, units])
arguments = {
    "seq_len_max": steps, "x": x, "cs_prev": zeros, "h_prev": zeros, "wci": zeros[0],
    "wcf": zeros[0], "wco": zeros[0], "b": tf.zeros([4 * units]),
}


def run(w):
    return tf.raw_ops.BlockLSTMV2(w=w, cell_clip=0.0, **arguments)


def total(w):
    return tf.reduce_sum(run(w).h)


with tf.GradientTape() as tape:
    tape.watch(w)
    value = total(w)
registered = tape.gradient(value, w).numpy()
inside = run(w)
by_hand = tf.raw_ops.BlockLSTMGradV2(
    w=w, **arguments, **inside._asdict(), h_grad=tf.ones_like(inside.h),
    cs_grad=tf.zeros_like(inside.cs), use_peephole=False,
).w_grad.numpy()
differences = np.zeros_like(registered)
for place in np.ndindex(*w.shape):
    e = np.zeros(w.shape, "float32")
    e[place] = 1e-2
    differences[place] = (total(w + e) - total(w - e)) / 2e-2


def error(gradient):
    return np.abs(gradient - differences).max() / np.abs(differences).max()


print("relative to finite differences, largest error in the kernel's derivative:")
print(f"  the registered gradient  {error(registered):.1e}")
print(f"  BlockLSTMGradV2 by hand  {error(by_hand):.1e}")
assert error(by_hand) < 5e-3, "BlockLSTMGradV2 is no longer the gradient"
assert error(registered) > 0.1, "the registered gradient is right now"
EOF
