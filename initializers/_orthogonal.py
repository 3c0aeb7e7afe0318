import numbers

import keras
from keras import ops


def positive_gain(gain):
    if isinstance(gain, bool) or not isinstance(gain, numbers.Real) or not 0 < gain < float("inf"):
        raise ValueError(f"`gain` must be a finite number above 0. Received: gain={gain!r}")
    return float(gain)


def random_orthogonal(shape, seed, dtype=None):
    """(..., rows, columns) with orthonormal columns; uniformly drawn, rows >= columns."""
    # LAPACK knows no half precision.
    dtype = keras.backend.standardize_dtype(dtype)
    q, r = ops.qr(
        keras.random.normal(shape, dtype=keras.backend.result_type(dtype, "float32"), seed=seed)
    )
    signs = ops.sign(ops.diagonal(r, axis1=-2, axis2=-1))
    return ops.cast(q * signs[..., None, :], dtype)
