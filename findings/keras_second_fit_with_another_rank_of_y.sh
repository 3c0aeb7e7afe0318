#!/usr/bin/env bash
# One would guess: a model fitted on targets of shape (n,) can be fitted, or evaluated, on targets
#   of shape (n, 1) too, as Keras takes both for an output of shape (n, 1).
# What happens: on TensorFlow whichever comes second fails with "Cannot take the length of shape
#   with unknown rank": the compiled step has relaxed the rank of y, and losses read it. Each shape
#   works in a fresh model, and both in one on JAX.
# Seen with: Keras 3.15.1, TensorFlow 2.21.0, NumPy 2.4.6, Python 3.11.
# Why it matters: the error names neither y nor its shape. It meets who evaluates on a column of a
#   table after training on an array; keep one rank, or call `compile` again.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 tensorflow==2.21.0 numpy==2.4.6
cd "$work"
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import keras
import numpy as np

x, y = np.ones((20, 3)), np.ones((20, 1))


def compiled():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


for first, second in ((y, y), (y[:, 0], y[:, 0]), (y[:, 0], y), (y, y[:, 0])):
    model = compiled()
    model.fit(x, first, verbose=0)
    try:
        model.fit(x, second, verbose=0)
        outcome = "works"
    except ValueError as error:
        outcome = str(error).splitlines()[0]
    print(f"y {first.shape}, then {second.shape}: {outcome}")
    assert (outcome == "works") == (first.shape == second.shape)
    assert outcome == "works" or "unknown rank" in outcome
PYTHON
