import tensorflow as tf

# TensorFlow's own factorization runs at an eighth of the speed of its matmul. In blocks, most of
# the work is matmul; below this size the blocks cost more than they save.
_FEWEST_ROWS_FOR_BLOCKS = 512
_BLOCKS = 6


def cholesky(A):
    """The lower triangular L with `L L^T = A`; NaN where A is not positive definite.

    In graph mode a matrix that is not positive definite raises nothing, so that looking for NaN
    is the cheapest test there is.
    """
    size = A.shape[0]
    if size is not None and size < _FEWEST_ROWS_FOR_BLOCKS:
        return tf.linalg.cholesky(A)
    if size is not None:
        return _in_blocks(A, size)
    size = tf.shape(A)[0]
    return tf.cond(
        size < _FEWEST_ROWS_FOR_BLOCKS,
        lambda: tf.linalg.cholesky(A),
        lambda: _in_blocks(A, size),
    )


def _in_blocks(A, size):
    """Column by column of blocks: factor the diagonal one, solve below it, update what is left."""
    ends = [size * k // _BLOCKS for k in range(1, _BLOCKS + 1)]
    columns = []
    left, start = A, 0
    for end in ends:
        width = end - start
        L = tf.linalg.cholesky(left[:width, :width])
        below = tf.linalg.matrix_transpose(
            tf.linalg.triangular_solve(L, tf.linalg.matrix_transpose(left[width:, :width]))
        )
        columns.append(tf.pad(tf.concat([L, below], axis=0), [[start, 0], [0, 0]]))
        left = left[width:, width:] - tf.matmul(below, below, transpose_b=True)
        start = end
    return tf.concat(columns, axis=1)


def mirrored(upper):
    """The symmetric matrices of which these are the upper halves."""
    above = tf.linalg.band_part(upper, 0, -1)
    return above + tf.linalg.matrix_transpose(above) - tf.linalg.diag(tf.linalg.diag_part(upper))
