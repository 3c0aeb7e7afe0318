"""Whether a loss and its gradient are finite for every prediction that a dtype can hold."""

import itertools

import backends
import keras
import numpy as np
from keras import ops

MAGNITUDES = (1e-30, 1e-8, 0.3, 1.0, 4.9, 5.1, 60.0, 1e4, 6e4, 1e10, 1e20, 1e30, 3e38)
LARGEST = {"float16": 6.5e4, "bfloat16": 3e38, "float32": 3e38}


def extreme_predictions(columns, dtype="float32", rows=1500):
    """An array (rows, columns) of numbers of both signs from 1e-30 to 3e38, as `dtype` holds them.

    Each number alone in all columns, each beside each other one, and then combinations at random.
    """
    numbers = [m for m in MAGNITUDES if m <= LARGEST[dtype]]
    numbers = np.array([0.0, *numbers, *(-m for m in numbers)])
    alone = np.repeat(numbers[:, None], columns, axis=1)
    pairs = np.array(list(itertools.product(numbers, numbers)))
    pairs = np.tile(pairs, (1, columns))[:, :columns]
    mixed = np.random.default_rng(0).choice(numbers, (rows, columns))
    return np.concatenate([alone, pairs, mixed]).astype("float32")


def check_finite(make, targets, columns):
    """`make(**kwargs)` builds a loss, `targets(rows)` gives its y_true for so many rows.

    In float32, and in mixed precision: predictions of half types for a loss in float32, and for one
    in their own type. A loss with one value a batch also sees rows one at a time.
    """
    cases = [(t, None) for t in LARGEST] + [(t, t) for t in ("float16", "bfloat16")]
    for predicted_dtype, loss_dtype in cases:
        y_pred = extreme_predictions(columns, predicted_dtype)
        y_true = np.asarray(targets(len(y_pred)), "float32")
        loss = make(reduction=None, dtype=loss_dtype)
        batches = [(y_true, y_pred)]
        if loss(y_true, ops.convert_to_tensor(y_pred)).shape == ():
            batches += [(y_true[i : i + 1], y_pred[i : i + 1]) for i in range(2, 22, 3)]
        for true, pred in batches:
            values, gradient = values_and_gradient(loss, true, pred, predicted_dtype)
            wrong = ~(np.isfinite(gradient).all(axis=-1) & np.isfinite(values))
            assert not wrong.any(), (
                f"{np.sum(wrong)} rows are not finite with predictions in {predicted_dtype} and "
                f"the loss in {loss.dtype}, e.g. y_pred={pred[wrong][0]}, y_true={true[wrong][0]}: "
                f"gradient {gradient[wrong][0]}"
            )


def values_and_gradient(loss, y_true, y_pred, dtype="float32"):
    """The unreduced values of a loss, and the gradient of their sum for predictions of `dtype`."""

    def total(y_pred):
        return ops.sum(ops.cast(loss(y_true, y_pred), "float32"))

    y_pred = ops.cast(ops.convert_to_tensor(y_pred), dtype)
    gradient = backends.differentiated(total)(y_pred)[1]
    assert keras.backend.standardize_dtype(gradient.dtype) == dtype
    as_float32 = (ops.cast(tensor, "float32") for tensor in (loss(y_true, y_pred), gradient))
    return tuple(backends.to_numpy(tensor) for tensor in as_float32)
