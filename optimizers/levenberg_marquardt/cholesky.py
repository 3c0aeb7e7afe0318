import math

import tensorflow as tf

# TensorFlow's own factorization and triangular solve run at an eighth of the speed of its matmul.
# Halved again and again down to this size, most of their work is matmul.
_SMALL = 256
_FEWEST_ROWS_FOR_HALVES = 512
# Halvings of a matrix whose size the graph does not know.
_HALVINGS = 3


def cholesky(A):
    """The lower triangular L with `L L^T = A`; NaN where A is not positive definite.

    Reads the lower triangle of A only. In graph mode a matrix that is not positive definite raises
    nothing, so that looking for NaN is the cheapest test there is.
    """
    size = A.shape[0]
    if size is not None:
        halvings = math.ceil(math.log2(size / _SMALL)) if size >= _FEWEST_ROWS_FOR_HALVES else 0
        return _factor(A, size, halvings)
    size = tf.shape(A)[0]
    return tf.cond(
        size < _FEWEST_ROWS_FOR_HALVES,
        lambda: tf.linalg.cholesky(A),
        lambda: _factor(A, size, _HALVINGS),
    )


def _factor(A, size, halvings):
    if halvings == 0:
        return tf.linalg.cholesky(A)
    half = size // 2
    L = _factor(A[:half, :half], half, halvings - 1)
    below = _solve(L, tf.transpose(A[half:, :half]), half, halvings - 1)  # transposed
    rest = A[half:, half:] - tf.matmul(below, below, transpose_a=True)
    L_rest = _factor(rest, size - half, halvings - 1)
    upper = tf.pad(L, [[0, 0], [0, size - half]])
    return tf.concat([upper, tf.concat([tf.transpose(below), L_rest], axis=1)], axis=0)


def _solve(L, B, size, halvings):
    """`L^-1 B`."""
    if halvings == 0:
        return tf.linalg.triangular_solve(L, B)
    half = size // 2
    first = _solve(L[:half, :half], B[:half], half, halvings - 1)
    rest = B[half:] - tf.matmul(L[half:, :half], first)
    return tf.concat([first, _solve(L[half:, half:], rest, size - half, halvings - 1)], axis=0)


def mirrored(upper):
    """The symmetric matrices of which these are the upper halves."""
    above = tf.linalg.band_part(upper, 0, -1)
    return above + tf.linalg.matrix_transpose(above) - tf.linalg.diag(tf.linalg.diag_part(upper))
