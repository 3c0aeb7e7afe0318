#!/usr/bin/env bash
# One would guess: TensorFlow's decompositions treat a matrix of NaN alike. In a graph
#   `tf.linalg.cholesky`, `qr` and `svd` hand NaN on, which is how an optimizer notices, in the
#   middle of a loop and without an exception, that a trial step led nowhere.
# What happens: `tf.linalg.eigh` and `tf.linalg.eigvals` raise `InvalidArgumentError`, in a graph too,
#   so one NaN ends the whole loop, or a batch of thousands of matrices of which one has it.
# Seen with: TensorFlow 2.21.0, NumPy 2.4.6, Python 3.11, CPU.
# Why it matters: replacing a Cholesky factorization by an eigendecomposition, for instance to leave
#   negative curvature out, turns a rejected step into a crash. Set what is not finite to zero before
#   the decomposition and reject afterwards.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet tensorflow==2.21.0 numpy==2.4.6
cd "$work"
cat > decompose.py <<'PYTHON'
import numpy as np
import tensorflow as tf

matrices = np.stack([np.eye(3), np.full((3, 3), np.nan)])
decompositions = {
    "cholesky": tf.linalg.cholesky,
    "qr": lambda a: tf.linalg.qr(a).r,
    "svd": lambda a: tf.linalg.svd(a, compute_uv=False),
    "eigvals": tf.linalg.eigvals,
    "eigh": lambda a: tf.linalg.eigh(a)[0],
}
for name, decompose in decompositions.items():
    try:
        good, bad = tf.function(decompose)(tf.constant(matrices)).numpy()
        result = f"the good one is {'right' if np.isfinite(good).all() else 'lost'}, the other NaN"
        assert np.isnan(bad).any()
    except tf.errors.InvalidArgumentError:
        result = "an error, and nothing of the good one"
    print(f"{name} of a good matrix and one of NaN, in a graph: {result}")
PYTHON
found=$(TF_CPP_MIN_LOG_LEVEL=3 "$work/env/bin/python" decompose.py 2>/dev/null)
echo "$found"
test "$found" = "cholesky of a good matrix and one of NaN, in a graph: the good one is right, the other NaN
qr of a good matrix and one of NaN, in a graph: the good one is right, the other NaN
svd of a good matrix and one of NaN, in a graph: the good one is right, the other NaN
eigvals of a good matrix and one of NaN, in a graph: an error, and nothing of the good one
eigh of a good matrix and one of NaN, in a graph: an error, and nothing of the good one"
