#!/usr/bin/env bash
# One would guess: on a model of two outputs `compile(loss=["mse"])` is an error, as it is where the
#   list is longer than the outputs, or means the same as `loss="mse"`: one loss for each output.
# What happens: the second output has no loss at all, without a word. Its targets may be anything;
#   its weights never move.
# Seen with: Keras 3.15.1, JAX 0.10.2, NumPy 2.4.6, Python 3.11; TensorFlow 2.21 alike.
# Why it matters: whoever turns one output into two and forgets the list trains half of the model,
#   and the loss looks well. Compare the number of losses with the number of outputs yourself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
cd "$work"
KERAS_BACKEND=jax "$work/venv/bin/python" - <<'PYTHON'
import keras
import numpy as np

x, y = np.random.default_rng(0).normal(size=(20, 3)), np.ones((20, 1))
inputs = keras.Input((3,))
outputs = [keras.layers.Dense(1, name=name)(inputs) for name in ("first", "second")]


def tried(loss):
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss)
    before = model.get_layer("second").kernel.numpy()
    results = [model.evaluate(x, [y, size * y], verbose=0) for size in (1, 1e6)]
    losses = [float(np.ravel(result)[0]) for result in results]
    model.fit(x, [y, y], epochs=3, verbose=0)
    return losses, np.abs(model.get_layer("second").kernel.numpy() - before).max()


losses, moved = tried(["mse"])
print(f'loss=["mse"]: targets of the second output 1 and 1e6 give the losses {losses}')
print(f"after three epochs its kernel has moved by {moved}")
assert losses[0] == losses[1]
assert moved == 0
losses, moved = tried("mse")
print(f'loss="mse": the same give {losses}, the kernel has moved by {moved:.2f}')
assert losses[0] < losses[1]
assert moved > 0
try:
    tried(["mse"] * 3)
except KeyError as error:
    print(f'loss=["mse"] * 3: KeyError: {str(error)[:90]}...')
else:
    raise SystemExit("three losses for two outputs are taken now")
PYTHON
