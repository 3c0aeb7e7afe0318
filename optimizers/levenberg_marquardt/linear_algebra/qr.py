import numpy as np
import tensorflow as tf


class QR:
    """Solves `(J^T J + lambda I) s = -g` by orthogonal factors of `[J; sqrt(lambda) I]`.

    It works on J and not on its square, so it keeps twice the digits. Chunks of rows are folded
    one by one into the triangle T of `[J r]`: its first columns are R, the last is `Q^T r`, and
    no more than one chunk of J is held. Where the loss is not a sum of squares there is no r and
    the gradient takes its place: `R^T R s = -g`.

    Args:
        residual_form: Whether rows come with residuals r, of which the gradient is `J^T r`.
    """

    systems_add_up = False

    def __init__(self, residual_form):
        self.residual_form = residual_form

    def empty(self, size, dtype):
        return tf.zeros([size + 1, size + 1], dtype)

    def of_rows(self, columns, r):
        return self._triangle(tf.transpose(tf.concat([columns, r[None]], axis=0)))

    def add_diagonal(self, T, d, r):
        rows = tf.concat([tf.linalg.diag(d), r[:, None]], axis=1)
        return self.joined([T, rows])

    def gradient(self, T):
        return tf.linalg.matvec(T, T[:, -1], transpose_a=True)[:-1]

    def joined(self, systems):
        return self._triangle(tf.concat(systems, axis=0))

    def _triangle(self, rows):
        """R of the rows, with zeros below where they are fewer than columns."""
        columns = rows.shape[1]
        missing = tf.maximum(columns - tf.shape(rows)[0], 0)
        rows = tf.pad(rows, [[0, missing], [0, 0]])
        return tf.ensure_shape(tf.linalg.qr(rows).r, [columns, columns])

    def column_norms(self, T, dtype):
        return tf.sqrt(tf.reduce_sum(T**2, axis=0))[:-1]

    def scaled(self, T, D):
        return T / tf.concat([D, tf.ones([1], D.dtype)], axis=0)

    def without(self, T, held):
        rows = T * tf.concat([1 - held, tf.ones([1], T.dtype)], axis=0)
        return self.add_diagonal(rows, held, tf.zeros_like(held))

    def quadratic(self, T, s):
        """`s^T J^T J s`."""
        return tf.reduce_sum(tf.linalg.matvec(T[:, :-1], s) ** 2)

    def projected_residual(self, T):
        """`Q^T r`: zero at a minimum, and free of the scale of the weights."""
        return T[:-1, -1]

    def step(self, T, g, damping):
        size = g.shape[0]
        T = self._damped(T, damping)
        R = T[:size, :size]
        if self.residual_form:
            s = -tf.linalg.triangular_solve(R, T[:size, size:], lower=False)[:, 0]
        else:
            s = _solved(R, g)
        slope = tf.linalg.triangular_solve(R, s[:, None], lower=False, adjoint=True)
        return s, tf.reduce_sum(slope**2)

    def undamped_step(self, T):
        """`-R^-1 Q^T r`."""
        R, Q_r = T[:-1, :-1], T[:-1, -1:]
        return -tf.linalg.triangular_solve(R, Q_r, lower=False)[:, 0]

    def correction(self, T, b, damping):
        size = b.shape[0]
        R = self._damped(T, damping)[:size, :size]
        return _solved(R, b)

    def is_full_rank(self, T):
        """Whether the columns, brought to length 1, are independent beyond rounding."""
        norms = self.column_norms(T, T.dtype)
        diagonal = tf.abs(tf.linalg.diag_part(T)[:-1])
        eps = np.finfo(T.dtype.as_numpy_dtype).eps
        return tf.reduce_all(diagonal > norms.shape[0] * eps * norms)

    def _damped(self, T, damping):
        size = T.shape[0] - 1
        below = tf.sqrt(tf.cast(damping, T.dtype)) * tf.eye(size, size + 1, dtype=T.dtype)
        return tf.linalg.qr(tf.concat([T, below], axis=0)).r


def _solved(R, b):
    """`-(R^T R)^-1 b`."""
    half = tf.linalg.triangular_solve(R, b[:, None], lower=False, adjoint=True)
    return -tf.linalg.triangular_solve(R, half, lower=False)[:, 0]
