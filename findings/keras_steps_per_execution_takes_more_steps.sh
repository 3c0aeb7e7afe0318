#!/usr/bin/env bash
# One would guess: `fit(data, steps_per_epoch=5)` takes five steps an epoch, whatever
#   `steps_per_execution` is; that one says how many steps one call of the compiled function runs.
# What happens: from a data set without end, `steps_per_execution=k` runs whole calls of k steps
#   until at least five are done. With k = 4 an epoch has eight steps; the optimizer counts eight
#   and a learning rate schedule moves on by eight. Nothing is printed. With a data set of five
#   batches the last call stops where the data ends, and the epoch has five steps.
# Seen with: Keras 3.15.1, TensorFlow 2.21.0, NumPy 2.4.6, Python 3.11.
# Why it matters: the setting is meant to change the speed alone. Two runs that differ in it train
#   for different numbers of steps, and a full batch that repeats without end takes k steps an epoch.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
cd "$work"
cat > steps.py <<'PYTHON'
import keras
import numpy as np
import tensorflow as tf

batch = np.ones((4, 1)), np.ones((4, 1))
for count, name in ((-1, "without end"), (5, "of five batches")):
    for k in (1, 2, 4):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", steps_per_execution=k)
        data = tf.data.Dataset.from_tensors(batch).repeat(count)
        model.fit(data, steps_per_epoch=5 if count < 0 else None, verbose=0)
        print(f"data {name}, steps_per_execution={k}: {int(model.optimizer.iterations)} steps")
PYTHON
found=$(TF_CPP_MIN_LOG_LEVEL=3 "$work/env/bin/python" steps.py 2>/dev/null)
echo "$found"
test "$found" = "data without end, steps_per_execution=1: 5 steps
data without end, steps_per_execution=2: 6 steps
data without end, steps_per_execution=4: 8 steps
data of five batches, steps_per_execution=1: 5 steps
data of five batches, steps_per_execution=2: 5 steps
data of five batches, steps_per_execution=4: 5 steps"
