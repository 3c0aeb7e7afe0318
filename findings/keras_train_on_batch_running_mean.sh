#!/usr/bin/env bash
# One would guess: the loss that `train_on_batch` returns is that of its batch.
# What happens: in Keras 3.10.0 it is the mean over all batches since `reset_metrics` was last
#   called, earlier trainings included; in 3.15.1 it is that of the batch. Nothing in the call tells
#   which, and 3.10 returns arrays of NumPy where 3.15 returns floats, which `json` refuses.
# Seen with: Keras 3.10.0 and 3.15.1, JAX 0.6.2, NumPy 2.2.6, Python 3.11; TensorFlow 2.19 alike.
# Why it matters: hand-written loops (agents, adversarial training) that log or stop by this number
#   see a curve that lags behind, and a test of divergence comes late. Call `reset_metrics` first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 3.10.0 3.15.1; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet "keras==$version" jax==0.6.2 numpy==2.2.6
done
cd "$work"
cat > loop.py <<'PYTHON'
import keras
import numpy as np

model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
model.compile(keras.optimizers.SGD(0.0), "mse")  # nothing moves: each loss is the target's square
x = np.ones((4, 1))
print([round(float(model.train_on_batch(x, size * x)), 3) for size in (1, 2, 3)])
PYTHON
export KERAS_BACKEND=jax
old=$("$work/3.10.0/bin/python" loop.py)
new=$("$work/3.15.1/bin/python" loop.py)
echo "targets 1, 2, 3 and a model that gives 0; losses of the batches: [1.0, 4.0, 9.0]"
echo "Keras 3.10.0 returns $old"
echo "Keras 3.15.1 returns $new"
test "$old" = "[1.0, 2.5, 4.667]"
test "$new" = "[1.0, 4.0, 9.0]"
