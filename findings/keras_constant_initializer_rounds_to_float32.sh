#!/usr/bin/env bash
# One would guess: a weight with `dtype="float64"` and `initializer=Constant(0.1)` begins at 0.1.
# What happens: it begins at 0.10000000149011612, the float32 nearest to 0.1, floatx "float64" or
#   not: `keras.ops.cast` of a Python float goes through float32. `Constant(np.float64(0.1))`,
#   `ops.convert_to_tensor(0.1, "float64")` and `ops.full((), 0.1, "float64")` keep all digits.
# Seen with: Keras 3.15.1 on TensorFlow 2.21.0, NumPy 2.4.6, Python 3.11.
# Why it matters: a physical constant that is held fixed in a float64 model has eight digits, and so
#   have all results that depend on it; fits that start there cannot be repeated elsewhere.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
cd "$work"
cat > constant.py <<'PYTHON'
import keras
import numpy as np

keras.config.set_floatx("float64")
layer = keras.layers.Layer(dtype="float64")
for value in (0.1, np.float64(0.1)):
    weight = layer.add_weight(shape=(), initializer=keras.initializers.Constant(value))
    print(f"Constant of a {type(value).__name__}: {weight.dtype} {float(weight)!r}")
print(f"ops.cast: {float(keras.ops.cast(0.1, 'float64'))!r}")
print(f"ops.full: {float(keras.ops.full((), 0.1, 'float64'))!r}")
PYTHON
found=$(TF_CPP_MIN_LOG_LEVEL=3 "$work/env/bin/python" constant.py 2>/dev/null)
echo "$found"
test "$found" = "Constant of a float: float64 0.10000000149011612
Constant of a float64: float64 0.1
ops.cast: 0.10000000149011612
ops.full: 0.1"
