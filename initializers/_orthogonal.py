import keras
from keras import ops


def random_orthogonal(shape, seed, dtype=None):
    """(..., rows, columns) with orthonormal columns; uniformly drawn, rows >= columns."""
    # LAPACK knows no half precision.
    dtype = keras.backend.standardize_dtype(dtype)
    q, r = ops.qr(
        keras.random.normal(shape, dtype=keras.backend.result_type(dtype, "float32"), seed=seed)
    )
    signs = ops.sign(ops.diagonal(r, axis1=-2, axis2=-1))
    return ops.cast(q * signs[..., None, :], dtype)
