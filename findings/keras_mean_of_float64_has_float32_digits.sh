#!/usr/bin/env bash
# One would guess: with float64 inputs and floatx float64, a Keras mean that says it is float64 has
#   the digits of float64.
# What happens: on JAX with x64 enabled (and on PyTorch 2.13.0) `ops.mean` and `ops.std` compute in
#   float32 and cast the result back, so that it says float64 and has 7 digits; `ops.sum` and
#   `ops.add` keep all. Losses reduce by a mean: `MeanSquaredError(dtype="float64")` is off from the
#   eighth digit on. On TensorFlow all of them keep float64.
# Seen with: Keras 3.15.1, JAX 0.10.2, NumPy 2.4.6, Python 3.11.
# Why it matters: losses and metrics of float64 models, gradient checks by finite differences, and
#   comparisons of backends stop at 1e-8. A loss that must keep float64 sums and divides.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 jax==0.10.2 numpy==2.4.6
cd "$work"
KERAS_BACKEND=jax JAX_ENABLE_X64=1 "$work/venv/bin/python" - <<'PYTHON'
import keras
import numpy as np
from keras import ops

keras.config.set_floatx("float64")
x = ops.convert_to_tensor(np.full((2, 2), 1 / 3), "float64")
loss = keras.losses.MeanSquaredError(dtype="float64")(x, 0 * x)
found = {
    "mean": (ops.mean(x), 1 / 3),
    "sum / size": (ops.sum(x) / 4, 1 / 3),
    "mean squared error": (loss, 1 / 9),
}
for name, (value, exact) in found.items():
    print(f"{name:20} {value.dtype}  {float(value):.17f}  off by {abs(float(value) - exact):.1e}")
assert all(str(value.dtype) == "float64" for value, _ in found.values())
off = {name: abs(float(value) - exact) for name, (value, exact) in found.items()}
assert off["mean"] > 1e-9, "the mean keeps float64 now"
assert off["mean squared error"] > 1e-10, "the loss keeps float64 now"
assert off["sum / size"] < 1e-15
PYTHON
